"""The facade switched off, and before it is configured: every call works and does nothing."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import massgen_tracing as mt
from massgen_tracing.testing import left_behind
from massgen_tracing.trace.calls import LlmCall, McpCall, ToolCall, Work
from massgen_tracing.trace.noop import NOOP_SESSION
from massgen_tracing.trace.round import Presentation, Round
from massgen_tracing.trace.session import Session
from massgen_tracing.trace.tracer import NoopTracer, Tracer
from tests.trace.test_facade import a_whole_run


def test_before_configure_the_tracer_does_nothing() -> None:
    """`get_tracer()` never fails: before `configure()` it gives a tracer without effect."""
    tracer = mt.get_tracer()
    assert tracer.enabled is False
    a_whole_run(tracer)
    with tracer.session("q") as session, session.span("x", attributes={"a": 1}) as span:
        assert (span.trace_id, span.span_id) == ("0" * 32, "0" * 16)
        assert not span.span.is_recording()
        assert left_behind() == []


def test_disabled_the_whole_facade_is_without_effect(tmp_path: Any) -> None:
    """With `enabled=False` nothing is written, bound or made current."""
    tracer = mt.configure(enabled=False, root=tmp_path)
    a_whole_run(tracer)
    tracer.info("x")
    tracer.event("x")
    tracer.vote("a", "b")
    assert mt.get_tracer() is tracer
    stream: Any = (i async for i in _nothing())
    assert mt.bind_stream(stream) is stream
    assert mt.bind(a_whole_run) is a_whole_run
    assert mt.child_env({"A": "b"}) == {"A": "b"}
    assert list(tmp_path.iterdir()) == []


async def _nothing() -> Any:
    yield


def test_disabled_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """MASSGEN_TRACING_ENABLED=false switches it off without a change of code."""
    monkeypatch.setenv("MASSGEN_TRACING_ENABLED", "false")
    assert mt.configure().enabled is False


@pytest.mark.parametrize("kind", [Session, Round, Presentation, LlmCall, McpCall, ToolCall, Work])
def test_the_handle_that_does_nothing_has_every_public_name(kind: type) -> None:
    """Whatever a real handle offers, the disabled one does too."""
    names = {name for name in dir(kind) if not name.startswith("_")} - {"kind"}
    assert names <= set(dir(NOOP_SESSION))


def test_the_tracer_that_does_nothing_overrides_what_would_do_something() -> None:
    """Every opener of the tracer, and what makes spans, is overridden."""
    openers = {name for name, member in vars(Tracer).items() if inspect.isfunction(member) and not name.startswith("_")}
    inherited = {"debug", "info", "warning", "error", "event", "answer", "vote", "restarted", "enforcement"}  # these go through overridden ones
    inner = {"start_span", "set_attribute", "clean_all", "clean_text", "open_run", "misuse", "ambient"}  # only handles call these
    assert openers - inherited - inner <= set(vars(NoopTracer))


async def test_after_shutdown_streams_are_bound_again() -> None:
    """Being disabled ends with `shutdown()`: what was before `configure()` is again."""
    mt.configure(enabled=False)
    mt.shutdown()
    stream = _nothing()
    bound = mt.bind_stream(stream)
    assert bound is not stream
    await bound.aclose()

"""Spans nest right however agents interleave: random programs, across every border."""

from __future__ import annotations

import asyncio
import gc
import logging

import pytest
from hypothesis import given, settings

import massgen_tracing as mt
from massgen_tracing.testing import capture, left_behind
from tests.trace.programs import PROGRAMS, Program, misnested, run_program

pytestmark = pytest.mark.usefixtures("cheap_collections")


def _run(program: Program, *, debug: bool = False) -> None:
    gc.freeze()  # Hypothesis keeps more with each program
    with capture() as captured:
        complaints = asyncio.run(run_program(program, captured.tracer), debug=debug)
    assert complaints == []
    assert misnested(captured.ended) == []
    assert [span.name for span in captured.open.values()] == []
    assert {span.context.trace_id for span in captured.ended if span.name.startswith(("coordination", "agent"))} == {
        captured.find("coordination.session").context.trace_id
    }
    assert left_behind() == []


@pytest.mark.parametrize("programs", [200, pytest.param(2000, marks=pytest.mark.long)])
def test_every_span_of_a_random_program_nests_right(programs: int, caplog: pytest.LogCaptureFixture) -> None:
    """Of so many random programs of up to four agents no span has a wrong parent, outlives it, stays open or stays current anywhere."""

    @settings(max_examples=programs)
    @given(program=PROGRAMS)
    def search(program: Program) -> None:
        _run(program)
        assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []

    search()


@settings(max_examples=50)
@given(program=PROGRAMS)
def test_nesting_holds_on_a_loop_in_debug_mode(program: Program, caplog: pytest.LogCaptureFixture) -> None:
    """Asyncio's debug mode, which wraps coroutines and checks more, changes nothing."""
    caplog.set_level(logging.ERROR, logger="asyncio")  # it warns of slow callbacks, which this is not about
    _run(program, debug=True)


def test_the_programs_find_what_bare_generators_get_wrong(monkeypatch: pytest.MonkeyPatch, swallowed: list[str]) -> None:
    """The proof that these tests can fail: without binding, the same kind of program gives spans with wrong parents."""
    monkeypatch.setattr(mt, "bind_stream", lambda stream: stream)
    steps = (("yield",), ("llm",), ("span", (("yield",), ("mcp",))), ("llm",))
    program = Program(agents=(((steps, "answer"),), ((steps, "vote"),)), drives=((0, "task"), (1, "task")) * 4, ending="finish")
    with capture() as captured:
        asyncio.run(run_program(program, captured.tracer))
    assert len(misnested(captured.ended)) >= 4
    assert swallowed == ["usage.outside"]
    swallowed.clear()

"""How work ended: what each way to leave a block says on its span."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from massgen_tracing import semconv
from massgen_tracing.testing import Captured, capture
from massgen_tracing.trace.provider import SHARED


class OfOnesOwn(BaseException):
    """Not an Exception."""


FAILURES: list[tuple[BaseException, str]] = [
    (ValueError("wrong"), "error"),
    (TimeoutError("late"), "timeout"),
    (ExceptionGroup("several", [ValueError("wrong")]), "error"),
    (ExceptionGroup("several", [TimeoutError("late")]), "timeout"),
    (ExceptionGroup("outer", [ExceptionGroup("inner", [TimeoutError(), TimeoutError()])]), "timeout"),
    (ExceptionGroup("several", [TimeoutError(), ValueError("wrong")]), "error"),
    (BaseExceptionGroup("several", [asyncio.CancelledError(), ValueError("wrong")]), "error"),
    (BaseExceptionGroup("several", [KeyboardInterrupt(), TimeoutError()]), "timeout"),
    (OfOnesOwn("mine"), "error"),
    (SystemExit("text"), "error"),
    (SystemExit(3), "error"),
]
GIVEN_UP: list[BaseException] = [
    asyncio.CancelledError(),
    GeneratorExit(),
    KeyboardInterrupt(),
    SystemExit(),
    SystemExit(0),
    BaseExceptionGroup("several", [asyncio.CancelledError(), KeyboardInterrupt()]),
]


def _leave(error: BaseException) -> Captured:
    """A round, a call, a span of somebody's own and a plain OpenTelemetry span, all left with *error*."""
    with capture() as captured:
        theirs = SHARED.get_tracer("theirs")
        with pytest.raises(type(error)), captured.tracer.session("q") as session, session.agent_round("a") as rnd:
            with rnd.llm_call("openai"), captured.tracer.span("work"), theirs.start_as_current_span("block"), theirs.start_span("with"):
                raise error
    return captured


def _events(span: ReadableSpan) -> list[str]:
    return [event.name for event in span.events]


@pytest.mark.parametrize(("error", "outcome"), FAILURES, ids=repr)
def test_what_went_wrong_is_an_error(error: BaseException, outcome: str) -> None:
    """Status, exception event and type on every span that it leaves; the round's outcome says whether time ran out."""
    captured = _leave(error)
    assert len(captured.ended) == 6
    for span in captured.ended:
        assert span.status.status_code is StatusCode.ERROR, span.name
        assert str(span.status.description).startswith(type(error).__name__)
        assert _events(span) == [semconv.EXCEPTION_EVENT]
        assert semconv.OUTCOME not in (span.attributes or {}) or span.name.startswith("agent.")
    attributes = captured.find("agent.a.round_0").attributes or {}
    assert attributes[semconv.OUTCOME] == outcome
    assert str(attributes[semconv.ERROR_TYPE]).endswith(type(error).__name__)


@pytest.mark.parametrize("error", GIVEN_UP, ids=repr)
def test_what_nobody_wanted_any_more_is_cancelled_and_no_error(error: BaseException) -> None:
    """A cancellation, a closed generator, Ctrl-C, an exit without a fault."""
    captured = _leave(error)
    for span in captured.ended:
        assert span.status.status_code is StatusCode.UNSET, span.name
        assert _events(span) == []
    assert {span.name: (span.attributes or {}).get(semconv.OUTCOME) for span in captured.ended} == {
        "with": None,
        "block": None,
        "work": "cancelled",
        "llm.openai.stream": "cancelled",
        "agent.a.round_0": "cancelled",
        "coordination.session": "cancelled",
    }


def test_an_unhashable_exit_code_is_one_of_a_failure() -> None:
    """`sys.exit` takes any object, and Python exits with 1."""
    captured = _leave(SystemExit(["several", "words"]))
    assert captured.find("agent.a.round_0").attributes[semconv.OUTCOME] == "error"  # type: ignore[index]


async def _answer(tracer: Any, *, finished: bool) -> AsyncIterator[str]:
    with tracer.llm_call("openai", model="m") as call:
        yield "forty-two"
        if finished:
            call.record_response(finish_reasons=["stop"])
            call.record_usage(input=1, output=2)
        yield ""


@pytest.mark.parametrize(("finished", "outcome"), [(True, None), (False, "cancelled")])
async def test_a_call_whose_consumer_stops_at_the_finish_reason_is_complete(finished: bool, outcome: str | None) -> None:
    """A consumer that has seen the finish reason need not read on."""
    with capture() as captured:
        with captured.tracer.session("q"):
            stream = _answer(captured.tracer, finished=finished)
            async for chunk in stream:
                if not chunk:
                    break
            await stream.aclose()  # type: ignore[attr-defined]
    assert (captured.find("llm.openai.stream").attributes or {}).get(semconv.OUTCOME) == outcome


def test_a_stack_trace_says_what_led_to_an_exception_whatever_its_arguments_hold() -> None:
    """An exception as the argument, notes, and a structure of any size, here in the cause."""
    with capture() as captured, contextlib.suppress(RuntimeError), captured.tracer.span("x"):
        try:
            raise ValueError([{"number": number} for number in range(10_000)])
        except ValueError as error:
            wrapped = RuntimeError(error)
            wrapped.add_note("a note")
            raise wrapped from error
    with capture() as plain, contextlib.suppress(RuntimeError), plain.tracer.span("x"):
        try:
            raise KeyError("first")
        except KeyError as error:
            raise RuntimeError(error) from error
    large, small = (next(iter(each.find("x").events)).attributes or {} for each in (captured, plain))
    for said, first in ((large, "ValueError: [{"), (small, "KeyError: 'first'")):
        stack = str(said["exception.stacktrace"])
        assert first in stack or len(stack) >= 30_000
        assert "direct cause" in stack
        assert stack.count("Traceback (most recent call last)") == 2

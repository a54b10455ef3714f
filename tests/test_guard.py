"""Swallowing: counted, said once, never in the way."""

from __future__ import annotations

import asyncio
import logging
import threading

import pytest

from massgen_tracing import finalization, guard


@pytest.fixture(autouse=True)
def _expected(swallowed: list[str], caplog: pytest.LogCaptureFixture):
    """Problems are what these tests are about."""
    caplog.set_level(logging.DEBUG, logger="massgen_tracing")
    yield
    swallowed.clear()


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The lines that were logged."""
    return [record.getMessage() for record in caplog.records if record.name == "massgen_tracing"]


def test_each_kind_is_said_once_and_counted_always(caplog: pytest.LogCaptureFixture) -> None:
    """A thousand losses of two kinds are two lines; counts and losses add up."""
    for number in range(1000):
        guard.report("one", f"first {number}", lost=2)
        guard.report("two", f"second {number}")
    assert said(caplog) == ["first 0", "second 0"]
    one, two = guard.problems()
    assert (one.kind, one.message, one.count, one.lost) == ("one", "first 0", 1000, 2000)
    assert (two.count, two.lost) == (1000, 0)
    assert one.first <= one.last


def test_different_things_of_one_kind_are_different_problems(caplog: pytest.LogCaptureFixture) -> None:
    """The first few are said, each once; all that come after them are counted as one, which says so."""
    for _ in range(2):
        for number in range(1000):
            guard.report("one", f"{number} is wrong.", about=str(number))
    guard.report("two", "else")
    assert said(caplog) == [*(f"{number} is wrong." for number in range(5)), "5 is wrong. More of this kind are counted, and not said.", "else"]
    assert [(problem.kind, problem.about, problem.count) for problem in guard.problems()] == [
        *(("one", str(number), 2) for number in range(5)),
        ("one", None, 2 * 995),
        ("two", "", 1),
    ]


def test_reset_lets_each_kind_be_said_again(caplog: pytest.LogCaptureFixture) -> None:
    """After a reset a kind is new."""
    guard.report("one", "first")
    guard.reset()
    assert guard.problems() == []
    guard.report("one", "again")
    assert said(caplog) == ["first", "again"]


def test_an_error_of_our_own_keeps_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    """What is swallowed can be found again: kind and error in the line, the traceback in the detail."""
    try:
        raise KeyError("why")
    except KeyError as error:
        guard.swallow("inside", error)
    (problem,) = guard.problems()
    assert "raise KeyError" in problem.detail
    (line,) = said(caplog)
    assert "inside" in line
    assert "KeyError: 'why'" in line
    assert "doctor" in line


def test_a_line_is_one_line_of_a_bounded_length(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever the error's text is, one short line is logged."""
    guard.swallow("inside", ValueError("a\nb\r\n" + "x" * 100_000))
    (line,) = said(caplog)
    assert "\n" not in line
    assert len(line) < 1000
    assert len(guard.problems()[0].detail) <= 4000


def test_an_error_that_cannot_be_printed_is_swallowed_too(caplog: pytest.LogCaptureFixture) -> None:
    """An exception whose own `__str__` raises does not come out again."""

    class Unprintable(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no")

        __repr__ = __str__

    guard.swallow("inside", Unprintable())
    assert "Unprintable" in said(caplog)[0]


def test_a_handler_that_raises_does_not_break_the_run() -> None:
    """The caller's own logging may be broken; the problem is counted all the same."""

    class Broken(logging.Handler):
        def handle(self, record: logging.LogRecord) -> bool:
            raise ValueError("broken")

    handler = Broken()
    guard.logger.addHandler(handler)
    try:
        guard.report("one", "text")
    finally:
        guard.logger.removeHandler(handler)
    assert guard.problems()[0].count == 1


def test_a_handler_that_reports_itself_does_not_lock(caplog: pytest.LogCaptureFixture) -> None:
    """What we say may lead to the next report, on the same thread."""

    class Reporting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            guard.report("two", "from the handler")

    handler = Reporting()
    guard.logger.addHandler(handler)
    try:
        guard.report("one", "text")
    finally:
        guard.logger.removeHandler(handler)
    assert {problem.kind: problem.count for problem in guard.problems()} == {"one": 1, "two": 2}


def test_threads_count_together(caplog: pytest.LogCaptureFixture) -> None:
    """Eight threads that report at once lose no count, and one line is logged."""
    gate = threading.Barrier(8)

    def work() -> None:
        gate.wait()
        for _ in range(500):
            guard.report("one", "text", lost=1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (problem,) = guard.problems()
    assert (problem.count, problem.lost) == (4000, 4000)
    assert len(said(caplog)) == 1


def test_the_level_is_the_callers(caplog: pytest.LogCaptureFixture) -> None:
    """A warning unless it is said otherwise."""
    guard.report("one", "text")
    guard.report("two", "text", level=logging.DEBUG)
    assert [record.levelno for record in caplog.records if record.name == "massgen_tracing"] == [logging.WARNING, logging.DEBUG]


@pytest.mark.parametrize("passing", [KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError])
def test_only_exceptions_are_ever_swallowed(passing: type[BaseException]) -> None:
    """What ends a program or a task passes through a facade whose sink raises it."""
    from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor

    from massgen_tracing.testing import capture

    class Ending(SpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:
            if span.name == "ends the program":
                raise passing

    with capture() as captured:
        from massgen_tracing.trace.provider import SHARED

        SHARED.add_span_processor(Ending())
        span = captured.tracer.span("ends the program").start()
        with pytest.raises(passing):
            span.end()
    assert guard.problems() == []


def test_once_the_interpreter_ends_problems_are_counted_and_not_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, swallowed: list[str]
) -> None:
    """A stopped thread may hold the lock of a handler, or of stderr; nor is a traceback made, for which modules may have to be imported."""
    monkeypatch.setattr(finalization, "begun", lambda: True)
    guard.report("late", "something", error=ValueError("x"))
    assert [(problem.kind, problem.count, problem.detail) for problem in guard.problems()] == [("late", 1, "ValueError")]
    assert caplog.records == []
    swallowed.clear()

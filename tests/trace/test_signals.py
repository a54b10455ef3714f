"""Exceptions that the program's signal handlers raise while the package's code happens to run: they are the program's."""

from __future__ import annotations

import contextlib
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from opentelemetry.trace import get_current_span

from massgen_tracing import finalization, guard
from massgen_tracing.testing import capture

PROGRAM = """
import random, signal, sys
import massgen_tracing as mt

class Limit(Exception):
    pass

fired = 0

def at_limit(signum, frame):
    global fired
    fired += 1
    raise KINDS[fired % len(KINDS)]("time is up")

def forgetful(signum, frame):
    del signum, frame
    at_limit(0, None)

KINDS = [Limit, TimeoutError, ValueError, OSError, RuntimeError, LookupError]
signal.signal(signal.SIGALRM, HANDLER)
tracer = mt.configure(root=sys.argv[1])
rng = random.Random(7)
caught = 0

def work():
    with tracer.session("q", agents=["a"]) as session:
        while True:
            with session.agent_round("a") as rnd:
                with rnd.llm_call("openai", model="gpt-4o") as call:
                    call.first_chunk()
                    call.record_usage(input=1, output=2)
                    call.set("value", {"list": [1, object(), {"key": "x" * 300}], "password": "hunter2"})
                with rnd.mcp_call("server", "tool", arguments={"path": "a", "numbers": list(range(20))}) as call:
                    call.record_result([{"type": "text", "text": "written"}])
                tracer.info("said {word}", word="something")
                rnd.answer(text="forty-two")
                with tracer.session("of its own", agents=mt.child_env({"A": "b"})):
                    pass
            if fired > caught:
                raise SystemExit(f"swallowed one after {caught}")

for _ in range(ROUNDS):
    try:
        signal.setitimer(signal.ITIMER_REAL, rng.uniform(0.0005, 0.004))
        work()
    except tuple(KINDS):
        caught += 1
signal.setitimer(signal.ITIMER_REAL, 0)
print(fired, caught)
"""
HANDLERS = {
    "function": "at_limit",
    "function that drops its frame": "forgetful",
    "any arguments": "lambda *any: at_limit(*any)",
    "method": "type('Handler', (), {'at': lambda self, signum, frame: at_limit(signum, frame)})().at",
    "callable object": "type('Handler', (), {'__call__': lambda self, signum, frame: at_limit(signum, frame)})()",
    "partial": "__import__('functools').partial(lambda first, signum, frame: at_limit(signum, frame), 1)",
}


@pytest.mark.parametrize("handler", HANDLERS.values(), ids=HANDLERS)
def test_every_time_limit_reaches_the_program(handler: str, tmp_path: Path) -> None:
    """Of all exceptions that a handler raised, at whatever place of the package, none is kept; and what ended is recorded."""
    program = PROGRAM.replace("HANDLER", handler).replace("ROUNDS", "60")
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "60 60\n", "")


@pytest.fixture(name="alarm")
def _alarm() -> Any:
    before = signal.getsignal(signal.SIGALRM)
    yield
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("alarm")
def test_a_handlers_exception_passes_the_guard_and_any_other_does_not(swallowed: list[str]) -> None:
    """The guard knows a handler by what Python calls it with: the frame that it interrupts."""

    def at_limit(signum: int, frame: FrameType | None) -> None:
        raise TimeoutError("time is up")

    signal.signal(signal.SIGALRM, at_limit)
    with pytest.raises(TimeoutError, match="time is up"), guard.guarded("any"):
        signal.raise_signal(signal.SIGALRM)
    guard.swallow("any", TimeoutError("our own"))
    assert swallowed == ["any"]
    swallowed.clear()


@pytest.mark.usefixtures("alarm")
def test_each_step_of_an_end_is_taken_though_a_handler_raises_within() -> None:
    """The exception reaches the program when the span has ended."""

    def at_limit(signum: int, frame: FrameType | None) -> None:
        raise TimeoutError("time is up")

    class Interrupting:
        """Its text takes long enough for a time limit to run out."""

        def __str__(self) -> str:
            signal.raise_signal(signal.SIGALRM)
            return "never"

    signal.signal(signal.SIGALRM, at_limit)
    with capture() as captured:
        with pytest.raises(TimeoutError, match="time is up"), captured.tracer.span("work"):
            raise ValueError(Interrupting())
    assert [span.name for span in captured.ended] == ["work"]


def test_a_lock_is_free_whenever_a_handler_raised() -> None:
    """In a tight loop that does nothing but take it, interrupted hundreds of times: another thread can always have it."""

    class Limit(Exception):
        pass

    def at_limit(signum: int, frame: FrameType | None) -> None:
        raise Limit

    lock, choice, free = finalization.Lock(), random.Random(7), []

    def take() -> None:
        with lock.held():
            free.append(True)

    before = signal.signal(signal.SIGALRM, at_limit)
    try:
        for _ in range(200):
            with contextlib.suppress(Limit):
                signal.setitimer(signal.ITIMER_REAL, choice.uniform(2e-5, 2e-4))
                while True:
                    with lock.held():
                        pass
            thread = threading.Thread(target=take, daemon=True)
            thread.start()
            thread.join(30)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert len(free) == 200


def test_wherever_an_exception_comes_while_a_block_is_left_its_span_has_ended() -> None:
    """One where each function of the package that leaving a block calls begins, and one where it returns, as signals come; not before the first."""
    package = str(Path(guard.__file__).parent)

    class Limit(BaseException):
        pass

    def leave(at: int) -> bool:
        """Whether there are so many places."""
        seen = 0

        def trace(frame: FrameType, event: str, _: object) -> Any:
            nonlocal seen
            if frame.f_code.co_filename.startswith(package) and event in {"call", "return"}:
                seen += 1
                if seen == at:
                    sys.settrace(None)
                    raise Limit
            return trace

        before = sys.gettrace()
        try:
            with captured.tracer.span("work"):
                sys.settrace(trace)
        except Limit:
            return True
        finally:
            sys.settrace(before)
        return False

    with capture() as captured:
        at = 2
        while leave(at):
            assert captured.open == {}, at
            assert not get_current_span().get_span_context().is_valid, at
            at += 1
    assert at > 20

"""Exceptions that the program's signal handlers raise while the package's code happens to run: they are the program's."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from massgen_tracing import guard

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
    from massgen_tracing.testing import capture

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

"""Runs that are traced with files, each killed after a number of steps: `python killed_run.py ROOT STEPS…`, in processes forked from this one."""

from __future__ import annotations

import itertools
import os
import signal
import sys
from pathlib import Path

import massgen_tracing as mt
from massgen_tracing.sinks.run_files import LiveFiles  # noqa: F401 - imported once for all


def steps(root: Path) -> itertools.chain[None]:
    """A run without end, a step at a time."""
    tracer = mt.configure(root=root, enabled=True, logfire=False)
    session = tracer.session("q", agents=["a", "b"]).start()

    def endless():
        for number in itertools.count():
            for agent in ("a", "b"):
                with session.agent_round(agent) as rnd:
                    yield
                    with rnd.llm_call("openai", "gpt-5-mini") as call:
                        call.record_usage(input=10, output=5)
                    yield
                    if agent == "a":
                        rnd.answer(text=f"answer {number} " * 200)
                    else:
                        rnd.vote("a", f"agent1.{number + 1}")
                    yield

    return itertools.chain(endless())


def main() -> None:
    """One process a number of steps."""
    root = Path(sys.argv[1])
    for count in map(int, sys.argv[2:]):
        child = os.fork()
        if child == 0:
            for _ in itertools.islice(steps(root / str(count)), count):
                pass
            os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()

"""Runs traced programs and kills each at a random moment: `python crash_program.py ROOT ROUNDS SEED`.

Each round forks a process that announces on a pipe, by one write each, the id of every span whose start, and whose end, has returned.
What was announced is left in `ROOT/<round>/announced`.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
from pathlib import Path

import massgen_tracing as mt
from massgen_tracing.sinks.recording import Recording  # noqa: F401 - imported once for all rounds


def traced(root: Path, seed: int, pipe: int) -> None:
    """Three threads of interleaved, nested spans, until killed."""
    tracer = mt.configure(root=root, enabled=True, logfire=False, record=True)

    def announce(what: str, span_id: str) -> None:
        os.write(pipe, f"{what} {span_id}\n".encode())

    def nest(choice: random.Random, depth: int) -> None:
        with tracer.span(f"depth {depth}", attributes={"n": depth, "text": "x" * choice.randrange(3000)}) as span:
            announce("started", span.span_id)
            for _ in range(choice.randrange(3) if depth < 4 else 0):
                nest(choice, depth + 1)
        announce("ended", span.span_id)

    def thread(number: int) -> None:
        choice = random.Random(seed * 10 + number)
        with tracer.session(f"session {number}", agents=["a"]) as session:
            announce("started", session.span_id)
            while True:
                with session.agent_round("a") as rnd:
                    announce("started", rnd.span_id)
                    nest(choice, 0)
                announce("ended", rnd.span_id)

    for number in range(3):
        threading.Thread(target=thread, args=(number,), daemon=True).start()
    threading.Event().wait()


def main() -> None:
    """Run the rounds."""
    root, rounds, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    choice = random.Random(seed)
    for number in range(rounds):
        place = root / str(number)
        place.mkdir()
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(read)
            try:
                traced(place, seed * 1000 + number, write)
            finally:
                os._exit(1)
        os.close(write)
        announced = b""
        enough = choice.randrange(1, 12_000)
        while len(announced) < enough:
            announced += os.read(read, enough - len(announced))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        while more := os.read(read, 65536):
            announced += more
        os.close(read)
        (place / "announced").write_bytes(announced)


if __name__ == "__main__":
    main()

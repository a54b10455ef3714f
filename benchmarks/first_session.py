"""How long the event loop stands still for the first session: `python -m benchmarks.first_session`.

In fresh interpreters, one question with one model call, whose price is estimated; beside the same program without tracing. `configure()` comes
before, on no loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

from benchmarks._measure import Figure, Round, Samples, arguments, interleave, report

ALLOWED = 0.020
"""Seconds that the first session may add."""


async def question(tracer):
    """What a program does; an await stands for the model's answer."""
    if tracer is None:
        await asyncio.sleep(0)
        return
    with tracer.session("Which city?", ["a"]) as session, session.agent_round("a", number=0), tracer.llm_call("openai", model="gpt-4o") as call:
        await asyncio.sleep(0)
        call.record_usage(input=1000, output=100)


async def longest_pause(tracer):
    """The longest time that another task of the loop waits for its turn, in seconds."""
    gaps = []

    async def turns():
        before = time.perf_counter()
        while True:
            await asyncio.sleep(0)
            gaps.append(-before + (before := time.perf_counter()))

    watching = asyncio.create_task(turns())
    await asyncio.sleep(0.01)
    gaps.clear()
    await question(tracer)
    await asyncio.sleep(0)
    watching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching
    return max(gaps)


async def cpu(tracer):
    """Seconds of CPU that the loop's thread takes."""
    before = time.thread_time()
    await question(tracer)
    return time.thread_time() - before


def child(measure: str, root: str) -> None:
    """One fresh interpreter's part: print the seconds; traced where there is a root."""
    tracer = None
    if root:
        import massgen_tracing as mt

        tracer = mt.configure(root=root, logfire=False)
    print(asyncio.run({"cpu": cpu, "pause": longest_pause}[measure](tracer)))


def first_round(measure: str, *, traced: bool) -> Round:
    def run() -> float:
        with tempfile.TemporaryDirectory() as root:
            program = f"from benchmarks.first_session import child; child({measure!r}, {root if traced else ''!r})"
            return float(subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.PIPE, text=True).stdout)

    return run


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print."""
    args = arguments(__doc__, rounds=20, argv=argv)
    contenders = {(measure, traced): first_round(measure, traced=traced) for measure in ("cpu", "pause") for traced in (True, False)}
    samples = interleave(contenders, args.rounds)

    def figure(what: str, measure: str) -> Figure:
        untraced = samples[measure, False]
        allowed = Samples([each + ALLOWED for each in untraced.seconds])
        return Figure(f"{what} / {ALLOWED * 1000:.0f} ms", samples[measure, True], allowed, 1.0, base=untraced)

    figures = [figure("CPU of the loop's thread that the first session adds", "cpu"), figure("what it adds to the loop's longest pause", "pause")]
    return report(f"The first session, {args.rounds} rounds", figures, unit="ms", check=args.check)


if __name__ == "__main__":
    sys.exit(main())

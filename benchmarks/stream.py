"""What `bind_stream` adds to a step of an async generator: `python -m benchmarks.stream`.

Beside it the other way to keep a stream in one context: a task for every step, made in that context.
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence

from benchmarks._measure import Figure, Round, arguments, interleave, report

STEPS = 3000

Wrapper = Callable[[AsyncIterator[int]], AsyncIterator[int]]


async def numbers(count: int) -> AsyncIterator[int]:
    """A stream whose steps never wait."""
    for number in range(count):
        yield number


async def waiting(count: int) -> AsyncIterator[int]:
    """A stream whose every step waits once for the event loop, as one that reads from a network does."""
    for number in range(count):
        await asyncio.sleep(0)
        yield number


async def task_per_step(stream: AsyncIterator[int]) -> AsyncIterator[int]:
    """Each step in a task of its own, all in one context."""
    loop = asyncio.get_running_loop()
    context = contextvars.copy_context()

    async def step() -> int:
        return await anext(stream)

    while True:
        try:
            value = await loop.create_task(step(), context=context)
        except StopAsyncIteration:
            return
        yield value


def bare(stream: AsyncIterator[int]) -> AsyncIterator[int]:
    return stream


def bound(stream: AsyncIterator[int]) -> AsyncIterator[int]:
    import massgen_tracing as mt

    return mt.bind_stream(stream)


def steps_round(loop: asyncio.Runner, make: Callable[[int], AsyncIterator[int]], wrap: Wrapper) -> Round:
    """A round of `STEPS` steps."""

    async def consume() -> float:
        total = 0
        start = time.perf_counter()
        async for number in wrap(make(STEPS)):
            total += number
        taken = time.perf_counter() - start
        assert total == STEPS * (STEPS - 1) // 2
        return taken / STEPS

    return lambda: loop.run(consume())


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print."""
    args = arguments(__doc__, rounds=30, argv=argv)
    wrappers = {"bare": bare, "bound": bound, "task": task_per_step}
    streams = {"": numbers, " that waits": waiting}
    with asyncio.Runner() as loop:
        contenders = {name + kind: steps_round(loop, make, wrap) for kind, make in streams.items() for name, wrap in wrappers.items()}
        samples = interleave(contenders, args.rounds)
    figures = []
    for kind in streams:
        bare_step, bound_step, task_step = (samples[name + kind] for name in wrappers)
        figures += [
            Figure(f"bound step{kind} / bare step", bound_step, bare_step),
            Figure(f"a task for each step{kind} / bare step", task_step, bare_step),
            # The target is for a step as such. One that waits is entered twice, which the task pays for only in part.
            Figure(f"what bind_stream adds to a step{kind} / what a task adds", bound_step, task_step, None if kind else 0.25, bare_step),
        ]
    return report(f"A step of a stream, {args.rounds} rounds of {STEPS}", figures, unit="µs", check=args.check)


if __name__ == "__main__":
    sys.exit(main())

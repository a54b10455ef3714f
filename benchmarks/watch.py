"""What watching costs while nothing happens, and how soon a change is told: `python -m benchmarks.watch`.

Targets are 200 as a rule: logs, workspaces, processes and, where there is tmux, panes. The processor's time is that of the watching process over some
seconds, as a share of one core; latencies are from a write to the change that tells of it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from massgen_tracing.runs.watch import Asked, Change, Options, Pace, Watcher, watching
from massgen_tracing.runs.watch.tmux import SOCKET_VARIABLE

PANES_A_SESSION = 10
SETTLES_SECONDS = 3.0
TOLD_WITHIN = 0.5
MOST_OF_A_CORE = 0.05


@contextlib.contextmanager
def targets(place: Path, many: int) -> Iterator[list[str]]:
    """So many idle ones, of each kind a part."""
    kinds = 4 if shutil.which("tmux") else 3
    part = many // kinds
    names: list[str] = []
    sleepers = [subprocess.Popen(["sleep", "100000"]) for _ in range(part)]
    server = ["tmux", "-S", str(place / "s"), "-f", "/dev/null"]
    try:
        for number in range(part):
            log, work = place / f"log{number}" / "agent.log", place / f"work{number}"
            log.parent.mkdir()
            work.mkdir()
            log.write_text("begun\n")
            (work / "status.txt").write_text("RUNNING")
            names += [f"file:{log}", f"dir:{work}"]
        names += [f"pid:{process.pid}" for process in sleepers]
        if kinds == 4:
            os.environ[SOCKET_VARIABLE] = str(place / "s")
            for number in range(part):
                session = f"agent-{number // PANES_A_SESSION}"
                new = ["new-session", "-s", session] if number % PANES_A_SESSION == 0 else ["new-window", "-t", session]
                subprocess.run([*server, *new, "-d", "cat"], check=True)
            names.append("tmux:agent-*")
        yield names
    finally:
        for process in sleepers:
            process.kill()
            process.wait()
        subprocess.run([*server, "kill-server"], check=False, stderr=subprocess.DEVNULL)


async def _idle(watcher: Watcher, seconds: float) -> float:
    """The share of a core that watching takes."""
    watching_on = asyncio.create_task(_follow(watcher))
    await asyncio.sleep(SETTLES_SECONDS)
    used, began = time.process_time(), time.monotonic()
    await asyncio.sleep(seconds)
    share = (time.process_time() - used) / (time.monotonic() - began)
    watching_on.cancel()
    await asyncio.gather(watching_on, return_exceptions=True)
    return share


async def _follow(watcher: Watcher, told: asyncio.Queue[tuple[float, Change]] | None = None) -> None:
    async for change in watcher:
        if told is not None:
            told.put_nowait((time.monotonic(), change))


async def _latencies(watcher: Watcher, works: list[Path], rounds: int, first: int) -> list[float]:
    """Seconds from a write to the change that tells of it, at any moment between two looks."""
    found, chance = [], random.Random(16)
    told: asyncio.Queue[tuple[float, Change]] = asyncio.Queue()
    following = asyncio.create_task(_follow(watcher, told))
    await asyncio.sleep(1.0)
    for number in range(rounds):
        work, percent = works[number % len(works)], first + number % 40
        (work / "progress.json").write_text(f'{{"percent": {percent}}}')
        began = time.monotonic()
        while True:
            at, change = await told.get()
            if change.target == f"dir:{work}" and change.progress == percent:
                break
        found.append(at - began)
        await asyncio.sleep(0.3 + chance.random())
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    return found


async def _measured(many: int, seconds: float, rounds: int) -> None:
    with tempfile.TemporaryDirectory(prefix="w") as folder, targets(Path(folder), many) as names:
        works = [Path(name.removeprefix("dir:")) for name in names if name.startswith("dir:")]
        async with watching(names, asked=Asked(), options=Options(until=None)) as watcher:
            share = await _idle(watcher, seconds)
            told = await _latencies(watcher, works, rounds, 1)
            watched = len(watcher.watched)
        print(f"{watched} idle targets: {share:.1%} of one core (at most {MOST_OF_A_CORE:.0%}), over {seconds:g} s")
        print(f"a change by notification: median {statistics.median(told):.3f} s, longest {max(told):.3f} s (at most {TOLD_WITHIN} s)")
        async with watching(
            [name for name in names if name.startswith("dir:")], options=Options(until=None, pace=Pace(fastest=1.0, slowest=1.0))
        ) as watcher:
            watcher.notifies = False
            looked = await _latencies(watcher, works, rounds, 50)
        print(f"a change by looking each second: median {statistics.median(looked):.3f} s, longest {max(looked):.3f} s (at most 1.5 s)")
    print(f"peak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--targets", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rounds", type=int, default=10)
    args = parser.parse_args()
    asyncio.run(_measured(args.targets, args.seconds, args.rounds))
    return 0


if __name__ == "__main__":
    sys.exit(main())

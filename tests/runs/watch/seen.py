"""Facts and changes for tests of watching."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from massgen_tracing.runs.watch import Asked, Change, Options, Pace, Rank, State, Watcher, watching
from massgen_tracing.runs.watch.checklist import Wanted
from massgen_tracing.runs.watch.judge import Patience, Verdict, judge
from massgen_tracing.runs.watch.signals import Facts

NOW = 1_800_000_000.0
QUICK = Pace(fastest=0.02, slowest=0.1)


def facts(*signals: tuple[Rank, str, State, str], active: float | None = NOW, alive: bool | None = None, **more: object) -> Facts:
    """Facts with these signals, and activity at that time."""
    made = Facts(NOW - 100, alive=alive)
    for name, value in more.items():
        setattr(made, name, value)
    for rank, name, state, quote in signals:
        made.note(rank, name, state, quote, NOW - 1, category="unknown_error" if rank == Rank.ERROR else "")
    if active is not None:
        made.moved("output", active)
    return made


def judged(known: Facts, wanted: Wanted | None = None, patience: Patience | None = None, now: float = NOW) -> Verdict:
    """The verdict on facts."""
    return judge(known, wanted or Wanted(), patience or Patience(), now)


async def until(watcher: Watcher, holds: Callable[[Change], bool], seen: list[Change] | None = None) -> Change:
    """The first change of which that holds; those before it go into *seen*."""
    async with contextlib.aclosing(watcher.changes()) as changes:
        async for change in changes:
            if seen is not None:
                seen.append(change)
            if holds(change):
                return change
    raise AssertionError([(each.subject.name, each.verdict) for each in watcher.watched.values()])


async def state(watcher: Watcher, wanted: State, seen: list[Change] | None = None) -> Change:
    """The change by which something comes to be so."""
    return await until(watcher, lambda change: change.state == wanted and change.kind == "state", seen)


def watch(*names: str, asked: Asked | None = None, **options: object) -> Watcher:
    """A watcher that looks often."""
    return watching(names, asked=asked, options=Options(pace=QUICK, **options))  # type: ignore[arg-type]

"""Looks at targets when there is something to see, judges what they have seen, and tells what has changed."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal, Self

from massgen_tracing.runs.watch import ending
from massgen_tracing.runs.watch.audit import Audit
from massgen_tracing.runs.watch.checklist import ERROR, LIMIT, Item, last_error
from massgen_tracing.runs.watch.judge import RUN_TIME, Verdict, judge
from massgen_tracing.runs.watch.limits import Crossings, Thresholds
from massgen_tracing.runs.watch.notify import Notifier
from massgen_tracing.runs.watch.signals import FAILURES, FINAL, Rank, Resources, Signal, State, Used
from massgen_tracing.runs.watch.targets import Subject, Target
from massgen_tracing.runs.watch.usage import Usage

Until = Literal["done", "any-failed"]


@dataclass(frozen=True, slots=True)
class Pace:
    """How often targets are looked at, in seconds: at least so often, and after a change so soon again."""

    fastest: float = 0.2
    slowest: float = 5.0
    slower_by: float = 1.5


@dataclass(frozen=True, slots=True)
class Options:
    """How it is watched.

    Attributes:
        until: when watching ends: once everything has ended, or as soon as one has failed; None: never.
        pace: how often it is looked.
        thresholds: of memory, disk and open files.
        audit: the file of all observations and decisions; None: none.
        kill_on: states in which the processes of a target are ended; as a rule none.
    """

    until: Until | None = "done"
    pace: Pace = field(default_factory=Pace)
    thresholds: Thresholds = field(default_factory=Thresholds)
    audit: Path | None = None
    kill_on: frozenset[State] = frozenset()


@dataclass(frozen=True, slots=True)
class Change:
    """Something that has changed.

    Attributes:
        kind: `state`, `error` (one in the output of something that goes on), `progress`, or `limit` (a threshold was crossed).
        time: when it was seen, in Unix seconds.
        target: of what.
        role: `target`, or `agent` for an agent of a run.
        state, since: how it is, and since when.
        previous: the state before; None for the first one, and where it is not another.
        evidence: the signal that decided; of an error or a threshold, that one.
        contradicting: what says otherwise.
        checklist: the conditions of completion.
        attempt: how many-th attempt it is.
        progress, doing, last_line, resources, used: what else is known.
    """

    kind: Literal["state", "error", "progress", "limit"]
    time: float
    target: str
    role: Literal["target", "agent"]
    state: State
    since: float
    previous: State | None
    evidence: Signal
    contradicting: tuple[Signal, ...]
    checklist: tuple[Item, ...]
    attempt: int
    progress: float | None
    doing: str
    last_line: str
    resources: Resources | None
    used: Used | None


@dataclass(slots=True)
class Watched:
    """One thing as it was last judged."""

    subject: Subject
    crossings: Crossings
    usage: Usage
    verdict: Verdict | None = None
    since: float = 0.0
    attempt: int = 1
    error: Signal | None = None
    progress: int | None = None
    seen: dict[str, Signal] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)

    def is_new(self, error: Signal) -> bool:
        """Whether an error has not been told yet; one that differs in its numbers only is no other."""
        words = _NUMBERS.sub("#", error.quote)
        if words in self.told:
            return False
        if len(self.told) >= _MOST_TOLD:
            self.told.clear()
        self.told.add(words)
        return True

    def change(
        self, kind: Literal["state", "error", "progress", "limit"], now: float, *, previous: State | None = None, evidence: Signal | None = None
    ) -> Change:
        """A change of that kind, with all that is known now."""
        assert self.verdict is not None
        subject, facts, verdict = self.subject, self.subject.facts, self.verdict
        return Change(
            kind, now, subject.name, subject.kind, verdict.state, self.since, previous, evidence or verdict.evidence, verdict.contradicting,
            verdict.checklist, facts.attempt, facts.progress, facts.doing, facts.last_line, facts.resources, facts.used,
        )  # fmt: skip


_NUMBERS: Final = re.compile(r"\d+")
_MOST_TOLD: Final = 100
"""Errors that are remembered of one thing, so that they are told once."""

_SETTLING: Final = 0.05
"""Seconds beyond a threshold of time, so that it is crossed when it is looked at."""


class Watcher:
    """Watches targets; an async context manager, and an async iterator of changes within it.

    Args:
        targets: what is watched.
        options: how.

    Attributes:
        watched: everything that has a state, as it was last judged.
        notifies: whether it is told of changes of files, where the system can; else it only looks.
    """

    def __init__(self, targets: Sequence[Target], options: Options | None = None) -> None:
        self._targets = list(targets)
        self.options = options or Options()
        self.watched: dict[str, Watched] = {}
        self.notifies = True
        self._woken: set[Target] = set()
        self._woke = asyncio.Event()
        self._folders: dict[Target, set[Path]] = {}
        self._due: dict[Target, float] = {}
        self._interval: dict[Target, float] = {}
        self._notifier = Notifier(self._in_folders)
        self._audit = Audit(self.options.audit)
        self._ending = ending.Ending()
        self._untold: deque[Change] = deque()
        self._finishing = False

    async def __aenter__(self) -> Self:
        try:
            for target in self._targets:
                self._due[target], self._interval[target] = 0.0, self.options.pace.fastest
                await target.start(self._waker(target))
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await self._ending.close()
        finally:
            await self._notifier.close()
            for target in self._targets:
                await target.close()
            self._audit.close()

    def finish(self) -> None:
        """Watch no longer than until what is watched to its end has ended, whatever else goes on."""
        self._finishing = True
        self._woke.set()

    def __aiter__(self) -> AsyncIterator[Change]:
        return self.changes()

    async def changes(self) -> AsyncGenerator[Change, None]:
        """What changes from now on, until there is nothing more to watch for."""
        while True:
            now, begun = time.time(), time.monotonic()
            woken, self._woken = self._woken, set()
            self._woke.clear()
            for target in [target for target in self._targets if target in woken or self._due[target] <= begun]:
                changed = target.look(now)
                made = self._judged(target, now)
                self._untold += made
                self._schedule(target, now, changed=changed or bool(made))
                self._folders[target] = set(target.folders())
            while self._untold:  # kept for whoever goes on, where somebody stops in between
                yield self._untold.popleft()
            if self._is_over():
                for watched in self.watched.values():
                    watched.usage.look(at_once=True)
                return
            await self._notifier.watch(folder for folders in self._folders.values() for folder in folders if self.notifies)
            wait = min(self._due.values(), default=begun + self.options.pace.slowest) - time.monotonic()
            if wait > 0 and not self._woken:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._woke.wait()

    def _judged(self, target: Target, now: float) -> list[Change]:
        changes: list[Change] = []
        for subject in target.subjects:
            watched = self.watched.get(subject.name)
            if watched is None or watched.subject is not subject:
                watched = self.watched[subject.name] = Watched(subject, Crossings(self.options.thresholds), Usage(subject))
            watched.usage.look()
            changes += self._judge(watched, now)
        names = {subject.name for each in self._targets for subject in each.subjects}
        for name in self.watched.keys() - names:  # what was waited for has a name of its own now
            del self.watched[name]
        return changes

    def _judge(self, watched: Watched, now: float) -> list[Change]:
        subject, facts, before = watched.subject, watched.subject.facts, watched.verdict
        self._note(watched)
        verdict = watched.verdict = judge(facts, subject.wanted, subject.patience, now)
        made: list[Change] = []
        if verdict.evidence.name == RUN_TIME:  # also where it ends after all, as what is watched to its end does
            facts.signals[RUN_TIME] = replace(verdict.evidence, rank=Rank.ENDED)
        if before is not None and before.state in FINAL and verdict.state not in FINAL and facts.attempt == watched.attempt:
            facts.attempt += 1  # it goes on although it had ended
        if before is None or before.state != verdict.state or facts.attempt != watched.attempt:
            watched.since, watched.attempt = min(now, verdict.evidence.at), facts.attempt
            made.append(watched.change("state", now, previous=None if before is None else before.state))
            if verdict.state in self.options.kill_on:
                self._ending.end(subject.pids, lambda what: self._audit.write("kill", subject.name, what=what))
        error = last_error(facts)
        if error is not None and (watched.error is None or watched.error.quote != error.quote):
            watched.error = error
            if watched.is_new(error) and verdict.state not in FINAL and verdict.evidence.name not in {ERROR, LIMIT}:
                made.append(watched.change("error", now, evidence=error))
        percent = None if facts.progress is None else int(facts.progress)
        if percent != watched.progress:
            watched.progress = percent
            if percent is not None and not made:
                made.append(watched.change("progress", now))
        crossed = watched.crossings.look(facts.resources, subject.folder if verdict.state not in FINAL else None)
        made += [watched.change("limit", now, evidence=Signal(Rank.ACTIVITY, "limit", verdict.state, words, now)) for words in crossed]
        for change in made:
            self._audit.write(change.kind, subject.name, state=change.state, signal=change.evidence.name, evidence=change.evidence.quote)
        return made

    def _note(self, watched: Watched) -> None:
        """Keep what has been seen since the last look, and what does not hold any more."""
        signals = watched.subject.facts.signals
        for name in watched.seen.keys() - signals.keys():
            self._audit.write("over", watched.subject.name, signal=name)
        for name, signal in signals.items():
            known = watched.seen.get(name)
            if known is None or (known.state, known.quote) != (signal.state, signal.quote):
                said = {"category": signal.category} if signal.category else {}
                self._audit.write(
                    "observation", watched.subject.name, signal=name, rank=int(signal.rank), state=signal.state, evidence=signal.quote, **said
                )
        watched.seen = dict(signals)

    def _is_over(self) -> bool:
        if self._finishing:
            return not any(target.goes_on() for target in self._targets)
        if self.options.until is None or not self.watched or len(self._folders) < len(self._targets):
            return False
        states = [(each.subject.kind, each.verdict.state) for each in self.watched.values() if each.verdict is not None]
        if any(target.goes_on() for target in self._targets):
            return False
        if self.options.until == "any-failed" and any(state in FAILURES for _, state in states):
            return True
        return all(state in FINAL for kind, state in states if kind == "target")

    def _schedule(self, target: Target, now: float, *, changed: bool) -> None:
        pace = self.options.pace
        interval = pace.fastest if changed else min(self._interval[target] * pace.slower_by, pace.slowest)
        self._interval[target] = interval
        for subject in target.subjects:
            facts, patience = subject.facts, subject.patience
            moments = [facts.watched_since + patience.run_time] if patience.run_time is not None else []
            if facts.active_at is not None:
                moments += [facts.active_at + seconds for seconds in (patience.fresh, patience.settles, patience.quiet, patience.stalled)]
            soonest = min((moment for moment in moments if moment > now), default=None)
            if soonest is not None:
                interval = min(interval, soonest - now + _SETTLING)
        self._due[target] = time.monotonic() + interval

    def _in_folders(self, folders: set[Path]) -> None:
        self._woken |= {target for target, places in self._folders.items() if places & folders}
        if self._woken:
            self._woke.set()

    def _waker(self, target: Target) -> Callable[[], None]:
        def wake() -> None:
            self._woken.add(target)
            self._woke.set()

        return wake

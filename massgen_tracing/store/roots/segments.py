"""Segments of a root: which of its runs they have, and which recordings have to be read besides.

A run is in a segment as a whole, with all of its recordings. Its rows there count as long as its directory has its name, and no recording in it has
come or gone. That a run came or went is seen in the one directory that all of them lie in; that one of them goes on is said among the segments
(`layout.goes_on`); and into the directories of those that a question asks for it looks itself: where they are many, into some of them in turn.
"""

from __future__ import annotations

import contextlib
import math
import os
import random
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from massgen_tracing import layout
from massgen_tracing.store.roots import catalogue
from massgen_tracing.store.roots.contents import SETTLED_NS, Wanted, relevant
from massgen_tracing.store.sealing import segment
from massgen_tracing.store.sealing.segment import Place, Segment

_LOOKS: Final = 256
"""Members whose directories a question looks into; of more it takes so many in turn."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A segment that a question reads.

    Attributes:
        segment: the segment.
        members: which of its members count.
        wanted: those of them that may have what is wanted.
        dead: the traces whose rows do not.
        root: where the members lie.
    """

    segment: Segment
    members: frozenset[int]
    wanted: frozenset[int]
    dead: frozenset[str]
    root: Path

    def files(self, number: int) -> list[Path]:
        """The recordings of a member."""
        top = self.root / self.segment.names[number]
        return [top / file.path for file in self.segment.files(number)]


@dataclass(frozen=True, slots=True)
class Found:
    """What a question reads.

    Attributes:
        files: recordings.
        segments: segments, which have the rows of all others.
    """

    files: tuple[Path, ...]
    segments: tuple[Chosen, ...] = ()


def found(source: Path | str, wanted: Wanted) -> Found:
    """What has, or may have, what is wanted of a source; of a root's recordings, the others are not opened.

    Raises:
        RecordingError: if *source* does not exist.
    """
    root = Path(source)
    if not catalogue.has_segments(root):
        return Found(catalogue.files_with(source, wanted))
    standing = stand(root)
    members = {each: numbers for each in standing.valid if (numbers := standing.wanted(each, wanted))}
    standing.look(members if sum(map(len, members.values())) <= _LOOKS else standing.next())
    chosen = tuple(
        Chosen(each, frozenset(standing.valid[each]), frozenset(numbers), standing.dead(each), root)
        for each, had in members.items()
        if (numbers := standing.valid[each].intersection(had))
    )
    return Found(relevant(root, standing.loose(), wanted), chosen)


def files_with(source: Path | str, wanted: Wanted) -> tuple[Path, ...]:
    """The recordings that may have what is wanted, also those whose rows a segment has.

    Raises:
        RecordingError: if *source* does not exist.
    """
    there = found(source, wanted)
    return (*there.files, *(path for each in there.segments for number in sorted(each.wanted) for path in each.files(number)))


def began(root: Path) -> dict[str, float]:
    """When the runs of a root began that are in segments, by their ids, Unix time in seconds."""
    found: dict[str, float] = {}
    for each, numbers in stand(root).valid.items():
        first = each.times[0]
        for number in numbers:
            name = each.names[number].rpartition("/")[2]
            run_id = layout.name_outside(Path(name)) if layout.is_recording(name) else name
            found[run_id] = min(first[number] / 1e6, found.get(run_id, math.inf))
    return found


@dataclass(slots=True)
class Standing:
    """Which members of which segments count.

    Attributes:
        root: the root.
        entries: by its name in the root, the inode of each run, and of each recording outside of runs.
        valid: of each segment, the latest first, the members that count.
        changed: those that were found to have changed, which nothing on the disk says yet.
    """

    root: Path
    entries: Mapping[str, int]
    valid: dict[Segment, set[int]]
    changed: dict[Segment, set[int]] = field(default_factory=dict)
    _known: dict[str, tuple[int, int]] = field(default_factory=dict)
    _turns: Iterator[dict[Segment, Iterable[int]]] | None = None
    _outside: tuple[int, list[str]] = (-1, [])

    def remember(self, earlier: Standing) -> None:
        """What was found out of the same segments' members."""
        for each, numbers in earlier.changed.items():
            if each in self.valid:
                self.changed[each] = numbers & self.valid[each]
                self.valid[each] -= numbers
        self._known = earlier._known

    def wanted(self, each: Segment, wanted: Wanted) -> set[int]:
        """The members of a segment that may have what is wanted."""
        numbers = self.valid[each]
        if wanted.traces is not None:
            numbers = numbers & _with(each.by_trace, wanted.traces)
        if wanted.min_us is not None or wanted.max_us is not None:
            begin, end = wanted.min_us or 0, math.inf if wanted.max_us is None else wanted.max_us
            first, last = each.times
            numbers = {number for number in numbers if last[number] >= begin and first[number] <= end}
        return numbers

    def dead(self, each: Segment) -> frozenset[str]:
        """The traces of a segment whose rows do not count."""
        valid = self.valid[each]
        if len(valid) == len(each.names):
            return frozenset()
        return frozenset(trace for number, traces in enumerate(each.traces) if number not in valid for trace in traces)

    def loose(self) -> tuple[Path, ...]:
        """The recordings that no segment has."""
        return tuple(path for name in self.outside() for path in catalogue.below_name(self.root, name))

    def outside(self) -> list[str]:
        """The names of what no segment has."""
        count = sum(map(len, self.valid.values()))
        if count != self._outside[0]:
            taken = {each.names[number] for each, numbers in self.valid.items() for number in numbers}
            self._outside = count, [name for name in self.entries if name not in taken]
        return self._outside[1]

    def next(self) -> dict[Segment, Iterable[int]]:
        """The members whose turn it is to be looked at."""
        if self._turns is None:
            self._turns = self._in_turn()
        return next(self._turns)

    def _in_turn(self) -> Iterator[dict[Segment, Iterable[int]]]:
        spans = [(each, begin) for each in self.valid for begin in range(0, len(each.names), _LOOKS)]
        place = random.randrange(len(spans))  # noqa: S311 - so that processes which ask once do not all look at the same ones
        while True:
            each, begin = spans[place % len(spans)]
            yield {each: range(begin, min(begin + _LOOKS, len(each.names)))}
            place += 1

    def look(self, members: Mapping[Segment, Iterable[int]]) -> None:
        """Look into the directories of some members; those whose recordings have changed count no more."""
        for each, numbers in members.items():
            valid = self.valid[each]
            for number in valid.intersection(numbers):
                if not self._is_as_it_was(each, number):
                    valid.discard(number)
                    self.changed.setdefault(each, set()).add(number)

    def _is_as_it_was(self, each: Segment, number: int) -> bool:
        top = f"{self.root}{os.sep}{each.names[number]}"
        stamps: dict[str, tuple[int, int]] = {}
        changed = False
        for place in each.directories(number):
            path = f"{top}{os.sep}{place.path}" if place.path else top
            try:
                status = os.stat(path)
            except OSError:
                return False
            stamps[path] = stamp = status.st_ino, status.st_mtime_ns
            changed |= stamp != (place.inode, place.stamp) and stamp != self._known.get(path)
        if stamps and not changed:
            return True
        # Other files come and go in a run's directory.
        now = time.time_ns()
        if places(Path(top), catalogue.below_name(self.root, each.names[number])) != each.files(number):
            return False
        self._known.update((path, stamp) for path, stamp in stamps.items() if now - stamp[1] > SETTLED_NS)
        return True


def places(top: Path, files: Iterable[Path]) -> list[Place] | None:
    """The recordings of a member, as they are now; None where one of them is gone."""
    found = []
    for path in files:
        try:
            status = os.stat(path)
        except OSError:
            return None
        found.append(Place(below(top, path), status.st_ino, status.st_size))
    return found


def below(top: Path, path: Path) -> str:
    """What a path is called below another one; empty where it is the same."""
    return str(path)[len(str(top)) + 1 :]


def _with(by_trace: Mapping[str, int], wanted: Iterable[str]) -> set[int]:
    """The members that have traces which begin so."""
    found: set[int] = set()
    for begin in wanted:
        if begin in by_trace:
            found.add(by_trace[begin])
        elif len(begin) < _WHOLE:
            found |= {number for trace, number in by_trace.items() if trace.startswith(begin)}
    return found


_WHOLE: Final = 32
"""Digits of a trace's id."""

_kept: Final[dict[str, tuple[tuple[object, ...], Standing]]] = {}


def stand(root: Path) -> Standing:
    """Which members there are now; what is known of them already is kept for as long as no run, no segment and no mark comes or goes."""
    segments, marks = [], {}
    with contextlib.suppress(OSError), os.scandir(root / layout.SEGMENTS_DIR) as listed:
        for entry in sorted(listed, key=lambda entry: entry.name, reverse=True):
            if entry.name.endswith(layout.SEALED_SUFFIX):
                segments.append(segment.read(Path(entry.path)))
            elif entry.name.endswith(layout.AGAIN_SUFFIX):
                marks[entry.name.removesuffix(layout.AGAIN_SUFFIX)] = os.stat(entry.path).st_mtime_ns
    found = [each for each in segments if each is not None]
    key = (found, marks)
    entries = catalogue.entries(root)
    known = _kept.get(str(root))
    if known is not None and known[0] == key and known[1].entries == entries:
        return known[1]
    standing = Standing(root, entries, _standing(entries, found, marks))
    if known is not None:
        standing.remember(known[1])
    _kept[str(root)] = key, standing
    return standing


def _standing(entries: Mapping[str, int], segments: Iterable[Segment], marks: Mapping[str, int]) -> dict[Segment, set[int]]:
    taken: set[str] = set()
    valid: dict[Segment, set[int]] = {}
    for each in segments:
        again = {f"{layout.LOGS_DIR}/{name}" for name, at in marks.items() if at > each.as_of - SETTLED_NS}
        now = map(entries.get, each.names)
        numbers = valid[each] = {number for number, (inode, is_now) in enumerate(zip(each.inodes, now, strict=True)) if inode == is_now}
        # Of what several segments have, the latest one counts; where that is not as it was, none does.
        if not (taken.isdisjoint(each.names) and again.isdisjoint(each.names)):
            numbers -= {number for number, name in enumerate(each.names) if name in taken or name in again}
        taken.update(each.names)
    return valid

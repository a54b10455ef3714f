"""Compaction: many small recordings of a root become small sealed files, and their rows segments.

Whatever is killed in the middle of it leaves recordings that are whole: a segment is only ever made of small files that are there already, and counts
only when it has been written to its end. What is in no segment is read itself.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from massgen_tracing import layout
from massgen_tracing.errors import RecordingError
from massgen_tracing.store.reading import liveness
from massgen_tracing.store.roots import catalogue, segments
from massgen_tracing.store.roots.contents import SETTLED_NS
from massgen_tracing.store.sealing import batch, seal, segment
from massgen_tracing.store.sealing.batch import Batch, Source
from massgen_tracing.store.sealing.regular import Irregular
from massgen_tracing.store.sealing.segment import Member, Place
from massgen_tracing.store.tables import records

MANY: Final = 64
"""Fewer small runs than these are no segment: each of them is a Parquet file, which any tool reads."""

_MOST_RUNS: Final = 2048
"""Of a segment, nearly; so many are in memory at once, or as many as have so many bytes."""

_MOST_BYTES: Final = 2**26

_SPAN_BYTES: Final = 2048
"""What a span takes that was decoded."""

_FEW_SEGMENTS: Final = 8
"""More that are not half full are made one."""


@dataclass(slots=True)
class Outcome:
    """What became of the small recordings of a root.

    Attributes:
        sealed: how many were sealed.
        before, after: bytes of their live files and of their sealed ones.
        runs: how many runs are in segments now that were in none.
        segments: bytes of the segments that were made.
    """

    sealed: int = 0
    before: int = 0
    after: int = 0
    runs: int = 0
    segments: int = 0


@dataclass(slots=True)
class _Run:
    """What of a root is all in a segment or not: a run, or a recording outside of runs."""

    name: str
    inode: int
    top: Path
    sources: list[Source] = field(default_factory=list)

    @property
    def traces(self) -> frozenset[str]:
        return frozenset().union(*(source.traces for source in self.sources))

    @property
    def size(self) -> int:
        return sum(len(source.content) + _SPAN_BYTES * len(source.spans) for source in self.sources)


def compact(root: Path, *, until: float | None = None, only: Callable[[Path], bool] = lambda _: True) -> Outcome:
    """Put the small runs of a root that have ended into segments, where they are many.

    Args:
        root: where they lie; any other directory is left alone.
        until: the monotonic time from which on no more are looked for; then segments stay as they are, too. None for no end.
        only: whether a live file may be sealed.

    Raises:
        RecordingError: if the root cannot be written to.
    """
    outcome = Outcome()
    if liveness.fcntl is None or not catalogue.is_root(root):
        return outcome
    with contextlib.ExitStack() as stack:
        try:
            few = not catalogue.has_segments(root) and len(catalogue.entries(root)) < MANY
            if few or not stack.enter_context(_alone(root)):
                return outcome
            _Compaction(root, outcome, until, only).run()
        except (OSError, pa.ArrowException) as error:
            raise RecordingError(
                f"The runs under {root} cannot be put together ({error})", hint="Check that it is writable and the disk has room"
            ) from error
    return outcome


@contextlib.contextmanager
def _alone(root: Path) -> Iterator[bool]:
    """Whether nobody else compacts the root meanwhile."""
    assert liveness.fcntl is not None
    directory = root / layout.SEGMENTS_DIR
    directory.mkdir(exist_ok=True)
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        try:
            liveness.fcntl.flock(descriptor, liveness.fcntl.LOCK_EX | liveness.fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(descriptor)


class _Compaction:
    """One root on its way."""

    def __init__(self, root: Path, outcome: Outcome, until: float | None, only: Callable[[Path], bool]) -> None:
        self._root = root
        self._outcome = outcome
        self._until = until
        self._only = only

    def run(self) -> None:
        self._clear()
        standing = segments.stand(self._root)
        standing.look(standing.valid)
        self._say_changed(standing)
        self._taken = {trace for each, numbers in standing.valid.items() for number in numbers for trace in each.traces[number]}
        outside = standing.outside()
        as_of = time.time_ns()
        if len(outside) >= MANY:
            entries = catalogue.entries(self._root)
            # By their names, which begin with the time: then few segments have the newest runs, or those of a day.
            runs = (self._run(name, entries[name]) for name in sorted(outside) if name in entries)
            self._outcome.runs += self._put(filter(None, runs), as_of, least=MANY)
        if self._until is None:
            self._join(standing)

    def _say_changed(self, standing: segments.Standing) -> None:
        """Write down whose rows in segments do not count any more, so that no question has to find it again."""
        for each, numbers in standing.changed.items():
            for number in numbers:
                part, _, run_id = each.names[number].rpartition("/")
                if part == layout.LOGS_DIR:
                    # Of the segments that are made from now on it says nothing.
                    layout.mark_again(self._root, run_id, at_ns=time.time_ns() - SETTLED_NS)

    def _clear(self) -> None:
        """Remove what was left of segments that were not finished."""
        for path in (self._root / layout.SEGMENTS_DIR).iterdir():
            unfinished = path.suffix == layout.SEALED_SUFFIX and not segment.members_file(path).exists()
            if unfinished or path.suffix == ".tmp":
                path.unlink()

    def _run(self, name: str, inode: int) -> _Run | None:
        """A run that has ended, with all of its recordings small; None for any other."""
        if self._until is not None and time.monotonic() > self._until:
            return None
        run = _Run(name, inode, self._root / name)
        try:
            for path in catalogue.below_name(self._root, name):
                in_place = path.parent.name.startswith(layout.ATTEMPT_PREFIX) or path == run.top
                if not in_place or not (layout.is_sealed(path) or self._only(path)):
                    return None
                source = batch.source(path)
                if source is None:
                    return None
                run.sources.append(source)
            # What a killed sealer has made of a live file already is made anew.
            made = {
                layout.small_name(seal.target(source.path, BytesIO(source.content), len(source.content))) for source in run.sources if source.content
            }
            run.sources = [source for source in run.sources if source.path not in made]
        except (OSError, RecordingError):
            return None
        return run if run.sources else None

    def _put(self, runs: Iterable[_Run], as_of: int, *, least: int) -> int:
        """Seal runs and put them into segments; returns how many. Fewer than *least* are left alone."""
        done = size = 0
        waiting: list[_Run] = []
        for run in runs:
            waiting.append(run)
            size += run.size
            if len(waiting) >= _MOST_RUNS or size >= _MOST_BYTES:
                done += self._put_together(waiting, as_of)
                waiting, size, least = [], 0, 1
        return done + (self._put_together(waiting, as_of) if len(waiting) >= least else 0)

    def _put_together(self, runs: list[_Run], as_of: int) -> int:
        """The same, of so many as are in memory at once: of which no trace is in another run, too."""
        holders = Counter(trace for run in runs for trace in run.traces)
        alone = [run for run in runs if not any(holders[trace] > 1 or trace in self._taken for trace in run.traces)]
        made, some = _batch(alone)
        return 0 if made is None else self._written(made, some, as_of)

    def _written(self, made: Batch, runs: list[_Run], as_of: int) -> int:
        """Seal the runs of a batch, and write the segment that they are; what cannot be sealed now is in none."""
        names = made.seal()
        outcome = self._outcome
        for run in runs:
            for source in run.sources:
                if source.content and source.path in names:
                    outcome.sealed += 1
                    outcome.before += len(source.content)
                    outcome.after += names[source.path].stat().st_size
        rows = _Rows(made)
        members = [member for run in runs if (member := self._member(run, names, rows)) is not None]
        if not members:
            return 0
        kept = {trace for member in members for trace in member.traces}
        path = self._root / layout.SEGMENTS_DIR / f"{time.time_ns():020}{layout.SEALED_SUFFIX}"
        segment.write(path, rows.of(kept), made.index, members, as_of=as_of)
        self._taken |= kept
        outcome.segments += sum(os.stat(each).st_size for each in (path, segment.members_file(path)))
        return len(members)

    def _member(self, run: _Run, names: dict[Path, Path], rows: _Rows) -> Member | None:
        """A run as it is now that it is sealed; None where something else is there as well."""
        expected = sorted(names.get(source.path, source.path) for source in run.sources)
        directories = _settled(run.top, expected)
        # A recording outside of runs has another name now.
        top, found = (expected[0], tuple(expected)) if directories == () else (run.top, catalogue.below_name(self._root, run.name))
        files = segments.places(top, found)
        if directories is None or files is None or sorted(found) != expected or not all(map(layout.is_small, found)):
            return None
        lines = sum(source.lines for source in run.sources)
        inode = run.inode if directories else files[0].inode
        name = str(top.relative_to(self._root))
        return Member(name, inode, tuple(sorted(run.traces)), *rows.said(run.traces), lines, directories, tuple(files))

    def _join(self, standing: segments.Standing) -> None:
        """Make one of segments that have few members, and others of those that have few that count."""
        few = [each for each, numbers in standing.valid.items() if len(numbers) * 2 < _MOST_RUNS]
        dying = [each for each, numbers in standing.valid.items() if len(numbers) * 8 < len(each.names) * 7]
        old = dict.fromkeys([*(few if len(few) > _FEW_SEGMENTS else []), *dying])
        if not old:
            return
        as_of = time.time_ns()
        entries = catalogue.entries(self._root)
        names = sorted(each.names[number] for each in old for number in standing.valid[each])
        self._taken -= {trace for each in old for number in standing.valid[each] for trace in each.traces[number]}
        self._put(filter(None, (self._run(name, entries[name]) for name in names if name in entries)), as_of, least=1)
        for each in old:
            segment.remove(each.rows)


class _Rows:
    """The rows of a batch, by their traces."""

    def __init__(self, made: Batch) -> None:
        self._table = made.table
        own = made.table.select(["trace_id", "span_id", "start_timestamp"]).filter(pc.not_equal(made.table["kind"], records.SPAN_EVENT))
        times = made.table.select(["trace_id", "start_timestamp"]).group_by("trace_id")
        found = times.aggregate([("start_timestamp", "min"), ("start_timestamp", "max")])
        first, last = (found[f"start_timestamp_{name}"].cast(pa.int64()).to_pylist() for name in ("min", "max"))
        spans = own.group_by("trace_id").aggregate([("span_id", "count_distinct")])
        counts = dict(zip(spans["trace_id"].to_pylist(), spans["span_id_count_distinct"].to_pylist(), strict=True))
        self._said = {trace: (begin, end, counts[trace]) for trace, begin, end in zip(found["trace_id"].to_pylist(), first, last, strict=True)}

    def said(self, traces: Iterable[str]) -> tuple[int, int, int]:
        """The first and the last start of some traces, and how many spans they have."""
        first, last, spans = zip(*(self._said[trace] for trace in traces), strict=True)
        return min(first), max(last), sum(spans)

    def of(self, traces: set[str]) -> pa.Table:
        """The rows of some traces."""
        if len(traces) == len(self._said):
            return self._table
        return self._table.filter(pc.is_in(self._table["trace_id"], pa.array(sorted(traces))))


def _batch(runs: list[_Run]) -> tuple[Batch | None, list[_Run]]:
    """The rows of runs, and whose they are; one that is not all of our own writer's lines, or that has a span twice, is left out."""
    with contextlib.suppress(Irregular):
        return _rows(runs), runs
    regular = _regular(runs)
    with contextlib.suppress(Irregular):
        return _rows(regular), regular
    return None, []  # spans of several of them have the same ids, as a program gives that has seeded its generator; each is sealed by itself


def _rows(runs: list[_Run]) -> Batch | None:
    return Batch([source for run in runs for source in run.sources]) if runs else None


def _regular(runs: list[_Run]) -> list[_Run]:
    """Those of some runs that can be in a batch; most often all but a few."""
    try:
        _rows(runs)
    except Irregular:
        middle = len(runs) // 2
        return [*_regular(runs[:middle]), *_regular(runs[middle:])] if middle else []
    return runs


def _settled(top: Path, files: Iterable[Path]) -> tuple[Place, ...] | None:
    """The directories of a run, down to its recordings, so that whatever comes or goes in one of them changes its time; None where that cannot be.

    A directory that has changed just now would have the same time after another change: it is set back.
    """
    if not top.is_dir():
        return ()
    folders = {""}
    for file in files:
        folder = os.path.dirname(segments.below(top, file))
        while folder:
            folders.add(folder)
            folder = os.path.dirname(folder)
    found = []
    for folder in sorted(folders):
        path = os.path.join(top, folder)
        try:
            status = os.stat(path)
            stamp = status.st_mtime_ns
            latest = time.time_ns() - 2 * SETTLED_NS
            if stamp > latest:
                os.utime(path, ns=(status.st_atime_ns, latest))
                stamp = os.stat(path).st_mtime_ns
        except OSError:
            return None
        found.append(Place(folder, status.st_ino, stamp))
    return tuple(found)

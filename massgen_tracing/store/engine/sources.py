"""The recordings of a query: which files are read, by the total reader or by the engine itself, and what they say of themselves.

Of the sealed files, only those are chosen that may have what the query asks for. A span that several files have counts once: files that share spans
are read by the total reader, which knows what is the same.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from massgen_tracing import layout
from massgen_tracing.store.reading import liveness
from massgen_tracing.store.reading.recording import Recording
from massgen_tracing.store.reading.report import Report
from massgen_tracing.store.roots.reader import Reader, is_beside_runs, is_columnar, no_otlp
from massgen_tracing.store.roots.segments import Chosen
from massgen_tracing.store.sealing import candidates, sealed
from massgen_tracing.store.sealing.sealed import Index

if TYPE_CHECKING:
    from massgen_tracing.store.engine.spilled import Spilled


@dataclass(frozen=True, slots=True)
class Window:
    """The rows that count.

    Attributes:
        min_us, max_us: they start from here to there, Unix time in microseconds; None for no border.
        environments: their deployment environments, an empty text for none; None for all.
    """

    min_us: int | None = None
    max_us: int | None = None
    environments: tuple[str, ...] | None = None

    def may_have(self, index: Index) -> bool:
        """Whether a sealed file may have such rows."""
        return (self.min_us is None or index.last_us >= self.min_us) and (self.max_us is None or index.first_us <= self.max_us)


@dataclass(frozen=True, slots=True)
class Sources:
    """What a query reads.

    Attributes:
        recording: the spans that the total reader read.
        sealed: the sealed files that the engine reads, and what they say of themselves; the newest rows first, so that a query for the
            newest can leave out those of most other files.
        rows: rows of `records_all` that come from no file.
        tables: directories of Parquet files, or such files, that have rows of `records_all`.
        points: the same with rows of `metrics`, if any.
        held: what the files of these go away with.
        dead: of segments among the sealed files, the traces whose rows do not count; of most there are none.
    """

    recording: Recording
    sealed: tuple[tuple[Path, Index], ...] = ()
    rows: tuple[pa.RecordBatch, ...] = ()
    tables: tuple[str, ...] = ()
    points: str | None = None
    held: Spilled | None = None
    dead: Mapping[Path, frozenset[str]] = field(default_factory=dict)


def choose(
    paths: Iterable[Path],
    segments: Iterable[Chosen] = (),
    *,
    named: frozenset[Path] | None = None,
    traces: frozenset[str] | None = None,
    window: Window | None = None,
) -> Sources:
    """Read live files, and choose among the sealed ones.

    Args:
        paths: live and sealed files.
        segments: what has the rows of further ones.
        named: those whose errors are the caller's; others that cannot be read are reported and passed over. None for all.
        traces: the only traces that are asked for; None for all.
        window: the only times that are asked for.

    Raises:
        RecordingError: if a file cannot be read.
    """
    paths, segments = tuple(dict.fromkeys(paths)), tuple(segments)
    alone = None if segments else _from_others(paths, named)
    if alone is not None:
        return alone
    reader = Reader(named)
    columnar: list[tuple[Path, Index]] = []
    for path in paths:
        with reader.surviving(path):
            if is_columnar(path):
                index = sealed.index(path)
                if index is None:
                    reader.add_sealed(path)
                    continue
                wanted = (traces is None or any(map(index.may_have, traces))) and (window is None or window.may_have(index))
                if wanted and layout.is_small(path):
                    reader.add_sealed(path)
                elif wanted:
                    columnar.append((path, index))
            elif traces is None or not candidates.is_own(path) or _mentions(path, traces):
                reader.add_file(path)
    if not segments:
        reader.fail_if_all_are_lost(paths)
    if named is not None and named.issuperset(paths) and not columnar:
        reader.fail_if_nothing_was_read()
    chosen = _apart(reader, columnar, segments)
    for path in _sharing(reader, columnar):
        with reader.surviving(path):
            reader.add_sealed(path)
        columnar = [each for each in columnar if each[0] != path]
    recording = reader.recording()
    for path, index in columnar:
        recording.report.add_sealed(str(path), lines=index.lines, skipped=index.skipped)
        recording.report.spans += index.spans
    for each in chosen:
        files, lines, spans = each.segment.counts(each.members)
        recording.report.files += files
        recording.report.lines += lines
        recording.report.spans += spans
        columnar.append((each.segment.rows, each.segment.index))
    columnar.sort(key=lambda file: file[1].last_us, reverse=True)
    return Sources(recording, tuple(columnar), dead={each.segment.rows: each.dead for each in chosen if each.dead})


def _apart(reader: Reader, columnar: Sequence[tuple[Path, Index]], segments: Iterable[Chosen]) -> list[Chosen]:
    """Segments without those of their members that have a trace which another file has too; these are read."""
    found = list(segments)
    keys = reader.keys()
    traces = {trace for trace, _ in keys}.union(*(traces_of(path, index) for path, index in columnar)) if found else set()
    if not traces:
        return found
    for place, each in enumerate(found):
        known = each.segment.by_trace
        few, many = (traces, known) if len(traces) < len(known) else (known, traces)
        shared = {known[trace] for trace in few if trace in many} & each.members
        for path in (path for number in shared for path in each.files(number)):
            with reader.surviving(path):
                reader.add_sealed(path)
        dead = {trace for number in shared for trace in each.segment.traces[number]}
        found[place] = replace(each, members=each.members - shared, dead=each.dead | dead)
    return found


def _from_others(paths: Sequence[Path], named: frozenset[Path] | None) -> Sources | None:
    """What the engine itself can read of other programs' files, where there are no others; None where the reader has to read them.

    Raises:
        RecordingError: if one that is named, or all of them, are no recordings.
    """
    reader = Reader(named)
    if len(paths) == 1 and is_columnar(paths[0]) and sealed.index(paths[0]) is None and not is_beside_runs(paths[0]):
        from massgen_tracing.store.sealing import exported

        rows = exported.rows(paths[0])
        if rows is not None:
            return Sources(Recording((), Report(files=1, spans=rows)), tables=(os.path.abspath(paths[0]),))
    if any(path.name.endswith((layout.RECORDING_SUFFIX, layout.SEALED_SUFFIX)) for path in paths):
        return None
    from massgen_tracing.store.engine.spilled import LARGE, spilled
    from massgen_tracing.store.reading import live

    try:
        large = sum(os.stat(path).st_size for path in paths) >= LARGE
        if not large or any(is_columnar(path) or liveness.writer_alive(path) or not live.is_foreign(path) for path in paths):
            return None
        found = spilled(tuple((path, stamp(path)) for path in paths))
    except OSError:
        return None  # the reader says what is wrong
    if found is None:
        return None
    for path, foreign in found.foreign.items():
        with reader.surviving(path):
            raise no_otlp(path, foreign)
    reader.fail_if_all_are_lost(paths)
    recording = Recording((), replace(found.report, lost=reader.report.lost))
    return Sources(recording, tables=() if found.records is None else (found.records,), points=found.metrics, held=found)


def _mentions(path: Path, traces: frozenset[str]) -> bool:
    try:
        content = path.read_bytes()
    except OSError:
        return True  # the reader says what is wrong
    return any(trace.encode() in content for trace in traces)


def _sharing(reader: Reader, columnar: Sequence[tuple[Path, Index]]) -> list[Path]:
    """The sealed files that have a span which another file has too."""
    read = reader.keys()
    holders: dict[str, list[int]] = {}
    for number, (path, index) in enumerate(columnar):
        for trace in traces_of(path, index):
            holders.setdefault(trace, []).append(number)
    in_read = {trace for trace, _ in read}
    shared = {trace for trace, numbers in holders.items() if len(numbers) > 1 or trace in in_read}
    if not shared:
        return []
    from pyarrow import parquet

    seen: dict[tuple[str, str], int] = {}
    sharing: set[int] = set()
    for number in sorted({number for trace in shared for number in holders[trace]}):
        table = parquet.read_table(
            columnar[number][0], columns=["trace_id", "span_id"], filters=[("trace_id", "in", sorted(shared))], partitioning=None
        )
        for key in set(zip(table.column(0).to_pylist(), table.column(1).to_pylist(), strict=True)):
            other = seen.setdefault(key, number)
            if other != number:
                sharing |= {number, other}
            elif key in read:
                sharing.add(number)
    return [columnar[number][0] for number in sorted(sharing)]


def traces_of(path: Path, index: Index) -> Iterable[str]:
    """The traces that a sealed file has."""
    if index.traces is not None:
        return index.traces
    from pyarrow import parquet

    found: list[str] = parquet.read_table(path, columns=["trace_id"], partitioning=None).column(0).unique().to_pylist()
    return found


def stamp(path: Path) -> tuple[int, ...]:
    """What changes with a file."""
    try:
        status = os.stat(path)
    except OSError:
        return ()  # the engine finds it missing
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns

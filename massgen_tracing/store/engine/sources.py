"""The recordings of a query as tables of the engine: live files as rows in memory, sealed ones read by the engine itself.

Of the sealed files, only those are given to the engine that may have what the query asks for. A span that several files have counts once: files
that share spans are read by the total reader, which knows what is the same.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Final

import datafusion
import pyarrow as pa
from datafusion import DataFrame, SessionContext
from pyarrow import parquet

from massgen_tracing import layout
from massgen_tracing.store.engine.engines import EMPTY, Engine
from massgen_tracing.store.engine.spilled import LARGE, Spilled, spilled
from massgen_tracing.store.reading import live, liveness
from massgen_tracing.store.reading.recording import Recording
from massgen_tracing.store.reading.report import Report
from massgen_tracing.store.roots.reader import Reader, is_beside_runs, is_columnar, no_otlp
from massgen_tracing.store.roots.segments import Chosen
from massgen_tracing.store.sealing import exported, seal, sealed, segment, typed
from massgen_tracing.store.sealing.sealed import Index
from massgen_tracing.store.sealing.typed import Typed
from massgen_tracing.store.sql.direct import Access, Direct
from massgen_tracing.store.tables import metrics, records
from massgen_tracing.store.tables.meanings import RUN


@dataclass(frozen=True, slots=True)
class Window:
    """Rows that start from *min_us* to *max_us*, Unix time in microseconds; None for no border."""

    min_us: int | None = None
    max_us: int | None = None

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
            elif traces is None or not seal.is_own(path) or _mentions(path, traces):
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
    if not found:
        return []
    keys = reader.keys()
    traces = {trace for trace, _ in keys}.union(*(traces_of(path, index) for path, index in columnar))
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
    if len(paths) == 1 and is_columnar(paths[0]) and sealed.index(paths[0]) is None and not is_beside_runs(paths[0]) and exported.is_whole(paths[0]):
        return Sources(Recording((), Report(files=1, spans=parquet.read_metadata(paths[0]).num_rows)), tables=(os.path.abspath(paths[0]),))
    if any(path.name.endswith((layout.RECORDING_SUFFIX, layout.SEALED_SUFFIX)) for path in paths):
        return None
    try:
        large = sum(os.stat(path).st_size for path in paths) >= LARGE
        if not large or any(is_columnar(path) or liveness.writer_alive(path) or not live.is_foreign(path) for path in paths):
            return None
        found = spilled(tuple((path, _stamp(path)) for path in paths))
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
    found: list[str] = parquet.read_table(path, columns=["trace_id"], partitioning=None).column(0).unique().to_pylist()
    return found


_FEW_FILES: Final = 64
"""Views of more are not kept: each holds the statistics of all columns of its files."""


_RUN_TRACE: Final = "massgen_run_trace"
RUNS: Final = pa.schema([(_RUN_TRACE, pa.string()), (RUN, pa.string())])
"""Which run a trace belongs to."""


@contextlib.contextmanager
def tables(engine: Engine, sources: Sources, *, window: Window, asked: Direct, runs: pa.RecordBatch | None = None) -> Iterator[None]:
    """Make `records_all`, `records` and `metrics` known to an engine, as far as they are asked for, for as long as the block runs.

    Args:
        engine: the engine.
        sources: what there is to read.
        window: rows outside of it are left out.
        asked: what is asked of the tables.
        runs: of `RUNS`, where rows are to have a column for it.
    """
    context, recording = engine.context, sources.recording
    groups = _alike(sources, asked.accesses)
    links = [_linked(tuple((os.path.abspath(path), _stamp(path)) for path in paths)) for paths in groups.values()]
    in_memory = list(sources.rows)
    if recording.spans or recording.logs:
        in_memory += records.table(recording, starts=asked.reads(records.TABLE_ALL), min_us=window.min_us, max_us=window.max_us).to_batches()
    if in_memory or sources.tables or len(sources.sealed) > _FEW_FILES:
        views = _views(context, in_memory, groups, links, window, asked, sources.tables)
    else:
        # The same files are the same rows; the statement's text does not say which keys its columns stand for.
        key = (*asked.accesses, *asked.tables.items(), asked.plain, asked.names, window, *groups, *(link.directory for link in links))
        views, _ = engine.once(key, lambda: (_views(context, [], groups, links, window, asked), links))
    if runs is not None:
        known = context.create_dataframe([[runs]])
        views = {
            name: view.join(known, left_on="trace_id", right_on=_RUN_TRACE, how="left").select(*view.schema().names, RUN)
            for name, view in views.items()
        }
    for name, view in views.items():
        context.register_view(name, view)
    if asked.reads(metrics.TABLE) and sources.points is not None:
        context.register_view(metrics.TABLE, _within(context.read_parquet(sources.points, schema=metrics.SCHEMA), window, "recorded_timestamp"))
    elif asked.reads(metrics.TABLE):
        points = metrics.table(recording.points, min_us=window.min_us, max_us=window.max_us).to_batches() if recording.points else []
        context.register_record_batches(metrics.TABLE, [points or [EMPTY[metrics.TABLE]]])
    try:
        yield
    finally:
        for name in {*views, metrics.TABLE}:
            context.deregister_table(name)


def _views(
    context: SessionContext,
    in_memory: Sequence[pa.RecordBatch],
    groups: Mapping[_Alike, Sequence[Path]],
    links: Sequence[_Links],
    window: Window,
    asked: Direct,
    others: Sequence[str] = (),
) -> dict[str, DataFrame]:
    """The tables of spans by the names that they are read under."""
    accesses = asked.accesses
    starts = asked.reads(records.TABLE_ALL)
    text = [f"{access.function}(attributes, '{_quoted(access.key)}')" for access in accesses]
    columns = _columns(asked)
    rows: list[_Rows] = []
    if in_memory or not (groups or others):
        rows.append(_Rows(context.read_batches(list(in_memory) or [EMPTY[records.TABLE]]), text))
    for alike, link in zip(groups, links, strict=True):
        frame = alike.frame(_within(context.read_parquet(link.directory, schema=alike.schema(columns)), window), columns)
        said = [typed.expression(access.function, known) for access, known in zip(accesses, alike.keys, strict=True)]
        rows.append(_Rows(frame, [one or other for one, other in zip(said, text, strict=True)], pending=alike.pending))
        if alike.begun and starts:
            rows.append(_Rows(_begun(frame), text, starts=True))
    rows += (_Rows(_within(context.read_parquet(place, schema=records.SCHEMA), window), text) for place in others)
    views: dict[str, DataFrame] = {}
    if plain := asked.plain - {metrics.TABLE}:
        frames = [each.frame.select(*records.SCHEMA.names) for each in rows]
        views |= {name: _table(name, rows, frames) for name in plain}
    if asked.tables:
        frames = [each.wide(columns, accesses) for each in rows]
        views |= {own: _table(name, rows, frames) for name, own in asked.tables.items()}
    return views


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows of the same kind of source.

    Attributes:
        frame: the rows.
        said: SQL for each access.
        pending: whether some of them are pending spans.
        starts: whether all of them are starts of spans that have ended.
    """

    frame: DataFrame
    said: Sequence[str]
    pending: bool = True
    starts: bool = False

    def wide(self, columns: Sequence[str], accesses: Sequence[Access]) -> DataFrame:
        """The rows with the further columns."""
        further = [self.frame.parse_sql_expr(said).alias(access.column) for said, access in zip(self.said, accesses, strict=True)]
        return self.frame.select(*columns, *further)


_ALWAYS: Final = frozenset({"attributes", "kind", "start_timestamp"})
"""Columns that rows are told apart by, and that accesses may need."""


def _columns(asked: Direct) -> Sequence[str]:
    """The columns of records that are read: planning costs as much as there are, and few statements read many."""
    everything = asked.reads(records.TABLE_ALL) or not asked.plain.isdisjoint({records.TABLE, records.TABLE_ALL})
    by_run = RUN in asked.names
    return [name for name in records.SCHEMA.names if everything or name in _ALWAYS or name in asked.names or (by_run and name == "trace_id")]


def _table(name: str, rows: Sequence[_Rows], frames: Sequence[DataFrame]) -> DataFrame:
    """`records` or `records_all`, of *frames* that are made from *rows*."""
    if name == records.TABLE_ALL:
        return _union(frames)
    return _union([frame.filter(_NOT_PENDING) if each.pending else frame for each, frame in zip(rows, frames, strict=True) if not each.starts])


_NOT_PENDING: Final = datafusion.col("kind") != datafusion.lit(records.PENDING)


@dataclass(frozen=True, slots=True)
class _Alike:
    """What sealed files that are read together have in common.

    Attributes:
        keys: for each access, the column that its key has; None where the text has to be read.
        pending: whether they may have pending spans as rows.
        begun: whether rows may tell how their spans began.
        segments: whether they are segments.
        dead: the traces whose rows do not count.
    """

    keys: tuple[Typed | None, ...]
    pending: bool
    begun: bool
    segments: bool
    dead: frozenset[str]

    def schema(self, columns: Sequence[str]) -> pa.Schema:
        """What is read of the files for these columns of records; what a file does not have is empty."""
        further = {known.column: known.field for known in self.keys if known is not None and known.column}
        own = sealed.SCHEMA if len(columns) == len(records.SCHEMA) else [records.SCHEMA.field(name) for name in columns]
        if self.segments:
            derived = [records.SCHEMA.field(name) for name in (*_DERIVED_FROM, *(["trace_id"] if self.dead else []))]
            own = [item for item in (*own, *derived) if item.name not in segment.DERIVED]
        return pa.schema({item.name: item for item in (*own, *further.values())}.values())

    def frame(self, frame: DataFrame, columns: Sequence[str]) -> DataFrame:
        """The rows that count, with all of the columns of records."""
        if not self.segments:
            return frame
        if self.dead:
            frame = frame.filter(datafusion.functions.in_list(datafusion.col("trace_id"), list(map(datafusion.lit, sorted(self.dead))), negated=True))
        for name in columns:
            if name in segment.DERIVED:
                frame = frame.with_column(name, frame.parse_sql_expr(segment.DERIVED[name]))
        return frame


_DERIVED_FROM: Final = ("kind", "start_timestamp", "end_timestamp")


def _alike(sources: Sources, accesses: Sequence[Access]) -> dict[_Alike, list[Path]]:
    """Sealed files by how they answer the accesses."""
    files = sources.sealed
    known = {access.key: dict.fromkeys(index.column_of(access.key) for _, index in files) for access in accesses}
    groups: dict[_Alike, list[Path]] = {}
    for path, index in files:
        keys = []
        for access in accesses:
            key = index.column_of(access.key)
            if key is typed.ABSENT:
                # In the engine's eyes a column that a file does not have is empty, so that of another file is right too.
                others = (other for other in known[access.key] if other not in {None, typed.ABSENT} and index.lacks(other.column))
                key = next(others, key)
            keys.append(key)
        dead = sources.dead.get(path, frozenset())
        groups.setdefault(_Alike(tuple(keys), index.pending > 0, index.begun > 0, segment.is_segment(path), dead), []).append(path)
    return groups


def _begun(frame: DataFrame) -> DataFrame:
    """The rows that tell how their span began, as they were then."""
    columns = []
    for item in records.SCHEMA:
        if item.name in sealed.BEGUN_SQL:
            columns.append(frame.parse_sql_expr(sealed.BEGUN_SQL[item.name]).alias(item.name))
        elif item.name in sealed.BEGUN:
            columns.append(datafusion.lit(pa.scalar(sealed.BEGUN[item.name], item.type)).alias(item.name))
        else:
            columns.append(datafusion.col(item.name))
    return frame.filter(datafusion.col("start_length").is_not_null()).select(*columns)


def _quoted(text: str) -> str:
    return text.replace("'", "''")


def _within(frame: DataFrame, window: Window, time: str = "start_timestamp") -> DataFrame:
    start = datafusion.col(time)
    for border, keep in ((window.min_us, start.__ge__), (window.max_us, start.__le__)):
        if border is not None:
            frame = frame.filter(keep(datafusion.lit(pa.scalar(border, pa.timestamp("us", "UTC")))))
    return frame


def _stamp(path: Path) -> tuple[int, ...]:
    """What changes with a file."""
    try:
        status = os.stat(path)
    except OSError:
        return ()  # the engine finds it missing
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


class _Links:
    """A directory of links to files, for the engine takes many files as one table only from a directory.

    It goes when nobody needs it any more, or this process ends. The engine keeps what it knows of a directory and of the files in it: files that have
    changed are put into another one.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self.directory = tempfile.mkdtemp(prefix="massgen-tracing-")
        weakref.finalize(self, _remove, self.directory, os.getpid())
        for number, path in enumerate(paths):
            os.symlink(path, f"{self.directory}/{number:08}{layout.SEALED_SUFFIX}")


def _remove(directory: str, owner: int) -> None:
    if os.getpid() == owner:  # and not a forked child of it
        shutil.rmtree(directory, ignore_errors=True)


@lru_cache(maxsize=16)
def _linked(files: tuple[tuple[str, tuple[int, ...]], ...]) -> _Links:
    """Links to these files, as they are now; the next query is often of the same."""
    return _Links(path for path, _ in files)


def _union(frames: Sequence[DataFrame]) -> DataFrame:
    first, *others = frames
    for other in others:
        first = first.union(other)
    return first

"""The sources of a query as tables of the engine: what the total reader read as rows in memory, sealed files read by the engine itself."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import datafusion
import pyarrow as pa
from datafusion import DataFrame, SessionContext

from massgen_tracing import layout
from massgen_tracing.store.engine.engines import EMPTY, Engine
from massgen_tracing.store.engine.sources import Sources, Window, stamp
from massgen_tracing.store.engine.zones import told_in
from massgen_tracing.store.sealing import sealed, segment, typed
from massgen_tracing.store.sealing.typed import Typed
from massgen_tracing.store.sql.direct import Access, Direct
from massgen_tracing.store.tables import metrics, records
from massgen_tracing.store.tables.meanings import RUN
from massgen_tracing.store.terms import UTC

_FEW_FILES: Final = 64
"""Views of more are not kept: each holds the statistics of all columns of its files."""


_RUN_TRACE: Final = "massgen_run_trace"
RUNS: Final = pa.schema([(_RUN_TRACE, pa.string()), (RUN, pa.string())])
"""Which run a trace belongs to."""


@contextlib.contextmanager
def tables(engine: Engine, sources: Sources, *, window: Window, asked: Direct, runs: pa.RecordBatch | None = None, zone: str = UTC) -> Iterator[None]:
    """Make `records_all`, `records` and `metrics` known to an engine, as far as they are asked for, for as long as the block runs.

    Args:
        engine: the engine.
        sources: what there is to read.
        window: rows outside of it are left out.
        asked: what is asked of the tables.
        runs: of `RUNS`, where rows are to have a column for it.
        zone: in which their times are told.
    """
    context, recording = engine.context, sources.recording
    groups = _alike(sources, asked.accesses)
    links = [_linked(tuple((os.path.abspath(path), stamp(path)) for path in paths)) for paths in groups.values()]
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
        context.register_view(name, told_in(view, zone))
    if asked.reads(metrics.TABLE) and sources.points is not None:
        view = _within(context.read_parquet(sources.points, schema=metrics.SCHEMA), window, "recorded_timestamp")
        context.register_view(metrics.TABLE, told_in(view, zone))
    elif asked.reads(metrics.TABLE):
        points = metrics.table(recording.points, min_us=window.min_us, max_us=window.max_us).to_batches() if recording.points else []
        context.register_view(metrics.TABLE, told_in(_of(context.read_batches(points or [EMPTY[metrics.TABLE]]), window), zone))
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
    text = [access.text for access in accesses]
    columns = _columns(asked, window)
    rows: list[_Rows] = []
    if in_memory or not (groups or others):
        rows.append(_Rows(_of(context.read_batches(list(in_memory) or [EMPTY[records.TABLE]]), window), text))
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


_ENVIRONMENT: Final = "deployment_environment"
_ALWAYS: Final = frozenset({"attributes", "kind", "start_timestamp"})
"""Columns that rows are told apart by, and that accesses may need."""


def _columns(asked: Direct, window: Window) -> Sequence[str]:
    """The columns of records that are read: planning costs as much as there are, and few statements read many."""
    everything = asked.reads(records.TABLE_ALL) or not asked.plain.isdisjoint({records.TABLE, records.TABLE_ALL})
    also = {*(["trace_id"] if RUN in asked.names else []), *([] if window.environments is None else [_ENVIRONMENT])}
    return [name for name in records.SCHEMA.names if everything or name in _ALWAYS or name in asked.names or name in also]


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


def _within(frame: DataFrame, window: Window, time: str = "start_timestamp") -> DataFrame:
    start = datafusion.col(time)
    for border, keep in ((window.min_us, start.__ge__), (window.max_us, start.__le__)):
        if border is not None:
            frame = frame.filter(keep(datafusion.lit(pa.scalar(border, pa.timestamp("us", "UTC")))))
    return _of(frame, window)


def _of(frame: DataFrame, window: Window) -> DataFrame:
    """The rows of the environments that count."""
    if window.environments is not None:
        environment = datafusion.functions.coalesce(datafusion.col(_ENVIRONMENT), datafusion.lit(""))
        frame = frame.filter(datafusion.functions.in_list(environment, list(map(datafusion.lit, window.environments))))
    return frame


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

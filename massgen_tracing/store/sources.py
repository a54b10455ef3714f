"""The recordings of a query as tables of the engine: live files as rows in memory, sealed ones read by the engine itself.

Of the sealed files, only those are given to the engine that may have what the query asks for. A span that several files have counts once: files
that share spans are read by the total reader, which knows what is the same.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import datafusion
import pyarrow as pa
from datafusion import DataFrame, SessionContext
from pyarrow import parquet

from massgen_tracing import layout
from massgen_tracing.store import metrics, records, seal, sealed, typed
from massgen_tracing.store.direct import Access
from massgen_tracing.store.reader import Reader, Recording
from massgen_tracing.store.sealed import Index

_LIVE: Final = "json"
"""The group of rows whose attributes are only JSON."""


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
        sealed: the sealed files that the engine reads, and what they say of themselves.
    """

    recording: Recording
    sealed: tuple[tuple[Path, Index], ...] = ()


def choose(
    paths: Iterable[Path], *, named: Collection[Path] | None = None, traces: frozenset[str] | None = None, window: Window | None = None
) -> Sources:
    """Read live files, and choose among the sealed ones.

    Args:
        paths: live and sealed files.
        named: those whose errors are the caller's; others that cannot be read are reported and passed over. None for all.
        traces: the only traces that are asked for; None for all.
        window: the only times that are asked for.

    Raises:
        RecordingError: if a file cannot be read.
    """
    reader = Reader(named)
    columnar: list[tuple[Path, Index]] = []
    for path in dict.fromkeys(paths):
        with reader.surviving(path):
            if layout.is_sealed(path):
                index = sealed.index(path)
                if index is not None:
                    wanted = traces is None or any(map(index.may_have, traces))
                    if wanted and (window is None or window.may_have(index)):
                        columnar.append((path, index))
            elif traces is None or not seal.is_own(path) or _mentions(path, traces):
                reader.add_file(path)
    for path in _sharing(reader, columnar):
        with reader.surviving(path):
            reader.add_sealed(path)
        columnar = [each for each in columnar if each[0] != path]
    recording = reader.recording()
    for path, index in columnar:
        recording.report.add_sealed(str(path), lines=index.lines, skipped=index.skipped)
        recording.report.spans += index.spans
    return Sources(recording, tuple(columnar))


def _mentions(path: Path, traces: frozenset[str]) -> bool:
    try:
        content = path.read_bytes()
    except OSError:
        return True  # the reader says what is wrong
    return any(trace.encode() in content for trace in traces)


def _sharing(reader: Reader, columnar: Sequence[tuple[Path, Index]]) -> list[Path]:
    """The sealed files that have a span which another file has too."""
    live = reader.keys()
    holders: dict[str, list[int]] = {}
    for number, (path, index) in enumerate(columnar):
        for trace in _traces(path, index):
            holders.setdefault(trace, []).append(number)
    in_live = {trace for trace, _ in live}
    shared = {trace for trace, numbers in holders.items() if len(numbers) > 1 or trace in in_live}
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
            elif key in live:
                sharing.add(number)
    return [columnar[number][0] for number in sorted(sharing)]


def _traces(path: Path, index: Index) -> Iterable[str]:
    if index.traces is not None:
        return index.traces
    found: list[str] = parquet.read_table(path, columns=["trace_id"], partitioning=None).column(0).unique().to_pylist()
    return found


@contextlib.contextmanager
def tables(context: SessionContext, sources: Sources, *, window: Window, accesses: Sequence[Access], hidden: dict[str, str]) -> Iterator[None]:
    """Make `records_all` and `records` known to an engine.

    Args:
        context: the engine.
        sources: what there is to read.
        window: rows outside of it are left out.
        accesses: the columns that the tables named by *hidden* have besides.
        hidden: for each table that is needed with these columns too, its name then.
    """
    live = records.table(sources.recording, min_us=window.min_us, max_us=window.max_us)
    # Without any batch the engine would not know the columns.
    batches = live.to_batches() or [pa.RecordBatch.from_pylist([], schema=records.SCHEMA)]
    points = metrics.table(sources.recording.points, min_us=window.min_us, max_us=window.max_us)
    context.register_record_batches(metrics.TABLE, [points.to_batches() or [pa.RecordBatch.from_pylist([], schema=metrics.SCHEMA)]])
    frames: list[tuple[str, DataFrame]] = []
    if len(live) or not sources.sealed:
        frames.append((_LIVE, context.read_batches(batches)))
    with contextlib.ExitStack() as stack:
        for kinds, paths in _alike(sources.sealed, accesses).items():
            frames.append((kinds, _within(_scan(context, paths, stack), window)))
        plain = _union([frame.select(*records.SCHEMA.names) for _, frame in frames])
        context.register_view(records.TABLE_ALL, plain)
        context.register_view(records.TABLE, plain.filter(_NOT_PENDING))
        if hidden:
            wide = _union([frame.select(*records.SCHEMA.names, *_columns(frame, kinds, accesses)) for kinds, frame in frames])
            for table, name in hidden.items():
                context.register_view(name, wide if table == records.TABLE_ALL else wide.filter(_NOT_PENDING))
        yield


_NOT_PENDING: Final = datafusion.col("kind") != datafusion.lit(records.PENDING)


def _alike(files: Sequence[tuple[Path, Index]], accesses: Sequence[Access]) -> dict[str, list[Path]]:
    """Sealed files by how they answer the accesses."""
    groups: dict[str, list[Path]] = {}
    for path, index in files:
        # A key that the file does not have has a column of NULLs in the engine's eyes, so any documented kind is right for it.
        kinds = [typed.OTHER if index.keys is None else index.keys.get(access.key, "") for access in accesses]
        documented = (typed.COLUMNS.get(access.key) for access in accesses)
        kinds = [known.kind if known is not None and not kind else kind for kind, known in zip(kinds, documented, strict=True)]
        groups.setdefault(",".join(kinds), []).append(path)
    return groups


def _columns(frame: DataFrame, kinds: str, accesses: Sequence[Access]) -> Iterator[datafusion.Expr]:
    """The further columns for one group of rows."""
    if kinds == _LIVE:
        kinds = ",".join([typed.OTHER] * len(accesses))
    for access, kind in zip(accesses, kinds.split(","), strict=True):
        key = access.key.replace("'", "''")
        said = typed.expression(access.function, access.key, kind or None) or f"{access.function}(attributes, '{key}')"
        yield frame.parse_sql_expr(said).alias(access.column)


def _within(frame: DataFrame, window: Window) -> DataFrame:
    start = datafusion.col("start_timestamp")
    for border, keep in ((window.min_us, start.__ge__), (window.max_us, start.__le__)):
        if border is not None:
            frame = frame.filter(keep(datafusion.lit(pa.scalar(border, pa.timestamp("us", "UTC")))))
    return frame


def _scan(context: SessionContext, paths: Sequence[Path], stack: contextlib.ExitStack) -> DataFrame:
    """Many files as one table; the engine takes a directory, so the chosen files are put into one."""
    if len(paths) == 1:
        return context.read_parquet(os.path.abspath(paths[0]), schema=sealed.SCHEMA)
    directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="massgen-tracing-"))
    for number, path in enumerate(paths):
        Path(directory, f"{number:08}{layout.SEALED_SUFFIX}").symlink_to(os.path.abspath(path))
    return context.read_parquet(directory, schema=sealed.SCHEMA)


def _union(frames: Sequence[DataFrame]) -> DataFrame:
    first, *others = frames
    for other in others:
        first = first.union(other)
    return first

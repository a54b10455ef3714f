"""Large files of other programs as Parquet files of their rows, made in one go: however large they are, memory does not grow with them.

That a span is told of twice shows in the 16 bytes a span that are kept; then the total reader reads the files, which knows what to make of it.
"""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import tempfile
import weakref
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from pyarrow import parquet

from massgen_tracing import layout
from massgen_tracing.model import LogRecord, SpanRecord
from massgen_tracing.store.reading import live, otlp
from massgen_tracing.store.reading.envelopes import Group
from massgen_tracing.store.reading.foreign import Document
from massgen_tracing.store.reading.recording import unfinished
from massgen_tracing.store.reading.report import Report
from massgen_tracing.store.reading.signals import Record
from massgen_tracing.store.reading.sources import Foreign
from massgen_tracing.store.reading.spans import identity
from massgen_tracing.store.tables import metrics, plain, records
from massgen_tracing.store.tables.plain import Plain

LARGE: Final = 2**23
"""Files of fewer bytes in all are read in memory."""

_TOGETHER: Final = 2048
"""Rows that are made into columns together."""

_ROW_GROUP: Final = 2**15

_MOST_STARTS: Final = 2**14
"""More spans that have only started are left to the total reader."""


_VARIED: Final = frozenset(
    {"attributes", "created_at", "duration", "end_timestamp", "otel_events", "otel_links", "parent_span_id", "span_id", "start_timestamp"}
)
"""Columns in which few values recur."""

_SOUGHT: Final = frozenset({"end_timestamp", "recorded_timestamp", "start_timestamp", "trace_id"})
"""Columns whose least and greatest values may leave out rows, which takes a seventh of the time of writing where it is asked of all."""


class Intertwined(Exception):
    """The files tell of a span more than once; they have to be read by the reader that knows what to make of it."""


class Spilled:
    """The rows of files.

    Attributes:
        report: what was read and skipped.
        foreign: the files that are no OTLP, and what they are.
        records, metrics: directories of Parquet files with rows of `records_all` and `metrics`; None where there are none.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.report = Report()
        self.foreign: dict[Path, Foreign] = {}
        self._directory = tempfile.mkdtemp(prefix="massgen-tracing-")
        weakref.finalize(self, _remove, self._directory, os.getpid())
        with _without_cycles(), contextlib.closing(_Rows(self._directory)) as rows:
            for path in paths:
                document = Document(path)
                same: Counter[str] = Counter()
                try:
                    for group in document.groups():
                        rows.add(document, group, same)
                except Foreign as foreign:
                    self.foreign[path] = foreign
                else:
                    self.report.files += 1
                    self.report.add(document.report)
            rows.finish()
            self.report.spans, self.report.logs, self.report.points = rows.spans, rows.logs, rows.points
        self.records = rows.of_records.directory
        self.metrics = rows.of_metrics.directory


@lru_cache(maxsize=2)
def spilled(files: tuple[tuple[Path, tuple[int, ...]], ...]) -> Spilled | None:
    """The rows of files as they are now, of which each is given with what changes with it; None where the total reader has to read them.

    Raises:
        OSError: if one cannot be opened or read.
    """
    try:
        return Spilled([path for path, _ in files])
    except Intertwined:
        return None


@contextlib.contextmanager
def _without_cycles() -> Iterator[None]:
    """In the block no garbage is looked for: there are millions of small objects and no cycles, and looking takes longer than all else."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _remove(directory: str, owner: int) -> None:
    if os.getpid() == owner:  # and not a forked child of it
        shutil.rmtree(directory, ignore_errors=True)


class _Rows:
    """Rows on their way into files."""

    def __init__(self, directory: str) -> None:
        self.of_records = _File(f"{directory}/records", records.SCHEMA)
        self.of_metrics = _File(f"{directory}/metrics", metrics.SCHEMA)
        self.spans = self.logs = self.points = 0
        self._of_spans, self._of_events = _Alike(self.of_records), _Alike(self.of_records)
        self._keys = array("q")
        self._identities = array("q")
        self._starts: dict[tuple[str, str], SpanRecord] = {}

    def add(self, document: Document, group: Group, same: Counter[str]) -> None:
        """Add what a group of a document has; *same* counts what the document has said before."""
        others: Sequence[Any] = group.values
        if group.signal == "spans":
            spans, others = plain.apart(group.values)
            resource, scope = document.decoder.resource(group.resource), document.decoder.scope(group.scope)
            made = plain.columns(spans, resource, scope, document.complain) if spans else None
            if made is not None:
                document.has_some = True
                self.spans += len(made.keys)
                self._keys.extend(made.keys)
                self._identities.extend(made.identities)
                self._of_spans.add(made.rows)
                if made.events is not None:
                    self._of_events.add(made.events)
            else:
                others = group.values
        for record in document.decoded(replace(group, values=list(others))):
            self._add(record, same)

    def _add(self, record: Record, same: Counter[str]) -> None:
        if isinstance(record, SpanRecord):
            self._add_span(record)
        elif isinstance(record, LogRecord):
            self.logs += 1
            self._identities.append(hash(ids := live.log_id(record, same)))
            self.of_records.add(records.log_row(ids, record))
        else:
            self.points += 1
            self._identities.append(hash(live.digest(record, same)))
            self.of_metrics.add(metrics.row(record))

    def _add_span(self, span: SpanRecord) -> None:
        start = otlp.started(span) if otlp.is_pending(span) else span if span.end_ns is None else None
        if start is not None:
            self._starts[start.key] = start
        elif span.end_ns is not None and not otlp.is_pending(span):
            self.spans += 1
            self._keys.append(hash(span.key))
            self._identities.append(hash(identity(span)))
            self._add_rows(span)
        if len(self._starts) > _MOST_STARTS or (start is None and otlp.is_pending(span)):
            raise Intertwined

    def _add_rows(self, span: SpanRecord) -> None:
        for row, _ in records.span_rows(span):
            self.of_records.add(row)

    def finish(self) -> None:
        """Write what is left.

        Raises:
            Intertwined: if a span was told of more than once.
        """
        import pyarrow.compute as pc

        if pc.count_distinct(_numbers(self._identities)).as_py() < len(self._identities):
            raise Intertwined
        ended = pc.is_in(pa.array(map(hash, self._starts), pa.int64()), _numbers(self._keys)).to_pylist()
        self.spans += ended.count(False)
        for start, has_ended in zip(self._starts.values(), ended, strict=True):
            self._add_rows(start if has_ended else unfinished(start, "interrupted"))
        self._of_spans.gather()
        self._of_events.gather()
        self.of_records.finish()
        self.of_metrics.finish()

    def close(self) -> None:
        self.of_records.close()
        self.of_metrics.close()


class _Alike:
    """Rows as columns on their way into a file, which are put together as long as they say the same of where they are from."""

    def __init__(self, file: _File) -> None:
        self._file = file
        self._plains: list[Plain] = []
        self._rows = 0

    def add(self, made: Plain) -> None:
        if self._plains and self._plains[0].same is not made.same:
            self.gather()
        self._plains.append(made)
        self._rows += made.length
        if self._rows >= _TOGETHER:
            self.gather()

    def gather(self) -> None:
        if self._plains:
            self._file.add_table(plain.table(self._plains))
            self._plains.clear()
            self._rows = 0


def _numbers(numbers: array[int]) -> pa.Array:
    return pa.Array.from_buffers(pa.int64(), len(numbers), [None, pa.py_buffer(numbers)])


class _File:
    """A Parquet file that rows are written to; there is none before the first."""

    def __init__(self, directory: str, schema: pa.Schema) -> None:
        self._place = directory
        self._schema = schema
        self._rows: list[dict[str, Any]] = []
        self._tables: list[pa.Table] = []
        self._waiting = 0
        self._writer: parquet.ParquetWriter | None = None

    @property
    def directory(self) -> str | None:
        return None if self._writer is None else self._place

    def add(self, row: dict[str, Any]) -> None:
        self._rows.append(row)
        if len(self._rows) >= _TOGETHER:
            self._gather()

    def add_table(self, table: pa.Table) -> None:
        self._tables.append(table)
        self._waiting += len(table)
        if self._waiting >= _ROW_GROUP:
            self._write()

    def finish(self) -> None:
        self._gather()
        if self._tables:
            self._write()
        self.close()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()

    def _gather(self) -> None:
        if self._rows:
            self.add_table(records.to_table(self._rows, self._schema))
            self._rows.clear()

    def _write(self) -> None:
        if self._writer is None:
            os.mkdir(self._place)
            alike = [name for name in self._schema.names if name not in _VARIED]
            sought = [name for name in self._schema.names if name in _SOUGHT]
            place = f"{self._place}/0{layout.SEALED_SUFFIX}"
            self._writer = parquet.ParquetWriter(place, self._schema, compression="lz4", use_dictionary=alike, write_statistics=sought)
        self._writer.write_table(pa.concat_tables(self._tables).combine_chunks())
        self._tables.clear()
        self._waiting = 0

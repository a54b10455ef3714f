"""The rows that a statement needs of ClickHouse's table, each span once, as batches of `records_all`."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

import pyarrow as pa

from massgen_tracing.errors import QueryError
from massgen_tracing.model import SpanRecord
from massgen_tracing.store.clickhouse import http
from massgen_tracing.store.clickhouse.spans import Spans, columns
from massgen_tracing.store.clickhouse.wanted import Wanted, within
from massgen_tracing.store.reading import otlp
from massgen_tracing.store.reading.spans import SpanKey
from massgen_tracing.store.tables import records
from massgen_tracing.store.terms import ClickHouse

MOST_SPANS: Final = 500_000
"""Spans that are fetched for one statement: about as many as a minute is enough for."""

MOST_BYTES: Final = 2**30
"""Bytes of their rows."""

_BATCH: Final = 8192
_LESS: Final = (
    "Ask for less: a time window (--since 1h, or start_timestamp > now() - interval '1 hour'), one trace_id, or names of spans"
    " (span_name LIKE 'llm.%'); conditions in WHERE are ClickHouse's work, and so is leaving out attributes that nobody names"
)


@dataclass(frozen=True, slots=True)
class Source:
    """The table, and what a statement wants of it.

    Attributes:
        place: where it is.
        wanted: what the statement can need.
        seconds: how long each question may take.
        min_us, max_us: rows that start outside of these are left out, Unix time in microseconds.
    """

    place: ClickHouse
    wanted: Wanted
    seconds: float
    min_us: int | None = None
    max_us: int | None = None

    def since(self, min_us: int) -> Source:
        """The same without what started before."""
        return replace(self, min_us=min_us if self.min_us is None else max(min_us, self.min_us))

    def newest(self, count: int) -> int | None:
        """Since when about so many of the newest spans have started, Unix time in microseconds; None where there are no more than these.

        Raises:
            QueryError: if ClickHouse does not answer.
        """
        inner = f"SELECT Timestamp {self._from()} ORDER BY Timestamp DESC LIMIT {count}"
        found = self._one(f"SELECT count() AS spans, toUnixTimestamp64Micro(min(Timestamp)) AS first FROM ({inner})")  # noqa: S608 - no value of anybody
        return found["first"] if found["spans"] >= count else None

    def rows(self) -> Iterator[pa.RecordBatch]:
        """All rows, in no order.

        Raises:
            QueryError: if ClickHouse does not answer, or they are too many.
        """
        count = self._one(f"SELECT count() AS spans {self._from()}")["spans"]
        if count > MOST_SPANS:
            raise QueryError(f"The statement needs {count:,} spans of ClickHouse, and {MOST_SPANS:,} are fetched at most", hint=_LESS)
        spans = Spans()
        sql = f"SELECT {columns(self.wanted)} {self._from()} LIMIT {MOST_SPANS}"
        found = (span for batch in http.ask(self.place, sql, self.seconds) for span in spans.of(batch))
        taken = 0
        for batch in _batches(self._kept(_rows(found, starts=self.wanted.starts))):
            taken += batch.nbytes
            if taken > MOST_BYTES:
                raise QueryError(f"The spans that the statement needs have more than {MOST_BYTES // 2**30} GiB", hint=_LESS)
            yield batch

    def _from(self) -> str:
        conditions = [self.wanted.condition, within(self.min_us, self.max_us)]
        if not self.wanted.starts:
            conditions.append("SpanAttributes['logfire.span_type'] != 'pending_span'")
        said = " AND ".join(f"({each})" for each in conditions if each)
        return f"FROM {_name(self.place.database)}.{_name(self.place.table)}{f' WHERE {said}' if said else ''}"

    def _one(self, sql: str) -> dict[str, int]:
        """The only row of an answer."""
        (row,) = (row for batch in http.ask(self.place, sql, self.seconds) for row in batch.to_pylist())
        return dict(row)

    def _kept(self, rows: Iterable[records.Row]) -> Iterator[records.Row]:
        low, high = self.min_us, self.max_us
        return (row for row in rows if (low is None or row["start_timestamp"] >= low) and (high is None or row["start_timestamp"] <= high))


def _rows(spans: Iterable[SpanRecord], *, starts: bool) -> Iterator[records.Row]:
    """The rows of spans, each once: what was sent twice lies in the table twice."""
    ended: set[SpanKey] = set()
    begun: dict[SpanKey, SpanRecord] = {}
    for span in spans:
        one: SpanRecord | None = span
        if otlp.is_pending(span):
            one = otlp.started(span)
        if one is None:
            continue
        key = one.trace_id, one.span_id
        if one.end_ns is None:
            if starts:
                begun[key] = one
        elif key not in ended:
            ended.add(key)
            for row, _ in records.span_rows(one):
                yield row
    # Of a span that has ended, this is the row of its start; of another one, the only row.
    for span in begun.values():
        for row, _ in records.span_rows(span):
            yield row


def _batches(rows: Iterator[records.Row]) -> Iterator[pa.RecordBatch]:
    while kept := list(itertools.islice(rows, _BATCH)):
        yield from records.to_table(kept, records.SCHEMA).to_batches()


def _name(said: str) -> str:
    """A name in ClickHouse's SQL."""
    escaped = said.replace("\\", "\\\\").replace("`", "\\`")
    return f"`{escaped}`"

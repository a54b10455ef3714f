"""A sealed recording: one Parquet file whose rows are those of `records_all`, and which gives every span back as it was.

Beside the columns of `records_all` it has typed columns for documented attributes, and what else a span needs to be whole. The footer says
what a query wants to know before it reads anything: time span, traces, which keys the attributes have and of what kind.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from massgen_tracing import layout, semconv
from massgen_tracing.errors import RecordingError
from massgen_tracing.model import EMPTY, Attributes, Resource, Scope, SpanRecord
from massgen_tracing.store.sealing import rest, small, typed
from massgen_tracing.store.sealing.small import Small
from massgen_tracing.store.tables import records

FORMAT: Final = 1
METADATA: Final = b"massgen_tracing"

_WHOLE: Final = (
    pa.field("otel_span_kind", pa.int8()),
    pa.field("start_nanos", pa.int16()),
    pa.field("end_nanos", pa.int16()),
    pa.field("otel_flags", pa.uint32()),
    pa.field("otel_trace_state", pa.string()),
    pa.field("otel_dropped_attributes", pa.uint32()),
    pa.field("otel_dropped_events", pa.uint32()),
    pa.field("otel_dropped_links", pa.uint32()),
    pa.field("otlp_rest", pa.string()),
    pa.field("start_length", pa.int32()),
)
"""What makes the rows whole spans: OTLP's numbers, the nanoseconds within the microsecond, the rest, and how much of `attributes` was there
at the span's start (a start that is told so has no row of its own).
"""

WHOLE_ONLY: Final = frozenset(item.name for item in _WHOLE) - {"start_length"}
"""Those of them that no table is asked for."""

_TYPED: Final = tuple(known.field for known in typed.COLUMNS.values())
SCHEMA: Final = pa.schema([*records.SCHEMA, *_WHOLE, *_TYPED, *typed.SPARE_FIELDS])
"""The columns of every file, whatever is in it."""

FIXED: Final = pa.schema([*records.SCHEMA, *_WHOLE])

STATUS_CODES: Final = {"UNSET": 0, "OK": 1, "ERROR": 2}


@dataclass(frozen=True, slots=True)
class Index:
    """What the footer says.

    Attributes:
        spans: how many there are.
        pending: how many rows are of kind `pending_span`: spans that have not ended, and starts that no other row tells.
        begun: how many rows of other kinds tell how their span began.
        lines: how many lines the live file had; of them *skipped* could not be read.
        first_us, last_us: the earliest and the latest start of a row, Unix time in microseconds.
        traces: the trace ids; None where they are too many to list.
        keys: for each key of the attributes, the kind of its values; None where they are too many to list.
        columns: for each undocumented key that has a column of its own, that column's name.
        source_bytes, source_digest: which bytes of the live file it was made from.
    """

    spans: int
    pending: int
    begun: int
    lines: int
    skipped: int
    first_us: int
    last_us: int
    traces: tuple[str, ...] | None
    keys: dict[str, str] | None
    columns: dict[str, str]
    source_bytes: int
    source_digest: str

    def may_have(self, trace_prefix: str) -> bool:
        """Whether a trace that begins so may be in the file."""
        return self.traces is None or any(trace.startswith(trace_prefix) for trace in self.traces)

    def column_of(self, key: str) -> typed.Typed | None:
        """The column that says all that the attributes say of a key; `typed.ABSENT` where no row has it; None where only their text says it."""
        if self.keys is None:
            return None
        kind = self.keys.get(key)
        if kind is None:
            return typed.ABSENT
        known = typed.COLUMNS.get(key)
        if known is None and key in self.columns:
            known = typed.Typed(key, self.columns[key], kind)
        return known if known is not None and known.kind == kind and kind != typed.OTHER else None

    def lacks(self, column: str) -> bool:
        """Whether it has no such column, or one without values: one whose key no row has."""
        return column not in self.columns.values()

    def metadata(self) -> dict[bytes, bytes]:
        """As the footer has it."""
        return {METADATA: json.dumps({"format": FORMAT, **asdict(self)}, ensure_ascii=False, sort_keys=True).encode()}


def index(path: Path) -> Index | None:
    """What the footer of *path* says; None for a Parquet file that is no sealed recording.

    Raises:
        RecordingError: if it cannot be read, or a newer version wrote it.
    """
    try:
        status = os.stat(path)
        return _index(path, status.st_ino, status.st_size, status.st_mtime_ns)
    except (OSError, pa.ArrowException, ValueError, KeyError, TypeError) as error:
        raise RecordingError(f"The sealed recording {path} cannot be read ({error})", hint="Check that the file is whole and readable") from error


@lru_cache(maxsize=16384)
def _index(path: Path, inode: int, size: int, changed: int) -> Index | None:  # noqa: ARG001 - what changes with the file
    if layout.is_small(path):
        return _index_of_small(small.decode(path.read_bytes()))
    from pyarrow import parquet  # loads file systems of clouds, which few questions need

    metadata = parquet.read_metadata(path).metadata or {}
    text = metadata.get(METADATA)
    if text is None:
        return None
    found = index_of(text)
    if found is None:
        raise RecordingError(f"The sealed recording {path} has a format that this version does not know", hint="Update massgen_tracing")
    return found


def index_of(metadata: bytes) -> Index | None:
    """What `Index.metadata` has made; None where it is of a format that this version does not know."""
    said = json.loads(metadata)
    if said.pop("format") != FORMAT:
        return None
    traces = said.pop("traces")
    return Index(traces=None if traces is None else tuple(traces), **said)


def _index_of_small(said: Small) -> Index:
    columns = said.columns
    starts = columns["start_timestamp"]
    kinds = columns["kind"]
    return Index(
        spans=len(set(columns["span_id"])),
        pending=kinds.count(records.PENDING),
        begun=sum(length is not None for length in columns["start_length"]),
        lines=said.lines,
        skipped=0,
        first_us=min(starts),
        last_us=max(starts),
        traces=tuple(sorted(set(columns["trace_id"]))),
        keys=None,
        columns={},
        source_bytes=said.source_bytes,
        source_digest=said.source_digest,
    )


def rows(span: SpanRecord, start: SpanRecord | None) -> Iterator[tuple[records.Row, Attributes]]:
    """The rows of a span, of its events, and of its start where its own row does not tell that; each with what its `attributes` has.

    Args:
        span: a span.
        start: how it was at its start; None where that is not known, or the span has not ended.
    """
    told = None
    for row, shown in records.span_rows(span):
        if row["kind"] == records.SPAN_EVENT:
            yield row | _NOT_A_SPAN, shown
            continue
        row.update(_whole(span, shown))
        told = None if start is None else start_length(start, row)
        yield row | {"start_length": told}, shown
    if start is not None and told is None:
        for row, shown in records.span_rows(start):
            yield row | _whole(start, shown), shown


def _whole(span: SpanRecord, shown: Attributes) -> records.Row:
    return {
        "otel_span_kind": span.kind,
        "start_nanos": span.start_ns % 1000,
        "end_nanos": None if span.end_ns is None else span.end_ns % 1000,
        "otel_flags": span.flags,
        "otel_trace_state": span.trace_state or None,
        "otel_dropped_attributes": span.dropped_attributes,
        "otel_dropped_events": span.dropped_events,
        "otel_dropped_links": span.dropped_links,
        "otlp_rest": rest.of(span, shown),
        "start_length": None,
    }


_NOT_A_SPAN: Final[records.Row] = dict.fromkeys([item.name for item in _WHOLE])


# --- how spans began ---------------------------------------------------------------------------------------------------------------

BEGUN: Final[records.Row] = {
    "duration": None,
    "end_nanos": None,
    "end_timestamp": None,
    "exception_message": None,
    "exception_stacktrace": None,
    "exception_type": None,
    "is_exception": False,
    "kind": records.PENDING,
    "otel_dropped_attributes": 0,
    "otel_dropped_events": 0,
    "otel_dropped_links": 0,
    "otel_events": "[]",
    "otel_flags": 0,
    "otel_status_code": "UNSET",
    "otel_status_message": None,
    "otlp_rest": None,
    "start_length": None,
}
"""What a span's row says at its start, whatever it says at the end; `attributes` has then the beginning of what it has at the end, and only an
HTTP status says another level than info.
"""


def begun(span: SpanRecord, count: int) -> SpanRecord:
    """How a span was when it had its first *count* attributes, if nothing else of it has changed since."""
    return SpanRecord(
        trace_id=span.trace_id,
        span_id=span.span_id,
        parent_span_id=span.parent_span_id,
        name=span.name,
        start_ns=span.start_ns,
        end_ns=None,
        kind=span.kind,
        attributes=dict(itertools.islice(span.attributes.items(), count)) or EMPTY,
        links=span.links,
        trace_state=span.trace_state,
        resource=span.resource,
        scope=span.scope,
    )


def start_length(start: SpanRecord, row: records.Row) -> int | None:
    """How many characters of a row's `attributes` the span had at its start, without the closing bracket; None where the row does not tell it."""
    ((begin, shown),) = records.span_rows(start)
    text: str = begin["attributes"]
    whole: str = row["attributes"]
    if not (whole == text or (whole.startswith(text[:-1]) and (text == "{}" or whole[len(text) - 1] == ","))):
        return None
    told = row | BEGUN | {"attributes": text, "created_at": row["start_timestamp"]}
    if row["otel_status_code"] == "ERROR" and row["http_response_status_code"] is None:
        told["level"] = semconv.LEVELS["info"]
    # Of the rest, only events are sure to have come later.
    exact = row["otlp_rest"] is None or json.loads(row["otlp_rest"]).keys() <= {"events"}
    return len(text) - 1 if exact and begin | _whole(start, shown) == told else None


BEGUN_SQL: Final[dict[str, str]] = {
    "attributes": "substr(attributes, 1, start_length) || '}'",
    "created_at": "start_timestamp",
    "level": f"CASE WHEN otel_status_code = 'ERROR' AND http_response_status_code IS NULL THEN {semconv.LEVELS['info']} ELSE level END",
}
"""The same for the engine: what else than `BEGUN` is not as at the end."""


WHOLE: Final = [
    *("trace_id", "span_id", "parent_span_id", "span_name", "kind", "start_timestamp", "end_timestamp", "attributes", "otel_events", "otel_links"),
    *("otel_status_code", "otel_status_message", "otel_resource_attributes", "otel_scope_name", "otel_scope_version", "otel_scope_attributes"),
    *(item.name for item in _WHOLE),
]
"""The columns that spans are made of again; those of events are in their spans' rows."""


def spans(path: Path, trace_prefix: str = "") -> Iterator[SpanRecord]:
    """The spans as the live file had them, and before it, without an end, how a span was at its start; only of traces that begin so.

    Raises:
        RecordingError: if the file cannot be read.
    """
    try:
        if layout.is_small(path):
            yield from _rebuilt(small.decode(path.read_bytes()).rows(), trace_prefix)
            return
        from pyarrow import parquet

        file = parquet.ParquetFile(path, pre_buffer=False)
        for number in range(file.num_row_groups):
            if trace_prefix and not _may_have(file.metadata.row_group(number), trace_prefix):
                continue
            yield from _rebuilt(plain(file.read_row_group(number, columns=WHOLE, use_threads=False)).to_pylist(), trace_prefix)
    except (OSError, pa.ArrowException, ValueError) as error:
        raise RecordingError(f"The sealed recording {path} cannot be read ({error})", hint="Check that the file is whole and readable") from error


def plain(table: pa.Table) -> pa.Table:
    """A table with its times as whole numbers of microseconds."""
    for number, item in enumerate(table.schema):
        if pa.types.is_timestamp(item.type):
            table = table.set_column(number, item.name, table.column(number).cast(pa.int64()))
    return table


def _may_have(group: Any, trace_prefix: str) -> bool:
    """Whether a row group's smallest and largest trace id leave room for the prefix."""
    for number in range(group.num_columns):
        column = group.column(number)
        if column.path_in_schema == "trace_id" and column.is_stats_set and column.statistics.has_min_max:
            length = len(trace_prefix)
            return bool(column.statistics.min[:length] <= trace_prefix <= column.statistics.max[:length])
    return True


def _rebuilt(rows: Iterable[dict[str, Any]], trace_prefix: str) -> Iterator[SpanRecord]:
    homes: dict[tuple[Any, ...], tuple[Resource, Scope]] = {}
    for row in rows:
        if row["kind"] == records.SPAN_EVENT or not row["trace_id"].startswith(trace_prefix):
            continue
        more = {} if row["otlp_rest"] is None else json.loads(row["otlp_rest"])
        in_resource, in_scope = more.get("resource", []), more.get("scope", [])
        home = (
            row["otel_resource_attributes"],
            row["otel_scope_name"],
            row["otel_scope_version"],
            row["otel_scope_attributes"],
            repr((in_resource, in_scope)),
        )
        if home not in homes:
            homes[home] = rest.resource(home[0], in_resource), rest.scope(*home[1:4], in_scope)
        ended = row["end_timestamp"] is not None
        span = SpanRecord(
            trace_id=row["trace_id"],
            span_id=row["span_id"],
            parent_span_id=row["parent_span_id"] or "",
            name=row["span_name"],
            start_ns=row["start_timestamp"] * 1000 + row["start_nanos"],
            end_ns=row["end_timestamp"] * 1000 + row["end_nanos"] if ended else None,
            kind=row["otel_span_kind"],
            attributes=rest.attributes(row["attributes"], more.get("attributes", [])),
            events=rest.events(row["otel_events"], more.get("events", [])),
            links=rest.links(row["otel_links"], more.get("links", [])),
            status_code=STATUS_CODES[row["otel_status_code"]],
            status_message=row["otel_status_message"] or "",
            trace_state=row["otel_trace_state"] or "",
            flags=row["otel_flags"],
            dropped_attributes=row["otel_dropped_attributes"],
            dropped_events=row["otel_dropped_events"],
            dropped_links=row["otel_dropped_links"],
            resource=homes[home][0],
            scope=homes[home][1],
            state="ended" if ended else "interrupted",
        )
        if row["start_length"] is not None:
            had = rest.attributes(row["attributes"][: row["start_length"]] + "}", [])
            yield replace(begun(span, 0), attributes=had)
        yield span

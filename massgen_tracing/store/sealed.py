"""A sealed recording: one Parquet file whose rows are those of `records_all`, and which gives every span back as it was.

Beside the columns of `records_all` it has typed columns for documented attributes, and what else a span needs to be whole. The footer says
what a query wants to know before it reads anything: time span, traces, which keys the attributes have and of what kind.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from pyarrow import parquet

from massgen_tracing.errors import RecordingError
from massgen_tracing.model import Resource, Scope, SpanRecord
from massgen_tracing.store import records, rest, typed

FORMAT: Final = 1
_METADATA: Final = b"massgen_tracing"
_MAX_TRACES: Final = 4096
_MAX_KEYS: Final = 4096

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
)
"""What makes the rows whole spans: OTLP's numbers, the nanoseconds within the microsecond, and the rest."""

_TYPED: Final = tuple(known.field for known in typed.COLUMNS.values())
SCHEMA: Final = pa.schema([*records.SCHEMA, *_WHOLE, *_TYPED])
_FIXED: Final = pa.schema([*records.SCHEMA, *_WHOLE])

_STATUS_CODES: Final = {"UNSET": 0, "OK": 1, "ERROR": 2}


@dataclass(frozen=True, slots=True)
class Index:
    """What the footer says.

    Attributes:
        spans: how many there are.
        lines: how many lines the live file had; of them *skipped* could not be read.
        first_us, last_us: the earliest and the latest start of a row, Unix time in microseconds.
        traces: the trace ids; None where they are too many to list.
        keys: for each key of the attributes, the kind of its values; None where they are too many to list.
        source_bytes, source_digest: which bytes of the live file it was made from.
    """

    spans: int
    lines: int
    skipped: int
    first_us: int
    last_us: int
    traces: tuple[str, ...] | None
    keys: dict[str, str] | None
    source_bytes: int
    source_digest: str

    def may_have(self, trace_prefix: str) -> bool:
        """Whether a trace that begins so may be in the file."""
        return self.traces is None or any(trace.startswith(trace_prefix) for trace in self.traces)

    def metadata(self) -> dict[bytes, bytes]:
        """As the footer has it."""
        return {_METADATA: json.dumps({"format": FORMAT, **asdict(self)}, ensure_ascii=False, sort_keys=True).encode()}


def index(path: Path) -> Index | None:
    """What the footer of *path* says; None for a Parquet file that is no sealed recording.

    Raises:
        RecordingError: if it cannot be read, or a newer version wrote it.
    """
    try:
        status = path.stat()
        return _index(path, status.st_ino, status.st_size, status.st_mtime_ns)
    except (OSError, pa.ArrowException, ValueError, KeyError, TypeError) as error:
        raise RecordingError(f"The sealed recording {path} cannot be read ({error})", hint="Check that the file is whole and readable") from error


@lru_cache(maxsize=16384)
def _index(path: Path, inode: int, size: int, changed: int) -> Index | None:  # noqa: ARG001 - what changes with the file
    metadata = parquet.read_metadata(path).metadata or {}
    text = metadata.get(_METADATA)
    if text is None:
        return None
    said = json.loads(text)
    if said.pop("format") != FORMAT:
        raise RecordingError(f"The sealed recording {path} has a format that this version does not know", hint="Update massgen_tracing")
    traces = said.pop("traces")
    return Index(traces=None if traces is None else tuple(traces), **said)


@dataclass(slots=True)
class Inventory:
    """Gathers what an `Index` says, row by row."""

    spans: int = 0
    first_us: int = 2**63 - 1
    last_us: int = 0
    traces: set[str] | None = field(default_factory=set)
    keys: dict[str, str] | None = field(default_factory=dict)

    def table(self, spans: Iterable[SpanRecord]) -> pa.Table:
        """The rows of some spans, with a column for every documented key."""
        rows: list[records.Row] = []
        values: dict[str, list[tuple[int, Any]]] = {}
        for span in spans:
            self.spans += 1
            if self.traces is not None:
                self.traces.add(span.trace_id)
            for row, shown in records.span_rows(span):
                row.update(_NOT_A_SPAN if row["kind"] == records.SPAN_EVENT else _whole(span, shown))
                start = row["start_timestamp"]
                self.first_us, self.last_us = min(self.first_us, start), max(self.last_us, start)
                for key, value in shown.items():
                    if self._kind(key, value) and key in typed.COLUMNS:
                        values.setdefault(key, []).append((len(rows), value))
                rows.append(row)
        if self.traces is not None and len(self.traces) > _MAX_TRACES:
            self.traces = None
        fixed = records.to_table(rows, _FIXED)
        columns = [_column(len(rows), values.get(key, ()), known.field.type) for key, known in typed.COLUMNS.items()]
        return pa.table([*fixed.columns, *columns], schema=SCHEMA)

    def _kind(self, key: str, value: Any) -> bool:
        """Note the kind of a value; whether the column of its key can hold it."""
        kind = typed.kind_of(value)
        if self.keys is not None and self.keys.get(key) != kind:
            self.keys[key] = kind if key not in self.keys else typed.OTHER
            if len(self.keys) > _MAX_KEYS:
                self.keys = None
        known = typed.COLUMNS.get(key)
        return known is not None and known.kind == kind

    def index(self, *, lines: int, skipped: int, source_bytes: int, source_digest: str) -> Index:
        """All that was gathered."""
        traces = None if self.traces is None else tuple(sorted(self.traces))
        return Index(self.spans, lines, skipped, self.first_us, self.last_us, traces, self.keys, source_bytes, source_digest)


def _column(length: int, values: Iterable[tuple[int, Any]], kind: pa.DataType) -> pa.Array:
    """A column that has values in a few places."""
    column: list[Any] = [None] * length
    for place, value in values:
        column[place] = value
    return pa.array(column, kind)


def _whole(span: SpanRecord, shown: Any) -> records.Row:
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
    }


_NOT_A_SPAN: Final[records.Row] = dict.fromkeys([item.name for item in _WHOLE])

_READ: Final = [
    *("trace_id", "span_id", "parent_span_id", "span_name", "kind", "start_timestamp", "end_timestamp", "attributes", "otel_events", "otel_links"),
    *("otel_status_code", "otel_status_message", "otel_resource_attributes", "otel_scope_name", "otel_scope_version", "otel_scope_attributes"),
    *(item.name for item in _WHOLE),
]


def spans(path: Path, trace_prefix: str = "") -> Iterator[SpanRecord]:
    """The spans as the live file had them; only those of traces that begin with *trace_prefix*.

    Raises:
        RecordingError: if the file cannot be read.
    """
    try:
        file = parquet.ParquetFile(path, pre_buffer=False)
        for number in range(file.num_row_groups):
            if trace_prefix and not _may_have(file.metadata.row_group(number), trace_prefix):
                continue
            table = file.read_row_group(number, columns=_READ, use_threads=False)
            for name in ("start_timestamp", "end_timestamp"):
                at = table.schema.get_field_index(name)
                table = table.set_column(at, name, table.column(at).cast(pa.int64()))
            yield from _rebuilt(table, trace_prefix)
    except (OSError, pa.ArrowException) as error:
        raise RecordingError(f"The sealed recording {path} cannot be read ({error})", hint="Check that the file is whole and readable") from error


def _may_have(group: Any, trace_prefix: str) -> bool:
    """Whether a row group's smallest and largest trace id leave room for the prefix."""
    for number in range(group.num_columns):
        column = group.column(number)
        if column.path_in_schema == "trace_id" and column.is_stats_set and column.statistics.has_min_max:
            length = len(trace_prefix)
            return bool(column.statistics.min[:length] <= trace_prefix <= column.statistics.max[:length])
    return True


def _rebuilt(table: pa.Table, trace_prefix: str) -> Iterator[SpanRecord]:
    homes: dict[tuple[Any, ...], tuple[Resource, Scope]] = {}
    for row in table.to_pylist():
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
        yield SpanRecord(
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
            status_code=_STATUS_CODES[row["otel_status_code"]],
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

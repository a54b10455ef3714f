"""Answers that were saved as Parquet: rows of `records` or `records_all` back into spans and logs, as far as their columns tell."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from pyarrow import parquet

from massgen_tracing import semconv
from massgen_tracing.errors import RecordingError
from massgen_tracing.model import AttributeValue, Event, Link, LogRecord, Resource, Scope, SpanRecord
from massgen_tracing.store.reading.live import LogId
from massgen_tracing.store.sealing import rest
from massgen_tracing.store.tables import records

_NEEDED: Final = ("trace_id", "span_id", "span_name", "start_timestamp")
_TIMES: Final = ("start_timestamp", "end_timestamp")
_STATUS_CODES: Final = {"UNSET": 0, "OK": 1, "ERROR": 2}
_ROWS: Final = 4096


def rows(path: Path) -> int | None:
    """How many rows a file has that has every column of `records`, so that the engine can take it as it is; None for any other.

    Raises:
        RecordingError: if it cannot be read.
    """
    file = _opened(path)
    schema = file.schema_arrow
    is_whole = all(item.name in schema.names and schema.field(item.name).type == item.type for item in records.SCHEMA)
    return int(file.metadata.num_rows) if is_whole else None


def read(path: Path) -> Iterator[SpanRecord | tuple[LogId, LogRecord]]:
    """What its rows tell: spans, and logs with the ids of their rows.

    Raises:
        RecordingError: if it cannot be read, or its columns are others.
    """
    import pyarrow.compute as pc

    file = _opened(path)
    names = file.schema_arrow.names
    lacking = [name for name in _NEEDED if name not in names]
    if lacking:
        raise RecordingError(
            f"{path} is no recording: it is a Parquet file without the columns of records (it lacks {', '.join(lacking)})",
            expected="a sealed recording, or an answer to SELECT * FROM records, saved with --format parquet",
        )
    try:
        for batch in file.iter_batches(_ROWS, columns=[name for name in records.SCHEMA.names if name in names]):
            table = pa.Table.from_batches([batch])
            for name in set(_TIMES) & set(table.column_names):
                column = table.column(name)
                if pa.types.is_string(column.type):
                    column = pc.cast(column, records.TIME)
                at = table.schema.get_field_index(name)
                table = table.set_column(at, name, column.cast(pa.timestamp("us", getattr(column.type, "tz", None)), safe=False).cast(pa.int64()))
            for row in table.to_pylist():
                if row.get("kind") != records.SPAN_EVENT:  # its span tells of it
                    yield _record(row)
    except (pa.ArrowException, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RecordingError(f"{path} cannot be read ({error})", expected="a sealed recording, or rows of records as Parquet") from error


def _opened(path: Path) -> parquet.ParquetFile:
    try:
        return parquet.ParquetFile(path)
    except (OSError, pa.ArrowException) as error:
        raise RecordingError(f"The Parquet file {path} cannot be read ({error})", hint="Check that the file is whole and readable") from error


def _record(row: dict[str, Any]) -> SpanRecord | tuple[LogId, LogRecord]:
    attributes = dict(rest.attributes(row.get("attributes") or "{}", []))
    in_columns: dict[str, AttributeValue] = {
        semconv.LOGFIRE_LEVEL: row.get("level"),
        semconv.LOGFIRE_MSG: None if row.get("message") == row["span_name"] else row.get("message"),
        semconv.LOGFIRE_TAGS: None if row.get("tags") is None else tuple(row["tags"]),
        semconv.LOGFIRE_JSON_SCHEMA: row.get("attributes_json_schema"),
    }
    kind = row.get("kind")
    is_log = kind == semconv.SPAN_TYPE_LOG and attributes.get(semconv.LOGFIRE_SPAN_TYPE) != semconv.SPAN_TYPE_LOG
    if is_log and in_columns[semconv.LOGFIRE_MSG] == row.get("log_body"):
        in_columns[semconv.LOGFIRE_MSG] = None
    attributes |= {key: value for key, value in in_columns.items() if value is not None}
    resource = row.get("otel_resource_attributes") or json.dumps({semconv.SERVICE_NAME: row.get("service_name")})
    home: dict[str, Any] = {
        "resource": Resource(rest.attributes(resource, [])),
        "scope": Scope(
            row.get("otel_scope_name") or "", row.get("otel_scope_version") or "", rest.attributes(row.get("otel_scope_attributes") or "{}", [])
        ),
    }
    start_ns = row["start_timestamp"] * 1000
    if is_log:
        body, name = row.get("log_body"), row["span_name"]
        log = LogRecord(
            time_ns=start_ns,
            body=body,
            event_name="" if name in {body, home["scope"].name} else name,
            attributes=attributes,
            trace_id=row["trace_id"],
            span_id=row.get("parent_span_id") or "",
            **home,
        )
        return LogId(row["trace_id"], row["span_id"]), log
    end = row.get("end_timestamp")
    return SpanRecord(
        trace_id=row["trace_id"],
        span_id=row["span_id"],
        parent_span_id=row.get("parent_span_id") or "",
        name=row["span_name"],
        start_ns=start_ns,
        end_ns=None if end is None or kind == records.PENDING else end * 1000,
        kind=0,
        attributes=attributes,
        events=tuple(_event(event) for event in json.loads(row.get("otel_events") or "[]")),
        links=tuple(_link(link) for link in json.loads(row.get("otel_links") or "[]")),
        status_code=_STATUS_CODES.get(row.get("otel_status_code") or "", 0),
        status_message=row.get("otel_status_message") or "",
        state="interrupted" if end is None else "ended",
        **home,
    )


def _event(said: dict[str, Any]) -> Event:
    moment = datetime.fromisoformat(said["event_timestamp"])
    microseconds = int(moment.replace(microsecond=0).timestamp()) * 1_000_000 + moment.microsecond
    return Event(said["event_name"], microseconds * 1000, rest.attributes(json.dumps(said["attributes"]), []))


def _link(said: dict[str, Any]) -> Link:
    return Link(said["trace_id"], said["span_id"], said["trace_state"], rest.attributes(json.dumps(said["attributes"]), []))

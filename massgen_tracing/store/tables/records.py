"""Span records as rows of Logfire's `records_all`: its columns, their types, and how each is derived from a span.

`records` is the same table without pending spans. A span that has ended gives its row and, where its start was recorded, the pending
row that Logfire keeps beside it; one that has not ended gives only the pending row, whose `end_timestamp` and `duration` are NULL.
OpenTelemetry's own log records are rows too, of kind `log`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from massgen_tracing import semconv
from massgen_tracing.model import Attributes, Event, Link, LogRecord, Resource, Scope, SpanRecord
from massgen_tracing.store.reading.recording import Recording
from massgen_tracing.store.tables import jsontext, schemas

if TYPE_CHECKING:
    from massgen_tracing.store.reading.live import LogId

TABLE: Final = "records"
TABLE_ALL: Final = "records_all"

JSON_TEXTS: Final = ("attributes", "attributes_json_schema", "otel_events", "otel_links", "otel_resource_attributes", "otel_scope_attributes")
"""Columns that hold JSON as text, as Logfire's do."""
PENDING: Final = semconv.SPAN_TYPE_PENDING
SPAN_EVENT: Final = "span_event"

TIME: Final = pa.timestamp("us", "UTC")

SCHEMA: Final = pa.schema(
    [
        pa.field("attributes", pa.string()),
        pa.field("attributes_json_schema", pa.string()),
        pa.field("created_at", TIME, nullable=False),
        pa.field("day", pa.date32(), nullable=False),
        pa.field("deployment_environment", pa.string()),
        pa.field("duration", pa.float64()),
        pa.field("end_timestamp", TIME),
        pa.field("exception_message", pa.string()),
        pa.field("exception_stacktrace", pa.string()),
        pa.field("exception_type", pa.string()),
        pa.field("http_method", pa.string()),
        pa.field("http_response_status_code", pa.int32()),
        pa.field("http_route", pa.string()),
        pa.field("is_exception", pa.bool_()),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("level", pa.int32(), nullable=False),
        pa.field("log_body", pa.string()),
        pa.field("message", pa.string(), nullable=False),
        pa.field("otel_events", pa.string()),
        pa.field("otel_links", pa.string()),
        pa.field("otel_resource_attributes", pa.string()),
        pa.field("otel_scope_attributes", pa.string()),
        pa.field("otel_scope_name", pa.string()),
        pa.field("otel_scope_version", pa.string()),
        pa.field("otel_status_code", pa.string()),
        pa.field("otel_status_message", pa.string()),
        pa.field("parent_span_id", pa.string()),
        pa.field("process_pid", pa.int32()),
        pa.field("project_id", pa.string(), nullable=False),
        pa.field("service_instance_id", pa.string()),
        pa.field("service_name", pa.string(), nullable=False),
        pa.field("service_namespace", pa.string()),
        pa.field("service_version", pa.string()),
        pa.field("span_id", pa.string(), nullable=False),
        pa.field("span_name", pa.string(), nullable=False),
        pa.field("start_timestamp", TIME, nullable=False),
        pa.field("tags", pa.list_(pa.string())),
        pa.field("telemetry_sdk_language", pa.string()),
        pa.field("telemetry_sdk_name", pa.string()),
        pa.field("telemetry_sdk_version", pa.string()),
        pa.field("trace_id", pa.string(), nullable=False),
        pa.field("url_full", pa.string()),
        pa.field("url_path", pa.string()),
        pa.field("url_query", pa.string()),
    ]
)
"""Logfire's columns, in its order (by name)."""

PROJECT: Final = "local"
"""Logfire says here which of its projects a row belongs to."""

_UNKNOWN_SERVICE: Final = "unknown_service"
STATUS_NAMES: Final = {0: "UNSET", 1: "OK", 2: "ERROR"}
_OTHER_NAMES: Final = {"warning": "warn", "err": "error", "critical": "fatal"}
"""Names of severities that other languages' loggers give, and Logfire's."""

_SERVER: Final = 2
_CLIENT: Final = 3
TAKEN_OUT: Final = frozenset({semconv.LOGFIRE_MSG, semconv.LOGFIRE_TAGS, semconv.LOGFIRE_LEVEL, semconv.LOGFIRE_JSON_SCHEMA})
"""Attributes that have a column of their own and are not repeated in `attributes`."""

HTTP_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "http_method": (semconv.HTTP_METHOD,),
    "http_response_status_code": (semconv.HTTP_STATUS, semconv.HTTP_STATUS_OLD),
    "http_route": (semconv.HTTP_ROUTE,),
    "url_full": (semconv.URL_FULL, semconv.HTTP_URL),
    "url_path": (semconv.URL_PATH,),
    "url_query": (semconv.URL_QUERY,),
}
"""Columns that say what attributes of HTTP say, and which: the first that there is."""

HTTP: Final = frozenset(key for keys in HTTP_COLUMNS.values() for key in keys)
HTTP_STATUS: Final = "http_response_status_code"
_DAY_US: Final = 86_400_000_000
_SPREAD: Final = 0x9E3779B97F4A7C15
"""Sets the ids of a span's events far apart from those of spans, which may be counted up (2**64 by the golden ratio, odd)."""

_MAX_HOMES: Final = 256

Row = dict[str, Any]

_NO_EXCEPTION: Final[Row] = dict.fromkeys(("exception_message", "exception_stacktrace", "exception_type"))
NO_HTTP: Final[Row] = dict.fromkeys(HTTP_COLUMNS)


def table(recording: Recording, *, starts: bool = True, min_us: int | None = None, max_us: int | None = None) -> pa.Table:
    """All rows of `records_all`.

    Args:
        recording: what the reader gave.
        starts: with the pending rows of spans that have ended, which `records` does not have.
        min_us: keep only rows that start at or after this Unix time in microseconds.
        max_us: keep only rows that start at or before this one.
    """
    kept = [
        row
        for row in rows(recording, starts=starts)
        if (min_us is None or row["start_timestamp"] >= min_us) and (max_us is None or row["start_timestamp"] <= max_us)
    ]
    return to_table(kept, SCHEMA)


def to_table(kept: list[Row], schema: pa.Schema) -> pa.Table:
    """Rows that have every column of *schema* as a table."""
    values = itemgetter(*schema.names)
    columns = list(zip(*map(values, kept), strict=True)) or [()] * len(schema)
    return pa.table([pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)], schema=schema)


def rows(recording: Recording, *, starts: bool = True) -> Iterator[Row]:
    """Every row; times are Unix microseconds."""
    for start in recording.starts if starts else ():
        yield _span_row(start, _shown(start.attributes))
    for span in recording.spans:
        for row, _ in span_rows(span):
            yield row
    for ids, log in recording.logs.items():
        yield log_row(ids, log)


def span_rows(span: SpanRecord) -> Iterator[tuple[Row, Attributes]]:
    """The span's row and those of its events, each with what its `attributes` has."""
    shown = _shown(span.attributes)
    row = _span_row(span, shown)
    yield row, shown
    if span.events and span.end_ns is not None:
        yield from _event_rows(span, row)


def _shown(attributes: Attributes) -> Attributes:
    if TAKEN_OUT.isdisjoint(attributes):
        return attributes
    said = schemas.decoded(attributes, attributes.get(semconv.LOGFIRE_JSON_SCHEMA))
    return {key: value for key, value in said.items() if key not in TAKEN_OUT}


def _span_row(span: SpanRecord, shown: Attributes) -> Row:
    attributes = span.attributes
    start = span.start_ns // 1000
    end = None if span.end_ns is None else span.end_ns // 1000
    kind = _kind(span)
    exception = next((event for event in span.events if event.name == semconv.EXCEPTION_EVENT), None) if span.events else None
    http = NO_HTTP if HTTP.isdisjoint(attributes) else http_columns(attributes)
    return {
        **home_columns(span.resource, span.scope),
        **http,
        "attributes": jsontext.dumps(shown),
        "attributes_json_schema": text(attributes.get(semconv.LOGFIRE_JSON_SCHEMA)),
        "created_at": start if end is None else end,
        "day": day(start),
        "duration": None if end is None or kind == semconv.SPAN_TYPE_LOG else (end - start) / 1e6,
        "end_timestamp": end,
        "is_exception": exception is not None,
        **(_NO_EXCEPTION if exception is None else _exception_columns(exception.attributes)),
        "kind": kind,
        "level": level(_integer(attributes.get(semconv.LOGFIRE_LEVEL)), span.status_code, span.kind, http[HTTP_STATUS]),
        "log_body": None,
        "message": text(attributes.get(semconv.LOGFIRE_MSG)) or span.name,
        "otel_events": events_text(span.events),
        "otel_links": jsontext.dumps([_link_json(link) for link in span.links]) if span.links else "[]",
        "otel_status_code": STATUS_NAMES[span.status_code],
        "otel_status_message": span.status_message or None,
        "parent_span_id": span.parent_span_id or None,
        "project_id": PROJECT,
        "span_id": span.span_id,
        "span_name": span.name,
        "start_timestamp": start,
        "tags": _tags(attributes.get(semconv.LOGFIRE_TAGS)),
        "trace_id": span.trace_id,
    }


def _event_rows(span: SpanRecord, row: Row) -> Iterator[tuple[Row, Attributes]]:
    """Rows of the span's events, which Logfire copies unless they are exceptions; each is a child of its span.

    Columns that say what an attribute says are the event's own: a request that had three events has answered once.
    """
    for number, event in enumerate(span.events):
        if event.name == semconv.EXCEPTION_EVENT:
            continue
        time = event.time_ns // 1000
        stated = _integer(event.attributes.get(semconv.LOGFIRE_LEVEL))
        shown = _shown(event.attributes)
        own = {
            **(NO_HTTP if HTTP.isdisjoint(event.attributes) else http_columns(event.attributes)),
            "attributes": jsontext.dumps(shown),
            "attributes_json_schema": text(event.attributes.get(semconv.LOGFIRE_JSON_SCHEMA)),
            "created_at": time,
            "day": day(time),
            "duration": None,
            "end_timestamp": time,
            "is_exception": False,
            **_NO_EXCEPTION,
            "kind": SPAN_EVENT,
            "level": semconv.LEVELS["info"] if stated is None else stated,
            "message": text(event.attributes.get(semconv.LOGFIRE_MSG)) or event.name,
            "otel_events": "[]",
            "otel_links": "[]",
            "otel_status_code": STATUS_NAMES[0],
            "otel_status_message": None,
            "parent_span_id": span.span_id,
            "span_id": event_id(span.span_id, number),
            "span_name": event.name,
            "start_timestamp": time,
            "tags": _tags(event.attributes.get(semconv.LOGFIRE_TAGS)),
        }
        yield row | own, shown


def event_id(span_id: str, number: int) -> str:
    """The id of the row of a span's event, by its place among the span's events."""
    return f"{int(span_id, 16) ^ (number + 1) * _SPREAD % 2**64:016x}"


def log_row(ids: LogId, log: LogRecord) -> Row:
    """The row of a log record: a child of the span that it was written in, or a trace of its own; it says of its end what it says of its start."""
    attributes = log.attributes
    time = log.time_ns // 1000
    body = text(log.body)
    http = NO_HTTP if HTTP.isdisjoint(attributes) else http_columns(attributes)
    # OpenTelemetry's logs have their exception in attributes, for they have no events.
    is_exception = semconv.EXCEPTION_TYPE in attributes or semconv.EXCEPTION_MESSAGE in attributes
    name = log.event_name or (log.body if isinstance(log.body, str) else "")
    return {
        **home_columns(log.resource, log.scope),
        **http,
        "attributes": jsontext.dumps(_shown(attributes)),
        "attributes_json_schema": text(attributes.get(semconv.LOGFIRE_JSON_SCHEMA)),
        "created_at": time,
        "day": day(time),
        "duration": None,
        "end_timestamp": time,
        "is_exception": is_exception,
        **(_exception_columns(attributes) if is_exception else _NO_EXCEPTION),
        "kind": semconv.SPAN_TYPE_LOG,
        "level": _log_level(log),
        "log_body": body,
        "message": text(attributes.get(semconv.LOGFIRE_MSG)) or body or log.event_name,
        "otel_events": "[]",
        "otel_links": "[]",
        "otel_status_code": STATUS_NAMES[0],
        "otel_status_message": None,
        "parent_span_id": log.span_id or None,
        "project_id": PROJECT,
        "span_id": ids.span_id,
        "span_name": name or log.scope.name,
        "start_timestamp": time,
        "tags": _tags(attributes.get(semconv.LOGFIRE_TAGS)),
        "trace_id": ids.trace_id,
    }


def _log_level(log: LogRecord) -> int:
    """What Logfire's own attribute says, else the severity, else what the writer's name for it says, else `info`."""
    stated = _integer(log.attributes.get(semconv.LOGFIRE_LEVEL))
    if stated is not None:
        return stated
    named = log.severity_text.strip().lower()
    return log.severity or semconv.LEVELS.get(_OTHER_NAMES.get(named, named), semconv.LEVELS["info"])


def _kind(span: SpanRecord) -> str:
    if span.end_ns is None:
        return PENDING
    stated = span.attributes.get(semconv.LOGFIRE_SPAN_TYPE)
    return semconv.SPAN_TYPE_LOG if stated == semconv.SPAN_TYPE_LOG else semconv.SPAN_TYPE_SPAN


def level(stated: int | None, status_code: int, kind: int, http_status: int | None) -> int:
    """A span's level: what it states itself, else what its status and its kind's HTTP status say, else `info`."""
    if stated is not None:
        return stated
    if status_code == 2:
        return semconv.LEVELS["error"]
    if http_status is not None and kind == _SERVER:
        return semconv.LEVELS["error" if http_status >= 500 else "warn" if http_status >= 400 else "info"]
    if http_status is not None and kind == _CLIENT and http_status >= 400:
        return semconv.LEVELS["error"]
    return semconv.LEVELS["info"]


EXCEPTION: Final = {
    "exception_type": semconv.EXCEPTION_TYPE,
    "exception_message": semconv.EXCEPTION_MESSAGE,
    "exception_stacktrace": semconv.EXCEPTION_STACKTRACE,
}
"""The columns that say which exception there was, and the keys of its attributes that they are."""


def _exception_columns(attributes: Attributes) -> Row:
    return {column: text(attributes.get(key)) for column, key in EXCEPTION.items()}


def http_columns(attributes: Attributes) -> Row:
    """The columns that say what attributes of HTTP say."""
    return {column: http_column(column, attributes) for column in HTTP_COLUMNS}


def http_column(column: str, attributes: Attributes) -> Any:
    """What one of these columns says."""
    for key in HTTP_COLUMNS[column]:
        value = attributes.get(key)
        if value is not None:
            return _integer(value) if column == HTTP_STATUS else text(value)
    return None


_homes: dict[tuple[int, int], tuple[Resource, Scope, Row]] = {}


def home_columns(resource: Resource, scope: Scope) -> Row:
    """Columns that come from resource and scope; by identity, for the reader makes equal ones one object."""
    key = id(resource), id(scope)
    known = _homes.get(key)
    if known is None:
        if len(_homes) >= _MAX_HOMES:
            _homes.clear()
        row = {
            **_resource_columns(jsontext.dumps(resource.attributes)),
            "otel_scope_attributes": jsontext.dumps(scope.attributes),
            "otel_scope_name": scope.name or None,
            "otel_scope_version": scope.version or None,
        }
        # Both are kept with their ids, so that no other object gets one of them meanwhile.
        known = _homes[key] = resource, scope, row
    return known[2]


@lru_cache(maxsize=256)
def _resource_columns(said: str) -> Row:
    """Columns that come from the resource; *said* is its attributes as JSON, of which there are few."""
    attributes = json.loads(said)
    return {
        "deployment_environment": text(_first(attributes, semconv.DEPLOYMENT_ENVIRONMENT, semconv.DEPLOYMENT_ENVIRONMENT_OLD)),
        "otel_resource_attributes": said,
        "process_pid": _integer(attributes.get(semconv.PROCESS_PID)),
        "service_instance_id": text(attributes.get(semconv.SERVICE_INSTANCE_ID)),
        "service_name": text(attributes.get(semconv.SERVICE_NAME)) or _UNKNOWN_SERVICE,
        "service_namespace": text(attributes.get(semconv.SERVICE_NAMESPACE)),
        "service_version": text(attributes.get(semconv.SERVICE_VERSION)),
        "telemetry_sdk_language": text(attributes.get(semconv.SDK_LANGUAGE)),
        "telemetry_sdk_name": text(attributes.get(semconv.SDK_NAME)),
        "telemetry_sdk_version": text(attributes.get(semconv.SDK_VERSION)),
    }


def events_text(events: Sequence[Event]) -> str:
    """What the column of a span's events says."""
    return jsontext.dumps([_event_json(event) for event in events]) if events else "[]"


def _event_json(event: Event) -> dict[str, Any]:
    return {"event_name": event.name, "event_timestamp": stamp(event.time_ns), "attributes": event.attributes}


def stamp(time_ns: int) -> str:
    """Unix time in nanoseconds as ISO 8601 UTC with microseconds."""
    seconds, rest = divmod(time_ns, 10**9)
    return f"{_second(seconds)}.{rest // 1000:06}Z"


@lru_cache(maxsize=1024)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().removesuffix("+00:00")


def day(time_us: int) -> int:
    """The day of a Unix time in microseconds, as Arrow counts days."""
    return time_us // _DAY_US


def _link_json(link: Link) -> dict[str, Any]:
    return {"trace_id": link.trace_id, "span_id": link.span_id, "trace_state": link.trace_state, "attributes": link.attributes}


def _first(attributes: Mapping[str, Any] | Attributes, *keys: str) -> Any:
    return next((attributes[key] for key in keys if attributes.get(key) is not None), None)


def text(value: object) -> str | None:
    """Text as it is, other scalars as JSON has them; None stays None."""
    if value is None or isinstance(value, str):
        return value
    return jsontext.dumps(value)


def _integer(value: object) -> int | None:
    """A number that fits the column, also where it was written as text."""
    if isinstance(value, bool):
        return None
    try:
        number = int(value) if isinstance(value, int | str) else None
    except ValueError:
        return None
    return number if number is not None and -(2**31) <= number < 2**31 else None


def _tags(value: object) -> list[str] | None:
    if isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping):
        return [item for item in value if isinstance(item, str)]
    return None

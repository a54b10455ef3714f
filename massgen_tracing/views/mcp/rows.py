"""Rows of Logfire's `records_all` as the spans that they were made of: what is computed of a recording is computed of them too."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from massgen_tracing import semconv
from massgen_tracing.model import EMPTY, Event, Link, Resource, Scope, SpanRecord

COLUMNS: Final = (
    "trace_id, span_id, parent_span_id, kind, span_name, message, start_timestamp, end_timestamp, attributes, otel_events, otel_links,"
    " otel_status_code, otel_status_message, otel_resource_attributes, otel_scope_name, otel_scope_version"
)
"""What is needed of a row."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_STATUS: Final = {"OK": 1, "ERROR": 2}


def spans(rows: Iterable[Mapping[str, Any]]) -> list[SpanRecord]:
    """The spans; one of which only the start is there has not ended, as far as anybody knows."""
    found: dict[tuple[str, str], SpanRecord] = {}
    for row in rows:
        span = _span(row)
        if span.state == "ended" or span.key not in found:
            found[span.key] = span
    return list(found.values())


def _span(row: Mapping[str, Any]) -> SpanRecord:
    is_open = row["kind"] == semconv.SPAN_TYPE_PENDING
    start_ns = _ns(row["start_timestamp"])
    return SpanRecord(
        trace_id=row["trace_id"],
        span_id=row["span_id"],
        parent_span_id=row["parent_span_id"] or "",
        name=row["span_name"],
        start_ns=start_ns,
        end_ns=None if is_open else _ns(row["end_timestamp"]),
        # The table has the message as a column of its own.
        attributes={**_mapping(row["attributes"]), semconv.LOGFIRE_MSG: row["message"]},
        events=tuple(_event(each, start_ns) for each in _list(row["otel_events"])),
        links=tuple(_link(each) for each in _list(row["otel_links"])),
        status_code=_STATUS.get(str(row["otel_status_code"]).upper(), 0),
        status_message=row["otel_status_message"] or "",
        resource=Resource(_mapping(row["otel_resource_attributes"])),
        scope=Scope(row["otel_scope_name"] or "", row["otel_scope_version"] or ""),
        state="open" if is_open else "ended",
    )


def _event(said: Mapping[str, Any], start_ns: int) -> Event:
    time = said.get("event_timestamp")
    return Event(str(said.get("event_name", "")), _ns(time) if isinstance(time, str) else start_ns, _mapping(said.get("attributes")))


def _link(said: Mapping[str, Any]) -> Link:
    context = said.get("context")
    ids = context if isinstance(context, Mapping) else said
    return Link(str(ids.get("trace_id", "")), str(ids.get("span_id", "")), attributes=_mapping(said.get("attributes")))


def _mapping(said: Any) -> Mapping[str, Any]:
    """A JSON object, whether it comes as one or as its text."""
    found = json.loads(said) if isinstance(said, str) else said
    return found if isinstance(found, Mapping) else EMPTY


def _list(said: Any) -> list[Mapping[str, Any]]:
    found = json.loads(said) if isinstance(said, str) else said
    return [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []


def _ns(moment: str) -> int:
    """An ISO 8601 time as Unix nanoseconds; whole microseconds, which is what the table has."""
    parsed = datetime.fromisoformat(moment)
    parsed = parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)
    return (parsed - _EPOCH) // timedelta(microseconds=1) * 1_000

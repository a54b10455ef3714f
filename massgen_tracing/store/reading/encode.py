"""Spans and log records as OTLP/JSON: the way back from a recording to what other programs read."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from typing import Any

from massgen_tracing.model import Attributes, AttributeValue, Event, Link, LogRecord, Resource, Scope, SpanRecord


def document(span: SpanRecord, *others: SpanRecord) -> dict[str, Any]:
    """A span, and others of the same resource and scope, as a TracesData object, which is one line of an OTLP/JSON file."""
    of_scope = {"scope": _scope(span.scope), "spans": [_span(each) for each in (span, *others)]}
    return {"resourceSpans": [{"resource": _resource(span.resource), "scopeSpans": [of_scope]}]}


def log_document(record: LogRecord, *others: LogRecord) -> dict[str, Any]:
    """A log record, and others of the same resource and scope, as a LogsData object."""
    of_scope = {"scope": _scope(record.scope), "logRecords": [_log(each) for each in (record, *others)]}
    return {"resourceLogs": [{"resource": _resource(record.resource), "scopeLogs": [of_scope]}]}


def attributes(values: Attributes) -> list[dict[str, Any]]:
    """A mapping as a list of OTLP KeyValue."""
    return [{"key": key, "value": any_value(value)} for key, value in values.items()]


def any_value(value: AttributeValue) -> dict[str, Any]:
    """A value as OTLP AnyValue, in protobuf's JSON mapping."""
    if isinstance(value, str):
        return {"stringValue": value}
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue" if -(2**63) <= value < 2**63 else "stringValue": str(value)}  # OTLP's have 64 bits
    if isinstance(value, float):
        named = "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        return {"doubleValue": value if math.isfinite(value) else named}
    if isinstance(value, bytes):
        return {"bytesValue": base64.b64encode(value).decode("ascii")}
    if isinstance(value, Mapping):
        return {"kvlistValue": {"values": attributes(value)}}
    if value is None:
        return {}
    return {"arrayValue": {"values": [any_value(item) for item in value]}}


def _resource(resource: Resource) -> dict[str, Any]:
    return {"attributes": attributes(resource.attributes)}


def _scope(scope: Scope) -> dict[str, Any]:
    return _without_empty({"name": scope.name, "version": scope.version, "attributes": attributes(scope.attributes)})


def _span(span: SpanRecord) -> dict[str, Any]:
    made = {
        "traceId": span.trace_id,
        "spanId": span.span_id,
        "parentSpanId": span.parent_span_id,
        "traceState": span.trace_state,
        "flags": span.flags,
        "name": span.name,
        "kind": span.kind,
        "startTimeUnixNano": str(span.start_ns),
        "endTimeUnixNano": "" if span.end_ns is None else str(span.end_ns),
        "attributes": attributes(span.attributes),
        "events": [_event(event) for event in span.events],
        "links": [_link(link) for link in span.links],
        "status": _without_empty({"code": span.status_code, "message": span.status_message}),
        "droppedAttributesCount": span.dropped_attributes,
        "droppedEventsCount": span.dropped_events,
        "droppedLinksCount": span.dropped_links,
    }
    return _without_empty(made)


def _log(record: LogRecord) -> dict[str, Any]:
    return _without_empty(
        {
            "timeUnixNano": str(record.time_ns),
            "severityNumber": record.severity,
            "severityText": record.severity_text,
            "eventName": record.event_name,
            "body": any_value(record.body),
            "attributes": attributes(record.attributes),
            "traceId": record.trace_id,
            "spanId": record.span_id,
        }
    )


def _event(event: Event) -> dict[str, Any]:
    return _without_empty(
        {
            "timeUnixNano": str(event.time_ns),
            "name": event.name,
            "attributes": attributes(event.attributes),
            "droppedAttributesCount": event.dropped_attributes,
        }
    )


def _link(link: Link) -> dict[str, Any]:
    return _without_empty(
        {
            "traceId": link.trace_id,
            "spanId": link.span_id,
            "traceState": link.trace_state,
            "flags": link.flags,
            "attributes": attributes(link.attributes),
            "droppedAttributesCount": link.dropped_attributes,
        }
    )


def _without_empty(fields: dict[str, Any]) -> dict[str, Any]:
    """OTLP/JSON leaves out what has its default."""
    return {name: value for name, value in fields.items() if value}

"""Spans as the Collector's exporter lays them out in ClickHouse, after `collector/scale.yaml` has put down what texts do not say.

`tests/collector/test_clickhouse.py` compares it with what the real exporter writes.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from massgen_tracing.model import AttributeValue, SpanRecord
from massgen_tracing.store.reading.recording import Recording

TABLE = "otel.otel_traces"
KINDS = ("Unspecified", "Internal", "Server", "Client", "Producer", "Consumer")
STATUSES = ("Unset", "Ok", "Error")


def insert(recording: Recording, *, types: bool = True, starts: bool = False, times: int = 1) -> tuple[str, bytes]:
    """A statement that writes a recording's spans, and its rows.

    Args:
        recording: the spans; what has not ended is sent as a start only.
        types: whether the Collector puts down what texts do not say.
        starts: whether starts of spans are sent too.
        times: how often each span is sent.
    """
    begun = (*recording.starts, *(span for span in recording.spans if span.end_ns is None)) if starts else ()
    sent = [*map(pending, begun), *(span_row(span, types=types) for span in recording.spans if span.end_ns is not None)]
    return f"INSERT INTO {TABLE} FORMAT JSONEachRow", "\n".join(json.dumps(row) for row in sent * times).encode()


def pending(start: SpanRecord) -> dict[str, Any]:
    """The row of a start: a span of its own below the one that has begun, as Logfire sends it."""
    attributes = {key: value for key, value in start.attributes.items() if key != "massgen.interrupted"}
    marks = {"logfire.span_type": "pending_span", "logfire.pending_parent_id": start.parent_span_id or "0" * 16}
    own = f"{int(start.span_id, 16) ^ 2**63:016x}"
    return span_row(start) | {
        "SpanId": own,
        "ParentSpanId": start.span_id,
        "Duration": "0",
        "SpanAttributes": texts(attributes | marks),
    }


def span_row(span: SpanRecord, *, types: bool = True) -> dict[str, Any]:
    """The row of a span."""
    said = texts if types else plain
    end = span.end_ns or span.start_ns
    scope = {"massgen.scope": text(span.scope.attributes)} if types and span.scope.attributes else {}
    return {
        "Timestamp": moment(span.start_ns),
        "TraceId": span.trace_id,
        "SpanId": span.span_id,
        "ParentSpanId": span.parent_span_id,
        "TraceState": span.trace_state,
        "SpanName": span.name,
        "SpanKind": KINDS[span.kind],
        "ServiceName": text(span.resource.attributes.get("service.name")),
        "ResourceAttributes": said(span.resource.attributes),
        "ScopeName": span.scope.name,
        "ScopeVersion": span.scope.version,
        "SpanAttributes": said(span.attributes) | scope,
        "Duration": str(end - span.start_ns),
        "StatusCode": STATUSES[span.status_code],
        "StatusMessage": span.status_message,
        "Events.Timestamp": [moment(event.time_ns) for event in span.events],
        "Events.Name": [event.name for event in span.events],
        "Events.Attributes": [said(event.attributes) for event in span.events],
        "Links.TraceId": [link.trace_id for link in span.links],
        "Links.SpanId": [link.span_id for link in span.links],
        "Links.TraceState": [link.trace_state for link in span.links],
        "Links.Attributes": [plain(link.attributes) for link in span.links],
    }


def moment(time_ns: int) -> str:
    """A time as ClickHouse reads it."""
    return f"{time_ns // 10**9}.{time_ns % 10**9:09}"


def plain(attributes: Mapping[str, AttributeValue]) -> dict[str, str]:
    """Attributes as the exporter writes them."""
    return {key: text(value) for key, value in attributes.items()}


def texts(attributes: Mapping[str, AttributeValue]) -> dict[str, str]:
    """The same with what the Collector puts down beside them."""
    others = {key: value for key, value in attributes.items() if not isinstance(value, str)}
    inside = [pair for key, value in others.items() if letter(value) == "j" for pair in flattened(key, value)]
    said: dict[str, AttributeValue] = {
        "massgen.types": {key: letter(value) for key, value in others.items()},
        "massgen.types.keys": list(attributes),
    }
    if inside:
        said["massgen.types.order"] = [path for path, _ in inside]
    if doubles := {path: formatted(value) for path, value in inside if isinstance(value, float)}:
        said["massgen.types.doubles"] = doubles
    return plain(attributes) | plain(said)


def letter(value: AttributeValue) -> str:
    match value:
        case None:
            return "n"
        case bool():
            return "b"
        case int():
            return "i"
        case float():
            return "d"
        case bytes():
            return "y"
    return "j"


def flattened(path: str, value: AttributeValue) -> Iterator[tuple[str, AttributeValue]]:
    """The paths of what is inside, in order."""
    inner: Iterable[tuple[object, AttributeValue]]
    if isinstance(value, Mapping):
        inner = value.items()
    elif isinstance(value, list | tuple):
        inner = enumerate(value)
    else:
        yield path, value
        return
    for key, item in inner:
        yield from flattened(f"{path}.{key}", item)


def formatted(value: float) -> str:
    """A number as Go writes it, in the shortest way that is exact."""
    if not math.isfinite(value):
        return {math.inf: "+Inf", -math.inf: "-Inf"}.get(value, "NaN")
    return repr(value).removesuffix(".0")


def text(value: AttributeValue) -> str:
    """A value as the exporter makes a text of it."""
    match value:
        case None:
            return ""
        case str():
            return value
        case bool():
            return str(value).lower()
        case bytes():
            return base64.b64encode(value).decode()
        case float() if not math.isfinite(value):
            return {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN")
        case int() | float():
            return formatted(value) if isinstance(value, float) else str(value)
    try:
        return json.dumps(raw(value), separators=(",", ":"), ensure_ascii=False, allow_nan=False, sort_keys=True)
    except ValueError:
        return ""


def raw(value: AttributeValue) -> Any:
    """A value in the types that Go's JSON knows, where a double may look like an integer."""
    if isinstance(value, Mapping):
        return {key: raw(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [raw(item) for item in value]
    if isinstance(value, bytes):
        return text(value)
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 1e21 else value

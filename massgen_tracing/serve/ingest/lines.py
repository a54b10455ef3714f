"""Requests of OTLP as lines of recordings, as our own writer writes them: a span a line, so that whatever reads recordings reads these as fast."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import orjson
from google.protobuf import json_format
from google.protobuf.message import Message

from massgen_tracing import semconv
from massgen_tracing.model import SpanRecord
from massgen_tracing.sinks.recording import encode
from massgen_tracing.store.reading import otlp, signals
from massgen_tracing.store.reading.encode import document
from massgen_tracing.store.reading.envelopes import Envelopes, Group
from massgen_tracing.store.reading.values import quiet

_TAIL: Final = "]}]}]}]}\n"
_MOST_HEADS: Final = 256
_PENDING_LAST: Final = (semconv.LOGFIRE_SPAN_TYPE, semconv.LOGFIRE_PENDING_PARENT)
"""Readers know a start by these, in this order, at its end."""


class SpanLine(NamedTuple):
    """A span.

    Attributes:
        trace_id: 32 hex digits.
        span_id: the span that the line tells of, 16 hex digits.
        start_ns: Unix time in nanoseconds.
        has_ended: whether it tells of its end.
        line: the line.
    """

    trace_id: str
    span_id: str
    start_ns: int
    has_ended: bool
    line: bytes


def of_spans(message: Any) -> Iterator[SpanLine]:
    """The spans of a request in protobuf."""
    for resource_spans in message.resource_spans:
        resource = resource_spans.resource.SerializeToString()
        for scope_spans in resource_spans.scope_spans:
            head = _head(resource, resource_spans.schema_url, scope_spans.scope.SerializeToString(), scope_spans.schema_url)
            for span in scope_spans.spans:
                yield _span(head, span)


def _span(head: str, span: Any) -> SpanLine:
    values = _attributes(span.attributes)
    trace_id, told = span.trace_id.hex(), span.span_id.hex()
    parent = span.parent_span_id.hex()
    pending = values.get(semconv.LOGFIRE_SPAN_TYPE) == semconv.SPAN_TYPE_PENDING
    if pending:
        for key in _PENDING_LAST:
            if key in values:
                values[key] = values.pop(key)
    parts = [f'{head}"traceId":"{trace_id}","spanId":"{told}",']
    if parent and parent.strip("0"):
        parts.append(f'"parentSpanId":"{parent}",')
    if span.trace_state:
        parts.append(f'"traceState":{encode.quote(span.trace_state)},')
    if span.events:
        parts.append(f'"events":[{",".join(map(_event, span.events))}],')
    if span.links:
        parts.append(f'"links":[{",".join(map(_link, span.links))}],')
    status = span.status
    if status.code or status.message:
        parts.append(encode.status(status.code, status.message))
    if span.dropped_attributes_count or span.dropped_events_count or span.dropped_links_count:
        parts.append(encode.dropped("Attributes", span.dropped_attributes_count))
        parts.append(encode.dropped("Events", span.dropped_events_count))
        parts.append(encode.dropped("Links", span.dropped_links_count))
    if span.flags and not pending:
        parts.append(f'"flags":{span.flags},')
    start, end = span.start_time_unix_nano, span.end_time_unix_nano
    parts.append(
        f'"name":{encode.name(span.name)},"kind":{span.kind},"startTimeUnixNano":"{start}","endTimeUnixNano":"{end or ""}",'
        f'"attributes":[{encode.attributes(values)}{_TAIL}'
    )
    return SpanLine(trace_id, parent if pending else told, start, bool(end) and not pending, "".join(parts).encode())


@functools.lru_cache(maxsize=_MOST_HEADS)
def _head(resource: bytes, resource_schema: str, scope: bytes, scope_schema: str) -> str:
    """Resource and scope, each as protobuf, as the beginning of a line."""
    from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
    from opentelemetry.proto.resource.v1.resource_pb2 import Resource

    by = InstrumentationScope.FromString(scope)
    fields = encode.scope(by.name, by.version, _attributes(by.attributes))
    return encode.head(_attributes(Resource.FromString(resource).attributes), resource_schema, fields, scope_schema)


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return _attributes(value.kvlist_value.values)
    return None if kind is None else getattr(value, kind)


def _event(event: Any) -> str:
    dropped = encode.dropped("Attributes", event.dropped_attributes_count)
    return (
        f'{{"timeUnixNano":"{event.time_unix_nano}","name":{encode.name(event.name)},{dropped}'
        f'"attributes":[{encode.attributes(_attributes(event.attributes))}]}}'
    )


def _link(link: Any) -> str:
    state = f'"traceState":{encode.quote(link.trace_state)},' if link.trace_state else ""
    dropped = encode.dropped("Attributes", link.dropped_attributes_count)
    return (
        f'{{"traceId":"{link.trace_id.hex()}","spanId":"{link.span_id.hex()}",{state}{dropped}"flags":{link.flags},'
        f'"attributes":[{encode.attributes(_attributes(link.attributes))}]}}'
    )


def of_signals(message: Message) -> Iterator[bytes]:
    """The logs or metrics of a request in protobuf, a line a scope."""
    said = json_format.MessageToDict(message, use_integers_for_enums=True)
    for outer, inner in (("resourceLogs", "scopeLogs"), ("resourceMetrics", "scopeMetrics")):
        for resource in said.get(outer, ()):
            for scope in resource.get(inner, ()):
                line = {outer: [{"resource": resource.get("resource", {}), inner: [_with_hex_ids(scope)]}]}
                yield orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


_IDS: Final = frozenset({"traceId", "spanId"})


def _with_hex_ids(value: Any) -> Any:
    """OTLP/JSON has ids in hexadecimal, where protobuf's JSON has base64."""
    if isinstance(value, Mapping):
        return {
            key: _hex(item) if key in _IDS and isinstance(item, str) else item if key in {"attributes", "body"} else _with_hex_ids(item)
            for key, item in value.items()
        }
    return [_with_hex_ids(item) for item in value] if isinstance(value, list) else value


def _hex(text: str) -> str:
    import base64

    return base64.b64decode(text).hex()


def of_json(content: bytes) -> tuple[list[SpanLine], list[bytes]]:
    """The spans of a request in OTLP/JSON, and its logs and metrics, a line a scope; what cannot be read is left out."""
    spans: list[SpanLine] = []
    others: list[bytes] = []
    decoder = otlp.Decoder()
    for group in Envelopes(quiet).groups(orjson.loads(content)):
        if group.signal != "spans":
            others.append(of_group(group) + b"\n")
            continue
        for record in signals.records(decoder, group):
            if isinstance(record, SpanRecord):
                line = orjson.dumps(document(record), option=orjson.OPT_APPEND_NEWLINE)
                pending = otlp.is_pending(record)
                told = record.parent_span_id if pending else record.span_id
                spans.append(SpanLine(record.trace_id, told, record.start_ns, record.end_ns is not None and not pending, line))
    return spans, others


def of_group(group: Group) -> bytes:
    """Logs or metrics of a resource and scope as an object of OTLP/JSON.

    Raises:
        orjson.JSONEncodeError: if they are nested too deep.
    """
    kind, values = ("Logs", "logRecords") if group.signal == "logs" else ("Metrics", "metrics")
    scope = {"scope": group.scope or {}, values: group.values}
    return orjson.dumps({f"resource{kind}": [{"resource": group.resource or {}, f"scope{kind}": [scope]}]})

"""Spans as any program may send them, written with OTLP's own messages, and how Jaeger's answers are read."""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Mapping
from typing import Any

import httpx2
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from massgen_tracing.model import AttributeValue, SpanRecord


def span(
    name: str, attributes: Mapping[str, AttributeValue] | None = None, *, trace: str | None = None, parent: str = "", seconds: float = 0.1
) -> Span:
    """A span that has just ended; a root of a trace of its own where nothing else is said."""
    end = time.time_ns()
    return Span(
        trace_id=bytes.fromhex(trace) if trace else os.urandom(16),
        span_id=os.urandom(8),
        parent_span_id=bytes.fromhex(parent),
        name=name,
        kind=Span.SPAN_KIND_INTERNAL,
        start_time_unix_nano=end - int(seconds * 1e9),
        end_time_unix_nano=end,
        attributes=pairs(attributes or {}),
    )


def pairs(attributes: Mapping[str, AttributeValue]) -> list[KeyValue]:
    """Attributes as they are sent."""
    return [KeyValue(key=key, value=_any(value)) for key, value in attributes.items()]


def _any(value: AttributeValue) -> AnyValue:
    match value:
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case str():
            return AnyValue(string_value=value)
        case bytes():
            return AnyValue(bytes_value=value)
        case None:
            return AnyValue()
        case list() | tuple():
            return AnyValue(array_value=ArrayValue(values=[_any(each) for each in value]))
        case Mapping():
            return AnyValue(kvlist_value=KeyValueList(values=pairs(value)))
    raise TypeError(f"no test sends {type(value)}")


def send(url: str, *spans: Span, service: str = "massgen") -> httpx2.Response:
    """Send them in one request over HTTP; returns the answer, whatever it is."""
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.add(key="service.name", value=AnyValue(string_value=service))
    group.scope_spans.add().spans.extend(spans)
    return httpx2.post(f"{url}/v1/traces", content=request.SerializeToString(), headers={"Content-Type": "application/x-protobuf"}, timeout=60)


def trace_id(one: Span) -> str:
    return one.trace_id.hex()


def values(attributes: list[dict[str, Any]]) -> dict[str, Any]:
    """Attributes of OTLP/JSON as Python; a double that JSON has no number for is a text in both."""
    return {pair["key"]: _value(pair["value"]) for pair in attributes}


def _value(value: dict[str, Any]) -> Any:
    for kind, held in value.items():
        match kind:
            case "intValue":
                return int(held)
            case "arrayValue":
                return [_value(each) for each in held.get("values", ())]
            case "kvlistValue":
                return values(held.get("values", []))
            case "bytesValue":
                return base64.b64decode(held)
        return held
    return None


def as_kept(value: AttributeValue) -> Any:
    """A recorded value as Jaeger's badger storage keeps it: lists and mappings as texts of JSON."""
    return json.loads(json.dumps(value)) if isinstance(value, list | tuple | dict) or hasattr(value, "items") else value


def as_said(value: Any, recorded: AttributeValue) -> Any:
    """What Jaeger says for a recorded value, with texts of JSON read again where a list or a mapping was recorded."""
    if isinstance(value, str) and not isinstance(recorded, str):
        return json.loads(value)
    return value


def tree(spans: list[dict[str, Any]]) -> dict[str, tuple[str, str]]:
    """Each span's name and parent, by its id, as `/api/v3` gives them."""
    return {each["spanId"]: (each["name"], each.get("parentSpanId", "")) for each in spans}


def recorded_tree(spans: list[SpanRecord]) -> dict[str, tuple[str, str]]:
    """The same of what was recorded."""
    return {each.span_id: (each.name, each.parent_span_id) for each in spans}

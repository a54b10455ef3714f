"""One span as one line of OTLP/JSON (OpenTelemetry's file-exporter format: a TracesData object a line).

Written by hand because it is on the run's way: `MessageToJson` over the protobuf takes ten times as long. What recurs is encoded once: the
line's head (resource and scope), names, and attributes with short text values.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from json.encoder import encode_basestring_ascii
from math import isfinite, isnan
from typing import Any, Final

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, StatusCode

from massgen_tracing import semconv

quote = encode_basestring_ascii
"""A text as a JSON string: ASCII only, so that a line torn anywhere still decodes."""

TAIL: Final = "}]}]}]}\n"
"""Ends what `head` began."""

_MAX_CACHED: Final = 8192
_SHORT: Final = 128
_encoded: dict[tuple[str, str], str] = {}
_names: dict[str, str] = {}
_starts: dict[str, str] = {}

_KINDS: Final = {"INTERNAL": 1, "SERVER": 2, "CLIENT": 3, "PRODUCER": 4, "CONSUMER": 5}
"""OTLP's numbers; OpenTelemetry's API counts from 0."""

Clean = Callable[[Mapping[str, Any]], Mapping[str, Any]]

_NO_PARENT: Final = "0" * 16
_CONTEXT_HAS_IS_REMOTE: Final = 0x100
_CONTEXT_IS_REMOTE: Final = 0x200


def head(resource: Resource, scope: InstrumentationScope | None) -> str:
    """The beginning of every line of one resource and scope, up to the span's first field."""
    scope_fields = []
    if scope is not None:
        scope_fields.append(f'"name":{quote(scope.name)}')
        if scope.version:
            scope_fields.append(f'"version":{quote(scope.version)}')
        if scope.attributes:
            scope_fields.append(f'"attributes":[{attributes(scope.attributes)}]')
    return (
        f'{{"resourceSpans":[{{"resource":{{"attributes":[{attributes(resource.attributes)}]}},{_schema(resource.schema_url)}'
        f'"scopeSpans":[{{"scope":{{{",".join(scope_fields)}}},{_schema(scope.schema_url if scope else None)}"spans":[{{'
    )


def _schema(url: str | None) -> str:
    return f'"schemaUrl":{quote(url)},' if url else ""


def start_line(
    beginning: str,
    span: ReadableSpan,
    context: SpanContext,
    parent: SpanContext | None,
    known: str,
    pending_id: int,
    clean: Clean | None = None,
) -> str:
    """The line that says that a span has started: Logfire's pending span.

    Its own id is new, its parent is the real span, and an attribute names the real span's parent.

    Args:
        beginning: from `head`.
        span: the span, just started.
        context: its identity.
        parent: its parent's identity.
        known: its attributes, from `attributes`.
        pending_id: the id of the pending span.
        clean: bounds and scrubs attributes, where the span has not done that.
    """
    optional = _state(context)
    if span.links:
        optional += f'"links":[{",".join([_link(link, clean) for link in span.links])}],'
    parent_id = _NO_PARENT if parent is None else f"{parent.span_id:016x}"
    return (
        f'{beginning}"traceId":"{context.trace_id:032x}","spanId":"{pending_id:016x}","parentSpanId":"{context.span_id:016x}",'
        f'{optional}"name":{name(span.name)},"kind":{_KINDS[span.kind.name]},'
        f'"startTimeUnixNano":"{span.start_time}","endTimeUnixNano":"{span.start_time}",'
        f'"attributes":[{known}{"," if known else ""}{_PENDING}{{"key":"{semconv.LOGFIRE_PENDING_PARENT}",'
        f'"value":{{"stringValue":"{parent_id}"}}}}]{TAIL}'
    )


_PENDING: Final = f'{{"key":"{semconv.LOGFIRE_SPAN_TYPE}","value":{{"stringValue":"{semconv.SPAN_TYPE_PENDING}"}}}},'


def end_line(beginning: str, span: ReadableSpan, context: SpanContext, parent: SpanContext | None, known: str, clean: Clean | None = None) -> str:
    """The line of a span that has ended; arguments as for `start_line`."""
    optional = ""
    if parent is not None:
        optional = f'"parentSpanId":"{parent.span_id:016x}",'
    optional += _state(context)
    if span.events:
        optional += f'"events":[{",".join(_event(event, clean) for event in span.events)}],'
    if span.links:
        optional += f'"links":[{",".join([_link(link, clean) for link in span.links])}],'
    status = span.status
    if status.status_code is not StatusCode.UNSET:
        said = status.description
        if said and clean is not None:
            said = str(clean({"": said}).get("", ""))
        optional += _status(status.status_code.value, said)
    if span.dropped_attributes or span.dropped_events or span.dropped_links:
        optional += _dropped("Attributes", span.dropped_attributes)
        optional += _dropped("Events", span.dropped_events)
        optional += _dropped("Links", span.dropped_links)
    return (
        f'{beginning}"traceId":"{context.trace_id:032x}","spanId":"{context.span_id:016x}",{optional}'
        f'"flags":{_flags(context, parent)},"name":{name(span.name)},"kind":{_KINDS[span.kind.name]},'
        f'"startTimeUnixNano":"{span.start_time}","endTimeUnixNano":"{span.end_time}",'
        f'"attributes":[{known}]{TAIL}'
    )


def attributes(values: Mapping[str, Any]) -> str:
    """Attributes as the inside of a JSON list."""
    # Only texts are kept, for (key, 1) and (key, True) are the same dictionary key; so a look-up by any other value finds nothing.
    known: list[str | None]
    try:
        known = list(map(_encoded.get, values.items()))
    except TypeError:  # a list or mapping has no hash
        known = [None] * len(values)
    if None in known:
        return ",".join([part or _attribute(key, value) for part, (key, value) in zip(known, values.items(), strict=True)])
    return ",".join(known)  # type: ignore[arg-type]


def name(text: str) -> str:
    """A span's name as a JSON string."""
    done = _names.get(text)
    if done is None:
        done = quote(text)
        if len(text) <= _SHORT:
            if len(_names) >= _MAX_CACHED:
                _names.clear()
            _names[text] = done
    return done


def _attribute(key: str, value: Any) -> str:
    start = _starts.get(key)
    if start is None:
        start = f'{{"key":{quote(str(key))},"value":'
        if len(key) <= _SHORT:
            if len(_starts) >= _MAX_CACHED:
                _starts.clear()
            _starts[key] = start
    kind = type(value)
    if kind is float and isfinite(value):
        return f'{start}{{"doubleValue":{value!r}}}}}'
    if kind is int and -(2**63) <= value < 2**63:
        return f'{start}{{"intValue":"{value}"}}}}'
    if kind is not str:
        return f"{start}{any_value(value)}}}"
    part = f'{start}{{"stringValue":{quote(value)}}}}}'
    if len(value) <= _SHORT and len(key) <= _SHORT:
        if len(_encoded) >= _MAX_CACHED:
            _encoded.clear()
        _encoded[key, value] = part
    return part


def any_value(value: Any) -> str:
    """OTLP's AnyValue in protobuf's JSON mapping: 64-bit integers as text, bytes in base64, NaN and infinities by name."""
    if isinstance(value, str):
        return f'{{"stringValue":{quote(value)}}}'
    if isinstance(value, bool):
        return '{"boolValue":true}' if value else '{"boolValue":false}'
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:  # OTLP's integers have 64 bits
            return f'{{"stringValue":{quote(_decimal(value))}}}'
        return f'{{"intValue":"{int(value)}"}}'
    if isinstance(value, float):
        return f'{{"doubleValue":{_double(value)}}}'
    if value is None:
        return "{}"
    if isinstance(value, bytes):
        return f'{{"bytesValue":"{base64.b64encode(value).decode()}"}}'
    if isinstance(value, Mapping):
        pairs = ",".join(f'{{"key":{quote(str(key))},"value":{any_value(item)}}}' for key, item in value.items())
        return f'{{"kvlistValue":{{"values":[{pairs}]}}}}'
    if isinstance(value, Sequence | Iterable):
        return f'{{"arrayValue":{{"values":[{",".join(map(any_value, value))}]}}}}'
    return f'{{"stringValue":{quote(str(value))}}}'


def _decimal(value: int) -> str:
    try:
        return str(int(value))
    except ValueError:  # more digits than Python converts
        return hex(value)


def _double(value: float) -> str:
    if isfinite(value):
        return repr(float(value))
    return '"NaN"' if isnan(value) else '"Infinity"' if value > 0 else '"-Infinity"'


def _all(values: Mapping[str, Any] | None, clean: Clean | None) -> Mapping[str, Any]:
    values = values or {}
    return values if clean is None else clean(values)


def _event(event: Event, clean: Clean | None) -> str:
    return (
        f'{{"timeUnixNano":"{event.timestamp}","name":{quote(event.name)},"attributes":[{attributes(_all(event.attributes, clean))}]'
        f"{',' if event.dropped_attributes else ''}{_dropped('Attributes', event.dropped_attributes).rstrip(',')}}}"
    )


def _link(link: Link, clean: Clean | None) -> str:
    context = link.context
    return (
        f'{{"traceId":"{context.trace_id:032x}","spanId":"{context.span_id:016x}",{_state(context)}'
        f'"flags":{_flags(context, context)},"attributes":[{attributes(_all(link.attributes, clean))}]}}'
    )


def _state(context: SpanContext) -> str:
    return f'"traceState":{quote(context.trace_state.to_header())},' if context.trace_state else ""


def _status(code: int, description: str | None) -> str:
    # OpenTelemetry's API numbers UNSET 0, OK 1, ERROR 2, as OTLP does.
    message = f',"message":{quote(description)}' if description else ""
    return f'"status":{{"code":{code}{message}}},'


def _dropped(what: str, count: int) -> str:
    return f'"dropped{what}Count":{count},' if count else ""


def _flags(context: SpanContext, parent: SpanContext | None) -> int:
    return context.trace_flags | _CONTEXT_HAS_IS_REMOTE | (_CONTEXT_IS_REMOTE if parent is not None and parent.is_remote else 0)

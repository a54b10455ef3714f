"""Lines of a recording as requests of OTLP, in protobuf or in JSON.

In protobuf, which every backend takes, a plain span of our own writer is carried over field by field, for decoding it and building OpenTelemetry's
messages takes several times as long; what recurs is encoded once. In JSON it is taken as it stands. Every other span is read by the total reader.
"""

from __future__ import annotations

import re
import struct
from binascii import unhexlify
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple, Protocol

import orjson
from google.protobuf import json_format
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList
from opentelemetry.proto.resource.v1.resource_pb2 import Resource as ResourceMessage
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status, TracesData

from massgen_tracing.model import Attributes, AttributeValue, Resource, Scope, SpanRecord
from massgen_tracing.store.reading.encode import document

_MOST_KNOWN: Final = 8192
_LONGEST_KNOWN: Final = 256
"""Attributes that are remembered, and the bytes of the longest."""

_DOCUMENT: Final = b'{"resourceSpans":['
_IDS: Final = re.compile(rb'"traceId":"([0-9a-f]{32})","spanId":"([0-9a-f]{16})",(?:"parentSpanId":"([0-9a-f]{16})",)?')
_BEGAN: Final = re.compile(rb'"startTimeUnixNano":"(\d+)"')
_SPANS: Final = b'"spans":[{'
_TAIL: Final = b"}]}]}]}\n"

_PLAIN: Final = re.compile(
    rb'"traceId":"([0-9a-f]{32})","spanId":"([0-9a-f]{16})",(?:"parentSpanId":"([0-9a-f]{16})",)?(?:"status":(\{[^{}\\]*\}),)?'
    rb'(?:"flags":(\d{1,9}),)?"name":"([^"\\]*)","kind":([1-5]),"startTimeUnixNano":"([1-8]\d{18}|\d{1,18})",'
    rb'"endTimeUnixNano":"([1-8]\d{18}|\d{1,18})","attributes":\[(.*)\]\}\]\}\]\}\]\}\n',
    re.DOTALL,
)
"""What follows the head on a line of our own writer, of a span without events, links and what else is rare."""

_NEVER: Final = b"\0"
"""No line begins so."""

_KEY: Final = b'{"key":"'
_BETWEEN: Final = b"," + _KEY
"""Separates attributes; inside of a text its quotes would be escaped. Inside of a nested value it is there, and the pieces are no attributes."""

_VALUE: Final = b'","value":{'
_TEXT: Final = b'"stringValue":"'
_TEXT_END: Final = b'"}}'
_NUMBER: Final = re.compile(rb'"(?:intValue":"(-?\d{1,19})"|doubleValue":(-?\d+(?:\.\d+)?(?:e[-+]?\d+)?))\}\}')
"""Parts of an attribute, from behind the beginning of its key, whose value stands as it is."""

_KINDS: Final = {b"%d" % number: b"%c" % number for number in range(1, 6)}
_TIMES: Final = struct.Struct("<BQBQ")
_DOUBLE: Final = struct.Struct("<Bd")
_FLAGS: Final = struct.Struct("<BBI")


class Home(NamedTuple):
    """Resource and scope, as the beginnings of a ResourceSpans and of a ScopeSpans message."""

    resource: bytes
    scope: bytes


class EncodedSpan(NamedTuple):
    """A span as backends take it.

    Attributes:
        home: the resource and scope that it is of, as `home` gives them.
        key: trace and span id, 24 bytes.
        parent: the parent's span id, 8 bytes; empty for a root.
        start_ns: Unix time in nanoseconds.
        content: the span as the field `spans` of a ScopeSpans message.
        starts: whether it is a pending span, which says that its parent has started.
    """

    home: Home
    key: bytes
    parent: bytes
    start_ns: int
    content: bytes
    starts: bool = False


class Form(Protocol):
    """A form of OTLP's requests."""

    content_type: str

    def span(self, line: bytes, starts: bool = False) -> EncodedSpan | None:
        """The span of a line; None where it is not a plain one of our own writer, with its end.

        Args:
            line: the whole line.
            starts: whether it is a pending span.
        """

    def record(self, span: SpanRecord) -> EncodedSpan:
        """Any span that a reader has read."""

    def request(self, spans: Iterable[EncodedSpan]) -> bytes:
        """The body of an ExportTraceServiceRequest with these spans."""


def _by_home(spans: Iterable[EncodedSpan]) -> dict[Home, list[bytes]]:
    found: dict[Home, list[bytes]] = {}
    for span in spans:
        found.setdefault(span.home, []).append(span.content)
    return found


def field(number: int, content: bytes) -> bytes:
    """A text, bytes or a message as a field in protobuf's wire format; *number* is below 16."""
    return b"%c%b%b" % (number << 3 | 2, varint(len(content)), content)


def varint(number: int) -> bytes:
    """A number of at most 64 bits, not negative, in protobuf's wire format."""
    if number < 0x80:
        return b"%c" % number
    if number < 0x4000:
        return b"%c%c" % (number & 0x7F | 0x80, number >> 7)
    made = bytearray()
    while number >= 0x80:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    made.append(number)
    return bytes(made)


class Protobuf:
    """OTLP in protobuf."""

    content_type = "application/x-protobuf"

    def __init__(self) -> None:
        self._head = _NEVER
        """Of the line before; most have the same."""
        self._homes: dict[bytes, Home | None] = {}
        self._keys: dict[bytes, bytes] = {}
        self._known: dict[bytes | tuple[bytes | None, ...], bytes] = {}
        """What recurs: attributes from behind the beginning of their keys, names, and what else is alike."""

    def span(self, line: bytes, starts: bool = False) -> EncodedSpan | None:
        if not line.startswith(self._head):
            self._head = line[: line.find(_SPANS) + len(_SPANS)] or _NEVER
        found = _PLAIN.fullmatch(line, len(self._head))
        home = self._homes.get(self._head) or self._home(self._head)
        if found is None or home is None:
            return None
        trace_id, span_id, above, status, flags, name, kind, start, end, attributes = found.groups()
        known = self._known
        try:
            made = [known.get(each) or self._attribute(each) for each in attributes[len(_KEY) :].split(_BETWEEN)] if attributes else ()
            trace, own, start_ns = unhexlify(trace_id), unhexlify(span_id), int(start)
            parent = unhexlify(above) if above else b""
            content = b"\x0a\x10%b\x12\x08%b%b%b%b%b%b" % (
                trace,
                own,
                b"\x22\x08" + parent if parent else b"",
                known.get(name) or self._name(name),
                _TIMES.pack(0x39, start_ns, 0x41, int(end)),
                b"".join(made),
                known.get(rest := (kind, flags, status)) or self._rest(*rest),
            )
        except (ValueError, TypeError, struct.error):
            return None
        return EncodedSpan(home, trace + own, parent, start_ns, b"\x12%b%b" % (varint(len(content)), content), starts)

    def record(self, span: SpanRecord) -> EncodedSpan:
        return _record(span)

    def request(self, spans: Iterable[EncodedSpan]) -> bytes:
        parts: list[bytes] = []
        for home, found in _by_home(spans).items():
            inner = len(home.scope) + sum(map(len, found))
            scope = b"\x12" + varint(inner)
            parts += (b"\x0a", varint(len(home.resource) + len(scope) + inner), home.resource, scope, home.scope, *found)
        return b"".join(parts)

    def _name(self, written: bytes) -> bytes:
        return self._remembered(written, field(5, written))

    def _rest(self, kind: bytes, flags: bytes | None, status: bytes | None) -> bytes:
        """The fields of a Span message that few spans have in a way of their own."""
        made = b"\x30" + _KINDS[kind]
        if status:
            made += field(15, json_format.ParseDict(orjson.loads(status), Status()).SerializeToString())
        if flags:
            made += _FLAGS.pack(0x85, 0x01, int(flags))
        return self._remembered((kind, flags, status), made)

    def _attribute(self, written: bytes) -> bytes:
        """An attribute, from behind the beginning of its key, as the field `attributes` of a Span message.

        Raises:
            ValueError: if it is no attribute.
        """
        key, _, value = written.partition(_VALUE)
        begins = self._keys.get(key) or self._key(key)
        if value.startswith(_TEXT):
            text = value[len(_TEXT) : -len(_TEXT_END)]
            size = len(text)
            if not value.endswith(_TEXT_END) or b'"' in text or b"\\" in text:
                made = _any_attribute(written)
            elif len(begins) + size < 120:  # each length in one byte, in one go
                made = b"\x4a%c%b\x12%c\x0a%c%b" % (len(begins) + size + 4, begins, size + 2, size, text)
            else:
                made = field(9, begins + field(2, b"\x0a%b%b" % (varint(size), text)))
        else:
            found = _NUMBER.fullmatch(value)
            if found is None:
                made = _any_attribute(written)
            else:
                integer, double = found.groups()
                number = _DOUBLE.pack(0x21, float(double)) if integer is None else b"\x18" + varint(int(integer) & 0xFFFF_FFFF_FFFF_FFFF)
                made = field(9, begins + field(2, number))
        return self._remembered(written, made) if len(written) <= _LONGEST_KNOWN else made

    def _key(self, key: bytes) -> bytes:
        """The field `key` of a KeyValue message.

        Raises:
            ValueError: if it does not stand as it is.
        """
        if not key or b'"' in key or b"\\" in key:
            raise ValueError(key)
        if len(self._keys) >= _MOST_KNOWN:
            self._keys.clear()
        self._keys[key] = field(1, key)
        return self._keys[key]

    def _remembered(self, written: bytes | tuple[bytes | None, ...], made: bytes) -> bytes:
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[written] = made
        return made

    def _home(self, head: bytes) -> Home | None:
        if head not in self._homes:
            if len(self._homes) >= _MOST_KNOWN:
                self._homes.clear()
            self._homes[head] = _decoded_home(head)
        return self._homes[head]


def _any_attribute(written: bytes) -> bytes:
    return field(9, json_format.ParseDict(orjson.loads(_KEY + written), KeyValue()).SerializeToString())


def _decoded_home(head: bytes) -> Home | None:
    try:
        (of_resource,) = json_format.Parse(head + b"}]}]}]}", TracesData()).resource_spans
        (of_scope,) = of_resource.scope_spans
    except (ValueError, json_format.ParseError):
        return None
    del of_scope.spans[:]
    scope = of_scope.SerializeToString()
    del of_resource.scope_spans[:]
    return Home(of_resource.SerializeToString(), scope)


class Json:
    """OTLP in JSON: what our own writer has written, with the resource and the scope once."""

    content_type = "application/json"

    def __init__(self) -> None:
        self._head = _NEVER
        """Of the line before, up to its span; most have the same."""
        self._home = Home(b"", b"")

    def span(self, line: bytes, starts: bool = False) -> EncodedSpan | None:
        if not line.startswith(self._head):
            head = line[: line.find(_SPANS) + len(_SPANS)]
            if not head.startswith(_DOCUMENT):
                return None
            self._head, self._home = head, Home(head[len(_DOCUMENT) : -1], b"")
        at = len(self._head)
        ids = _IDS.match(line, at)
        if ids is None or not line.endswith(_TAIL) or line.find(_DOCUMENT, at) >= 0:
            return None
        began = _BEGAN.search(line, ids.end())
        if began is None:
            return None
        trace_id, span_id, above = ids.groups()
        parent = unhexlify(above) if above else b""
        return EncodedSpan(self._home, unhexlify(trace_id + span_id), parent, int(began[1]), line[at - 1 : 1 - len(_TAIL)], starts)

    def record(self, span: SpanRecord) -> EncodedSpan:
        found = self.span(orjson.dumps(document(span)) + b"\n")
        assert found is not None
        return found

    def request(self, spans: Iterable[EncodedSpan]) -> bytes:
        groups = (home.resource + b",".join(found) + b"]}]}" for home, found in _by_home(spans).items())
        return _DOCUMENT + b",".join(groups) + b"]}"


def form(protocol: str) -> Form:
    """The form of the requests of a protocol of OpenTelemetry's."""
    return Json() if protocol.endswith("json") else Protobuf()


# --- spans as records in protobuf --------------------------------------------------------------------------------------------------------------


def _record(span: SpanRecord) -> EncodedSpan:
    trace_id, span_id, parent = bytes.fromhex(span.trace_id), bytes.fromhex(span.span_id), bytes.fromhex(span.parent_span_id)
    status = Status(code=Status.StatusCode.ValueType(span.status_code), message=span.status_message)
    message = Span(
        trace_id=trace_id,
        span_id=span_id,
        parent_span_id=parent,
        trace_state=span.trace_state,
        flags=span.flags,
        name=span.name,
        kind=Span.SpanKind.ValueType(span.kind),
        start_time_unix_nano=span.start_ns,
        end_time_unix_nano=span.end_ns or 0,
        attributes=_pairs(span.attributes),
        dropped_attributes_count=span.dropped_attributes,
        events=[
            Span.Event(
                time_unix_nano=event.time_ns,
                name=event.name,
                attributes=_pairs(event.attributes),
                dropped_attributes_count=event.dropped_attributes,
            )
            for event in span.events
        ],
        dropped_events_count=span.dropped_events,
        links=[
            Span.Link(
                trace_id=bytes.fromhex(link.trace_id),
                span_id=bytes.fromhex(link.span_id),
                trace_state=link.trace_state,
                flags=link.flags,
                attributes=_pairs(link.attributes),
                dropped_attributes_count=link.dropped_attributes,
            )
            for link in span.links
        ],
        dropped_links_count=span.dropped_links,
        status=status if span.status_code or span.status_message else None,
    )
    return EncodedSpan(_home_of(span.resource, span.scope), trace_id + span_id, parent, span.start_ns, field(2, message.SerializeToString()))


def _home_of(resource: Resource, scope: Scope) -> Home:
    of_scope = InstrumentationScope(name=scope.name, version=scope.version, attributes=_pairs(scope.attributes))
    of_resource = ResourceSpans(resource=ResourceMessage(attributes=_pairs(resource.attributes)))
    return Home(of_resource.SerializeToString(), ScopeSpans(scope=of_scope).SerializeToString())


def _pairs(values: Attributes) -> list[KeyValue]:
    return [KeyValue(key=_text(key), value=_any_value(value)) for key, value in values.items()]


def _any_value(value: AttributeValue) -> AnyValue:
    if isinstance(value, str):
        return AnyValue(string_value=_text(value))
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value) if -(2**63) <= value < 2**63 else AnyValue(string_value=str(value))
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, bytes):
        return AnyValue(bytes_value=value)
    if value is None:
        return AnyValue()
    if isinstance(value, Mapping):
        return AnyValue(kvlist_value=KeyValueList(values=_pairs(value)))
    return AnyValue(array_value=ArrayValue(values=[_any_value(item) for item in value]))


def _text(value: str) -> str:
    """A text that is UTF-8; half of a surrogate pair is none."""
    return value if value.isascii() else value.encode("utf-8", "replace").decode()

"""Spans as records in protobuf's wire format: OTLP's messages, field by field.

Its numbers are those of opentelemetry-proto; the tests compare with OpenTelemetry's own classes, which take several times as long to build.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from massgen_tracing.delivery.encode.spans import EncodedSpan, Home
from massgen_tracing.model import Attributes, AttributeValue, Event, Link, Resource, Scope, SpanRecord

_MASK: Final = 0xFFFF_FFFF_FFFF_FFFF
_DOUBLE: Final = struct.Struct("<Bd")
_TIME: Final = struct.Struct("<BQ")
_TIMES: Final = struct.Struct("<BQBQ")
_FIXED32: Final = struct.Struct("<I")
_LONG: Final = 256
"""Characters of a key that is not remembered."""


def varint(number: int) -> bytes:
    """A number of at most 64 bits, not negative."""
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


def field(number: int, content: bytes) -> bytes:
    """A text, bytes or a message as a field; *number* is below 16."""
    size = len(content)
    if size < 0x80:
        return b"%c%c%b" % (number << 3 | 2, size, content)
    return b"%c%b%b" % (number << 3 | 2, varint(size), content)


def times(start_ns: int, end_ns: int) -> bytes:
    """When a span began and ended, as fields of a Span message.

    Raises:
        struct.error: if a time has more than 64 bits.
    """
    return _TIMES.pack(0x39, start_ns, 0x41, end_ns)


def any_value(value: AttributeValue) -> bytes:
    """A value as the content of an AnyValue message."""
    if isinstance(value, str):
        return field(1, _text(value))
    if isinstance(value, bool):
        return b"\x10\x01" if value else b"\x10\x00"
    if isinstance(value, int):
        return b"\x18" + varint(value & _MASK) if -(2**63) <= value < 2**63 else field(1, b"%d" % value)
    if isinstance(value, float):
        return _DOUBLE.pack(0x21, value)
    if isinstance(value, bytes):
        return field(7, value)
    if value is None:
        return b""
    if isinstance(value, Mapping):
        return field(6, attributes(1, value))
    return field(5, b"".join([field(1, any_value(item)) for item in value]))


def attributes(number: int, values: Attributes) -> bytes:
    """Attributes as the repeated field *number*, which is below 16, of KeyValue messages."""
    return b"".join([_attribute(number, _key(key) if len(key) < _LONG else field(1, _text(key)), value) for key, value in values.items()])


def _attribute(number: int, key: bytes, value: AttributeValue) -> bytes:
    content = any_value(value)
    size = len(key) + len(content)
    if size < 0x7E:  # each length in one byte, in one go
        return b"%c%c%b\x12%c%b" % (number << 3 | 2, size + 2, key, len(content), content)
    return field(number, key + field(2, content))


@lru_cache(maxsize=4096)
def _key(key: str) -> bytes:
    """The field `key` of a KeyValue message; most recur."""
    return field(1, _text(key))


def span(record: SpanRecord, home: Home) -> EncodedSpan:
    """Any span that a reader has read, and what it is of."""
    key, parent = bytes.fromhex(record.trace_id + record.span_id), bytes.fromhex(record.parent_span_id)
    content = b"".join((
        field(1, key[:16]),
        field(2, key[16:]),
        _filled(3, record.trace_state),
        field(4, parent) if parent else b"",
        _filled(5, record.name),
        b"\x30" + varint(record.kind) if record.kind else b"",
        times(record.start_ns, record.end_ns or 0),
        attributes(9, record.attributes),
        _count(10, record.dropped_attributes),
        b"".join([field(11, event(each)) for each in record.events]),
        _count(12, record.dropped_events),
        b"".join([field(13, _link(link)) for link in record.links]),
        _count(14, record.dropped_links),
        field(15, status(record.status_code, record.status_message)) if record.status_code or record.status_message else b"",
        flags(16, record.flags),
    ))  # fmt: skip
    return EncodedSpan(home, key, parent, record.start_ns, field(2, content))


def status(code: int, message: str) -> bytes:
    """The content of a Status message."""
    return _filled(2, message) + (b"\x18" + varint(code) if code else b"")


def flags(number: int, value: int) -> bytes:
    """Flags as the field *number*; empty for none."""
    return varint(number << 3 | 5) + _FIXED32.pack(value) if value else b""


def event(of: Event) -> bytes:
    """The content of an Event message."""
    return _TIME.pack(0x09, of.time_ns) + _filled(2, of.name) + attributes(3, of.attributes) + _count(4, of.dropped_attributes)


def _link(link: Link) -> bytes:
    ids = field(1, bytes.fromhex(link.trace_id)) + field(2, bytes.fromhex(link.span_id)) + _filled(3, link.trace_state)
    return ids + attributes(4, link.attributes) + _count(5, link.dropped_attributes) + flags(6, link.flags)


def home(resource: Resource, scope: Scope, of_resource: str = "", of_scope: str = "") -> Home:
    """The beginnings of a ResourceSpans and of a ScopeSpans message, each with the URL of its schema."""
    said = _filled(1, scope.name) + _filled(2, scope.version) + attributes(3, scope.attributes)
    return Home(field(1, attributes(1, resource.attributes)) + _filled(3, of_resource), field(1, said) + _filled(3, of_scope))


def _filled(number: int, text: str) -> bytes:
    return field(number, _text(text)) if text else b""


def _count(number: int, value: int) -> bytes:
    return b"%c%b" % (number << 3, varint(value)) if value else b""


def _text(value: str) -> bytes:
    """A text as UTF-8; half of a surrogate pair is none."""
    return value.encode("utf-8", "replace")

"""OTLP in protobuf, as nodes, and its spans, log records and metrics as OTLP/JSON has them.

A decoder of its own, for the reading half needs none of OpenTelemetry's packages: what OTLP's messages are made of is in the tables below, and a
field that they do not have is passed over.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from massgen_tracing.store.reading.nodes import DEEPEST, TOO_DEEP, Broken

Read = Callable[[int], bytes]
"""Gives so many bytes of the input, fewer at its end."""

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_TOGETHER: Final = 256


class Field(NamedTuple):
    """A field of a message.

    Attributes:
        name: its key in OTLP/JSON.
        kind: one of protobuf's scalar types, or the table of a message.
        repeated: whether it is a list.
    """

    name: str
    kind: str | dict[int, Field]
    repeated: bool = False


Message = dict[int, Field]

ANY_VALUE: Message = {}
KEY_VALUE: Final[Message] = {1: Field("key", "string"), 2: Field("value", ANY_VALUE)}
_VALUES: Final[Message] = {1: Field("values", ANY_VALUE, repeated=True)}
_KEY_VALUES: Final[Message] = {1: Field("values", KEY_VALUE, repeated=True)}
ANY_VALUE |= {
    1: Field("stringValue", "string"),
    2: Field("boolValue", "bool"),
    3: Field("intValue", "int64"),
    4: Field("doubleValue", "double"),
    5: Field("arrayValue", _VALUES),
    6: Field("kvlistValue", _KEY_VALUES),
    7: Field("bytesValue", "bytes"),
}


def _attributes(name: str = "attributes") -> Field:
    return Field(name, KEY_VALUE, repeated=True)


RESOURCE: Final[Message] = {1: _attributes(), 2: Field("droppedAttributesCount", "uint32")}
SCOPE: Final[Message] = {
    1: Field("name", "string"),
    2: Field("version", "string"),
    3: _attributes(),
    4: Field("droppedAttributesCount", "uint32"),
}
_EVENT: Final[Message] = {
    1: Field("timeUnixNano", "fixed64"),
    2: Field("name", "string"),
    3: _attributes(),
    4: Field("droppedAttributesCount", "uint32"),
}
_LINK: Final[Message] = {
    1: Field("traceId", "bytes"),
    2: Field("spanId", "bytes"),
    3: Field("traceState", "string"),
    4: _attributes(),
    5: Field("droppedAttributesCount", "uint32"),
    6: Field("flags", "fixed32"),
}
SPAN: Final[Message] = {
    1: Field("traceId", "bytes"),
    2: Field("spanId", "bytes"),
    3: Field("traceState", "string"),
    4: Field("parentSpanId", "bytes"),
    5: Field("name", "string"),
    6: Field("kind", "enum"),
    7: Field("startTimeUnixNano", "fixed64"),
    8: Field("endTimeUnixNano", "fixed64"),
    9: _attributes(),
    10: Field("droppedAttributesCount", "uint32"),
    11: Field("events", _EVENT, repeated=True),
    12: Field("droppedEventsCount", "uint32"),
    13: Field("links", _LINK, repeated=True),
    14: Field("droppedLinksCount", "uint32"),
    15: Field("status", {2: Field("message", "string"), 3: Field("code", "enum")}),
    16: Field("flags", "fixed32"),
}
LOG_RECORD: Final[Message] = {
    1: Field("timeUnixNano", "fixed64"),
    2: Field("severityNumber", "enum"),
    3: Field("severityText", "string"),
    5: Field("body", ANY_VALUE),
    6: _attributes(),
    7: Field("droppedAttributesCount", "uint32"),
    8: Field("flags", "fixed32"),
    9: Field("traceId", "bytes"),
    10: Field("spanId", "bytes"),
    11: Field("observedTimeUnixNano", "fixed64"),
    12: Field("eventName", "string"),
}
_EXEMPLAR: Final[Message] = {
    2: Field("timeUnixNano", "fixed64"),
    3: Field("asDouble", "double"),
    4: Field("spanId", "bytes"),
    5: Field("traceId", "bytes"),
    6: Field("asInt", "sfixed64"),
    7: _attributes("filteredAttributes"),
}
_TIMES: Final[Message] = {2: Field("startTimeUnixNano", "fixed64"), 3: Field("timeUnixNano", "fixed64")}
_NUMBERS: Final[Message] = _TIMES | {
    4: Field("asDouble", "double"),
    5: Field("exemplars", _EXEMPLAR, repeated=True),
    6: Field("asInt", "sfixed64"),
    7: _attributes(),
    8: Field("flags", "uint32"),
}
_HISTOGRAMS: Final[Message] = _TIMES | {
    4: Field("count", "fixed64"),
    5: Field("sum", "double"),
    6: Field("bucketCounts", "fixed64", repeated=True),
    7: Field("explicitBounds", "double", repeated=True),
    8: Field("exemplars", _EXEMPLAR, repeated=True),
    9: _attributes(),
    10: Field("flags", "uint32"),
    11: Field("min", "double"),
    12: Field("max", "double"),
}
_BUCKETS: Final[Message] = {1: Field("offset", "sint32"), 2: Field("bucketCounts", "uint64", repeated=True)}
_EXPONENTIALS: Final[Message] = _TIMES | {
    1: _attributes(),
    4: Field("count", "fixed64"),
    5: Field("sum", "double"),
    6: Field("scale", "sint32"),
    7: Field("zeroCount", "fixed64"),
    8: Field("positive", _BUCKETS),
    9: Field("negative", _BUCKETS),
    10: Field("flags", "uint32"),
    11: Field("exemplars", _EXEMPLAR, repeated=True),
    12: Field("min", "double"),
    13: Field("max", "double"),
    14: Field("zeroThreshold", "double"),
}
_SUMMARIES: Final[Message] = _TIMES | {
    4: Field("count", "fixed64"),
    5: Field("sum", "double"),
    6: Field("quantileValues", {1: Field("quantile", "double"), 2: Field("value", "double")}, repeated=True),
    7: _attributes(),
    8: Field("flags", "uint32"),
}


def _of(points: Message, *, temporal: bool = True) -> Message:
    times: Message = {2: Field("aggregationTemporality", "enum")} if temporal else {}
    return {1: Field("dataPoints", points, repeated=True)} | times


METRIC: Final[Message] = {
    1: Field("name", "string"),
    2: Field("description", "string"),
    3: Field("unit", "string"),
    5: Field("gauge", _of(_NUMBERS, temporal=False)),
    7: Field("sum", _of(_NUMBERS) | {3: Field("isMonotonic", "bool")}),
    9: Field("histogram", _of(_HISTOGRAMS)),
    10: Field("exponentialHistogram", _of(_EXPONENTIALS)),
    11: Field("summary", _of(_SUMMARIES, temporal=False)),
}

_STRUCTS: Final = {name: struct.Struct(form) for name, form in {"fixed64": "<Q", "sfixed64": "<q", "double": "<d", "fixed32": "<I"}.items()}


def decode(content: bytes, message: Message) -> dict[str, Any]:
    """A message as OTLP/JSON has it, but that bytes are bytes and numbers are numbers.

    Raises:
        Broken: if it is none.
    """
    try:
        return _decoded(content, message)
    except (IndexError, ValueError, struct.error) as error:
        raise Broken("a message of protobuf that breaks off") from error


def _decoded(content: bytes, message: Message, level: int = 1) -> dict[str, Any]:
    if level > DEEPEST:
        raise Broken(TOO_DEEP)
    made: dict[str, Any] = {}
    for number, wire, value in fields(content):
        field = message.get(number)
        if field is None:
            continue
        if isinstance(field.kind, dict):
            if wire != _LENGTH:
                continue
            found = [_decoded(value, field.kind, level + 1)]
        elif wire == _LENGTH and field.kind not in {"string", "bytes"}:
            found = list(_packed(value, field.kind))
        else:
            found = [_scalar(value, field.kind)]
        if field.repeated:
            made.setdefault(field.name, []).extend(found)
        elif found:
            made[field.name] = found[-1]
    return made


def fields(content: bytes) -> Iterator[tuple[int, int, Any]]:
    """The fields of a message: number, wire type, and what is there, undecoded."""
    at, end = 0, len(content)
    while at < end:
        tag, at = _varint(content, at)
        wire = tag & 7
        value: int | bytes
        if wire == _VARINT:
            value, at = _varint(content, at)
        elif wire == _LENGTH:
            length, at = _varint(content, at)
            value, at = content[at : at + length], at + length
        elif wire in {_FIXED64, _FIXED32}:
            size = 8 if wire == _FIXED64 else 4
            value, at = content[at : at + size], at + size
        else:
            raise ValueError(wire)
        if at > end or tag < 8:
            raise IndexError(at)
        yield tag >> 3, wire, value


def _varint(content: bytes, at: int) -> tuple[int, int]:
    byte = content[at]
    if byte < 0x80:
        return byte, at + 1
    number = shift = 0
    while True:
        byte = content[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7
        if shift > 63:
            raise ValueError(at)


def _packed(content: bytes, kind: str) -> Iterator[Any]:
    """The numbers of a list that are written in one piece."""
    known = _STRUCTS.get(kind)
    at = 0
    while at < len(content):
        if known is None:
            number, at = _varint(content, at)
            yield _scalar(number, kind)
        else:
            yield known.unpack_from(content, at)[0]
            at += known.size


def _scalar(value: Any, kind: str) -> Any:
    if isinstance(value, bytes):
        if kind == "string":
            return value.decode("utf-8", "replace")
        return value if kind == "bytes" else _STRUCTS[kind].unpack(value)[0]
    if kind == "int64":
        return (value & 2**64 - 1) - (2**64 if value & 2**63 else 0)
    if kind == "sint32":
        return value >> 1 ^ -(value & 1)
    if kind == "enum":
        return value & 2**32 - 1
    if kind == "bool":
        return bool(value)
    if kind in {"uint32", "uint64"}:
        return value
    raise ValueError(kind)


class Envelope:
    """A message that has messages, read as it goes: a document, what comes from a resource, or from a scope.

    Args:
        read: where it is read from.
        length: its length in bytes; None for all that there is.
        level: how many messages it is in.
    """

    is_object = True

    def __init__(self, read: Read, length: int | None = None, level: int = 0) -> None:
        self._read = read
        self._left = length
        self._level = level

    def first_key(self) -> str:
        return ""

    def whole(self) -> dict[str, Any]:
        for _ in self.members():
            pass
        return {}

    def members(self) -> Iterator[tuple[str, Any]]:
        together: tuple[str, list[Any]] = "", []
        while (tag := self._tag()) is not None:
            wire = tag & 7
            if wire != _LENGTH:
                self._pass_over(wire)
                continue
            length = self._number()
            name = _NAMES[self._level].get(tag >> 3, "")
            if name == "scope" or (name == "resource" and self._level == 1):
                yield name, decode(self._take(length), RESOURCE if name == "resource" else SCOPE)
            elif name == "values":
                found = value(self._take(length))
                if found[0] != together[0] or len(together[1]) >= _TOGETHER:
                    if together[1]:
                        yield together
                    together = found[0], []
                together[1].append(found[1])
            elif name:
                inner = Envelope(self._read, length, self._level + 1)
                self._spend(length)
                yield name, inner
                inner.whole()
            else:
                self._take(length)
        if together[1]:
            yield together

    def _tag(self) -> int | None:
        if self._left == 0:
            return None
        if self._left is None:
            first = self._read(1)
            if not first:
                return None
            return self._number(first[0])
        return self._number()

    def _number(self, first: int | None = None) -> int:
        number = shift = 0
        while True:
            byte = self._take(1)[0] if first is None else first
            first = None
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number
            shift += 7
            if shift > 63:
                raise Broken("a message of protobuf with a number that is too long")

    def _pass_over(self, wire: int) -> None:
        if wire == _VARINT:
            self._number()
        elif wire in {_FIXED64, _FIXED32}:
            self._take(8 if wire == _FIXED64 else 4)
        else:
            raise Broken("a message of protobuf with a field of no known type")

    def _take(self, length: int) -> bytes:
        self._spend(length)
        found = self._read(length)
        if len(found) < length:
            raise Broken("a message of protobuf that breaks off")
        return found

    def _spend(self, length: int) -> None:
        if self._left is not None:
            self._left -= length
            if self._left < 0:
                raise Broken("a message of protobuf that ends behind the one that it is in")

    def items(self) -> Iterator[Any]:
        raise TypeError

    def batches(self) -> Iterator[list[Any]]:
        raise TypeError


_NAMES: Final = ({1: "resourceSpans"}, {1: "resource", 2: "scopeSpans"}, {1: "scope", 2: "values"})
"""What the fields of the three levels are; whose signal it is shows at the last."""


def value(content: bytes) -> tuple[str, dict[str, Any]]:
    """A span, a log record or a metric, with the key of the list that it is in: which of them it is shows in the types of its fields.

    Raises:
        Broken: if it is none of them.
    """
    try:
        types = {(number, wire) for number, wire, _ in fields(content)}
    except (IndexError, ValueError) as error:
        raise Broken("a message of protobuf that breaks off") from error
    if not types.isdisjoint({(7, _FIXED64), (8, _FIXED64), (6, _VARINT)}):
        return "spans", decode(content, SPAN)
    if not types.isdisjoint({(1, _FIXED64), (11, _FIXED64), (2, _VARINT)}):
        return "logRecords", decode(content, LOG_RECORD)
    return ("spans", decode(content, SPAN)) if _is_span(content) else ("metrics", decode(content, METRIC))


def _is_span(content: bytes) -> bool:
    said = {number: len(value) for number, wire, value in fields(content) if wire == _LENGTH}
    return said.get(1) == 16 and said.get(2) == 8


def begins_message(head: bytes) -> bool:
    """Whether bytes look like the beginning of a document: a field of OTLP's, and in it others."""
    try:
        at = 0
        for level, tags in enumerate((b"\x0a", b"\x0a\x12\x1a", b"\x0a\x12\x1a")):
            if at >= len(head):
                return level > 0
            if head[at] not in tags:
                return False
            inside_resource = level == 1 and head[at] == 0x0A
            length, at = _varint(head, at + 1)
            if inside_resource:
                return not length or at >= len(head) or head[at] in b"\x0a\x10\x1a"
    except (IndexError, ValueError):
        return False
    return True

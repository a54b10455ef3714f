"""OTLP in protobuf: a line at a time, and what recurs in lines."""

from __future__ import annotations

import re
import struct
from binascii import unhexlify
from collections.abc import Iterable
from functools import lru_cache
from typing import Final, NoReturn

import orjson

from massgen_tracing.delivery.encode import wire
from massgen_tracing.delivery.encode.shape import BETWEEN, DOUBLE, EVENTS, IDS, TIME
from massgen_tracing.delivery.encode.spans import Content, EncodedSpan, Form, Home, attempted, by_home
from massgen_tracing.delivery.encode.wire import field, varint
from massgen_tracing.model import Resource, Scope, SpanRecord
from massgen_tracing.store.reading import otlp
from massgen_tracing.store.reading.lines import SPANS
from massgen_tracing.store.reading.values import any_value, attributes

_MOST_KNOWN: Final = 8192
_LONGEST_KNOWN: Final = 256
"""What is remembered, and the bytes of the longest."""

_BEFORE_NAME: Final = re.compile(rf'{EVENTS}(?:"status":(\{{[^{{}}\\]*\}}),)?(?:"flags":(\d{{1,9}}),)?'.encode())
"""What a span without links and what else is rare has between its ids and its name, without what is escaped in its status."""

_NAME: Final = b'"name":"'
_KIND: Final = b'","kind":'
_KINDS: Final = {b"%d," % kind: b"\x30%c" % kind for kind in range(1, 6)}

_PLAIN: Final = re.compile(
    rf'{IDS}("(?:events|status|flags|name)".*?,)"startTimeUnixNano":"({TIME})","endTimeUnixNano":"({TIME})",'
    r'"attributes":\[(?:\{"key":"(.*))?\]\}\]\}\]\}\]\}\n'.encode(),
    re.DOTALL,
)
"""What follows the head on a line of our own writer."""

_STATUSES: Final = range(3)
_OF_HOME: Final = frozenset({"resource", "scope", "scopeSpans", "spans", "schemaUrl"})
_OF_SCOPE: Final = frozenset({"name", "version", "attributes"})
_NEVER: Final = b"\0"
"""No line begins so."""

_VALUE: Final = b'","value":{'
_TEXT: Final = b'"stringValue":"'
_TEXT_END: Final = b'"}}'
_NUMBER: Final = re.compile(rf'"(?:intValue":"(-?\d{{1,18}})"|doubleValue":({DOUBLE}))\}}\}}'.encode())
"""Parts of an attribute, from behind the beginning of its key, whose value stands as it is."""

_DOUBLE: Final = struct.Struct("<Bd")


class Protobuf(Form):
    """OTLP in protobuf."""

    content_type = "application/x-protobuf"
    separator = b""

    def __init__(self) -> None:
        self._head = _NEVER
        """Of the line before; most have the same."""
        self._latest: tuple[Resource | None, Scope | None, Home] = None, None, Home(b"", b"")
        """Resource and scope of the record before, which those of a file share."""
        self._keys: dict[bytes, bytes] = {}
        self._known: dict[bytes, bytes] = {}
        """What recurs: attributes from behind the beginning of their keys, and what stands between ids and times."""
        self._befores: dict[bytes, bytes] = {}
        """What stands between ids and names."""

    def span(self, line: bytes, starts: bool = False) -> EncodedSpan | None:
        return attempted(self._span, line, starts)

    def _span(self, line: bytes, starts: bool) -> EncodedSpan | None:
        if not line.startswith(self._head):
            self._head = line[: line.find(SPANS) + len(SPANS)] or _NEVER
        found = _PLAIN.fullmatch(line, len(self._head))
        home = self.home(self._head)
        if found is None or home is None or not (line.isascii() and line[len(self._head) : -1].decode().isprintable()):
            return None  # others than our own writer's may be no UTF-8, or no JSON
        trace_id, span_id, above, since, start, end, attributes = found.groups()
        written = [] if attributes is None else attributes.split(BETWEEN)
        if len({each[: each.find(b'"')] for each in written}) < len(written):
            return None  # of a key that is there twice, the last one is sent
        made = b"".join(map(self.attribute, written))
        key, start_ns = unhexlify(trace_id + span_id), int(start)
        parent = unhexlify(above) if above else b""
        if not any(key[:16]) or not any(key[16:]) or (parent and not any(parent)):
            return None
        content = b"\x0a\x10%b\x12\x08%b%b%b%b%b" % (
            key[:16],
            key[16:],
            b"\x22\x08" + parent if parent else b"",
            self.since(since),
            wire.times(start_ns, int(end)),
            made,
        )
        return EncodedSpan(home, key, parent, start_ns, field(2, content), starts)

    def record(self, span: SpanRecord) -> EncodedSpan:
        resource, scope, home = self._latest
        if span.resource is not resource or span.scope is not scope:
            home = wire.home(span.resource, span.scope)
            self._latest = span.resource, span.scope, home
        return wire.span(span, home)

    def body(self, contents: Iterable[tuple[Home, Content]]) -> bytes:
        parts: list[Content] = []
        for home, found in by_home(contents).items():
            inner = len(home.scope) + sum(map(len, found))
            scope = b"\x12" + varint(inner)
            parts += (b"\x0a", varint(len(home.resource) + len(scope) + inner), home.resource, scope, home.scope, *found)
        return b"".join(parts)

    def home(self, head: bytes) -> Home | None:
        """Resource and scope of a line's head; None where it is none."""
        return decoded_home(head)

    def since(self, written: bytes) -> bytes:
        """What stands between a span's ids and its times, as fields of a Span message.

        Raises:
            ValueError: if it is another than that of a plain span.
        """
        known = self._known.get(written)
        if known is not None:
            return known
        before, begins, named = written.rpartition(_NAME)
        name, kind = named[: -len(_KIND) - 2], _KINDS.get(named[-2:])
        if not begins or kind is None or named[-len(_KIND) - 2 : -2] != _KIND or b'"' in name or b"\\" in name:
            raise ValueError(written)
        return self._remembered(self._known, written, field(5, name) + kind + self._before(before))

    def _before(self, written: bytes) -> bytes:
        """What stands between a span's ids and its name; of most spans the same few."""
        known = self._befores.get(written)
        if known is not None:
            return known
        found = _BEFORE_NAME.fullmatch(written)
        if found is None:
            raise ValueError(written)
        events, status, flags = found.groups()
        made = b"".join([field(11, wire.event(otlp.event(each, 0, _refuse))) for each in orjson.loads(events)]) if events else b""
        if status:
            said = orjson.loads(status)
            code, message = said.get("code", 0), said.get("message", "")
            if type(code) is not int or code not in _STATUSES or not isinstance(message, str):
                raise ValueError(status)
            made += field(15, wire.status(code, message)) if code or message else b""
        if flags:
            made += wire.flags(16, int(flags))
        return self._remembered(self._befores, written, made)

    def attribute(self, written: bytes) -> bytes:
        """An attribute, from behind the beginning of its key, as the field `attributes` of a Span message.

        Raises:
            ValueError: if it is no attribute.
        """
        known = self._known.get(written)
        if known is not None:
            return known
        key, _, value = written.partition(_VALUE)
        begins = self._keys.get(key) or self._key(key)
        if value.startswith(_TEXT):
            text = value[len(_TEXT) : -len(_TEXT_END)]
            size = len(text)
            if not value.endswith(_TEXT_END, len(_TEXT)) or b'"' in text or b"\\" in text:
                made = _any_attribute(begins, value)
            elif len(begins) + size < 120:  # each length in one byte, in one go
                made = b"\x4a%c%b\x12%c\x0a%c%b" % (len(begins) + size + 4, begins, size + 2, size, text)
            else:
                made = field(9, begins + field(2, b"\x0a%b%b" % (varint(size), text)))
        else:
            found = _NUMBER.fullmatch(value)
            if found is None:
                made = _any_attribute(begins, value)
            else:
                integer, double = found.groups()
                number = _DOUBLE.pack(0x21, float(double)) if integer is None else b"\x18" + varint(int(integer) & 0xFFFF_FFFF_FFFF_FFFF)
                made = field(9, begins + field(2, number))
        return self._remembered(self._known, written, made)

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

    @staticmethod
    def _remembered(known: dict[bytes, bytes], written: bytes, made: bytes) -> bytes:
        if len(written) <= _LONGEST_KNOWN:
            if len(known) >= _MOST_KNOWN:
                known.clear()
            known[written] = made
        return made


def _any_attribute(begins: bytes, value: bytes) -> bytes:
    """An attribute of any kind, from behind the beginning of its value.

    Raises:
        ValueError: if it is none.
    """
    return field(9, begins + field(2, wire.any_value(any_value(orjson.loads(b"{" + value[:-1]), _refuse))))


def _refuse(problem: str) -> NoReturn:
    raise ValueError(problem)


@lru_cache(maxsize=256)
def decoded_home(head: bytes) -> Home | None:
    """Resource and scope of a line's head in protobuf; None where it says another thing than these, each with its schema."""
    return attempted(_decoded_home, head)


def _decoded_home(head: bytes) -> Home | None:
    document = orjson.loads(head + b"}]}]}]}")  # which takes UTF-8 only
    (of_resource,), (of_scope,) = document["resourceSpans"], document["resourceSpans"][0]["scopeSpans"]
    resource, scope = of_resource["resource"], of_scope["scope"]
    odd = of_resource.keys() - _OF_HOME | of_scope.keys() - _OF_HOME | resource.keys() - {"attributes"} | scope.keys() - _OF_SCOPE
    if odd or document.keys() != {"resourceSpans"} or of_scope["spans"] != [{}]:
        return None
    texts = {name: scope.get(name, "") for name in ("name", "version")}
    given = (attributes(each.get("attributes"), _refuse) for each in (resource, scope))
    schemas = (each.get("schemaUrl", "") for each in (of_resource, of_scope))
    return wire.home(Resource(next(given)), Scope(**texts, attributes=next(given)), *schemas)

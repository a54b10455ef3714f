"""The lines of our own writer, decoded fast; any other line is left to the total reader.

Our writer puts one span on a line, after a head (resource and scope) that most lines share. The head is decoded once, the span by a fast
parser; starts are recognised without being parsed, for most of them are followed by their span's end.
"""

from __future__ import annotations

import re
from typing import Any, Final

import orjson

from massgen_tracing import semconv
from massgen_tracing.model import Resource, Scope, SpanRecord
from massgen_tracing.store.reading import otlp
from massgen_tracing.store.reading.spans import SpanKey
from massgen_tracing.store.reading.values import Malformed

SPANS: Final = b'"spans":[{'
"""Begins the list of spans; inside of a JSON text the quotes would be escaped."""

TAIL: Final = b"}]}]}]}\n"
"""Behind the fields of a span; ends the line."""

PENDING: Final = (
    f'{{"key":"{semconv.LOGFIRE_SPAN_TYPE}","value":{{"stringValue":"{semconv.SPAN_TYPE_PENDING}"}}}},'
    f'{{"key":"{semconv.LOGFIRE_PENDING_PARENT}","value":{{"stringValue":"'
).encode()

PENDING_END: Final = -(16 + len(b'"}}]') + len(TAIL))
PENDING_START: Final = PENDING_END - len(PENDING)
"""Where, from its end, a start's line says that it is one; the id of the span's parent follows."""

_INTEGER: Final = b'"intValue":'
_MAX_HEADS: Final = 256

_IDS: Final = re.compile(rb'"traceId":"([0-9a-f]{32})","spanId":"[0-9a-f]{16}","parentSpanId":"([0-9a-f]{16})",')

Home = tuple[Resource, Scope]


class LineDecoder:
    """Decodes lines of one or many recordings."""

    def __init__(self, decoder: otlp.Decoder) -> None:
        self._decoder = decoder
        self._heads: dict[bytes, Home | None] = {}
        self._last = b""

    def span(self, line: bytes) -> SpanRecord | None:
        """The one span of a line that is written as our writer writes; None for any other line."""
        head = self.head(line)
        home = None if head is None else self._heads[head]
        # The fast parser would round an integer of more than 64 bits; ours are texts.
        if head is None or home is None or line.count(_INTEGER) != line.count(_INTEGER + b'"'):
            return None
        try:
            return otlp.span_record(orjson.loads(line[len(head) - 1 : -len(TAIL) + 1]), *home, self._decoder.complain)
        except (ValueError, Malformed, RecursionError):
            return None

    def start(self, line: bytes) -> SpanKey | None:
        """Which span's start a line of our writer tells, without decoding it; None for any other line."""
        if line[PENDING_START:PENDING_END] != PENDING:
            return None
        head = self.head(line)
        ids = None if head is None else _IDS.match(line, len(head))
        return None if ids is None else (ids[1].decode(), ids[2].decode())

    def head(self, line: bytes) -> bytes | None:
        """Resource and scope, up to where the span begins, of a line that is written as our writer writes; None for any other line."""
        if not line.endswith(TAIL):
            return None
        if self._last and line.startswith(self._last):  # as most lines do
            return self._last
        at = line.find(SPANS) + len(SPANS)
        if at < len(SPANS):
            return None
        head = line[:at]
        if self._home(head) is None:
            return None
        self._last = head
        return head

    def resource(self, head: bytes) -> Resource:
        """The resource of a head that `head` gave."""
        home = self._home(head)
        return Resource() if home is None else home[0]

    def _home(self, head: bytes) -> Home | None:
        if head in self._heads:
            return self._heads[head]
        if len(self._heads) >= _MAX_HEADS:
            self._heads.clear()
            self._last = b""
        home = self._heads[head] = self._decoded(head)
        return home

    def _decoded(self, head: bytes) -> Home | None:
        """Resource and scope; None where the head says more than those, or says it in another way."""
        if head.count(_INTEGER) != head.count(_INTEGER + b'"'):
            return None
        try:
            document: Any = orjson.loads(head + TAIL)
            resource_spans = document["resourceSpans"][0]
            scope_spans = resource_spans["scopeSpans"][0]
            plain = {"resourceSpans": [{"resource": resource_spans["resource"], "scopeSpans": [{"scope": scope_spans["scope"], "spans": [{}]}]}]}
            return self._decoder.home(document) if document == plain else None
        except (ValueError, LookupError, TypeError, RecursionError):
            return None


def is_text(line: bytes) -> bool:
    """Whether a line is UTF-8."""
    if line.isascii():
        return True
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True

"""OTLP in JSON: what our own writer has written, with the resource and the scope once."""

from __future__ import annotations

import re
from binascii import unhexlify
from collections.abc import Iterable
from typing import Final

import orjson

from massgen_tracing.delivery.encode.spans import EncodedSpan, Home, by_home
from massgen_tracing.model import SpanRecord
from massgen_tracing.store.reading.encode import document
from massgen_tracing.store.reading.lines import SPANS

DOCUMENT: Final = b'{"resourceSpans":['
_IDS: Final = re.compile(rb'"traceId":"([0-9a-f]{32})","spanId":"([0-9a-f]{16})",(?:"parentSpanId":"([0-9a-f]{16})",)?')
_BEGAN: Final = re.compile(rb'"startTimeUnixNano":"(\d+)"')
_TAIL: Final = b"}]}]}]}\n"
_NEVER: Final = b"\0"
"""No line begins so."""


class Json:
    """OTLP in JSON."""

    content_type = "application/json"

    def __init__(self) -> None:
        self._head = _NEVER
        """Of the line before, up to its span; most have the same."""
        self._home = Home(b"", b"")

    def span(self, line: bytes, starts: bool = False) -> EncodedSpan | None:
        return self._span(line, starts) if line.isascii() else None  # as our own writer's are; others may be no UTF-8

    def _span(self, line: bytes, starts: bool = False) -> EncodedSpan | None:
        if not line.startswith(self._head):
            head = line[: line.find(SPANS) + len(SPANS)]
            home = self.home(head)
            if home is None:
                return None
            self._head, self._home = head, home
        at = len(self._head)
        ids = _IDS.match(line, at)
        if ids is None or not line.endswith(_TAIL) or line.find(DOCUMENT, at) >= 0:
            return None
        began = _BEGAN.search(line, ids.end())
        if began is None:
            return None
        trace_id, span_id, above = ids.groups()
        parent = unhexlify(above) if above else b""
        return EncodedSpan(self._home, unhexlify(trace_id + span_id), parent, int(began[1]), line[at - 1 : 1 - len(_TAIL)], starts)

    def home(self, head: bytes) -> Home | None:
        """Resource and scope of a line's head; None where it is none."""
        return Home(head[len(DOCUMENT) : -1], b"") if head.startswith(DOCUMENT) else None

    def record(self, span: SpanRecord) -> EncodedSpan:
        found = self._span(orjson.dumps(document(span)) + b"\n")
        assert found is not None
        return found

    def request(self, spans: Iterable[EncodedSpan]) -> bytes:
        groups = (home.resource + b",".join(found) + b"]}]}" for home, found in by_home(spans).items())
        return DOCUMENT + b",".join(groups) + b"]}"

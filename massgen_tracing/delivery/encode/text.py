"""OTLP in JSON: what our own writer has written, with the resource and the scope once."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

import orjson

from massgen_tracing.delivery.encode.shape import HEAD, IDS, REST, has_twice
from massgen_tracing.delivery.encode.spans import Content, EncodedSpan, Form, Home, attempted, by_home
from massgen_tracing.model import SpanRecord
from massgen_tracing.store.reading.encode import document
from massgen_tracing.store.reading.lines import SPANS

DOCUMENT: Final = b'{"resourceSpans":['
_HEAD: Final = re.compile(HEAD.encode())
_SPAN: Final = re.compile(rf"\{{{IDS}{REST}".encode())
_OUTER: Final = b"]}]}]}"
_TAIL: Final = _OUTER + b"\n"
_NEVER: Final = b"\0"
"""No line begins so."""


class Json(Form):
    """OTLP in JSON."""

    content_type = "application/json"
    separator = b","

    def __init__(self) -> None:
        self._head = _NEVER
        """Of the line before, up to its span; most have the same."""
        self._home = Home(b"", b"")

    def span(self, line: bytes, starts: bool = False) -> EncodedSpan | None:
        return attempted(self._span, line, starts)

    def _span(self, line: bytes, starts: bool) -> EncodedSpan | None:
        if not line.startswith(self._head):
            head = line[: line.find(SPANS) + len(SPANS)]
            home = self.home(head)
            if home is None:
                return None
            self._head, self._home = head, home
        found = _SPAN.fullmatch(line, len(self._head) - 1, len(line) - len(_TAIL)) if line.endswith(_TAIL) else None
        if found is None or has_twice(found[0]):
            return None
        trace_id, span_id, above, _, start = found.groups()
        key, parent = bytes.fromhex((trace_id + span_id).decode()), bytes.fromhex((above or b"").decode())
        if not any(key[:16]) or not any(key[16:]) or (parent and not any(parent)):
            return None
        return EncodedSpan(self._home, key, parent, int(start), found[0], starts)

    def home(self, head: bytes) -> Home | None:
        """Resource and scope of a line's head; None where it is none."""
        return _checked_home(head)

    def record(self, span: SpanRecord) -> EncodedSpan:
        made = orjson.dumps(document(span))
        begin = made.find(SPANS) + len(SPANS)
        key, parent = bytes.fromhex(span.trace_id + span.span_id), bytes.fromhex(span.parent_span_id)
        return EncodedSpan(_home(made[:begin]), key, parent, span.start_ns, made[begin - 1 : -len(_OUTER)])

    def body(self, contents: Iterable[tuple[Home, Content]]) -> bytes:
        groups = (home.resource + self.separator.join(found) + b"]}]}" for home, found in by_home(contents).items())
        return DOCUMENT + b",".join(groups) + b"]}"


def _home(head: bytes) -> Home:
    return Home(head[len(DOCUMENT) : -1], b"")


@lru_cache(maxsize=256)
def _checked_home(head: bytes) -> Home | None:
    return _home(head) if _HEAD.fullmatch(head) and not has_twice(head) else None

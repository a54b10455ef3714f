"""Of each span only what it takes to draw it: for whoever draws all of them, and asks what one says when somebody looks at it.

Of a plain line of our own writer nothing is decoded but that, which takes half of the time. A line that is not plain is decoded whole. Where lines
are not our writer's, or tell of a span twice, there is no outline, and the total reader has to see to them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, NamedTuple, TypeVar

import orjson

from massgen_tracing import layout
from massgen_tracing.model import Attributes, Resource, SpanRecord
from massgen_tracing.store.reading import liveness, otlp
from massgen_tracing.store.reading.lines import TAIL, LineDecoder, is_text
from massgen_tracing.store.reading.recording import unfinished
from massgen_tracing.store.reading.spans import SpanKey

M = TypeVar("M")

CALLING: Final = frozenset({3, 4})
"""OTLP's kinds of spans on the calling side: CLIENT and PRODUCER."""

_CALLING_TEXTS: Final = frozenset(b"%d" % kind for kind in CALLING)

# What is plain is JSON, and of the kinds that can be read, to the last byte: what the total reader would skip is never drawn.
_TEXT: Final = rb'"[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u(?![dD][89a-fA-F])[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+"'
_NUMBER: Final = rb"-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,20})?(?:[eE][+-]?[0-9]{1,2})?"
_SCALAR: Final = rb'\{(?:"stringValue":' + _TEXT + rb'|"intValue":"-?[0-9]{1,18}"|"doubleValue":' + _NUMBER + rb'|"boolValue":(?:true|false))\}'
_LIST: Final = rb'\{"arrayValue":\{"values":\[' + _SCALAR + rb"(?:," + _SCALAR + rb")*+\]\}\}"
_ATTRIBUTE: Final = rb'\{"key":' + _TEXT + rb',"value":(?:' + _SCALAR + rb"|" + _LIST + rb")\}"
_ATTRIBUTES: Final = re.compile(rb"(?:" + _ATTRIBUTE + rb"(?:," + _ATTRIBUTE + rb")*+)?+\]" + re.escape(TAIL))
"""To the end of the line; none of them has keys of its own."""

_TIME: Final = rb"[1-8][0-9]{18}"
_FIELDS: Final = re.compile(
    rb'"traceId":("(?!0{32})[0-9a-f]{32}"),"spanId":"((?!0{16})[0-9a-f]{16})",(?:"parentSpanId":"((?!0{16})[0-9a-f]{16})",)?'
    rb'(?:"status":\{"code":([0-2])(?:,"message":' + _TEXT + rb')?\},)?(?:"flags":(?:0|[1-9][0-9]{0,8}),)?"name":(' + _TEXT + rb'),"kind":([0-5]),'
    rb'"startTimeUnixNano":"(' + _TIME + rb')","endTimeUnixNano":"(' + _TIME + rb')","attributes":\['
)
_STRING: Final = re.compile(rb'"stringValue":(' + _TEXT + rb")\}")
_BUFFER: Final = 1 << 20


class NoOutline(Exception):
    """There are lines that have to be read in full."""


def _refuse(problem: str) -> None:
    """Of what cannot be read only the reader of all gives account."""
    raise NoOutline(problem)


class Outline(NamedTuple, Generic[M]):
    """What it takes to draw a span; in the order of their starts, as `insight.tree` has it.

    Attributes:
        start_ns, trace_id, span_id, parent_span_id, end_ns, status_code, state: as `SpanRecord` has them.
        is_called: whether it is not on the calling side.
        meaning: what was asked of its name and attributes.
    """

    start_ns: int
    trace_id: str
    span_id: str
    is_called: bool
    parent_span_id: str
    end_ns: int | None
    status_code: int
    state: str
    resource: Resource
    meaning: M


@dataclass(frozen=True)
class Asked(Generic[M]):
    """What is asked of a span besides its times and its place.

    Attributes:
        keys: attributes that are texts where they say something.
        whole: whether all attributes of spans with a name are needed.
        meaning: what a name and these attributes say.
    """

    keys: tuple[str, ...]
    whole: Callable[[str], bool]
    meaning: Callable[[str, Attributes], M]

    def of(self, span: SpanRecord) -> Outline[M]:
        """The outline of a span."""
        return Outline(
            span.start_ns, span.trace_id, span.span_id, span.kind not in CALLING, span.parent_span_id, span.end_ns, span.status_code, span.state,
            span.resource, self.meaning(span.name, span.attributes),
        )  # fmt: skip


class Lines(Generic[M]):
    """Outlines of the lines of files.

    Args:
        asked: what is asked of them.
    """

    def __init__(self, asked: Asked[M]) -> None:
        self._asked = asked
        self._beginnings = [f'"key":"{key}","value":{{'.encode() for key in asked.keys]
        self._decoder = LineDecoder(otlp.Decoder(_refuse))
        self._traces: dict[bytes, str] = {}
        self._meanings: dict[bytes, dict[tuple[bytes | None, ...], M]] = {}
        self._whole: set[bytes] = set()

    def read(self, path: Path) -> Iterator[Outline[M]]:
        """The spans of a file, those that have not ended at its end.

        Raises:
            NoOutline: if it has lines that are not our writer's.
            OSError: if it cannot be opened or read.
        """
        if layout.is_arrival(path):
            raise NoOutline
        alive = liveness.writer_alive(layout.held_by_writer(path))
        starts: dict[SpanKey, bytes] = {}
        with path.open("rb", _BUFFER) as file:
            for line in file:
                start = self._decoder.start(line)
                if start is not None:
                    starts[start] = line
                    continue
                made = self._plain(line) or self._decoded(line)
                if made is not None:
                    starts.pop((made.trace_id, made.span_id), None)
                    yield made
                elif not alive or line.endswith(b"\n"):
                    raise NoOutline
        for line in starts.values():
            pending = self._decoder.span(line)
            begun = None if pending is None else otlp.started(pending)
            if begun is None:
                raise NoOutline
            yield self._asked.of(unfinished(begun, "open" if alive else "interrupted"))

    def _decoded(self, line: bytes) -> Outline[M] | None:
        """The span of a line that is decoded whole; None where it is not our writer's."""
        span = self._decoder.span(line)
        return None if span is None or span.end_ns is None or otlp.is_pending(span) else self._asked.of(span)

    def _plain(self, line: bytes) -> Outline[M] | None:
        """The span of a plain line; None for any other."""
        head = self._decoder.head(line)
        fields = None if head is None else _FIELDS.match(line, len(head))
        if head is None or fields is None or _ATTRIBUTES.fullmatch(line, fields.end()) is None or not is_text(line):
            return None
        trace, span, parent, status, name, kind, start, end = fields.groups()
        place = fields.end()
        meanings = self._meanings.get(name)
        if meanings is None:
            meanings = self._meanings[name] = {}
            if self._asked.whole(orjson.loads(name)):
                self._whole.add(name)
        said = None if name in self._whole else self._said(line, place)
        if said is None:
            return None
        meaning = meanings.get(said)
        if meaning is None:
            attributes = {key: orjson.loads(text) for key, text in zip(self._asked.keys, said, strict=True) if text is not None}
            meaning = meanings[said] = self._asked.meaning(orjson.loads(name), attributes)
        known = self._traces.get(trace)
        if known is None:
            known = self._traces[trace] = orjson.loads(trace)
        return Outline(
            int(start), known, span.decode(), kind not in _CALLING_TEXTS, "" if parent is None else parent.decode(), int(end), int(status or 0),
            "ended", self._decoder.resource(head), meaning,
        )  # fmt: skip

    def _said(self, line: bytes, place: int) -> tuple[bytes | None, ...] | None:
        """The texts of the wanted attributes that a line has from a place on; None where that is not plain."""
        said: list[bytes | None] = []
        for beginning in self._beginnings:
            at = line.find(beginning, place)
            if at < 0:
                said.append(None)
                continue
            text = _STRING.match(line, at + len(beginning))
            if text is None or line.find(beginning, text.end()) >= 0:  # another type, or twice
                return None
            said.append(text[1])
        return tuple(said)

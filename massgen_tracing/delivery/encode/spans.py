"""What a span is between its recording and a request, and what forms of requests there are."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple, ParamSpec, Protocol, TypeVar

from massgen_tracing.model import SpanRecord

_Given = ParamSpec("_Given")
_Made = TypeVar("_Made")


class Home(NamedTuple):
    """Resource and scope, as the beginnings of a ResourceSpans and of a ScopeSpans message."""

    resource: bytes
    scope: bytes


class EncodedSpan(NamedTuple):
    """A span as backends take it.

    Attributes:
        home: the resource and scope that it is of, as the form gives them.
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

    def home(self, head: bytes) -> Home | None:
        """Resource and scope of a line's head; None where it is none."""

    def record(self, span: SpanRecord) -> EncodedSpan:
        """Any span that a reader has read."""

    def request(self, spans: Iterable[EncodedSpan]) -> bytes:
        """The body of an ExportTraceServiceRequest with these spans."""


def attempted(encode: Callable[_Given, _Made], *given: _Given.args, **options: _Given.kwargs) -> _Made | None:
    """What *encode* makes; None where it cannot make anything of what it is given.

    Whatever part of lines is encoded goes through here: what could not be taken goes on to a slower way that understands more, and what the last of
    them cannot take is counted.
    """
    try:
        return encode(*given, **options)
    except MemoryError:  # which says nothing about the line
        raise
    except Exception:  # noqa: BLE001 - anyone may have written the line, and the lines of others must not wait for it: no list of errors is complete
        return None


def by_home(spans: Iterable[EncodedSpan]) -> dict[Home, list[bytes]]:
    """The contents of spans, by what they are of."""
    found: dict[Home, list[bytes]] = {}
    for home, those in groupby(spans, itemgetter(0)):
        found.setdefault(home, []).extend([span.content for span in those])
    return found

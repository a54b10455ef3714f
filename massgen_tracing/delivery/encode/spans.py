"""What a span is between its recording and a request, and what forms of requests there are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple, ParamSpec, TypeVar

from massgen_tracing.model import SpanRecord

_Given = ParamSpec("_Given")
_Made = TypeVar("_Made")


Content = bytes | memoryview
"""Of one span, or of several with what separates them."""


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


class Form(ABC):
    """A form of OTLP's requests.

    Attributes:
        content_type: what HTTP calls it.
        separator: what stands between two spans.
    """

    content_type: str
    separator: bytes

    @abstractmethod
    def span(self, line: bytes, starts: bool = False) -> EncodedSpan | None:
        """The span of a line; None where it is not a plain one of our own writer, with its end.

        Args:
            line: the whole line.
            starts: whether it is a pending span.
        """

    @abstractmethod
    def home(self, head: bytes) -> Home | None:
        """Resource and scope of a line's head; None where it is none."""

    @abstractmethod
    def record(self, span: SpanRecord) -> EncodedSpan:
        """Any span that a reader has read."""

    def request(self, spans: Iterable[EncodedSpan]) -> bytes:
        """The body of an ExportTraceServiceRequest with these spans."""
        return self.body((span.home, span.content) for span in spans)

    @abstractmethod
    def body(self, contents: Iterable[tuple[Home, Content]]) -> bytes:
        """The same of contents of spans, each with what they are of."""


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


def by_home(contents: Iterable[tuple[Home, Content]]) -> dict[Home, list[Content]]:
    """Contents of spans by what they are of."""
    found: dict[Home, list[Content]] = {}
    for home, those in groupby(contents, itemgetter(0)):
        found.setdefault(home, []).extend([content for _, content in those])
    return found

"""Spans that have ended, each once: also where two of them have one id, as the client and the server of one call have in some tracers."""

from __future__ import annotations

from collections.abc import Iterator

from massgen_tracing import semconv
from massgen_tracing.model import SpanRecord

SpanKey = tuple[str, str]
"""Trace id and span id."""

Identity = tuple[str, str, int, int, str]


class Ended:
    """Spans that have ended, by their trace and id. Of the same span twice the last one counts; others with its id are spans of their own."""

    def __init__(self) -> None:
        self._first: dict[SpanKey, SpanRecord] = {}
        self._others: dict[Identity, SpanRecord] = {}

    def copy(self) -> Ended:
        """The same as it is now."""
        copy = Ended()
        copy._first, copy._others = dict(self._first), dict(self._others)
        return copy

    def add(self, span: SpanRecord) -> None:
        """Add one."""
        key = span.trace_id, span.span_id
        known = self._first.get(key)
        if known is None or identity(known) == identity(span):
            self._first[key] = span
        elif 0 in {known.kind, span.kind} and identity(known)[3:] == identity(span)[3:]:
            # One of the two comes from where the kind is not known.
            self._first[key] = span if span.kind else known
        else:
            self._others[identity(span)] = span

    def update(self, later: Ended) -> None:
        """Add all of another one."""
        if self._first.keys().isdisjoint(later._first):
            self._first |= later._first
            self._others |= later._others
        else:
            for span in later:
                self.add(span)

    def __contains__(self, key: SpanKey) -> bool:
        return key in self._first

    def __iter__(self) -> Iterator[SpanRecord]:
        yield from self._first.values()
        yield from self._others.values()

    def __len__(self) -> int:
        return len(self._first) + len(self._others)

    def keys(self) -> set[SpanKey]:
        """Trace and id of all of them."""
        return set(self._first)


def identity(span: SpanRecord) -> Identity:
    """What is the same of a span whenever it is told of: two that differ in it are two, though they have one id."""
    return span.trace_id, span.span_id, span.kind, span.start_ns // 1000, repr(span.resource.attributes.get(semconv.SERVICE_NAME))

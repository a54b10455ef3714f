"""Model calls, whoever reports them: of those within each other the innermost counts, in whatever order they end.

As `massgen_tracing.insight.calls` has it, which also knows those that two instrumentations report beside each other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from massgen_tracing import conventions, semconv
from massgen_tracing.model import SpanRecord, Usage
from massgen_tracing.projection import values
from massgen_tracing.projection.values import text

_HIGHEST: Final = 256
"""Spans above a call that are told of it."""


@dataclass(slots=True)
class Call:
    """A model call that has ended.

    Attributes:
        used: what it says that it used.
        first: seconds until its first chunk.
        said: what came of it, each text with the type of its event.
    """

    span: SpanRecord
    used: Usage
    first: float | None
    said: Sequence[tuple[str, str]]

    @classmethod
    def of(cls, span: SpanRecord) -> Call:
        """As its span says it."""
        about = span.attributes
        first = conventions.number(about.get(semconv.GEN_AI_TIME_TO_FIRST_CHUNK))
        return cls(span, values.usage_of(span), first, _written(about.get(semconv.GEN_AI_OUTPUT_MESSAGES)))

    def completed(self, outer: Call) -> Call:
        """With what only the call around it knows, which is the same one."""
        return Call(self.span, outer.used.updated(self.used), outer.first if self.first is None else self.first, self.said or outer.said)


@dataclass(slots=True)
class _Begun:
    """A call that is not settled: it goes on, or one within it does.

    Attributes:
        around: the id of the call that it is within; empty where there is none.
        going_on: how many within it are not settled.
        ended: itself, when it has ended.
        within: the innermost calls within it, of those that are settled.
        between: spans within it that are no calls.
    """

    around: str
    going_on: int = 0
    ended: Call | None = None
    within: list[Call] = field(default_factory=list)
    between: list[str] = field(default_factory=list)


class Calls:
    """Has each model call counted once.

    Args:
        count: is given each call that counts.
    """

    def __init__(self, count: Callable[[Call], None]) -> None:
        self._count = count
        self._begun: dict[str, _Begun] = {}
        self._between: dict[str, str] = {}
        """Spans within a call that are none themselves, and that call."""
        self._parents: dict[str, str] = {}
        """Of spans that go on, and of which nobody has said yet that they are calls."""
        self._around: set[str] = set()
        """Those of them that have a call within them."""

    def started(self, span: SpanRecord) -> None:
        """A model call has started."""
        self._begin(span.span_id, self._call_around(span))

    def passed(self, span: SpanRecord) -> None:
        """Another span has started, which may lie between a call and one within it."""
        self._parents[span.span_id] = span.parent_span_id
        around = self._call_around(span)
        if around:
            self._between[span.span_id] = around
            self._begun[around].between.append(span.span_id)

    def ended(self, span: SpanRecord) -> None:
        """A model call has ended."""
        own = span.span_id
        if own not in self._begun:  # what it is has been said at its end only
            if self.left(own):
                return
            self._begin(own, self._between.get(own, ""))
        begun = self._begun[own]
        begun.ended = Call.of(span)
        if not begun.going_on:
            self._settle(own)

    def left(self, span_id: str) -> bool:
        """A span that was taken for no call has ended; whether a call was within it."""
        self._parents.pop(span_id, None)
        found = span_id in self._around
        self._around.discard(span_id)
        return found

    def rest(self) -> None:
        """The run is over: what has not ended will not."""
        for own in reversed(list(self._begun)):
            if own in self._begun:
                self._settle(own)

    def _call_around(self, span: SpanRecord) -> str:
        parent = span.parent_span_id
        return parent if parent in self._begun else self._between.get(parent, "")

    def _begin(self, own: str, around: str) -> None:
        self._begun[own] = _Begun(around)
        if around:
            self._begun[around].going_on += 1

    def _settle(self, own: str) -> None:
        begun = self._begun.pop(own)
        for other in begun.between:
            self._between.pop(other, None)
        found = begun.within
        if begun.ended is not None:
            found = [found[0].completed(begun.ended)] if len(found) == 1 else found or [begun.ended]
        outer = self._begun.get(begun.around)
        if outer is None:
            for call in found:
                self._tell_above(call)
                self._count(call)
            return
        outer.within += found
        outer.going_on -= 1
        if outer.ended is not None and not outer.going_on:
            self._settle(begun.around)

    def _tell_above(self, call: Call) -> None:
        above = call.span.parent_span_id
        for _ in range(_HIGHEST):
            if above not in self._parents or above in self._around:
                return
            self._around.add(above)
            above = self._parents[above]


def _written(messages: object) -> list[tuple[str, str]]:
    """The texts of a model's output, each with the type of its event."""
    kinds = {"text": "text", "reasoning": "thinking"}
    parts = [part for message in _mappings(values.decoded(messages)) for part in _mappings(message.get("parts"))]
    told = [(kinds.get(text(part.get("type"))), text(part.get("content"))) for part in parts]
    return [(kind, said) for kind, said in told if kind is not None and said]


def _mappings(value: object) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list | tuple) else []

"""The spans of a run, taken apart once for everything that looks at them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property
from operator import attrgetter
from typing import Final

from massgen_tracing import conventions, semconv
from massgen_tracing.insight import tools, words
from massgen_tracing.insight.calls import Key, ModelCall, Tree, errors, model_calls
from massgen_tracing.insight.tools import ToolCall
from massgen_tracing.model import SpanRecord
from massgen_tracing.projection.values import integer

_ORDER: Final = attrgetter("start_ns", "trace_id", "span_id")
"""Spans that start at once have an order too, whichever that is: the same run says the same."""

_TYPES: Final = {
    semconv.ANSWER_NAME: "answer",
    semconv.VOTE_NAME: "vote",
    semconv.RESTART_NAME: "restart",
    semconv.WINNER_NAME: "winner",
    semconv.FINAL_ANSWER_NAME: "final",
    semconv.EVENT_NAME: "",
}
_STARTS: Final = {name.partition("{")[0]: kind for name, kind in _TYPES.items()}
_EVENTS: Final = tuple(_STARTS)


def _type_of(name: str) -> str:
    start = next(start for start in _EVENTS if name.startswith(start))
    return _STARTS[start] or name.removeprefix(start)


class Parts:
    """A run's spans by what they are; each part is made when it is asked for.

    Attributes:
        spans: all, by their starts.
        tree: what stands above each.
    """

    def __init__(self, spans: Sequence[SpanRecord]) -> None:
        self.spans = sorted(spans, key=_ORDER)
        self.tree = Tree(self.spans)

    @cached_property
    def sessions(self) -> list[SpanRecord]:
        """The sessions that are in no other one, by their starts: a run has one for each of its turns and attempts."""
        found = [span for span in self.tree.spans.values() if span.name == semconv.SESSION]
        return [span for span in found if not any(above.name == semconv.SESSION for above in self.tree.above(span))]

    @cached_property
    def rounds(self) -> list[SpanRecord]:
        """The rounds of all agents, presentations too."""
        return [span for span in self.spans if span.name.startswith(semconv.AGENT_PREFIX)]

    @cached_property
    def calls(self) -> list[ModelCall]:
        """The model calls, each once."""
        return model_calls(self.tree)

    @cached_property
    def tools(self) -> list[ToolCall]:
        """The tool calls, each once."""
        return tools.calls_of(self.tree)

    @cached_property
    def errors(self) -> list[SpanRecord]:
        """The spans that failed of themselves, by their starts."""
        return errors(self.tree)

    @cached_property
    def calls_of(self) -> defaultdict[Key, list[ModelCall]]:
        """The model calls of each round."""
        found: defaultdict[Key, list[ModelCall]] = defaultdict(list)
        for call in self.calls:
            if (rnd := self.tree.round_of(call.span)) is not None:
                found[rnd.key].append(call)
        return found

    @cached_property
    def within(self) -> defaultdict[Key, list[SpanRecord]]:
        """What is in each round, by starts; not what is in a round within it."""
        found: defaultdict[Key, list[SpanRecord]] = defaultdict(list)
        for span in self.spans:
            if (rnd := self.tree.round_of(span)) is not None:
                found[rnd.key].append(span)
        return found

    @cached_property
    def points(self) -> defaultdict[str, list[SpanRecord]]:
        """The events of the coordination by type: `answer`, `vote`, `restart`, `winner`, `final`, or as they call themselves (`enforcement`, say)."""
        found: defaultdict[str, list[SpanRecord]] = defaultdict(list)
        for span in self.spans:
            if span.name.startswith(_EVENTS):
                told = span.attributes.get(semconv.EVENT_TYPE)
                found[told if isinstance(told, str) else _type_of(span.name)].append(span)
        return found

    @cached_property
    def last_ns(self) -> int:
        """The last moment that is recorded, in Unix nanoseconds; 0 for no spans."""
        return max((max(span.start_ns, span.end_ns or 0) for span in self.spans), default=0)

    def round_of(self, span: SpanRecord) -> SpanRecord | None:
        """The round that a span is, or is in."""
        return span if span.name.startswith(semconv.AGENT_PREFIX) else self.tree.round_of(span)

    def agent_of(self, span: SpanRecord) -> str:
        """Whose it is; empty where that is not known."""
        rnd = self.round_of(span)
        return words.agent(rnd) if rnd is not None else words.agent(span) or conventions.text_of(span.attributes, conventions.AGENT)

    def number_of(self, span: SpanRecord) -> int | None:
        """The number of its agent's round that it is in; None for none, and for a presentation."""
        rnd = self.round_of(span)
        return integer((span if rnd is None else rnd).attributes.get(semconv.ROUND))

    def session_of(self, span: SpanRecord) -> SpanRecord | None:
        """The nearest session that a span is in."""
        return next((above for above in self.tree.above(span) if above.name == semconv.SESSION), None)

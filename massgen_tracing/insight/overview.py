"""What to look at in a run: who used what, which work was thrown away and why, which tools took long, where nothing went on, what failed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from massgen_tracing import conventions, semconv
from massgen_tracing.insight import words
from massgen_tracing.insight.calls import ModelCall, Tree, errors, model_calls, tool_calls
from massgen_tracing.insight.summary import Round, Summary, is_costless, summarise
from massgen_tracing.insight.tree import Node, trees
from massgen_tracing.model import SpanRecord, Usage
from massgen_tracing.projection.values import integer, text

GAP_SECONDS: Final = 1.0
"""A shorter time without any work is what a coordinator takes between calls."""

_THROWN_AWAY: Final = frozenset({"restarted", "timeout", "error", "cancelled"})
"""Outcomes of rounds that neither answer nor vote."""


@dataclass(frozen=True, slots=True)
class Used:
    """What an agent's calls of one model used.

    Attributes:
        agent_id: empty for calls outside of agents' rounds.
        costless_calls: those of the calls whose cost is not known; it is not in `usage.cost`.
    """

    agent_id: str
    model: str
    calls: int
    costless_calls: int
    usage: Usage


@dataclass(frozen=True, slots=True)
class Wasted:
    """A round whose work was thrown away; `by` is the agent whose answer did that, empty where that is not recorded or not the cause."""

    round: Round
    by: str


@dataclass(frozen=True, slots=True)
class ToolUse:
    """The calls of one tool; times in seconds, of those that have ended."""

    name: str
    calls: int
    failures: int
    seconds: float
    longest: float


@dataclass(frozen=True, slots=True)
class Gap:
    """A time in an agent's round in which nothing went on that is recorded; `after` is what had ended last, empty for the round's own start."""

    agent_id: str
    round: int | None
    start_ns: int
    seconds: float
    after: str


@dataclass(frozen=True, slots=True)
class Failure:
    """A span that failed of itself."""

    span: SpanRecord
    agent_id: str
    round: int | None
    error: str


@dataclass(frozen=True, slots=True)
class Overview:
    """A run, as far as it is worth a look.

    Attributes:
        used: the most expensive first, those of unknown cost by their tokens.
        wasted: rounds in order of start.
        tools: those that took longest in all first.
        gaps: the longest first.
        failures: in order of start.
    """

    summary: Summary
    used: tuple[Used, ...]
    wasted: tuple[Wasted, ...]
    tools: tuple[ToolUse, ...]
    gaps: tuple[Gap, ...]
    failures: tuple[Failure, ...]


def overview(spans: Sequence[SpanRecord]) -> Overview:
    """What to look at in the spans of one run."""
    summary = summarise(spans)
    tree = Tree(sorted(spans, key=lambda span: span.start_ns))
    return Overview(
        summary,
        used=tuple(_used(tree)),
        wasted=tuple(_wasted(tree, summary)),
        tools=tuple(_tools(tree)),
        gaps=tuple(sorted(_gaps(trees(spans)), key=lambda gap: -gap.seconds)),
        failures=tuple(Failure(span, *_whose(tree, span), words.error(span) or words.name(span)) for span in errors(tree)),
    )


def _whose(tree: Tree, span: SpanRecord) -> tuple[str, int | None]:
    """The agent and the number of the round that a span is in, or is itself."""
    of = span if span.name.startswith(semconv.AGENT_PREFIX) else tree.round_of(span) or span
    return words.agent(of), integer(of.attributes.get(semconv.ROUND))


def _used(tree: Tree) -> list[Used]:
    found: dict[tuple[str, str], list[ModelCall]] = defaultdict(list)
    for call in model_calls(tree):
        found[_whose(tree, call.span)[0], call.model].append(call)
    used = [
        Used(agent_id, model, len(calls), sum(map(is_costless, calls)), sum((call.usage for call in calls), Usage()))
        for (agent_id, model), calls in found.items()
    ]
    return sorted(
        used, key=lambda each: (-(each.usage.cost or 0.0), -((each.usage.input or 0) + (each.usage.output or 0)), each.agent_id, each.model)
    )


def _wasted(tree: Tree, summary: Summary) -> Iterator[Wasted]:
    by = {span.parent_span_id: cause for span in tree.spans.values() if (cause := text(span.attributes.get(semconv.RESTART_BY)))}
    for rnd in summary.rounds:
        if rnd.outcome in _THROWN_AWAY:
            yield Wasted(rnd, by.get(rnd.span_id, ""))


def _tools(tree: Tree) -> list[ToolUse]:
    found: dict[str, list[SpanRecord]] = defaultdict(list)
    for span in tool_calls(tree):
        found[conventions.text_of(span.attributes, conventions.TOOL) or words.name(span)].append(span)
    used = []
    for name, calls in found.items():
        taken = [span.seconds or 0.0 for span in calls]
        used.append(ToolUse(name, len(calls), sum(map(words.has_failed, calls)), sum(taken), max(taken)))
    return sorted(used, key=lambda each: (-each.seconds, each.name))


def _gaps(roots: Iterable[Node]) -> Iterator[Gap]:
    for root in roots:
        for _, node in root.walk():
            if node.span.name.startswith(semconv.AGENT_PREFIX):
                yield from _gaps_of(node)


def _gaps_of(rnd: Node) -> Iterator[Gap]:
    """The times in a round that no span below it covers, as far as they are long."""
    span = rnd.span
    below = sorted((node.span for _, node in rnd.walk() if node is not rnd), key=lambda each: each.start_ns)
    until, after = span.start_ns, ""
    end = span.end_ns if span.end_ns is not None else max((each.end_ns or each.start_ns for each in below), default=span.start_ns)
    for start_ns, end_ns, name in (*((each.start_ns, each.end_ns, words.name(each)) for each in below), (end, end, "")):
        if (min(start_ns, end) - until) / 1e9 >= GAP_SECONDS:
            yield Gap(words.agent(span), integer(span.attributes.get(semconv.ROUND)), until, (min(start_ns, end) - until) / 1e9, after)
        if end_ns is None:  # nobody knows how long it went on: it may have been all the time
            return
        if end_ns >= until:
            until, after = end_ns, name

"""What to look at in a run: who used what, which work was thrown away and why, which tools took long, where nothing went on, what failed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from massgen_tracing.insight import words
from massgen_tracing.insight.calls import ModelCall
from massgen_tracing.insight.findings import Finding, find
from massgen_tracing.insight.findings.coordination import thrown_away
from massgen_tracing.insight.parts import Parts
from massgen_tracing.insight.summary import Round, Summary, is_costless, round_of, total
from massgen_tracing.insight.tools import ToolCall
from massgen_tracing.model import SpanRecord, Usage
from massgen_tracing.thresholds import Thresholds

GAP_SECONDS: Final = 1.0
"""A shorter time without any work is what a coordinator takes between calls."""


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
    cause: str
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
        findings: the most severe first.
    """

    summary: Summary
    used: tuple[Used, ...]
    wasted: tuple[Wasted, ...]
    tools: tuple[ToolUse, ...]
    gaps: tuple[Gap, ...]
    failures: tuple[Failure, ...]
    findings: tuple[Finding, ...]


def overview(spans: Sequence[SpanRecord], limits: Thresholds | None = None) -> Overview:
    """What to look at in the spans of one run."""
    parts = Parts(spans)
    summary = total(parts)
    return Overview(
        summary,
        used=tuple(used(parts)),
        wasted=tuple(Wasted(round_of(parts, rnd), cause, by) for rnd, cause, by in thrown_away(parts)),
        tools=tuple(tools(parts)),
        gaps=tuple(gaps(parts)),
        failures=tuple(failures(parts)),
        findings=tuple(find(parts, limits or Thresholds(), summary=summary)),
    )


def failures(parts: Parts) -> Iterator[Failure]:
    """What failed of itself, in order of start."""
    for span in parts.errors:
        yield Failure(span, parts.agent_of(span), parts.number_of(span), words.error(span) or words.name(span))


def used(parts: Parts) -> list[Used]:
    """What was used by whom, the most expensive first."""
    found: dict[tuple[str, str], list[ModelCall]] = defaultdict(list)
    for call in parts.calls:
        found[parts.agent_of(call.span), call.model].append(call)
    told = [
        Used(agent_id, model, len(calls), sum(map(is_costless, calls)), sum((call.usage for call in calls), Usage()))
        for (agent_id, model), calls in found.items()
    ]
    return sorted(
        told, key=lambda each: (-(each.usage.cost or 0.0), -((each.usage.input or 0) + (each.usage.output or 0)), each.agent_id, each.model)
    )


def tools(parts: Parts) -> list[ToolUse]:
    """The calls of each tool, those that took longest in all first."""
    found: dict[str, list[ToolCall]] = defaultdict(list)
    for call in parts.tools:
        found[call.tool].append(call)
    told = []
    for name, calls in found.items():
        taken = [call.seconds for call in calls]
        told.append(ToolUse(name, len(calls), sum(words.has_failed(call.span) or call.failed for call in calls), sum(taken), max(taken)))
    return sorted(told, key=lambda each: (-each.seconds, each.name))


def gaps(parts: Parts) -> list[Gap]:
    """The times in agents' rounds in which nothing went on, the longest first."""
    return sorted((gap for rnd in parts.rounds for gap in _gaps_of(parts, rnd)), key=lambda gap: -gap.seconds)


def _gaps_of(parts: Parts, span: SpanRecord) -> Iterator[Gap]:
    """The times in a round that no span below it covers, as far as they are long."""
    below = parts.within[span.key]
    until, after = span.start_ns, ""
    end = span.end_ns if span.end_ns is not None else max((each.end_ns or each.start_ns for each in below), default=span.start_ns)
    for start_ns, end_ns, name in (*((each.start_ns, each.end_ns, words.name(each)) for each in below), (end, end, "")):
        if (min(start_ns, end) - until) / 1e9 >= GAP_SECONDS:
            yield Gap(words.agent(span), parts.number_of(span), until, (min(start_ns, end) - until) / 1e9, after)
        if end_ns is None:  # nobody knows how long it went on: it may have been all the time
            return
        if end_ns >= until:
            until, after = end_ns, name

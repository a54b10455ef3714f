"""All that is computed of one question of a run: what a report, a page, a comparison and a program are told the same of."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Final

from massgen_tracing import semconv
from massgen_tracing.insight import overview, words
from massgen_tracing.insight.calls import ModelCall
from massgen_tracing.insight.decisions import Coordination, coordinations
from massgen_tracing.insight.findings import SEVERITIES, Earlier, Finding, Severity, find
from massgen_tracing.insight.findings.coordination import thrown_away, unknown_tools
from massgen_tracing.insight.findings.repetition import failing
from massgen_tracing.insight.findings.spending import by_agent, costless_by_agent
from massgen_tracing.insight.findings.waiting import Step, critical_path
from massgen_tracing.insight.parts import Parts
from massgen_tracing.insight.summary import Round, Summary, round_of, total
from massgen_tracing.insight.tools import ToolCall
from massgen_tracing.model import SpanRecord, Usage
from massgen_tracing.projection.values import integer, text, texts
from massgen_tracing.thresholds import Thresholds

PHASES: Final = semconv.ROUND_TYPES

_GOOD_PIVOT: Final = 3
"""Failures of one call after which another way is still tried in good time."""

_CAUSES: Final[Mapping[str, re.Pattern[str]]] = {
    cause: re.compile(pattern, re.IGNORECASE)
    for cause, pattern in {
        "a path that is not there": r"no such file|not found|does not exist|enoent|404",
        "a limit of the provider": r"rate.?limit|too many requests|\b429\b|quota|overloaded",
        "a time limit": r"time.?out|timed out|deadline|took longer",
        "missing rights": r"permission|denied|forbidden|unauthori[sz]ed|\b40[13]\b",
        "a connection": r"connect|peer closed|reset by|broken pipe|unreachable|network|\b50[0234]\b",
        "arguments that the tool does not take": r"invalid|missing|required|argument|schema|type ?error|value ?error|json|parse",
        "a tool that there is not": r"no tool|unknown tool|not available",
    }.items()
}


@dataclass(frozen=True, slots=True)
class Phase:
    """The rounds of one kind; times in seconds, of those that have ended."""

    name: str
    count: int
    longest: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Waited:
    """What the run waited for: an operation of an agent, how often, and how long in all and at most."""

    agent_id: str
    name: str
    count: int
    seconds: float
    longest: Step


@dataclass(frozen=True, slots=True)
class Enforced:
    """How often an agent was asked again."""

    agent_id: str
    retries: int
    reasons: Mapping[str, int]
    by_round: Mapping[int | None, int]
    lost_chars: int
    unknown_tools: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Pivot:
    """A call that failed, and what its agent did next; *in_time* where it tried another way after three failures at most."""

    agent_id: str
    calls: tuple[ToolCall, ...]
    next: ToolCall | None

    @property
    def in_time(self) -> bool:
        """Whether another way was tried in good time."""
        return self.next is not None and len(self.calls) <= _GOOD_PIVOT


Configuration = tuple[tuple[str, tuple[str, ...]], ...]
"""Who took part with which models."""


class Analysis:
    """What is computed of the spans of one question; each part is made when it is asked for.

    Args:
        spans: its spans, of all attempts.
        limits: from where on something is worth a finding.
        earlier: gives earlier runs of the same configuration, told which that is.
    """

    def __init__(self, spans: Sequence[SpanRecord], limits: Thresholds, earlier: Callable[[Configuration], Iterable[Earlier]] | None = None) -> None:
        self.parts = Parts(spans)
        self.limits = limits
        self._earlier = earlier

    @cached_property
    def earlier(self) -> tuple[Earlier, ...]:
        """Earlier runs of the same configuration."""
        own = configuration(self.parts) if self._earlier is not None else ()
        return tuple(self._earlier(own)) if self._earlier is not None and own else ()

    @cached_property
    def summary(self) -> Summary:
        """Its totals."""
        return total(self.parts)

    @cached_property
    def coordinations(self) -> list[Coordination]:
        """Its attempts."""
        return coordinations(self.parts)

    @property
    def last(self) -> Coordination | None:
        """The last attempt, which the question's outcome is that of."""
        return self.coordinations[-1] if self.coordinations else None

    @cached_property
    def findings(self) -> list[Finding]:
        """What is worth a look, the most severe first."""
        return find(self.parts, self.limits, summary=self.summary, known=self.coordinations, earlier=self.earlier)

    def of(self, *codes: str) -> list[Finding]:
        """The findings of these codes."""
        return [each for each in self.findings if each.code in codes]

    @cached_property
    def severities(self) -> Mapping[Severity, int]:
        """How many findings of each severity."""
        return {severity: sum(each.severity == severity for each in self.findings) for severity in SEVERITIES}

    @cached_property
    def used(self) -> Mapping[str, Usage]:
        """What each agent used."""
        return by_agent(self.parts)

    @cached_property
    def costless(self) -> Counter[str]:
        """How many calls of each agent nobody knows the cost of."""
        return costless_by_agent(self.parts)

    @cached_property
    def tools(self) -> list[overview.ToolUse]:
        """The calls of each tool, those that took longest in all first."""
        return overview.tools(self.parts)

    @cached_property
    def failures(self) -> list[overview.Failure]:
        """What failed of itself."""
        return list(overview.failures(self.parts))

    @cached_property
    def wasted(self) -> list[tuple[Round, str, str]]:
        """The rounds that were thrown away, with why and by whose answer."""
        return [(round_of(self.parts, rnd), cause, by) for rnd, cause, by in thrown_away(self.parts)]

    @cached_property
    def phases(self) -> list[Phase]:
        """The rounds by their kind."""
        found: defaultdict[str, list[float]] = defaultdict(list)
        for rnd in self.parts.rounds:
            found[text(rnd.attributes.get(semconv.ROUND_TYPE)) or "not recorded"].append(rnd.seconds or 0.0)
        order = [*PHASES, *sorted(set(found) - set(PHASES))]
        return [Phase(name, len(found[name]), max(found[name]), sum(found[name])) for name in order if name in found]

    @cached_property
    def path(self) -> list[Waited]:
        """What the run waited for, longest first."""
        found: defaultdict[tuple[str, str], list[Step]] = defaultdict(list)
        for session in self.parts.sessions:
            for step in critical_path(self.parts, session):
                found[self.parts.agent_of(step.span), words.name(step.span)].append(step)
        waited = [
            Waited(agent, name, len(steps), sum(step.seconds for step in steps), max(steps, key=lambda step: step.seconds))
            for (agent, name), steps in found.items()
        ]
        return sorted(waited, key=lambda each: (-each.seconds, each.agent_id, each.name))

    @cached_property
    def commands(self) -> list[list[ToolCall]]:
        """The calls that were made more than once, by tool and arguments, the most frequent first."""
        found: defaultdict[tuple[str, str], list[ToolCall]] = defaultdict(list)
        for call in self.parts.tools:
            if call.arguments is not None:
                found[call.tool, call.arguments].append(call)
        return sorted((calls for calls in found.values() if len(calls) > 1), key=lambda calls: (-len(calls), calls[0].command))

    @cached_property
    def pivots(self) -> list[Pivot]:
        """What agents did after failures."""
        starts = {agent: [call.span.start_ns for call in calls] for agent, calls in self.tools_of.items()}
        found = []
        for calls in failing(self.parts):
            agent, last = self.parts.agent_of(calls[0].span), calls[-1]
            after = islice(self.tools_of[agent], bisect_right(starts[agent], last.span.start_ns), None)
            other = next((call for call in after if (call.tool, call.arguments) != (last.tool, last.arguments)), None)
            found.append(Pivot(agent, tuple(calls), other))
        return found

    @cached_property
    def rounds_of(self) -> defaultdict[str, list[SpanRecord]]:
        """The rounds of each agent."""
        found: defaultdict[str, list[SpanRecord]] = defaultdict(list)
        for rnd in self.parts.rounds:
            found[words.agent(rnd)].append(rnd)
        return found

    @cached_property
    def calls_of(self) -> defaultdict[str, list[ModelCall]]:
        """The model calls of each agent; those of none under an empty name."""
        found: defaultdict[str, list[ModelCall]] = defaultdict(list)
        for call in self.parts.calls:
            found[self.parts.agent_of(call.span)].append(call)
        return found

    @cached_property
    def tools_of(self) -> defaultdict[str, list[ToolCall]]:
        """The tool calls of each agent; those of none under an empty name."""
        found: defaultdict[str, list[ToolCall]] = defaultdict(list)
        for call in self.parts.tools:
            found[self.parts.agent_of(call.span)].append(call)
        return found

    @cached_property
    def enforced(self) -> list[Enforced]:
        """Which agents were asked again, and why."""
        of: defaultdict[str, list[SpanRecord]] = defaultdict(list)
        for span in self.parts.points["enforcement"]:
            of[self.parts.agent_of(span)].append(span)
        succeeded = {call.tool for call in self.parts.tools if not call.failed}
        return [
            Enforced(
                agent,
                len(spans),
                Counter(text(span.attributes.get(semconv.ENFORCEMENT_REASON)) or "not recorded" for span in spans),
                Counter(self.parts.number_of(span) for span in spans),
                sum(integer(span.attributes.get(semconv.ENFORCEMENT_BUFFER_CHARS)) or 0 for span in spans),
                tuple(sorted({tool for span in spans for tool in unknown_tools(span, succeeded)})),
            )
            for agent, spans in sorted(of.items())
        ]

    @cached_property
    def missing(self) -> list[str]:
        """What the recording does not tell, in words."""
        told = [said for session in self.parts.sessions for said in texts(session.attributes.get(semconv.IMPORTED_MISSING))]
        if any(session.attributes.get(semconv.IMPORTED) for session in self.parts.sessions):
            told.append("single model calls: log files tell their sums only")
        unknown = sum(call.arguments is None for call in self.parts.tools)
        if unknown:
            told.append(f"the arguments of {unknown} of {len(self.parts.tools)} tool calls, or all of them")
        if not self.parts.sessions:
            told.append("the question, the agents and the outcome: there is no session in the recording")
        return list(dict.fromkeys(told))


def likely_cause(error: str) -> str:
    """What an error's words point to; empty where they point to nothing."""
    return next((cause for cause, pattern in _CAUSES.items() if pattern.search(error)), "")


def configuration(parts: Parts) -> Configuration:
    """Who took part with which models: runs of the same are runs of one configuration."""
    models: defaultdict[str, set[str]] = defaultdict(set)
    for rnd in parts.rounds:
        models[words.agent(rnd)].add(text(rnd.attributes.get(semconv.GEN_AI_REQUEST_MODEL)))
    for call in parts.calls:
        models[parts.agent_of(call.span)].add(call.model)
    return tuple((agent, tuple(sorted(names - {""}))) for agent, names in sorted(models.items()) if agent)

"""Findings about what failed: each with the first cause of it, and not with its echoes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

from massgen_tracing import semconv
from massgen_tracing.insight import words
from massgen_tracing.insight.decisions import Coordination
from massgen_tracing.insight.findings.finding import Cost, Evidence, Finding, at, cost_of_rounds, finding, where
from massgen_tracing.insight.parts import Parts
from massgen_tracing.model import SpanRecord
from massgen_tracing.projection.values import text
from massgen_tracing.thresholds import Thresholds

OUT_OF_TIME: Final = ("orchestrator_timeout", "coordination_timeout", "watchdog")
"""Events that say that a run's time was up."""


def failures(parts: Parts, known: Sequence[Coordination], limits: Thresholds) -> Iterator[Finding]:
    """`timeout`, `agent_error` and `exception`; an error below a round that failed is its cause, and no finding of its own."""
    causes: dict[tuple[str, str], list[SpanRecord]] = defaultdict(list)
    for span in parts.errors:
        if (rnd := parts.tree.round_of(span)) is not None:
            causes[rnd.key].append(span)
    told: set[tuple[str, str]] = set()
    yield from _run_out(parts, known, told)
    by: dict[tuple[str, str], list[SpanRecord]] = defaultdict(list)
    for rnd in parts.rounds:
        outcome = text(rnd.attributes.get(semconv.OUTCOME))
        if outcome in {"timeout", "error"}:
            by[words.agent(rnd), outcome].append(rnd)
    for (agent, outcome), rounds in by.items():
        left = [rnd for rnd in rounds if rnd.key not in told]
        told.update(rnd.key for rnd in rounds)
        if not left:
            continue
        evidence = []
        for rnd in left:
            said = words.error(rnd) or outcome
            evidence.append(at(parts, rnd, f"{where(agent, parts.number_of(rnd))} ended as {outcome}: {said}"))
            first = next((span for span in causes[rnd.key] if span.key != rnd.key and outcome == "error"), None)
            if first is not None:
                evidence.append(at(parts, first, f"first cause: {words.name(first)}: {words.error(first)}"))
        code, what = ("timeout", f"{agent} ran out of time") if outcome == "timeout" else ("agent_error", f"{agent} failed: {words.error(left[0])}")
        yield finding(code, what, evidence, cost_of_rounds(parts, left))
    yield from _exceptions(parts, told, limits)


def _run_out(parts: Parts, known: Sequence[Coordination], told: set[tuple[str, str]]) -> Iterator[Finding]:
    """A session whose time was up, with the rounds that ended by it."""
    ends: dict[tuple[str, str], SpanRecord] = {}
    for kind in OUT_OF_TIME:
        for span in parts.points[kind]:
            if (session := parts.session_of(span)) is not None:
                ends.setdefault(session.key, span)
    for coordination in known:
        session = coordination.session
        event = ends.get(session.key)
        if event is None and session.attributes.get(semconv.FINISH_REASON) != "timeout":
            continue
        said = next(
            (said for span in (event, session) if span is not None for key in _WHY if (said := text(span.attributes.get(key)))), "its time was up"
        )
        rounds = [rnd for rnd in coordination.rounds if rnd.attributes.get(semconv.OUTCOME) == "timeout"]
        told.update(rnd.key for rnd in rounds)
        evidence = [at(parts, event or session, f"the run ran out of time: {said}")]
        evidence += [
            at(parts, rnd, f"{where(words.agent(rnd), parts.number_of(rnd))} was cut off: {words.error(rnd) or 'timeout'}") for rnd in rounds
        ]
        yield finding("timeout", f"The run ran out of time: {said}", evidence, cost_of_rounds(parts, rounds))


_WHY = (semconv.EVENT_DETAILS, semconv.ERROR_MESSAGE, semconv.FINISH_DETAILS)


def _exceptions(parts: Parts, told: set[tuple[str, str]], limits: Thresholds) -> Iterator[Finding]:
    """What raised, where that is not the cause of what is told already; the same error of the same operation is told once."""
    of: dict[tuple[str, str, str], list[SpanRecord]] = defaultdict(list)
    kinds = parts.tree.kinds
    for span in parts.errors:
        raised = any(event.name == semconv.EXCEPTION_EVENT for event in span.events)
        if not raised and kinds[span.key] != "model":
            continue
        if not any(above.key in told for above in (span, *parts.tree.above(span))):
            of[parts.agent_of(span), span.name, words.error(span)].append(span)
    for (agent, name, error), spans in of.items():
        if kinds[spans[0].key] == "model" and len(spans) >= limits.storm_calls:
            continue  # it is told as a storm
        evidence: list[Evidence] = [at(parts, span, f"{where(agent, parts.number_of(span))}: {name}: {error}") for span in spans]
        yield finding("exception", f"{name} failed: {error}", evidence, Cost(sum(span.seconds or 0.0 for span in spans)))

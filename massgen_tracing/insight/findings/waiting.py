"""Findings about time: where an agent stood still, and what the whole run waited for."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from massgen_tracing.insight import words
from massgen_tracing.insight.findings.finding import Cost, Finding, at, finding, where
from massgen_tracing.insight.parts import Parts
from massgen_tracing.model import SpanRecord
from massgen_tracing.thresholds import Thresholds


def stalls(parts: Parts, limits: Thresholds) -> Iterator[Finding]:
    """`stall`: no span of an agent starts or ends for long while its round is open, by agent."""
    found: dict[str, list[tuple[SpanRecord, float, str]]] = defaultdict(list)
    for rnd in parts.rounds:
        end = parts.last_ns if rnd.end_ns is None else rnd.end_ns
        if (end - rnd.start_ns) / 1e9 <= limits.stall_seconds:
            continue
        moments = [(rnd.start_ns, "its start"), (end, "")]
        for span in parts.within[rnd.key]:
            moments.append((span.start_ns, f"the start of {words.name(span)}"))
            if span.end_ns is not None:
                moments.append((min(span.end_ns, end), f"the end of {words.name(span)}"))
        for (earlier, what), (later, _) in pairwise(sorted(moments)):
            if (seconds := (later - earlier) / 1e9) > limits.stall_seconds and earlier < end:
                found[words.agent(rnd)].append((rnd, seconds, what))
    for agent, gaps in found.items():
        evidence = [at(parts, rnd, f"{where(agent, parts.number_of(rnd))}: nothing for {seconds:.1f} s after {what}") for rnd, seconds, what in gaps]
        total = sum(seconds for _, seconds, _ in gaps)
        yield finding("stall", f"{agent} stood still for {total:.1f} s", evidence, Cost(total))


@dataclass(frozen=True, slots=True)
class Step:
    """An operation that the run waited for, and for how long it did, in seconds."""

    span: SpanRecord
    seconds: float


def critical_path(parts: Parts, session: SpanRecord) -> list[Step]:
    """The model and tool calls that a session waited for, the last first: each is the one that had ended last before the next one began."""
    end = parts.last_ns if session.end_ns is None else session.end_ns
    calls = [call.span for call in parts.calls] + [call.span for call in parts.tools]
    ended = sorted(
        (span for span in calls if span.trace_id == session.trace_id and span.end_ns is not None and session.start_ns <= span.start_ns < span.end_ns),
        key=lambda span: (span.end_ns or 0, -span.start_ns),
    )
    ends = [span.end_ns or 0 for span in ended]
    path, moment, place = [], end, len(ended)
    while (place := min(place, bisect_right(ends, moment))) > 0:
        place -= 1
        span = ended[place]
        if span.start_ns < moment:
            path.append(Step(span, ((span.end_ns or 0) - span.start_ns) / 1e9))
            moment = span.start_ns
    return path


def slow(parts: Parts, limits: Thresholds) -> Iterator[Finding]:
    """`slow_operation`: operations on the critical path that take long, and a good part of the run."""
    for session in parts.sessions:
        whole = ((parts.last_ns if session.end_ns is None else session.end_ns) - session.start_ns) / 1e9
        for step in sorted(critical_path(parts, session), key=lambda step: -step.seconds):
            if step.seconds < max(limits.slow_seconds, limits.slow_share * whole):
                break
            name, share = words.name(step.span), step.seconds / whole if whole else 0.0
            said = f"{where(parts.agent_of(step.span), parts.number_of(step.span))}: {name} took {step.seconds:.1f} s, {share:.0%} of the run"
            yield finding("slow_operation", f"The run waited {step.seconds:.1f} s for {name}", [at(parts, step.span, said)], Cost(step.seconds))

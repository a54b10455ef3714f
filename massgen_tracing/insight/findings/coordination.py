"""Findings about the course of a coordination: what it lacks at its end, what was thrown away on the way, who had to be asked again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from massgen_tracing import semconv
from massgen_tracing.insight import words
from massgen_tracing.insight.decisions import Coordination
from massgen_tracing.insight.findings.finding import Cost, Evidence, Finding, Severity, at, cost_of_rounds, finding, where
from massgen_tracing.insight.parts import Parts
from massgen_tracing.model import SpanRecord
from massgen_tracing.projection.values import integer, text, texts
from massgen_tracing.thresholds import Thresholds

_BROKEN = frozenset({"api_error", "connection_recovery", "mcp_disconnected"})
"""Reasons for which an agent is asked again that are none of its own."""

_BROKEN_ADVICE = "Look at the endpoint, or the MCP server, before the agent: what it gave broke off, and the agent had to be asked again."

_WORKFLOW = frozenset({"new_answer", "vote", "stop"})


def incomplete(parts: Parts, known: Sequence[Coordination]) -> Iterator[Finding]:
    """`incomplete_coordination`: what the last attempt lacks at its end; one that still goes on lacks nothing yet."""
    last = known[-1] if known else None
    if last is None or last.session.state == "open" or not (last.agents or last.rounds) or last.session.attributes.get(semconv.WATCHING) is True:
        return
    session = last.session
    lacks: list[Evidence] = []
    told: list[str] = []
    if session.state == "interrupted":
        lacks.append(at(parts, session, "the process was gone before the session had ended"))
        told.append("its process was gone")
    if not last.winner:
        lacks.append(at(parts, session, "no winner is recorded"))
        told.append("no winner")
    elif not last.final:
        lacks.append(at(parts, session, f"{last.winner} was chosen, and no final answer is recorded"))
        told.append("no final answer")
    answering, voting = {answer.agent_id for answer in last.answers}, {vote.voter for vote in last.standing}
    silent = [agent for agent in last.agents if agent not in answering]
    undecided = [agent for agent in last.agents if agent not in voting] if len(last.agents) > 1 and is_voted_in(parts, last) else []
    severity: Severity = "high" if lacks else "medium" if undecided else "low"
    latest = {words.agent(span): span for span in last.rounds}
    for agent in last.agents:
        shown = latest.get(agent, session)
        outcome = text(shown.attributes.get(semconv.OUTCOME))
        after = f"; its last round ended as {outcome}" if outcome and shown is not session else ""
        for agents, what in ((undecided, "has no vote that counts"), (silent, "gave no answer")):
            if agent in agents:
                number = None if shown is session else parts.number_of(shown)
                lacks.append(Evidence(f"{agent} {what}{after}", shown.trace_id, shown.span_id, agent, number))
    told += [f"no {what} of {', '.join(agents)}" for agents, what in ((silent, "answer"), (undecided, "vote that counts")) if agents]
    if lacks:
        ended = "The coordination did not come to its end as it should" if severity != "low" else "Not every agent gave an answer"
        yield finding("incomplete_coordination", f"{ended}: {'; '.join(told)}", lacks, severity=severity)


def is_voted_in(parts: Parts, last: Coordination) -> bool:
    """Whether agents vote in a session at all: somebody has, or was to."""
    if last.votes or any(parts.session_of(span) is last.session for span in parts.points["vote_ignored"]):
        return True
    return any(text(span.attributes.get(semconv.ROUND_TYPE)) == "voting" for span in last.rounds)


def wasted(parts: Parts) -> Iterator[Finding]:
    """`wasted_round`: rounds whose result was thrown away, by agent and cause."""
    found: dict[tuple[str, str], list[tuple[SpanRecord, str]]] = defaultdict(list)
    for rnd, cause, by in thrown_away(parts):
        if cause in {"restarted", "vote ignored", "timeout"}:
            found[words.agent(rnd), cause].append((rnd, by))
    for (agent, cause), rounds in found.items():
        evidence = [at(parts, rnd, f"{where(agent, parts.number_of(rnd))}: {cause}{f' by {by}' if by else ''}") for rnd, by in rounds]
        cost = cost_of_rounds(parts, (rnd for rnd, _ in rounds))
        yield finding("wasted_round", f"{agent} worked {words.counted(len(rounds), 'round')} whose result was thrown away: {cause}", evidence, cost)


def thrown_away(parts: Parts) -> Iterator[tuple[SpanRecord, str, str]]:
    """The rounds that neither answered nor voted in the end: each with why (`vote ignored`, or its outcome) and the agent whose answer did it."""
    by = {span.parent_span_id: text(span.attributes.get(semconv.RESTART_BY)) for span in parts.points["restart"]}
    ignored = {rnd.key for span in parts.points["vote_ignored"] if (rnd := parts.tree.round_of(span)) is not None}
    for rnd in parts.rounds:
        outcome = text(rnd.attributes.get(semconv.OUTCOME))
        if rnd.key in ignored and outcome not in {"answer", "vote"}:
            yield rnd, "vote ignored", by.get(rnd.span_id, "")
        elif outcome in {"restarted", "timeout", "error", "cancelled"}:
            yield rnd, outcome, by.get(rnd.span_id, "")


def enforcement(parts: Parts, limits: Thresholds) -> Iterator[Finding]:
    """`enforcement`: agents that were asked again too often in one round, lost too much by it, or called tools that do not exist."""
    of: dict[str, list[SpanRecord]] = defaultdict(list)
    for span in parts.points["enforcement"]:
        of[parts.agent_of(span)].append(span)
    succeeded = {call.tool for call in parts.tools if not call.failed}
    for agent, events in of.items():
        rounds: dict[int | None, list[SpanRecord]] = defaultdict(list)
        for span in events:
            rounds[parts.number_of(span)].append(span)
        lost = sum(integer(span.attributes.get(semconv.ENFORCEMENT_BUFFER_CHARS)) or 0 for span in events)
        unknown = {tool for span in events for tool in unknown_tools(span, succeeded)}
        flagged = [span for spans in rounds.values() if len(spans) >= limits.enforcement_retries for span in spans]
        if lost > limits.lost_chars or unknown:
            flagged = events
        if not flagged:
            continue
        reasons = [text(span.attributes.get(semconv.ENFORCEMENT_REASON)) or "no reason given" for span in flagged]
        told = ", ".join(f"{reason} ({reasons.count(reason)})" for reason in dict.fromkeys(reasons))
        more = [f"{lost:,} characters lost"] * (lost > limits.lost_chars) + [f"unknown tools: {', '.join(sorted(unknown))}"] * bool(unknown)
        evidence = [
            at(parts, span, f"{where(agent, parts.number_of(span))}: {_retry(span, reason)}") for span, reason in zip(flagged, reasons, strict=True)
        ]
        advice = _BROKEN_ADVICE if not unknown and not _BROKEN.isdisjoint(reasons) else ""
        yield finding(
            "enforcement",
            f"{agent} was asked again {words.counted(len(events), 'time')}: {'; '.join([told, *more])}",
            evidence,
            Cost(),
            advice=advice,
        )


def unknown_tools(span: SpanRecord, succeeded: set[str]) -> list[str]:
    """The tools that an agent called instead of ending its turn, and that no call has ever got anything from."""
    if span.attributes.get(semconv.ENFORCEMENT_REASON) != "no_workflow_tool":
        return []
    named = texts(span.attributes.get(semconv.ENFORCEMENT_TOOL_CALLS))
    return [tool for tool in named if tool not in _WORKFLOW and not any(_is_same(tool, known) for known in succeeded)]


def _is_same(tool: str, known: str) -> bool:
    """Whether two names are of the same tool, one of them perhaps with its server (`mcp__files__read`)."""
    return tool == known or tool.endswith(f"__{known}") or known.endswith(f"__{tool}")


def _retry(span: SpanRecord, reason: str) -> str:
    attempt, most = (integer(span.attributes.get(key)) for key in (semconv.ENFORCEMENT_ATTEMPT, semconv.ENFORCEMENT_MAX_ATTEMPTS))
    chars = integer(span.attributes.get(semconv.ENFORCEMENT_BUFFER_CHARS))
    numbered = "" if attempt is None else f", attempt {attempt}" + ("" if most is None else f" of {most}")
    return f"{reason}{numbered}" + (f", {chars:,} characters lost" if chars else "")

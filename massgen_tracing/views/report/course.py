"""The sections about the course of a run: summary, coordination, efficiency, behaviour of the agents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from massgen_tracing import semconv
from massgen_tracing.insight import words
from massgen_tracing.insight.decisions import Coordination, is_afterwards
from massgen_tracing.insight.findings import Finding
from massgen_tracing.insight.findings.coordination import is_voted_in
from massgen_tracing.insight.findings.failures import OUT_OF_TIME
from massgen_tracing.insight.parts import Parts
from massgen_tracing.insight.summary import round_of
from massgen_tracing.model import SpanRecord
from massgen_tracing.projection.values import text as text_of
from massgen_tracing.views import text
from massgen_tracing.views.report.blocks import Bar, Block, Checks, Items, Paragraph, Picture, Section, listed, table
from massgen_tracing.views.report.subject import UNKNOWN, Subject, money, named, percent, quoted, seconds, told

_BOTTLENECKS: Final = 10
_FOREMOST: Final = 3
COLOURS: Final = {"answer": "answer", "vote": "vote", "restarted": "lost", "cancelled": "lost", "timeout": "failed", "error": "failed"}


def summary(subject: Subject) -> Iterator[Section]:
    """`Executive Summary` and `Session Overview`."""
    analysis = subject.analysis
    found, last = analysis.summary, analysis.last
    task = f"The task was {quoted(found.question, 300)}." if found.question else "What was asked is not recorded."
    task = f"This is work without a session, which began with {quoted(found.work)}." if found.work else task
    spent = f"It took {seconds(found.seconds)} and cost {money(found.usage, found.costless_calls)}"
    wasted = sum(rnd.usage.cost or 0.0 for rnd, _, _ in analysis.wasted)
    lost = f", of which {text.cost(wasted)} went into {text.count(len(analysis.wasted), 'round')} that came to nothing" if wasted else ""
    counts = ", ".join(f"{number} {severity}" for severity, number in analysis.severities.items() if number)
    blocks: list[Block] = [
        Paragraph(f"{task} {_outcome(last, out_of_time=_ran_out(subject))} {spent}{lost}."),
        Paragraph(f"Findings: {counts or 'none'}." if analysis.findings else "There are no findings."),
        *([Items(told(_foremost(analysis.findings)))] if analysis.findings else []),
    ]
    yield Section(2, "Executive Summary", blocks)
    answers = [answer for each in analysis.coordinations for answer in each.answers]
    votes = [vote for each in analysis.coordinations for vote in each.votes]
    restarts = sum(cause in {"restarted", "vote ignored"} for _, cause, _ in analysis.wasted)
    rows = [
        ("Duration", seconds(found.seconds)),
        ("Agents", ", ".join(found.agents) or UNKNOWN),
        ("Winner", f"{found.winner}{f' ({found.winner_label})' if found.winner_label else ''}" if found.winner else "none"),
        (
            "Total Cost",
            money(found.usage, found.costless_calls)
            + (f" ({text.count(found.costless_calls, 'call')} of unknown cost)" if found.costless_calls else ""),
        ),
        ("Total Answers", str(len(answers))),
        ("Total Votes", f"{len(votes)} ({sum(vote.stands for vote in votes)} stood at the end)"),
        ("Total Restarts", str(restarts)),
        ("Attempts", str(subject.attempts or len(analysis.coordinations)) if analysis.coordinations or subject.attempts else UNKNOWN),
        ("Model Calls", str(found.llm_calls) if analysis.parts.calls else _counted(analysis.last)),
        ("Tool Calls", str(found.tool_calls)),
        ("Tokens", text.tokens(found.usage.input, found.usage.output) or UNKNOWN),
    ]
    if analysis.last is not None and _watching(analysis.last):
        rows = [row for row in rows if row[0] not in _OF_COORDINATIONS]
    yield Section(2, "Session Overview", [*table("Metric|Value", rows), timeline(subject)])


_OF_COORDINATIONS: Final = frozenset({"Winner", "Total Answers", "Total Votes", "Total Restarts"})
"""Rows that say nothing of agents that were only watched."""


def _foremost(findings: Sequence[Finding]) -> list[Finding]:
    """The first of each code, as far as a summary has room."""
    return list({each.code: each for each in reversed(findings)}.values())[::-1][:_FOREMOST]


def _counted(last: Coordination | None) -> str:
    counted = last.session.attributes.get(semconv.MODEL_CALLS) if last is not None else None
    return f"{counted} (counted by the log files)" if counted is not None else UNKNOWN


def _ran_out(subject: Subject) -> bool:
    """Whether the run's time was up, as an event of it says."""
    return any(subject.analysis.parts.points[kind] for kind in OUT_OF_TIME)


def _outcome(last: Coordination | None, *, out_of_time: bool) -> str:
    if last is None:
        return "There is no coordination in the recording."
    state = last.session.state
    reason = text_of(last.session.attributes.get(semconv.FINISH_REASON)) or ("its time was up" if out_of_time else "")
    how = {"open": "still goes on", "interrupted": "was interrupted: its process is gone"}.get(state) or f"ended{f' ({reason})' if reason else ''}"
    if _watching(last):
        return f"The watching {how}."
    if not last.winner:
        return f"The coordination {how}, and no winner is recorded."
    votes = last.tally()
    chosen = f" by {last.votes_for_winner} of {sum(votes.values())} votes that counted" if votes else ""
    label = f" with {last.winner_label}" if last.winner_label else ""
    return f"The coordination {how}; {last.winner} was chosen{label}{chosen}, and {'a' if last.final else 'no'} final answer was submitted."


def _watching(last: Coordination) -> bool:
    return last.session.attributes.get(semconv.WATCHING) is True


def timeline(subject: Subject) -> Picture:
    """The rounds of each agent, and what was answered and voted in them."""
    analysis = subject.analysis
    begin = analysis.summary.start_ns or 0

    def at(ns: int) -> float:
        return max(0.0, (ns - begin) / 1e9)

    bars = [
        Bar(
            words.agent(span) or "(no agent)",
            at(span.start_ns),
            at(span.end_ns or analysis.parts.last_ns),
            "final" if span.name.endswith(".presentation") else COLOURS.get(text_of(span.attributes.get(semconv.OUTCOME)), "other"),
            f"{span.name}: {text_of(span.attributes.get(semconv.OUTCOME)) or span.state}, {seconds(span.seconds)}",
        )
        for span in analysis.parts.rounds
    ]
    marks = [
        Bar(analysis.parts.agent_of(span), at(span.start_ns), at(span.start_ns), kind, words.name(span))
        for kind in ("answer", "vote")
        for span in analysis.parts.points[kind]
        if analysis.parts.agent_of(span)
    ]
    return Picture("Rounds: green answered, blue voted, orange thrown away, red failed, violet presented; seconds from the start", bars, "s", marks)


def correctness(subject: Subject) -> Iterator[Section]:
    """`1. Correctness Analysis`: how the coordination went; not whether what it came to is so."""
    analysis = subject.analysis
    last = analysis.last
    if last is not None and _watching(last):
        yield from _watched(subject, last)
        return
    yield Section(2, "1. Correctness Analysis", [Paragraph(
        "This is about the course of the coordination. Whether an answer is so, nobody has checked: agents that agree have arrived at the same thing."
    )])  # fmt: skip
    events = sorted((span for kind in _FLOW for span in analysis.parts.points[kind]), key=lambda span: span.start_ns)
    lines = [f"{subject.when(span.start_ns)} {words.name(span)}{_by(span)} (span {span.span_id})" for span in events]
    flow = subject.ask(_FLOW_SQL.format(trace=subject.trace_id))
    yield Section(3, "Coordination Flow", [*listed(lines, "No event of the coordination is recorded."), flow])
    yield Section(3, "Status", [Checks(list(_checks(analysis.parts, last)))] if last is not None else [Paragraph(f"{UNKNOWN}: there is no session.")])
    codes = ("incomplete_coordination", "vote_split", "self_vote", "vote_ignored", "vote_against_shown")
    yield Section(3, "Issues Found", listed(_with_evidence(subject, codes)))


def _watched(subject: Subject, last: Coordination) -> Iterator[Section]:
    """Of agents that were only watched: which states each came to be in, and by which evidence."""
    yield Section(2, "1. Correctness Analysis", [Paragraph(
        "These agents were watched, not coordinated. What each was seen to do follows, and by what; whether its work is right, nobody has checked."
    )])  # fmt: skip
    seen = [span for span in subject.analysis.parts.spans if semconv.WATCH_EVIDENCE in span.attributes and span.name.startswith(_SEEN)]
    lines = [
        f"{subject.when(span.start_ns)} {words.agent(span)}: {span.attributes.get(semconv.WATCH_STATE)}, "
        f"by {quoted(str(span.attributes[semconv.WATCH_EVIDENCE]))} (span {span.span_id})"
        for span in sorted(seen, key=lambda span: span.start_ns)
        if not span.name.startswith(_WATCHED)
    ]
    yield Section(3, "What Was Seen", [*listed(lines, "Nothing was seen."), subject.ask(_SEEN_SQL.format(trace=subject.trace_id))])
    yield Section(3, "Status", [Checks(list(_checks(subject.analysis.parts, last)))])


_SEEN, _WATCHED = semconv.WATCH_EVENT_NAME.partition("{")[0], semconv.WATCHED_NAME.partition("{")[0]
_SEEN_SQL: Final = (
    "SELECT start_timestamp, attributes->>'massgen.agent_id' AS agent, attributes->>'massgen.watch.state' AS state,"
    " attributes->>'massgen.watch.evidence' AS evidence FROM records"
    " WHERE trace_id = '{trace}' AND span_name LIKE 'watch.%' ORDER BY start_timestamp"
)
_FLOW_SQL: Final = (
    "SELECT span_name, start_timestamp, span_id FROM records WHERE trace_id = '{trace}' AND (span_name LIKE 'Agent %' OR span_name LIKE"
    " 'Winner selected:%' OR span_name LIKE 'Final answer%') ORDER BY start_timestamp"
)
_FLOW: Final = ("answer", "vote", "restart", "vote_ignored", "winner", "final", "orchestrator_timeout", "coordination_timeout", "watchdog")


def _by(span: SpanRecord) -> str:
    by = text_of(span.attributes.get(semconv.RESTART_BY))
    return f", by the answer of {by}" if by else ""


def _checks(parts: Parts, last: Coordination) -> Iterator[tuple[bool | None, str]]:
    ended = last.session.state == "ended"
    if _watching(last):  # whose agents answer and vote on nothing here
        yield ended, "Watching ended"
        return
    answering, voting = {answer.agent_id for answer in last.answers}, {vote.voter for vote in last.standing}
    presented = any(span.attributes.get(semconv.ROUND_TYPE) == "presentation" for span in last.rounds) or bool(last.final)
    yield ended and bool(last.winner) and presented, "All phases completed"
    yield None if not last.agents else answering >= set(last.agents), f"All agents submitted answers ({len(answering)} of {len(last.agents)})"
    alone = len(last.agents) == 1
    if alone or voting or is_voted_in(parts, last):
        yield None if not last.agents else alone or voting >= set(last.agents), f"Voting completed ({len(voting)} of {len(last.agents)} votes stand)"
    yield bool(last.winner), f"Winner selected{f': {last.winner}' if last.winner else ''}"
    yield bool(last.final), "Final answer delivered"


def _with_evidence(subject: Subject, codes: tuple[str, ...]) -> list[str]:
    lines = []
    for each in subject.analysis.of(*codes):
        lines += told([each])
        lines += [f"{piece.text}{f' (span {piece.span_id})' if piece.span_id else ''}" for piece in each.evidence]
    return lines


def efficiency(subject: Subject) -> Iterator[Section]:
    """`2. Efficiency Analysis`."""
    analysis = subject.analysis
    yield Section(2, "2. Efficiency Analysis")
    whole = sum(phase.seconds for phase in analysis.phases)
    rows = [
        (each.name, str(each.count), f"{each.seconds / each.count:.2f}", f"{each.longest:.2f}", f"{each.seconds:.2f}", percent(each.seconds, whole))
        for each in analysis.phases
    ]
    bars = [Bar(each.name, 0, each.seconds, "vote", f"{each.name}: {each.seconds:.2f} s in {each.count} rounds") for each in analysis.phases]
    phases = table("Phase|Count|Avg (s)|Max (s)|Total (s)|% of Total", rows, "Count|Avg (s)|Max (s)|Total (s)|% of Total")
    yield Section(3, "Phase Duration Breakdown", [*phases, Picture("Seconds of all rounds by phase", bars, "s"), subject.query("phase_breakdown")])
    total = analysis.summary.seconds or 0.0
    waited = [
        f"{each.name} of {each.agent_id or 'no agent'} - {each.seconds:.2f} seconds ({percent(each.seconds, total)} of the run)"
        f"{f', {each.count} times' if each.count > 1 else ''} (span {each.longest.span.span_id})"
        for each in analysis.path[:_BOTTLENECKS]
    ]
    rest = total - sum(each.seconds for each in analysis.path)
    idle = (
        [Paragraph(f"For {rest:.2f} seconds ({percent(rest, total)} of the run) it waited for none of them.")]
        if waited and rest > total / 100
        else []
    )
    yield Section(3, "Top Bottlenecks", [
        Paragraph("What the run waited for: each operation is the one that had ended last before the next one began."),
        *([Items(waited, ordered=True)] if waited else [Paragraph("No model call and no tool call is recorded.")]),
        *idle,
        *listed(told(analysis.of("stall", "slow_operation")), "No agent stood still, and no operation was slow beyond the thresholds."),
    ])  # fmt: skip


def behaviour(subject: Subject) -> Iterator[Section]:
    """`5. Agent Behavior Analysis`."""
    analysis = subject.analysis
    yield Section(2, "5. Agent Behavior Analysis")
    answers = [answer for each in analysis.coordinations for answer in each.answers]
    votes = [vote for each in analysis.coordinations for vote in each.votes]
    rows = [(each.label, each.agent_id, subject.when(each.span.start_ns), quoted(each.text), each.span.span_id) for each in answers]
    yield Section(3, "Answer Progression", [*table("Label|Agent|Time|Summary|Span", rows), *listed(
        told(analysis.of("isolated_work", "near_duplicate_answer")), "No answer was isolated or almost the text of another one.")])  # fmt: skip
    rows = [(each.voter, each.label or each.target, "yes" if each.stands else "no", quoted(each.reason), each.span.span_id) for each in votes]
    bars = [Bar(label, 0, cast, "vote", f"{label}: {cast}") for each in analysis.coordinations for label, cast in each.tally().items()]
    yield Section(3, "Voting Analysis", [*table("Voter|Voted For|Stood|Reasoning Summary|Span", rows), Picture("Votes that counted", bars, "")])
    yield Section(3, "Vote vs New Answer Decisions", listed(list(_decisions(subject)), "No round ended in a vote or an answer."))
    yield Section(3, "Agent Collaboration Quality", listed(list(_collaboration(subject)), UNKNOWN))
    lost = [
        f"{named(rnd.agent_id, rnd.number)}: {cause}{f' by {by}' if by else ''}, {seconds(rnd.seconds)}, "
        f"{text.tokens(rnd.usage.input, rnd.usage.output) or 'tokens not recorded'}, "
        f"{text.cost(rnd.usage.cost, at_least=rnd.costless_calls > 0) or 'cost not recorded'} (span {rnd.span_id})"
        for rnd, cause, by in analysis.wasted
    ]
    open_rounds = [f"{span.name}: {span.state} (span {span.span_id})" for span in analysis.parts.rounds if span.state != "ended"]
    yield Section(3, "Timeouts/Incomplete Rounds", listed([*lost, *open_rounds]))


def _decisions(subject: Subject) -> Iterator[str]:
    """What each agent did with the answers that it was shown."""
    for each in subject.analysis.coordinations:
        for span in each.rounds:
            outcome = text_of(span.attributes.get(semconv.OUTCOME))
            labels = each.shown.get(span.span_id)
            if outcome not in {"answer", "vote"} or span.attributes.get(semconv.ROUND_TYPE) == "presentation":
                continue
            rnd = round_of(subject.analysis.parts, span)
            seen = "what it was shown is not recorded" if labels is None else f"shown {', '.join(labels)}" if labels else "shown no answer"
            did = f"submitted {rnd.label}" if outcome == "answer" else f"voted for {rnd.label or UNKNOWN}"
            yield f"{named(rnd.agent_id, rnd.number)}: {seen}; {did} (span {span.span_id})"


def _collaboration(subject: Subject) -> Iterator[str]:
    analysis = subject.analysis
    for each in analysis.coordinations:
        if not each.shown:
            yield f"Did agents read each other's answers? {UNKNOWN}: no round says which answers it was shown."
            continue
        reading = {words.agent(span) for span in each.rounds if any(_foreign(each, words.agent(span), each.shown.get(span.span_id, ())))}
        unknown = sorted({words.agent(span) for span in each.rounds if span.span_id not in each.shown and not is_afterwards(span)} - reading)
        who = ", ".join(sorted(reading)) or "none"
        rest = f" Of {', '.join(unknown)} it is not recorded for all rounds." if unknown else ""
        yield f"Did agents read each other's answers? {len(reading)} of {len(each.agents)} were shown answers of others: {who}.{rest}"
        after = [
            answer for answer in each.answers
            if answer.round is not None and any(_foreign(each, answer.agent_id, each.shown.get(answer.round.span_id, ())))
        ]  # fmt: skip
        apart = len(analysis.of("isolated_work"))
        built = "No answer came after answers of others were shown."
        if after:
            built = (
                f"{text.count(len(after), 'answer')} came after answers of others were shown, {apart} of them without anything in common with these."
            )
        yield f"Did agents build upon previous work? {built}"
        reasons = sum(bool(vote.reason.strip()) for vote in each.votes)
        own = sum(vote.voter == vote.target for vote in each.votes)
        yield f"Did agents provide genuine evaluation? {reasons} of {len(each.votes)} votes have a reason; {own} went to the voter's own answer."


def _foreign(each: Coordination, agent: str, labels: tuple[str, ...]) -> Iterator[str]:
    return (label for label in labels if (answer := each.answer(label)) is not None and answer.agent_id != agent)

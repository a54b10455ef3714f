"""The sections about what agents did: commands, work that was done again, tools, reasoning."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from typing import Any, Final

from massgen_tracing import semconv
from massgen_tracing.insight import words
from massgen_tracing.insight.analysis import likely_cause
from massgen_tracing.insight.decisions import is_afterwards
from massgen_tracing.insight.findings import KINDS, Finding
from massgen_tracing.model import SpanRecord
from massgen_tracing.projection.values import decoded
from massgen_tracing.projection.values import text as text_of
from massgen_tracing.views import text
from massgen_tracing.views.report.blocks import Bar, Block, Paragraph, Picture, Section, listed, table
from massgen_tracing.views.report.subject import UNKNOWN, Subject, money, named, percent, quoted, seconds, told

_MOST: Final = 20
_COMMAND: Final = 80
_STEPS: Final = 24
_ROUNDS: Final = 20
_QUOTES: Final = 3


def commands(subject: Subject) -> Iterator[Section]:
    """`3. Command Pattern Analysis`."""
    analysis = subject.analysis
    parts = analysis.parts
    yield Section(2, "3. Command Pattern Analysis")
    rows = []
    for calls in analysis.commands:
        agents = Counter(parts.agent_of(call.span) or "no agent" for call in calls)
        who = ", ".join(f"{agent} {number}" for agent, number in agents.items())
        worst = max(agents.values()) >= analysis.limits.repeated_calls
        failed = sum(call.failed for call in calls)
        # Nothing is to be kept of what has always failed.
        code = "" if failed == len(calls) else "repeated_command" if worst else "repeated_across_agents" if len(agents) > 1 else ""
        code = "retry_storm" if not code and failed >= analysis.limits.storm_calls else code
        issue = f"{who}{f'; {failed} failed' if failed else ''}; {seconds(sum(call.seconds for call in calls[1:]))} after the first"
        rows.append(
            (text.shorten(calls[0].command, _COMMAND), str(len(calls)), issue, KINDS[code].recommendation if code else "", calls[0].span.span_id)
        )
    repeated = table("Command|Times Run|Issue|Recommendation|First span", rows, "Times Run")
    yield Section(3, "Frequently Repeated Commands", [*repeated, subject.ask(_REPEATED.format(trace=subject.trace_id))])
    long = sorted((call for call in parts.tools if (call.chars or 0) > analysis.limits.long_output_chars), key=lambda call: -(call.chars or 0))
    rows2 = [(text.shorten(each.command, _COMMAND), f"{each.chars:,}", subject.place(each.span), each.span.span_id) for each in long]
    yield Section(3, "Commands with Excessive Output", [
        *table("Command|Output Size|Issue|Span", rows2, "Output Size"), *(listed(_pieces(analysis.of("long_output"))) if long else [])])  # fmt: skip
    slowest = sorted(analysis.tools, key=lambda each: -each.longest)
    rows3 = [
        (
            each.name,
            f"{each.longest:.2f}",
            f"{each.seconds / each.calls:.2f}",
            text.count(each.calls, "call") + (f", {each.failures} failed" if each.failures else ""),
        )
        for each in slowest
    ]
    yield Section(3, "Slowest Command Patterns", table("Pattern|Max Time (s)|Avg Time (s)|Notes", rows3, "Max Time (s)|Avg Time (s)"))


_REPEATED: Final = (
    "SELECT attributes->>'massgen.agent_id' AS agent, attributes->>'gen_ai.tool.name' AS tool, attributes->>'gen_ai.tool.call.arguments' AS"
    " arguments, count(*) AS calls FROM records WHERE trace_id = '{trace}' AND attributes ? 'gen_ai.tool.call.arguments' GROUP BY 1, 2, 3"
    " HAVING count(*) > 1 ORDER BY calls DESC"
)


def _pieces(findings: list[Finding]) -> list[str]:
    return list(dict.fromkeys(f"{piece.text} (span {piece.span_id})" for each in findings for piece in each.evidence))


def duplication(subject: Subject) -> Iterator[Section]:
    """`4. Work Duplication Analysis`."""
    analysis = subject.analysis
    yield Section(2, "4. Work Duplication Analysis")
    again = analysis.of("repeated_command", "repeated_across_agents", "repeated_after_restart")
    doubled = [*again, *analysis.of("near_duplicate_answer")]
    rows = [
        (
            each.what,
            str(len(each.evidence) + each.left_out),
            seconds(each.cost.seconds),
            text.cost(each.cost.usd, at_least=each.cost.costless_calls > 0) or UNKNOWN,
        )
        for each in doubled
    ]
    yield Section(
        3, "Duplicated Work Found", table("Work Type|Times Repeated|Wasted Time|Wasted Cost", rows, "Times Repeated|Wasted Time|Wasted Cost")
    )
    yield Section(3, "Specific Examples", listed(_pieces(doubled)))
    told_once = dict.fromkeys(each.recommendation for each in doubled)
    yield Section(3, "Recommendations", listed(list(told_once)))


def reasoning(subject: Subject) -> Iterator[Section]:
    """`Agent Reasoning & Behavior`, the standard question 8: what each agent did, in what order, and what it said of it."""
    analysis = subject.analysis
    parts = analysis.parts
    yield Section(2, "Agent Reasoning & Behavior", [Paragraph(
        "What agents did is computed; why they did it is theirs to say, and is quoted where it is recorded. Whether it was wise needs judgement."
    )])  # fmt: skip
    agents = analysis.summary.agents
    for agent in agents:
        rounds, tools = analysis.rounds_of[agent], analysis.tools_of[agent]
        pivots = [pivot for pivot in analysis.pivots if pivot.agent_id == agent]
        lines = [f"Strategy: {_strategy(subject, rounds)}"]
        failed = sum(call.failed for call in tools)
        lines.append(f"Tool responses: {len(tools)} tool calls, {failed} failed" + (f" ({percent(failed, len(tools))})" if tools else "") + ".")
        lines += [f"Error recovery: {_recovery(pivot)}" for pivot in pivots] or ["Error recovery: there was nothing to recover from."]
        lines.append(f"Decisions: {_decided(rounds)}")
        lines += [f"Evidence: {said}" for said in _quotes(subject, agent)]
        yield Section(3, text.clean(agent), listed(lines))
    rows = []
    for agent in agents:
        own, tools = analysis.rounds_of[agent], analysis.tools_of[agent]
        used = analysis.used.get(agent)
        outcomes = Counter(text_of(span.attributes.get(semconv.OUTCOME)) for span in own if not is_afterwards(span))
        taken = sum(not is_afterwards(span) for span in own)
        rows.append((
            agent, str(taken), str(outcomes["answer"]), str(outcomes["vote"]), str(sum(rnd.agent_id == agent for rnd, _, _ in analysis.wasted)),
            str(len(analysis.calls_of[agent])) if parts.calls else UNKNOWN, str(len(tools)), str(sum(call.failed for call in tools)),
            (text.tokens(used.input, used.output) if used else "") or UNKNOWN, money(used, analysis.costless[agent]) if used else UNKNOWN,
        ))  # fmt: skip
    columns = "Agent|Rounds|Answers|Votes|Thrown away|Model calls|Tool calls|Failed|Tokens|Cost"
    yield Section(3, "Cross-Agent Comparison", table(columns, rows, columns.partition("|")[2]))


def _strategy(subject: Subject, rounds: list[SpanRecord]) -> str:
    """The sequence of an agent's tools, round by round."""
    told_rounds = []
    by_round: dict[Any, list[str]] = {}
    for call in subject.analysis.tools_of[words.agent(rounds[0])] if rounds else ():
        rnd = subject.analysis.parts.tree.round_of(call.span)
        if rnd is not None:
            by_round.setdefault(rnd.key, []).append(call.tool.rpartition("__")[2])
    for span in rounds[:_ROUNDS]:
        steps = [f"{name}{f' ×{many}' if (many := len(list(same))) > 1 else ''}" for name, same in groupby(by_round.get(span.key, []))]
        shown = " → ".join(steps[:_STEPS]) + (f" → … ({len(steps) - _STEPS} more)" if len(steps) > _STEPS else "")
        outcome = text_of(span.attributes.get(semconv.OUTCOME)) or span.state
        number = span.attributes.get(semconv.ROUND)
        name = "presentation" if span.name.endswith(".presentation") else f"round {number}" if isinstance(number, int) else span.name
        told_rounds.append(f"{name}: {shown or 'no tools'} → {outcome}")
    if len(rounds) > _ROUNDS:
        told_rounds.append(f"… and {len(rounds) - _ROUNDS} more rounds")
    return "; ".join(told_rounds) + "." if told_rounds else "it did not begin a round."


def _recovery(pivot: Any) -> str:
    first = pivot.calls[0]
    what = f"{text.shorten(first.command, _COMMAND)} failed {text.count(len(pivot.calls), 'time')}"
    if pivot.next is None:
        return f"{what}, and nothing else was tried after it (span {first.span.span_id})"
    good = "tried another way in good time" if pivot.in_time else "tried another way late"
    return f"{what}; then {text.shorten(pivot.next.command, _COMMAND)}: {good} (span {pivot.next.span.span_id})"


def _decided(rounds: list[SpanRecord]) -> str:
    outcomes = Counter(text_of(span.attributes.get(semconv.OUTCOME)) or span.state for span in rounds if not is_afterwards(span))
    return (
        f"{text.count(sum(outcomes.values()), 'round')}: {', '.join(f'{number} {outcome}' for outcome, number in outcomes.items())}."
        if outcomes
        else "none."
    )


def _quotes(subject: Subject, agent: str) -> Iterator[str]:
    """What an agent said of its own accord: reasoning where it is recorded, then texts, then its reasons for votes."""
    found: dict[str, list[tuple[SpanRecord, str]]] = {"reasoning": [], "text": []}
    for call in subject.analysis.calls_of[agent]:
        for kind, told_ in _parts_of(call.span):
            if told_.strip() and len(found[kind]) < _QUOTES:
                found[kind].append((call.span, told_))
    for kind, said in found.items():
        for span, told_ in said:
            yield f"{quoted(told_)} ({kind}, {named(agent, subject.analysis.parts.number_of(span))}) (span {span.span_id})"
        if said:
            return
    for each in subject.analysis.coordinations:
        for vote in [vote for vote in each.votes if vote.voter == agent and vote.reason.strip()][:_QUOTES]:
            yield f"{quoted(vote.reason)} (reason of its vote for {vote.label or vote.target}) (span {vote.span.span_id})"


def _parts_of(span: SpanRecord) -> Iterator[tuple[str, str]]:
    messages = decoded(span.attributes.get(semconv.GEN_AI_OUTPUT_MESSAGES))
    for message in messages if isinstance(messages, list | tuple) else ():
        inner = message.get("parts") if isinstance(message, dict) else None
        for part in inner if isinstance(inner, list | tuple) else ():
            if isinstance(part, dict) and part.get("type") in {"text", "reasoning"}:
                yield str(part["type"]), text_of(part.get("content"))


def reliability(subject: Subject) -> Iterator[Section]:
    """`Tool Reliability`, the standard question 9."""
    analysis = subject.analysis
    yield Section(2, "Tool Reliability")
    rows = [(each.name, str(each.calls), str(each.failures), percent(each.failures, each.calls)) for each in analysis.tools]
    bars = [Bar(each.name, 0, each.seconds, "failed" if each.failures else "answer", f"{each.name}: {each.calls} calls, {each.failures} failed")
            for each in analysis.tools[:_MOST]]  # fmt: skip
    failures: list[Block] = [*table("Tool|Calls|Failed|Rate", rows, "Calls|Failed|Rate"), Picture("Seconds of all calls by tool", bars, "s")]
    yield Section(3, "Failures by Tool", failures)
    yield Section(3, "Consistency", listed(_pieces(analysis.of("tool_inconsistent")), "No call gave different results for the same arguments."))
    yield Section(3, "False Positives/Negatives", listed(_pieces(analysis.of("tool_false_success")), "No result contradicts its call's status."))
    yield Section(3, "Repeated Failures", listed(told(analysis.of("retry_storm")), "No call failed again and again."))
    causes = Counter((call.tool, likely_cause(call.result or words.error(call.span))) for call in analysis.parts.tools if call.failed)
    guesses = [f"{tool}: {text.count(number, 'failure')}, {f'by its words {cause}' if cause else 'by its words nothing that is known'}"
               for (tool, cause), number in causes.most_common()]  # fmt: skip
    yield Section(3, "Root Cause Hypotheses", listed(guesses, "There are no failed tool calls."))

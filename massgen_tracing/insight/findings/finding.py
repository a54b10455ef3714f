"""What a finding is, and the table of all that there can be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

from massgen_tracing.insight.parts import Parts
from massgen_tracing.insight.summary import round_of
from massgen_tracing.model import SpanRecord, Usage

Severity = Literal["high", "medium", "low"]
SEVERITIES: Final[tuple[Severity, ...]] = ("high", "medium", "low")

MOST_EVIDENCE: Final = 25
"""Pieces of evidence that a finding has; how many more there are is said."""


class Kind(NamedTuple):
    """One row of the table: how much it matters mostly, what it is about, when there is one, and what can be done."""

    severity: Severity
    area: str
    when: str
    recommendation: str


KINDS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        "incomplete_coordination": Kind(
            "high",
            "coordination",
            "a coordination has ended without a winner or a final answer, without an answer of some agent or, where agents vote, its vote, or with"
            " its process gone",
            "Look at the last round of each agent that is named; raise its time, or give the coordination a rule for agents that do not come back.",
        ),
        "stall": Kind(
            "medium",
            "performance",
            "nothing of an agent starts or ends for long while its round is open",
            "Set a time limit for single calls below the agent's own, and see what the agent waited for before the gap.",
        ),
        "slow_operation": Kind(
            "low",
            "performance",
            "an operation that the run waited for took long, and a good part of the run",
            "The whole run waits for it: make it faster, start it earlier, or let it run beside other work.",
        ),
        "repeated_command": Kind(
            "medium",
            "agent-behavior",
            "one agent made the same tool call with the same arguments again and again",
            "Keep the first result in the agent's context or in a file, or cache the tool's results.",
        ),
        "repeated_across_agents": Kind(
            "low",
            "agent-behavior",
            "several agents made the same tool call with the same arguments",
            "Do it once and share the result: in a shared workspace, or in what all agents are told.",
        ),
        "repeated_after_restart": Kind(
            "medium",
            "coordination",
            "a tool call was made again after a restart had thrown away the round in which it was made first",
            "Keep what a round has worked out when it is restarted: its workspace, or a summary of its results.",
        ),
        "long_output": Kind(
            "low",
            "tooling",
            "a tool's result is long; how often it was asked for and sent to the model",
            "Have the tool give less: a range, a filter, a summary; each later model call of the round pays for all of it again.",
        ),
        "wasted_round": Kind(
            "medium",
            "coordination",
            "rounds whose result was thrown away: by a restart, as an ignored vote, or for want of time",
            "Let agents finish what they are at and tell them of new answers then, or allow fewer answers for each agent.",
        ),
        "isolated_work": Kind(
            "low",
            "agent-behavior",
            "an answer shares nothing with the answers that its agent was shown",
            "Ask agents to say what they take from the answers that they are shown, and what they reject.",
        ),
        "near_duplicate_answer": Kind(
            "low",
            "agent-behavior",
            "an answer is almost the text of one that another agent had given",
            "Ask for a vote where an answer adds nothing, or demand more novelty of new answers.",
        ),
        "vote_split": Kind(
            "low",
            "coordination",
            "no answer has a majority of the votes that counted",
            "Give agents criteria to vote by, or one more round to take up each other's answers.",
        ),
        "self_vote": Kind(
            "low",
            "agent-behavior",
            "an agent voted for its own answer",
            "Hide who gave which answer, or leave an agent's own answer out of what it may vote for.",
        ),
        "vote_ignored": Kind(
            "medium",
            "coordination",
            "a vote did not count, for there was a new answer by then",
            "Let a vote stand that was cast before the new answer was seen, or hold new answers back while agents vote.",
        ),
        "vote_against_shown": Kind(
            "high",
            "coordination",
            "an agent voted for an answer that it had not been shown",
            "Check which answers the agent is shown, and refuse votes for others.",
        ),
        "timeout": Kind(
            "high",
            "reliability",
            "an agent or the run ran out of time",
            "See what it was at when its time was up; raise the limit, or make the task smaller.",
        ),
        "agent_error": Kind(
            "high",
            "reliability",
            "an agent's round failed; with the first cause",
            "Mend the first cause; let the agent begin again where that is something that passes.",
        ),
        "exception": Kind(
            "medium",
            "reliability",
            "something raised that is not the cause of a failed round",
            "Mend the cause where it was raised first; what follows it is its echo.",
        ),
        "tool_inconsistent": Kind(
            "medium",
            "tooling",
            "the same call of an agent gave different results, and nothing that it did in between can have changed them",
            "Find out what else the result depends on, and make it an argument; until then have agents check it.",
        ),
        "tool_false_success": Kind(
            "medium",
            "tooling",
            "a call reports success and gives an error, or the reverse",
            "Have the tool report as failed what has failed, and nothing else: agents and these findings go by its status.",
        ),
        "retry_storm": Kind(
            "high",
            "agent-behavior",
            "a call failed again and again with nothing changed",
            "Bound the attempts at one call; tell the agent after two or three to try another way.",
        ),
        "enforcement": Kind(
            "medium",
            "coordination",
            "an agent was asked again too often in one round, lost too much by it, or called tools that there are not",
            "Say in the agent's prompt how a turn ends and which tools there are; look at what it did instead.",
        ),
        "cache_low": Kind(
            "low",
            "cost",
            "an agent reads far less from the provider's cache than the others",
            "Keep the beginning of the agent's prompt the same between calls, and switch its provider's cache on.",
        ),
        "cost_outlier": Kind(
            "medium",
            "cost",
            "an agent costs far more than the others, or the run than earlier ones of its configuration",
            "See which calls it is: the model, the length of the context, the number of steps.",
        ),
        "token_outlier": Kind(
            "medium",
            "cost",
            "an agent uses far more tokens than the others, or the run than earlier ones of its configuration",
            "See what fills its context: tool results, answers, its own earlier steps.",
        ),
        "unpriced_calls": Kind(
            "low",
            "cost",
            "nobody knows what calls cost",
            "Give the model's price (MASSGEN_TRACING_PRICE_LIST), or report the cost with the call.",
        ),
        "missing_usage": Kind(
            "low",
            "cost",
            "calls reported no tokens",
            "Have the endpoint report usage, in streams too; calls that are broken off never do.",
        ),
    }
)
"""Every code that a finding can have."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One thing that shows it: a sentence, and the span that says so (empty ids where none can: something is missing)."""

    text: str
    trace_id: str = ""
    span_id: str = ""
    agent_id: str = ""
    round: int | None = None


@dataclass(frozen=True, slots=True)
class Cost:
    """What something took; None is unknown, or nothing that one can put a number to. What *costless_calls* cost is not in *usd*: nobody knows it."""

    seconds: float | None = None
    tokens: int | None = None
    usd: float | None = None
    costless_calls: int = 0

    @classmethod
    def of(cls, usage: Usage, seconds: float | None = None, costless_calls: int = 0) -> Cost:
        """The cost of what was used."""
        tokens = None if usage.input is usage.output is None else (usage.input or 0) + (usage.output or 0)
        return cls(seconds, tokens, usage.cost, costless_calls)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something in a run that is worth a look.

    Attributes:
        code: one of `KINDS`.
        what: in a sentence.
        agents, rounds: whom it concerns, by name and number.
        evidence: what shows it; never empty.
        left_out: how many more pieces of evidence there are.
        cost: what it cost.
        advice: what can be done, where that is not what mostly can be; empty: as `KINDS` says.
    """

    code: str
    severity: Severity
    what: str
    agents: tuple[str, ...]
    rounds: tuple[int, ...]
    evidence: tuple[Evidence, ...]
    left_out: int
    cost: Cost
    advice: str = ""

    @property
    def spans(self) -> tuple[str, ...]:
        """The ids of the spans that show it."""
        return tuple(dict.fromkeys(each.span_id for each in self.evidence if each.span_id))

    @property
    def recommendation(self) -> str:
        """What can be done about it."""
        return self.advice or KINDS[self.code].recommendation


def finding(
    code: str,
    what: str,
    evidence: Iterable[Evidence],
    cost: Cost = Cost(),
    *,
    agents: Iterable[str] = (),
    severity: Severity | None = None,
    advice: str = "",
) -> Finding:
    """A finding; whom it concerns is told by its evidence, and by *agents* where that cannot."""
    shown = list(evidence)
    concerned = {*agents, *(each.agent_id for each in shown)} - {""}
    rounds = {each.round for each in shown if each.round is not None}
    kept = tuple(shown[:MOST_EVIDENCE])
    left_out = len(shown) - len(kept)
    return Finding(code, severity or KINDS[code].severity, what, tuple(sorted(concerned)), tuple(sorted(rounds)), kept, left_out, cost, advice)


def at(parts: Parts, span: SpanRecord, said: str) -> Evidence:
    """A piece of evidence that a span gives."""
    return Evidence(said, span.trace_id, span.span_id, parts.agent_of(span), parts.number_of(span))


def cost_of_rounds(parts: Parts, rounds: Iterable[SpanRecord]) -> Cost:
    """What rounds took together, as far as it is known."""
    usage, seconds, costless = Usage(), 0.0, 0
    for span in rounds:
        rnd = round_of(parts, span)
        usage += rnd.usage
        costless += rnd.costless_calls
        seconds += span.seconds or 0.0
    return Cost.of(usage, seconds, costless)


def where(agent_id: str, number: int | None) -> str:
    """An agent and its round, in words."""
    return (agent_id or "no agent") + ("" if number is None else f" round {number}")

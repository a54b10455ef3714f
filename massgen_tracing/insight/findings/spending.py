"""Findings about tokens and cost: who stands out, and what the totals leave out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from massgen_tracing import semconv
from massgen_tracing.insight import words
from massgen_tracing.insight.calls import ModelCall
from massgen_tracing.insight.findings.finding import Cost, Evidence, Finding, at, finding, where
from massgen_tracing.insight.parts import Parts
from massgen_tracing.insight.summary import Summary, is_costless, round_of
from massgen_tracing.model import SpanRecord, Usage
from massgen_tracing.projection.values import text
from massgen_tracing.thresholds import Thresholds

_SHOWN: Final = 5


def by_agent(parts: Parts) -> dict[str, Usage]:
    """What each agent used, by its calls; by its rounds, where the recording has no calls."""
    found: defaultdict[str, Usage] = defaultdict(Usage)
    for call in parts.calls:
        found[parts.agent_of(call.span)] += call.usage
    if not parts.calls:
        for rnd in parts.rounds:
            found[words.agent(rnd)] += round_of(parts, rnd).usage
    return {agent: usage for agent, usage in sorted(found.items()) if agent}


def costless_by_agent(parts: Parts) -> Counter[str]:
    """How many calls of each agent nobody knows the cost of; they are not in what `by_agent` says."""
    return Counter(parts.agent_of(call.span) for call in parts.calls if is_costless(call))


def tokens_of(usage: Usage) -> int | None:
    """All tokens, in and out; None where neither is known."""
    return Cost.of(usage).tokens


def outliers(parts: Parts, limits: Thresholds) -> Iterator[Finding]:
    """`cache_low`, `cost_outlier` and `token_outlier` among the agents of the run."""
    used, costless = by_agent(parts), costless_by_agent(parts)

    def cost(agent: str) -> Cost:
        return Cost.of(used[agent], costless_calls=costless[agent])

    tokens = {agent: float(known) for agent, usage in used.items() if (known := tokens_of(usage)) is not None}
    costs = {agent: usage.cost for agent, usage in used.items() if usage.cost is not None}
    # Who came to nothing is no measure for others: it may have failed at its first call.
    measures = {words.agent(rnd) for rnd in parts.rounds if text(rnd.attributes.get(semconv.OUTCOME)) in {"answer", "vote"}} or set(used)
    for agent, value, others in _standing_out(tokens, measures, limits.outlier_ratio, limits.outlier_tokens):
        said = f"{agent} used {value:,.0f} tokens, the median of the others is {others:,.0f}"
        yield finding("token_outlier", f"{agent} used {_times(value, others)} as many tokens as the others", _of(parts, agent, said), cost(agent))
    for agent, value, others in _standing_out(costs, measures, limits.outlier_ratio, limits.outlier_usd):
        said = f"{agent} cost {'≥' * (costless[agent] > 0)}${value:,.4f}, the median of the others is ${others:,.4f}"
        yield finding("cost_outlier", f"{agent} cost {_times(value, others)} as much as the others", _of(parts, agent, said), cost(agent))
    rates = {
        agent: (usage.cached_input or 0) / usage.input
        for agent, usage in used.items()
        if usage.input and usage.cached_input is not None and usage.input >= limits.outlier_tokens
    }
    for agent, rate in rates.items():
        others = median([rates[other] for other in rates if other != agent] or [0.0])
        if others >= limits.cache_share and rate < limits.cache_ratio * others:
            said = f"{rate:.0%} of the {used[agent].input:,} input tokens of {agent} came from the cache, the median of the others is {others:.0%}"
            lost = int((others - rate) * (used[agent].input or 0))
            yield finding("cache_low", f"{agent} reads little from the cache", _of(parts, agent, said), Cost(tokens=lost))


def _standing_out(values: dict[str, float], measures: set[str], ratio: float, least: float) -> Iterator[tuple[str, float, float]]:
    for agent, value in values.items():
        others = [values[other] for other in values if other != agent and other in measures]
        if others and value >= ratio * (middle := median(others)) and value - middle >= least:
            yield agent, value, middle


def _times(value: float, others: float) -> str:
    return f"{value / others:.1f} times" if others else "many times"


def _of(parts: Parts, agent: str, said: str) -> list[Evidence]:
    """What is said of an agent, with its calls that used most."""
    calls = [call for call in parts.calls if parts.agent_of(call.span) == agent]
    rounds = [rnd for rnd in parts.rounds if words.agent(rnd) == agent]
    largest = sorted(calls, key=lambda call: -(tokens_of(call.usage) or 0))[:_SHOWN]
    shown = [call.span for call in largest] or sorted(rounds, key=lambda rnd: -(tokens_of(round_of(parts, rnd).usage) or 0))[:_SHOWN]
    evidence = [at(parts, span, f"{words.name(span)}: one of its largest") for span in shown[1:]]
    return [at(parts, shown[0], said), *evidence] if shown else [Evidence(said, agent_id=agent)]


@dataclass(frozen=True, slots=True)
class Earlier:
    """An earlier run of the same configuration: its totals, and what its agents used."""

    run: str
    summary: Summary
    agents: dict[str, Usage]


def against_earlier(parts: Parts, summary: Summary, earlier: Sequence[Earlier], limits: Thresholds) -> Iterator[Finding]:
    """`cost_outlier` and `token_outlier` of the whole run, `cache_low` too, against earlier runs of the same configuration."""
    if len(earlier) < limits.earlier_runs or not parts.spans:
        return
    shown = parts.sessions[-1] if parts.sessions else parts.spans[0]
    for code, noun, value, others, least in (
        ("token_outlier", "tokens", tokens_of(summary.usage), [tokens_of(each.summary.usage) for each in earlier], limits.outlier_tokens),
        ("cost_outlier", "USD", summary.usage.cost, [each.summary.usage.cost for each in earlier], limits.outlier_usd),
    ):
        known = [other for other in others if other is not None]
        if value is not None and len(known) >= limits.earlier_runs and value > limits.run_ratio * max(known) and value - max(known) >= least:
            spread = f"{min(known):,.4g} to {max(known):,.4g}"
            said = f"this run used {value:,.6g} {noun}, {len(known)} earlier ones of the same configuration {spread}"
            yield finding(
                code,
                f"The run used more {noun} than any earlier one of its configuration",
                [at(parts, shown, said)],
                Cost.of(summary.usage, costless_calls=summary.costless_calls),
            )


def left_out(parts: Parts) -> Iterator[Finding]:
    """`unpriced_calls` and `missing_usage`: what the totals leave out, by model."""
    unpriced: dict[str, list[ModelCall]] = defaultdict(list)
    silent: dict[str, list[ModelCall]] = defaultdict(list)
    for call in parts.calls:
        if not is_costless(call):
            continue
        known = call.usage.input is not None or call.usage.output is not None
        (unpriced if known else silent)[call.model or "an unknown model"].append(call)
    for model, calls in unpriced.items():
        usage = sum((call.usage for call in calls), Usage())
        evidence = [at(parts, call.span, f"{_place(parts, call.span)}: {tokens_of(call.usage):,} tokens of {model}, cost unknown") for call in calls]
        yield finding(
            "unpriced_calls", f"Nobody knows what {words.counted(len(calls), 'call')} of {model} cost", evidence, Cost(tokens=tokens_of(usage))
        )
    for model, calls in silent.items():
        evidence = [at(parts, call.span, f"{_place(parts, call.span)}: {words.name(call.span)} reported no tokens{_cut_off(call)}") for call in calls]
        seconds = sum(call.span.seconds or 0.0 for call in calls)
        yield finding("missing_usage", f"{words.counted(len(calls), 'call')} of {model} reported no tokens", evidence, Cost(seconds))
    if not parts.calls:
        yield from _rounds_left_out(parts)


def _rounds_left_out(parts: Parts) -> Iterator[Finding]:
    """The same of a recording that has no model calls: one that was made of log files."""
    unpriced = [rnd for rnd in parts.rounds if tokens_of(used := round_of(parts, rnd).usage) and used.cost is None]
    if unpriced:
        evidence = [at(parts, rnd, f"{_place(parts, rnd)}: {tokens_of(round_of(parts, rnd).usage):,} tokens, cost unknown") for rnd in unpriced]
        usage = sum((round_of(parts, rnd).usage for rnd in unpriced), Usage())
        yield finding("unpriced_calls", f"Nobody knows what {words.counted(len(unpriced), 'round')} cost", evidence, Cost(tokens=tokens_of(usage)))


def _place(parts: Parts, span: SpanRecord) -> str:
    return where(parts.agent_of(span), parts.number_of(span))


def _cut_off(call: ModelCall) -> str:
    outcome = call.span.attributes.get("massgen.outcome")
    return f" ({outcome})" if isinstance(outcome, str) else ""

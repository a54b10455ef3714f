"""Two questions side by side: what changed between them, and what of that is beyond the spread of earlier runs of the same configuration."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from massgen_tracing.insight.analysis import Analysis, configuration
from massgen_tracing.insight.findings import Earlier
from massgen_tracing.insight.findings.spending import tokens_of
from massgen_tracing.insight.summary import Summary

_LEAST: Final = 3
"""Runs that have a spread."""


class Measure(NamedTuple):
    """Something that is compared: what it is counted in, and where it stands."""

    name: str
    unit: str
    of: Callable[[Summary], float | None]


def _of_tokens(summary: Summary) -> float | None:
    return tokens_of(summary.usage)


MEASURES: Final = (
    Measure("duration", "s", lambda summary: summary.seconds),
    Measure("cost", "USD", lambda summary: summary.usage.cost),
    Measure("tokens", "tokens", _of_tokens),
    Measure("input tokens", "tokens", lambda summary: summary.usage.input),
    Measure("output tokens", "tokens", lambda summary: summary.usage.output),
    Measure("cached input tokens", "tokens", lambda summary: summary.usage.cached_input),
    Measure("rounds", "", lambda summary: len(summary.rounds)),
    Measure("restarted rounds", "", lambda summary: sum(rnd.outcome == "restarted" for rnd in summary.rounds)),
    Measure("model calls", "", lambda summary: summary.llm_calls),
    Measure("tool calls", "", lambda summary: summary.tool_calls),
    Measure("errors", "", lambda summary: summary.errors),
)
"""What is told of each."""


@dataclass(frozen=True, slots=True)
class Line:
    """One thing of both: its values, and the smallest and the largest of earlier runs, where there are enough of them.

    Attributes:
        beyond: whether the second value lies outside of that spread; None where there is none.
        costless: of a cost, how many calls of both nobody knows the cost of: they are not in the values.
    """

    name: str
    unit: str
    first: float | None
    second: float | None
    spread: tuple[float, float] | None
    beyond: bool | None
    costless: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two questions side by side.

    Attributes:
        lines: the measures of both.
        tools, findings: calls by tool, and findings by code, of both; only those that either has.
        same_configuration: whether the same agents took part with the same models.
    """

    lines: tuple[Line, ...]
    tools: tuple[tuple[str, int, int], ...]
    findings: tuple[tuple[str, int, int], ...]
    same_configuration: bool


def compare(first: Analysis, second: Analysis, earlier: tuple[Earlier, ...] = ()) -> Comparison:
    """Two questions side by side; *earlier* are runs of the second one's configuration."""
    lines = []
    for name, unit, of in MEASURES:
        one, other = of(first.summary), of(second.summary)
        known = [value for each in earlier if (value := of(each.summary)) is not None]
        spread = (min(known), max(known)) if len(known) >= _LEAST else None
        beyond = None if spread is None or other is None else not spread[0] <= other <= spread[1]
        costless = (first.summary.costless_calls, second.summary.costless_calls) if unit == "USD" else (0, 0)
        lines.append(Line(name, unit, one, other, spread, beyond, costless))
    return Comparison(
        tuple(lines),
        tuple(_both({each.name: each.calls for each in first.tools}, {each.name: each.calls for each in second.tools})),
        tuple(_both(Counter(each.code for each in first.findings), Counter(each.code for each in second.findings))),
        configuration(first.parts) == configuration(second.parts),
    )


def _both(first: dict[str, int], second: dict[str, int]) -> Iterator[tuple[str, int, int]]:
    for name in sorted({*first, *second}):
        yield name, first.get(name, 0), second.get(name, 0)

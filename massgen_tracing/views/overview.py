"""What to look at in a run, on one screen, and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from massgen_tracing.insight.overview import Overview, Wasted
from massgen_tracing.insight.summary import Round
from massgen_tracing.model import Usage
from massgen_tracing.views import run_json, terminal, text
from massgen_tracing.views.report import facts

_MOST: Final = 5
"""Rows of a table; how many more there are is said. One more is shown, since a line would say as much."""


def draw(out: Console, found: Overview, *, title: str) -> None:
    """Draw it; what there is nothing of is left out."""
    summary = found.summary
    out.print(terminal.headline(summary, title, out.width))
    if summary.question:
        out.print(Text(text.shorten(summary.question, 2 * out.width), style="italic"))
    out.print(terminal.closing(summary))
    used = [
        (each.agent_id or "(no agent)", each.model or "(unknown)", str(each.calls), *_spent(each.usage, each.costless_calls)) for each in found.used
    ]
    _table(out, "Cost", ("agent", "model", "calls", "tokens", "cost"), used)
    wasted = [
        (_name(each.round), _why(each), text.duration(each.round.seconds), *_spent(each.round.usage, each.round.costless_calls))
        for each in found.wasted
    ]
    _table(out, f"Thrown away{_sum_of(found)}", ("round", "why", "time", "tokens", "cost"), wasted)
    tools = [(each.name, str(each.calls), str(each.failures), text.duration(each.seconds), text.duration(each.longest)) for each in found.tools]
    _table(out, "Tools", ("tool", "calls", "failed", "time", "longest"), tools)
    begin = summary.start_ns or 0
    gaps = [
        (_place(each.agent_id, each.round), text.duration(each.seconds), text.duration((each.start_ns - begin) / 1e9), each.after or "its start")
        for each in found.gaps
    ]
    _table(out, "Nothing went on", ("round", "for", "from", "after"), gaps)
    failures = [(_place(each.agent_id, each.round), each.span.name, text.shorten(each.error, run_json.MOST_TEXT)) for each in found.failures]
    _table(out, "Errors", ("round", "what", "error"), failures)
    told = [(each.severity, each.code, text.shorten(each.what, run_json.MOST_TEXT)) for each in found.findings]
    _table(out, "Findings", ("severity", "code", "what"), told)
    if any(len(rows) > _MOST + 1 for rows in (used, wasted, tools, gaps, failures, told)):
        out.print()
        out.print(Text("All rows: `massgen-tracing summary --format json`, or the report: `massgen-tracing logs analyze`", style="dim"))


def _table(out: Console, title: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    if not rows:
        return
    shown = rows if len(rows) <= _MOST + 1 else rows[:_MOST]
    more = f", {len(shown)} of {len(rows):,}" if len(shown) < len(rows) else ""
    out.print()
    out.print(Text(f"{title}{more}", style="bold"))
    terminal.draw_table(out, columns, shown, numeric=frozenset({"calls", "failed", "time", "longest", "tokens", "cost", "for", "from"}))


def _spent(usage: Usage, costless_calls: int = 0) -> tuple[str, str]:
    return text.tokens(usage.input, usage.output) or "unknown", text.cost(usage.cost, at_least=costless_calls > 0) or "unknown"


def _sum_of(found: Overview) -> str:
    """The share of the run's cost that was thrown away, where both are known."""
    costs = [each.round.usage.cost for each in found.wasted]
    whole = found.summary.usage.cost
    known = sum(cost for cost in costs if cost is not None)
    return f" ({known / whole:.0%} of the known cost)" if whole and any(cost is not None for cost in costs) else ""


def _name(rnd: Round) -> str:
    return _place(rnd.agent_id, rnd.number) if rnd.number is not None else f"{rnd.agent_id} {rnd.kind}".strip()


def _place(agent_id: str, number: int | None) -> str:
    return agent_id + ("" if number is None else f" round {number}") or "(no agent)"


def _why(wasted: Wasted) -> str:
    if wasted.by:
        return f"{wasted.cause} by {wasted.by}"
    return ": ".join(filter(None, (wasted.cause, text.shorten(wasted.round.error, 80))))


def document(found: Overview, *, title: str) -> dict[str, Any]:
    """The same as one JSON object: the totals as in a run's own document, and everything that the tables have; times in seconds."""
    begin = found.summary.start_ns or 0
    return {
        **run_json.totals(title, found.summary),
        "used": [
            {
                "agent_id": each.agent_id or None,
                "model": each.model or None,
                "calls": each.calls,
                "calls_of_unknown_cost": each.costless_calls,
                **run_json.usage(each.usage),
            }
            for each in found.used
        ],
        "wasted": [{**run_json.of_round(each.round), "cause": each.cause, "by": each.by or None} for each in found.wasted],
        "tools": [
            {"tool": each.name, "calls": each.calls, "failures": each.failures, "seconds": each.seconds, "longest_seconds": each.longest}
            for each in found.tools
        ],
        "gaps": [
            {
                "agent_id": each.agent_id or None,
                "round": each.round,
                "start": (each.start_ns - begin) / 1e9,
                "seconds": each.seconds,
                "after": each.after or None,
            }
            for each in found.gaps
        ],
        "failures": [
            {
                "agent_id": each.agent_id or None,
                "round": each.round,
                "span_id": each.span.span_id,
                "name": each.span.name,
                "error": text.shorten(each.error, run_json.MOST_TEXT),
            }
            for each in found.failures
        ],
        "findings": [facts.finding(each) for each in found.findings],
    }

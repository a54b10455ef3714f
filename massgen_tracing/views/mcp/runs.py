"""Tools for runs as wholes: which there are, what one came to, two side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from massgen_tracing.insight.overview import used
from massgen_tracing.views import run_json
from massgen_tracing.views.mcp import answers
from massgen_tracing.views.mcp.answers import Answer, LeftOut
from massgen_tracing.views.mcp.backend import Backend, Opened
from massgen_tracing.views.mcp.bounded import MOST, clipped, fitting, values
from massgen_tracing.views.mcp.parameters import Parameter
from massgen_tracing.views.mcp.tool import Tool

NAME: Final = 120
"""Characters of a name."""
_SOME: Final = 50
"""Rounds, tools, models, kinds of findings of one answer."""

RUN: Final = Parameter(
    "run",
    "text",
    "a run's name or directory, a recording, or at least six digits of a trace's id; RUN:N for its question N (default: the newest run)",
)


def named(opened: Opened) -> dict[str, Any]:
    """Which run an answer is of."""
    subject = opened.subject
    told: dict[str, Any] = {"run": clipped(subject.title, NAME), "trace_id": subject.trace_id or None}
    return told if subject.turn is None else {**told, "turn": subject.turn}


def _list(backend: Backend, given: Mapping[str, Any]) -> Answer:
    found, more = backend.runs(given["limit"], given["offset"])
    listed = [values(each, run_json.MOST_TEXT) for each in found]
    kept = fitting(listed, given["limit"])
    ask = f"run_list with offset={given['offset'] + len(kept)}"
    left_out = [LeftOut("runs", None if more else len(listed) - len(kept), ask)] if more or len(kept) < len(listed) else []
    return answers.told({"runs": kept}, left_out)


def _summary(backend: Backend, given: Mapping[str, Any]) -> Answer:
    opened = backend.open(given["run"])
    analysis = opened.subject.analysis
    totals = run_json.totals(opened.subject.title, analysis.summary)
    rounds = [values(run_json.of_round(each), NAME) for each in analysis.summary.rounds]
    document = {
        **named(opened),
        **values({**totals, "trace_ids": totals["trace_ids"][:_SOME], "agents": totals["agents"][:_SOME]}, run_json.MOST_TEXT),
        "used": [
            values({"agent_id": each.agent_id or None, "model": each.model or None, "calls": each.calls,
                    "calls_of_unknown_cost": each.costless_calls, **run_json.usage(each.usage)}, NAME)
            for each in used(analysis.parts)[:_SOME]
        ],
        "rounds": fitting(rounds, _SOME, MOST // 2),
        "tools": [
            {"tool": clipped(each.name, NAME), "calls": each.calls, "failures": each.failures, "seconds": each.seconds}
            for each in analysis.tools[:_SOME]
        ],
        "rounds_thrown_away": len(analysis.wasted),
        "findings": dict(analysis.severities),
        "not_recorded": [clipped(each, run_json.MOST_TEXT) for each in analysis.missing],
    }  # fmt: skip
    left = len(rounds) - len(document["rounds"])
    left_out = [LeftOut("rounds", left, "SQL over span_name LIKE 'agent.%'")] if left else []
    return answers.told(document, left_out, opened.notes)


def _compare(backend: Backend, given: Mapping[str, Any]) -> Answer:
    document = dict(backend.compare(given["first"], given["second"]))
    left_out = []
    for name in ("tools", "findings"):
        kept = fitting((values(each, NAME) for each in document[name]), _SOME, MOST // 3)
        if len(kept) < len(document[name]):
            left_out.append(LeftOut(name, len(document[name]) - len(kept), "run_findings, or SQL grouped by span_name, of each run"))
        document[name] = kept
    return answers.told(document, left_out)


TOOLS: Final = (
    Tool(
        "run_list",
        "Runs",
        "Begin here: the recorded runs, the newest first, also those that go on: name, question, state, who took part, who won, time, tokens, cost,"
        " errors.",
        (
            Parameter("limit", "number", "runs at most", default=20, least=1, most=200),
            Parameter("offset", "number", "runs to pass over, the newest first", default=0),
        ),
        answers.TOLD,
        _list,
    ),
    Tool(
        "run_summary",
        "Summary of a run",
        "What a run came to: its outcome, its rounds, who used how many tokens of which model and for how much, what is unknown, tools, and how many"
        " findings there are of each severity.",
        (RUN,),
        answers.TOLD,
        _summary,
    ),
    Tool(
        "run_compare",
        "Two runs side by side",
        "What differs between two runs or questions (RUN:N): time, cost, tokens, rounds, calls, errors, tools, findings; and what is beyond the"
        " spread of earlier runs of the same configuration.",
        (
            Parameter("first", "text", "a run, as for the other tools, or RUN:N", required=True),
            Parameter("second", "text", "another one", required=True),
        ),
        answers.TOLD,
        _compare,
    ),
)

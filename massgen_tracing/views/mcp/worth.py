"""Tools for what is worth a look in a run: what failed, what it waited for, what was thrown away, what was found."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from massgen_tracing.insight import words
from massgen_tracing.insight.analysis import Waited, likely_cause
from massgen_tracing.insight.findings import SEVERITIES
from massgen_tracing.insight.findings.spending import tokens_of
from massgen_tracing.insight.overview import Failure
from massgen_tracing.insight.summary import Round
from massgen_tracing.model import SpanRecord, Usage
from massgen_tracing.views import run_json
from massgen_tracing.views.mcp import answers
from massgen_tracing.views.mcp.answers import Answer, LeftOut
from massgen_tracing.views.mcp.backend import Backend
from massgen_tracing.views.mcp.bounded import clipped, fitting, plain, values
from massgen_tracing.views.mcp.parameters import Parameter
from massgen_tracing.views.mcp.runs import NAME, RUN, named
from massgen_tracing.views.mcp.tool import Tool
from massgen_tracing.views.report import facts

_ERROR: Final = 1_000
_EVIDENCE: Final = 5
_SPANS: Final = 20

_Item = TypeVar("_Item")


def _page(
    name: str, found: Sequence[_Item], made: Callable[[_Item], Mapping[str, Any]], tool: str, given: Mapping[str, Any]
) -> tuple[list[Mapping[str, Any]], list[LeftOut]]:
    """What is made of the part of a list that was asked for and has room, and what of it is left out."""
    rest = found[given["offset"] :]
    kept = fitting((made(each) for each in rest), given["limit"])
    left = len(rest) - len(kept)
    return kept, [LeftOut(name, left, f"{tool} with offset={given['offset'] + len(kept)}")] if left else []


def _errors(backend: Backend, given: Mapping[str, Any]) -> Answer:
    opened = backend.open(given["run"])
    analysis = opened.subject.analysis
    begin = analysis.summary.start_ns or 0
    results = {call.span.key: call.result for call in analysis.parts.tools if call.failed and call.result}

    def result_of(span: SpanRecord) -> str | None:
        """What the failed tool call that a span is, or is a layer of, has given."""
        return next((results[layer.key] for layer in (span, *analysis.parts.tree.above(span)) if layer.key in results), None)

    def made(each: Failure) -> dict[str, Any]:
        result = result_of(each.span)
        return {
            "span_id": each.span.span_id,
            "name": clipped(words.name(each.span), NAME),
            "agent_id": clipped(each.agent_id, NAME) or None,
            "round": each.round,
            "start": (each.span.start_ns - begin) / 1e9,
            "state": each.span.state,
            "error": clipped(each.error, _ERROR),
            "result": clipped(result, _ERROR),
            "points_to": likely_cause((result or each.error)[:_ERROR]) or None,
        }

    kept, left_out = _page("errors", analysis.failures, made, "run_errors", given)
    return answers.told({**named(opened), "errors": len(analysis.failures), "failed": kept}, left_out, opened.notes)


def _path(backend: Backend, given: Mapping[str, Any]) -> Answer:
    opened = backend.open(given["run"])
    analysis = opened.subject.analysis

    def made(each: Waited) -> dict[str, Any]:
        return {
            "agent_id": clipped(each.agent_id, NAME) or None,
            "name": clipped(each.name, NAME),
            "count": each.count,
            "seconds": each.seconds,
            "longest_seconds": each.longest.seconds,
            "longest_span_id": each.longest.span.span_id,
        }

    kept, left_out = _page("operations", analysis.path, made, "run_critical_path", given)
    hints = [] if analysis.parts.sessions else ["There is no session in it, so that nobody knows what the run waited for; see run_tree."]
    whole = {"seconds": analysis.summary.seconds, "seconds_on_path": sum(each.seconds for each in analysis.path)}
    return answers.told({**named(opened), **whole, "waited_for": kept}, left_out, (*opened.notes, *hints))


def _waste(backend: Backend, given: Mapping[str, Any]) -> Answer:
    opened = backend.open(given["run"])
    analysis = opened.subject.analysis

    def made(each: tuple[Round, str, str]) -> dict[str, Any]:
        rnd, cause, by = each
        return values({**run_json.of_round(rnd), "cause": cause, "by": by or None}, run_json.MOST_TEXT)

    thrown_away = sum((rnd.usage for rnd, _, _ in analysis.wasted), Usage())
    whole = {
        "rounds": len(analysis.summary.rounds),
        "rounds_thrown_away": len(analysis.wasted),
        "seconds_thrown_away": sum(rnd.seconds or 0.0 for rnd, _, _ in analysis.wasted),
        "used": run_json.usage(analysis.summary.usage),
        "used_thrown_away": run_json.usage(thrown_away),
        "share_of_known_cost": _share(thrown_away.cost, analysis.summary.usage.cost),
        "share_of_tokens": _share(tokens_of(thrown_away), tokens_of(analysis.summary.usage)),
        "calls_of_unknown_cost": sum(rnd.costless_calls for rnd, _, _ in analysis.wasted),
    }
    kept, left_out = _page("rounds", analysis.wasted, made, "run_waste", given)
    return answers.told({**named(opened), **whole, "thrown_away": kept}, left_out, opened.notes)


def _share(part: float | None, whole: float | None) -> float | None:
    return part / whole if part is not None and whole else None


def _findings(backend: Backend, given: Mapping[str, Any]) -> Answer:
    opened = backend.open(given["run"])
    analysis = opened.subject.analysis
    found = [each for each in analysis.findings if given["severity"] in {None, each.severity} and given["code"] in {None, each.code}]
    kept, left_out = _page("findings", found, lambda each: _finding(facts.finding(each)), "run_findings", given)
    return answers.told({**named(opened), "severities": dict(analysis.severities), "findings": kept}, left_out, opened.notes)


def _finding(document: Mapping[str, Any]) -> dict[str, Any]:
    """A finding with the first pieces of its evidence; the statement that shows the others is long, and their ids are the same."""
    evidence = [values(each, _ERROR) for each in document["evidence"][:_EVIDENCE]]
    left = len(document["evidence"]) - len(evidence) + document["evidence_left_out"]
    told = {name: value for name, value in document.items() if name != "sql"}
    return {
        **plain(told),
        "what": clipped(document["what"], _ERROR),
        "agents": [clipped(each, NAME) for each in document["agents"][:_SPANS]],
        "rounds": list(document["rounds"][:_SPANS]),
        "spans": list(document["spans"][:_SPANS]),
        "evidence": evidence,
        "evidence_left_out": left,
    }


def _more(what: str) -> tuple[Parameter, Parameter]:
    return (
        Parameter("limit", "number", f"{what} at most", default=50, least=1, most=500),
        Parameter("offset", "number", f"{what} to pass over", default=0),
    )


TOOLS: Final = (
    Tool(
        "run_errors",
        "Errors of a run",
        "What failed of itself in a run, in order of start: which span, whose, why, and what the words of the error point to.",
        (RUN, *_more("errors")),
        answers.TOLD,
        _errors,
    ),
    Tool(
        "run_critical_path",
        "What a run waited for",
        "The model and tool calls on the critical path of a run, by agent and name, the longest first: making others faster makes the run no faster.",
        (RUN, *_more("operations")),
        answers.TOLD,
        _path,
    ),
    Tool(
        "run_waste",
        "What was thrown away",
        "The rounds whose work a run threw away, by whose answer or why, and what they took of its time, tokens and cost.",
        (RUN, *_more("rounds")),
        answers.TOLD,
        _waste,
    ),
    Tool(
        "run_findings",
        "Findings of a run",
        "What is worth a look in a run, the most severe first: repeated calls, thrown away work, stalls, errors, cost, with evidence, what it cost"
        " and what to do about it.",
        (
            RUN,
            Parameter("severity", "text", "only of this severity", among=SEVERITIES),
            Parameter("code", "text", "only of this code, such as wasted_round"),
            *_more("findings"),
        ),
        answers.TOLD,
        _findings,
    ),
)

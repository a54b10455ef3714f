"""The facts and the findings of a report as data, for programs: `massgen_tracing/views/schemas/analysis.schema.json` says what they are."""

from __future__ import annotations

from typing import Any, Final

from massgen_tracing import semconv
from massgen_tracing.insight.findings import Evidence, Finding
from massgen_tracing.projection.values import text as text_of
from massgen_tracing.views import run_json, text
from massgen_tracing.views.report.subject import Subject, spans_sql

_MOST: Final = 100
_TEXT: Final = 500


def document(subject: Subject) -> dict[str, Any]:
    """The whole of it; times in seconds from the run's start, what is not known is null."""
    return {
        "run": subject.title,
        "directory": None if subject.log_dir is None else str(subject.log_dir),
        "trace_id": subject.trace_id or None,
        "turn": subject.turn,
        "link": subject.link or None,
        "facts": facts(subject),
        "findings": [finding(each) for each in subject.analysis.findings],
    }


def finding(each: Finding) -> dict[str, Any]:
    """A finding."""
    return {
        "code": each.code,
        "severity": each.severity,
        "what": each.what,
        "agents": list(each.agents),
        "rounds": list(each.rounds),
        "spans": list(each.spans),
        "evidence": [_evidence(piece) for piece in each.evidence],
        "evidence_left_out": each.left_out,
        "sql": spans_sql(each.spans) if each.spans else None,
        "seconds": each.cost.seconds,
        "tokens": each.cost.tokens,
        "usd": each.cost.usd,
        "calls_of_unknown_cost": each.cost.costless_calls,
        "recommendation": each.recommendation,
    }


def _evidence(piece: Evidence) -> dict[str, Any]:
    return {
        "text": text.shorten(piece.text, _TEXT),
        "trace_id": piece.trace_id or None,
        "span_id": piece.span_id or None,
        "agent_id": piece.agent_id or None,
        "round": piece.round,
    }


def facts(subject: Subject) -> dict[str, Any]:
    """What was computed, without judging it; of a long list the beginning, and how much that leaves out."""
    told = _facts(subject)
    lists = {name: value for name, value in told.items() if isinstance(value, list)}
    return {
        **told,
        **{name: value[:_MOST] for name, value in lists.items()},
        "left_out": {name: len(value) - _MOST for name, value in lists.items() if len(value) > _MOST},
    }


def _facts(subject: Subject) -> dict[str, Any]:
    analysis = subject.analysis
    begin = analysis.summary.start_ns or 0
    totals = run_json.totals(subject.title, analysis.summary)
    del totals["run"]
    return {
        **totals,
        "attempts": subject.attempts or len(analysis.coordinations) or None,
        "rounds": [run_json.of_round(each) for each in analysis.summary.rounds],
        "answers": [
            {"label": each.label, "agent_id": each.agent_id, "at": (each.span.start_ns - begin) / 1e9, "span_id": each.span.span_id,
             "text": text.shorten(each.text, _TEXT) or None}
            for coordination in analysis.coordinations for each in coordination.answers
        ],
        "votes": [
            {"voter": each.voter, "voted_for": each.target or None, "label": each.label or None, "stands": each.stands,
             "at": (each.span.start_ns - begin) / 1e9, "span_id": each.span.span_id, "reason": text.shorten(each.reason, _TEXT) or None}
            for coordination in analysis.coordinations for each in coordination.votes
        ],
        "final_answer": bool(analysis.last is not None and analysis.last.final),
        "finish_reason": text_of(analysis.last.session.attributes.get(semconv.FINISH_REASON)) or None if analysis.last is not None else None,
        "phases": [{"phase": each.name, "rounds": each.count, "seconds": each.seconds, "longest_seconds": each.longest} for each in analysis.phases],
        "critical_path": [
            {"agent_id": each.agent_id or None, "name": each.name, "count": each.count, "seconds": each.seconds,
             "longest_seconds": each.longest.seconds, "span_id": each.longest.span.span_id}
            for each in analysis.path
        ],
        "agents_used": {agent: run_json.usage(used) for agent, used in analysis.used.items()},
        "tools": [
            {"tool": each.name, "calls": each.calls, "failures": each.failures, "seconds": each.seconds, "longest_seconds": each.longest}
            for each in analysis.tools
        ],
        "repeated_calls": [
            {"command": text.shorten(calls[0].command, _TEXT), "calls": len(calls), "span_id": calls[0].span.span_id,
             "agents": sorted({analysis.parts.agent_of(call.span) for call in calls})}
            for calls in analysis.commands
        ],
        "thrown_away": [{**run_json.of_round(rnd), "cause": cause, "by": by or None} for rnd, cause, by in analysis.wasted],
        "enforcement": [
            {"agent_id": each.agent_id or None, "retries": each.retries, "reasons": dict(each.reasons), "lost_chars": each.lost_chars,
             "unknown_tools": list(each.unknown_tools)}
            for each in analysis.enforced
        ],
        "missing": analysis.missing,
        "compared_with": [each.run for each in analysis.earlier],
    }  # fmt: skip

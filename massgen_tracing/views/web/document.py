"""What a run's page says besides its spans: totals, who did what, who saw what and voted for whom, errors, and where the time went."""

from __future__ import annotations

from typing import Any, Final

from massgen_tracing import semconv
from massgen_tracing.insight import words
from massgen_tracing.insight.decisions import Coordination, is_afterwards
from massgen_tracing.model import SpanRecord
from massgen_tracing.projection.values import text as text_of
from massgen_tracing.views import run_json, text
from massgen_tracing.views.report import facts
from massgen_tracing.views.web.opened import Opened

_MOST: Final = 1000


def document(opened: Opened) -> dict[str, Any]:
    """All of it; times in seconds from the run's start, what is not known is null."""
    subject = opened.subject
    analysis = subject.analysis
    begin = opened.spans.begin
    told = facts.document(subject)
    return {
        **told,
        "version": opened.version,
        "turns": opened.turns,
        "work": analysis.summary.work or None,
        "whole_question": analysis.summary.question or None,
        "skipped": opened.found.recording.report.sentence or None,
        "coordinations": [_coordination(opened, each) for each in analysis.coordinations],
        "used": [
            {"agent_id": each.agent_id or None, "model": each.model or None, "calls": each.calls, "calls_of_unknown_cost": each.costless_calls,
             **run_json.usage(each.usage)}
            for each in opened.used
        ],
        "gaps": [
            {"agent_id": each.agent_id or None, "round": each.round, "start": (each.start_ns - begin) / 1e9, "seconds": each.seconds,
             "after": each.after or None}
            for each in opened.gaps[:_MOST]
        ],
        "failures": [
            {"agent_id": each.agent_id or None, "round": each.round, "span_id": each.span.span_id, "name": words.name(each.span),
             "error": text.shorten(each.error, run_json.MOST_TEXT)}
            for each in analysis.failures[:_MOST]
        ],
        "failures_left_out": max(0, len(analysis.failures) - _MOST),
        "path": [step.span.span_id for step in opened.path],
    }  # fmt: skip


def _coordination(opened: Opened, told: Coordination) -> dict[str, Any]:
    """One attempt: its rounds in their order, with what each was shown, what it came to, and what that threw away."""
    begin = opened.spans.begin
    wasted = {rnd.span_id: (cause, by) for rnd, cause, by in opened.subject.analysis.wasted}
    answered = {answer.round.span_id: answer for answer in told.answers if answer.round is not None}
    voted = {vote.round.span_id: vote for vote in told.votes if vote.round is not None}

    def rnd(span: SpanRecord) -> dict[str, Any]:
        cause, by = wasted.get(span.span_id, ("", ""))
        answer, vote = answered.get(span.span_id), voted.get(span.span_id)
        return {
            "span_id": span.span_id,
            "agent_id": words.agent(span),
            "round": span.attributes.get(semconv.ROUND) if isinstance(span.attributes.get(semconv.ROUND), int) else None,
            "start": (span.start_ns - begin) / 1e9,
            "seconds": span.seconds,
            "state": span.state,
            "after_all": is_afterwards(span),
            "outcome": text_of(span.attributes.get(semconv.OUTCOME)) or None,
            "shown": None if (shown := told.shown.get(span.span_id)) is None else list(shown),
            "answer": None if answer is None else {"label": answer.label, "text": text.shorten(answer.text, run_json.MOST_TEXT) or None},
            "vote": None if vote is None else {
                "for": vote.target or None, "label": vote.label or None, "stands": vote.stands,
                "reason": text.shorten(vote.reason, run_json.MOST_TEXT) or None,
            },
            "thrown_away": cause or None,
            "by": by or None,
        }  # fmt: skip

    return {
        "session": told.session.span_id,
        "agents": list(told.agents),
        "rounds": [rnd(span) for span in told.rounds],
        "winner": told.winner or None,
        "winner_label": told.winner_label or None,
        "tally": told.tally(),
        "reason": text_of(told.session.attributes.get(semconv.WINNER_REASON)) or None,
        "answers": [
            {"label": each.label, "agent_id": each.agent_id, "span_id": each.span.span_id, "text": each.text or None} for each in told.answers
        ],
        "final": [{"agent_id": words.agent(each), "span_id": each.span_id, "text": _whole(each)} for each in told.final],
    }


def _whole(span: SpanRecord) -> str | None:
    return text_of(span.attributes.get(semconv.ANSWER_TEXT)) or text_of(span.attributes.get(semconv.ANSWER_PREVIEW)) or None

"""A run as one JSON object for programs: what it came to, its rounds, and its spans, parents first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from massgen_tracing import conventions, semconv
from massgen_tracing.insight import words
from massgen_tracing.insight.summary import Round, Summary
from massgen_tracing.insight.tree import Node
from massgen_tracing.model import SpanRecord, Usage
from massgen_tracing.views import text

_MOST_NAMES: Final = 1000
MOST_TEXT: Final = 300
"""Characters of a name, an error, or the question; all of it is in the attributes, for `sql`."""


def document(title: str, roots: Sequence[Node], summary: Summary, *, left_out: int = 0, most: int | None = None) -> dict[str, Any]:
    """The run.

    Times are ISO 8601 in UTC, or seconds; `start` of a span is seconds since the run's start. What is not known is not there, or null in totals.

    Args:
        title: what was asked for.
        roots: its trees, as far as they are wanted.
        summary: what all of it came to.
        left_out: how many spans are not in *roots*.
        most: how many rounds there may be; None for all. How many more there are is said.
    """
    return {
        **totals(title, summary),
        "rounds": [of_round(each) for each in summary.rounds[:most]],
        "rounds_left_out": 0 if most is None else max(0, len(summary.rounds) - most),
        "spans": list(_spans(roots, summary.start_ns or 0)),
        "spans_left_out": left_out,
    }


def totals(title: str, summary: Summary) -> dict[str, Any]:
    """What a run came to."""
    return {
        "run": title,
        "trace_ids": list(summary.trace_ids[:_MOST_NAMES]),
        "state": summary.state,
        "question": text.shorten(summary.question, MOST_TEXT),
        "start": None if summary.start_ns is None else moment(summary.start_ns),
        "seconds": summary.seconds,
        "agents": list(summary.agents[:_MOST_NAMES]),
        "winner": summary.winner or None,
        "winner_label": summary.winner_label or None,
        "model_calls": summary.llm_calls,
        "calls_of_unknown_cost": summary.costless_calls,
        "tool_calls": summary.tool_calls,
        "errors": summary.errors,
        "open_spans": summary.open,
        "interrupted_spans": summary.interrupted,
        "scrubbed": summary.scrubbed,
        "usage": usage(summary.usage),
    }


def moment(ns: int) -> str:
    """A moment (Unix nanoseconds) as ISO 8601 in UTC."""
    return datetime.fromtimestamp(ns / 1e9, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def usage(used: Usage) -> dict[str, int | float | None]:
    """Tokens, and the cost in USD."""
    return {
        "input_tokens": used.input,
        "output_tokens": used.output,
        "reasoning_tokens": used.reasoning,
        "cached_input_tokens": used.cached_input,
        "cost": used.cost,
    }


def of_round(rnd: Round) -> dict[str, Any]:
    """One execution of an agent."""
    return {
        "span_id": rnd.span_id,
        "agent_id": rnd.agent_id,
        "round": rnd.number,
        "round_type": rnd.kind or None,
        "outcome": rnd.outcome or None,
        "label": rnd.label or None,
        "error": text.shorten(rnd.error, MOST_TEXT) or None,
        "seconds": rnd.seconds,
        "calls_of_unknown_cost": rnd.costless_calls,
        "usage": usage(rnd.usage),
    }


def _spans(roots: Sequence[Node], begin_ns: int) -> Iterator[dict[str, Any]]:
    for root in roots:
        for depth, node in root.walk():
            yield {"depth": depth, **of_span(node.span, begin_ns)}


def of_span(span: SpanRecord, begin_ns: int) -> dict[str, Any]:
    """A span, with what it says only; times in seconds, the start from *begin_ns* on (Unix nanoseconds)."""
    return {key: value for key, value in _span(span, begin_ns).items() if value not in ("", None)}


def _span(span: SpanRecord, begin_ns: int) -> dict[str, Any]:
    values = span.attributes
    kind = conventions.kind_of(span.name, values)
    used = conventions.usage_of(values) if kind == "model" else Usage()
    return {
        "span_id": span.span_id,
        "parent_span_id": span.parent_span_id,
        "name": text.shorten(words.name(span), MOST_TEXT),
        "kind": kind,
        "agent_id": words.agent(span),
        "start": (span.start_ns - begin_ns) / 1e9,
        "seconds": span.seconds,
        "state": span.state if span.state != "ended" else None,
        "outcome": _text(values.get(semconv.OUTCOME)),
        "label": words.about(values),
        "model": conventions.text_of(values, conventions.MODEL) if kind == "model" else "",
        "tool": conventions.text_of(values, conventions.TOOL) if kind == "tool" else "",
        "input_tokens": used.input,
        "output_tokens": used.output,
        "cost": used.cost,
        "error": text.shorten(words.error(span), MOST_TEXT) if words.has_failed(span) else "",
    }


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""

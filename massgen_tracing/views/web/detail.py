"""One span in full: what it was told and said as people read it, and every value that it has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from massgen_tracing import conventions, semconv
from massgen_tracing.insight import words
from massgen_tracing.insight.tools import ToolCall
from massgen_tracing.model import Attributes, SpanRecord, Usage
from massgen_tracing.projection import values
from massgen_tracing.views import run_json
from massgen_tracing.views.web import conversation, encoded
from massgen_tracing.views.web.columns import KINDS
from massgen_tracing.views.web.opened import Opened

_TEXTS: Final = (
    ("Question", semconv.TASK),
    ("Answer", semconv.ANSWER_TEXT),
    ("Answer", semconv.ANSWER_PREVIEW),
    ("Why this vote", semconv.VOTE_REASON),
    ("Why this winner", semconv.WINNER_REASON),
    ("How it ended", semconv.FINISH_DETAILS),
    ("What happened", semconv.EVENT_DETAILS),
    ("Error", semconv.ERROR_MESSAGE),
)
"""Attributes that are texts for people, the first of a title wins."""


def document(opened: Opened, place: int) -> dict[str, Any]:
    """The span at a place of the arrays; times in seconds, the start from the run's start on. Nothing of it is left out."""
    spans = opened.spans
    span = opened.records[place]
    parts = opened.subject.analysis.parts
    attributes = span.attributes
    kind = KINDS[spans.kind[place]]
    said, told = (conversation.said(attributes), conversation.told(attributes)) if kind in {"model", "agent", "other"} else ([], [])
    return {
        "place": place,
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "parent_span_id": span.parent_span_id or None,
        "name": words.name(span),
        "span_name": span.name,
        "kind": kind,
        "agent_id": parts.agent_of(span) or None,
        "round": parts.number_of(span),
        "start": datetime.fromtimestamp(span.start_ns / 1e9, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "offset": (span.start_ns - spans.begin) / 1e9,
        "seconds": span.seconds,
        "state": span.state,
        "failed": words.has_failed(span),
        "error": words.error(span) or None,
        "outcome": values.text(attributes.get(semconv.OUTCOME)) or None,
        "label": words.about(attributes) or None,
        "model": conventions.text_of(attributes, conventions.MODEL) or None if kind in {"model", "round"} else None,
        "provider": conventions.text_of(attributes, conventions.PROVIDER) or None,
        "usage": _usage(values.usage_of(span), kind),
        "first_chunk_seconds": conventions.number(attributes.get(semconv.GEN_AI_TIME_TO_FIRST_CHUNK)),
        "texts": list(_texts(attributes)),
        "told": _readable(told),
        "said": _readable(said),
        "tool": _tool(_call_of(opened, span), span) if kind == "tool" else None,
        "cut": any(values.cuts(item) for item in attributes.values() if isinstance(item, str)) or semconv.LOGFIRE_TRUNCATED in attributes,
        "attributes": _pairs(attributes),
        "events": [{"name": each.name, "offset": (each.time_ns - spans.begin) / 1e9, "attributes": _pairs(each.attributes)} for each in span.events],
        "links": [{"trace_id": each.trace_id, "span_id": each.span_id, "attributes": _pairs(each.attributes)} for each in span.links],
        "scope": f"{span.scope.name} {span.scope.version}".strip() or None,
        "resource": _pairs(span.resource.attributes),
        "dropped": span.dropped_attributes + span.dropped_events + span.dropped_links,
    }


def _usage(usage: Usage, kind: str) -> dict[str, Any] | None:
    return run_json.usage(usage) if kind in {"model", "round"} or usage != Usage() else None


def _texts(attributes: Attributes) -> Iterator[dict[str, str]]:
    titles: set[str] = set()
    for title, key in _TEXTS:
        text = values.text(attributes.get(key))
        if text and title not in titles:
            titles.add(title)
            yield {"title": title, "text": text}


def _call_of(opened: Opened, span: SpanRecord) -> ToolCall | None:
    """The call that a span is, or is a layer of."""
    found = opened.tool_calls
    tree = opened.subject.analysis.parts.tree
    return next((found[each.key] for each in (span, *tree.above(span)) if each.key in found), None)


def _tool(call: ToolCall | None, span: SpanRecord) -> dict[str, Any]:
    if call is None:
        return {"name": conventions.text_of(span.attributes, conventions.TOOL) or span.name, "arguments": None, "result": None, "chars": None}
    arguments = values.decoded(call.arguments)
    result = values.decoded(call.result)
    return {
        "name": call.tool,
        "arguments": None if arguments is None else encoded.pretty(arguments),
        "result": None if result is None else encoded.pretty(result),
        "chars": call.chars,
    }


def _readable(messages: list[conversation.Message]) -> list[dict[str, Any]]:
    """Messages whose values are texts, as they are shown: numbers keep every digit."""
    return [{**message, "parts": [_part(part) for part in message["parts"]]} for message in messages]


def _part(part: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value if key in {"type", "id", "name"} else encoded.pretty(value) for key, value in part.items()}


def _pairs(attributes: Attributes) -> list[tuple[str, str]]:
    return [(key, encoded.pretty(values.decoded(value))) for key, value in attributes.items()]

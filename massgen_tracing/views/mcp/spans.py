"""Tools for the spans of a run: its tree without attributes, and one span in full."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from massgen_tracing import conventions
from massgen_tracing.errors import QueryError
from massgen_tracing.insight import words
from massgen_tracing.insight.tree import Node, bounded, only, trees
from massgen_tracing.model import SpanRecord
from massgen_tracing.views import run_json, text
from massgen_tracing.views.mcp import answers
from massgen_tracing.views.mcp.answers import Answer, LeftOut
from massgen_tracing.views.mcp.backend import Backend, Opened
from massgen_tracing.views.mcp.bounded import MOST, clipped, cut, narrowed, plain, size, values
from massgen_tracing.views.mcp.parameters import Parameter
from massgen_tracing.views.mcp.runs import NAME, RUN, named
from massgen_tracing.views.mcp.tool import Tool

_SOME: Final = 50
"""Spans that are named around one, and its events and links."""
_COLUMNS: Final = ("depth", "span_id", "name", "kind", "agent_id", "start", "seconds", "state", "children_left_out")
_SHRUNK: Final = 0.9
"""What is tried next where a tree is too large: a little less than would just fit."""


def _tree(backend: Backend, given: Mapping[str, Any]) -> Answer:
    opened = backend.open(given["run"])
    roots = trees(opened.subject.analysis.parts.spans)
    if given["below"] is not None:
        roots = [_node(roots, given["below"])]
    if given["only"] is not None:
        roots = only(roots, words.has_failed)
    begin = opened.subject.analysis.summary.start_ns or 0
    children = {id(node.span): len(node.children) for root in roots for _, node in root.walk()}
    most = given["limit"]
    while True:
        shown, left = bounded(roots, depth=given["depth"], most=most)
        rows = [_row(depth, node, begin, children) for root in shown for depth, node in root.walk()]
        taken = size(rows)
        if taken <= MOST or most <= 1:
            break
        most = max(1, int(min(most, len(rows)) * _SHRUNK * MOST / taken))
    ask = "run_tree with below=<span_id of a span whose children_left_out is not 0>" + (", or a larger depth" if given["depth"] is not None else "")
    return answers.told({**named(opened), "columns": _COLUMNS, "spans": rows}, [LeftOut("spans", left, ask)] if left else [], opened.notes)


def _row(depth: int, node: Node, begin: int, children: Mapping[int, int]) -> list[Any]:
    span = node.span
    return [
        depth,
        span.span_id,
        plain(text.shorten(words.name(span), NAME)),
        conventions.kind_of(span.name, span.attributes),
        plain(text.shorten(words.agent(span), NAME)) or None,
        round((span.start_ns - begin) / 1e9, 6),
        span.seconds if span.seconds is None else round(span.seconds, 6),
        "failed" if span.status_code == 2 else span.state,
        children[id(span)] - len(node.children),
    ]


def _node(roots: Sequence[Node], span_id: str) -> Node:
    for root in roots:
        for _, node in root.walk():
            if node.span.span_id == span_id.lower():
                return node
    raise QueryError(
        "There is no such span in the run", expected="a span_id of run_tree", got=span_id, hint="run_span without a run looks everywhere"
    )


def _span(backend: Backend, given: Mapping[str, Any]) -> Answer:
    run, span_id = given["run"], given["span_id"].lower()
    if run is None:
        traces = backend.traces_of(span_id)
        if len(traces) != 1:
            problem = f"{len(traces)} traces have a span of that id" if traces else "There is no such span"
            hint = f"Name its run too, such as {traces[0]}" if traces else "run_tree has the spans of a run"
            raise QueryError(problem, expected="a span_id of run_tree or of records", got=given["span_id"], hint=hint)
        run = traces[0]
    opened = backend.open(run)
    roots = trees(opened.subject.analysis.parts.spans)
    node = _node(roots, span_id)
    if given["attribute"] is not None:
        return _attribute(opened, node.span, given["attribute"], given["offset"])
    parts = opened.subject.analysis.parts
    above = [_brief(span) for span in parts.tree.above(node.span)]
    below = [_brief(child.span) for child in node.children]

    def made(width: int) -> dict[str, Any]:
        return {
            **named(opened),
            "span": _whole(node.span, width),
            "agent_id": clipped(parts.agent_of(node.span), NAME) or None,
            "round": parts.number_of(node.span),
            "above": above[:_SOME],
            "children": below[:_SOME],
        }

    document, width = narrowed(made)
    left_out = []
    if long := cut(node.span.attributes, width):
        document["attributes_cut"] = [clipped(name, NAME) for name in long[:_SOME]]
        left_out.append(LeftOut("the ends of attributes_cut", len(long), f"run_span with attribute=<one of them> and offset={width}"))
    for what, many in (("children", len(below)), ("events", len(node.span.events)), ("links", len(node.span.links))):
        if many > _SOME:
            left_out.append(
                LeftOut(what, many - _SOME, f"run_tree with below={span_id}" if what == "children" else "SQL over otel_events, otel_links")
            )
    return answers.told(document, left_out, opened.notes)


def _whole(span: SpanRecord, width: int) -> dict[str, Any]:
    return {
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "parent_span_id": span.parent_span_id or None,
        "name": clipped(span.name, width),
        "message": clipped(words.name(span), width),
        "kind": conventions.kind_of(span.name, span.attributes),
        "start": run_json.moment(span.start_ns),
        "end": None if span.end_ns is None else run_json.moment(span.end_ns),
        "seconds": span.seconds,
        "state": span.state,
        "status": ("unset", "ok", "error")[span.status_code] if span.status_code in {0, 1, 2} else span.status_code,
        "error": clipped(words.error(span), width) or None,
        "attributes": values(span.attributes, width),
        "events": [
            {"name": clipped(each.name, width), "time": run_json.moment(each.time_ns), "attributes": values(each.attributes, width)}
            for each in span.events[:_SOME]
        ],
        "links": [{"trace_id": each.trace_id, "span_id": each.span_id, "attributes": values(each.attributes, width)} for each in span.links[:_SOME]],
        "resource": values(span.resource.attributes, width),
        "scope": clipped(f"{span.scope.name} {span.scope.version}".strip(), width),
    }


def _attribute(opened: Opened, span: SpanRecord, name: str, offset: int) -> Answer:
    if name not in span.attributes:
        raise QueryError("The span has no such attribute", expected="one that run_span shows", got=name)
    value = plain(span.attributes[name])
    whole = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    piece = whole[offset : offset + MOST]
    left = len(whole) - offset - len(piece)
    ask = f"the same with offset={offset + len(piece)}"
    recorded = {**named(opened), "span_id": span.span_id, "attribute": name, "offset": offset, "characters": len(whole), "value": piece}
    return answers.told(recorded, [LeftOut("characters", left, ask)] if left > 0 else [], opened.notes)


def _brief(span: SpanRecord) -> dict[str, Any]:
    return {"span_id": span.span_id, "name": clipped(text.shorten(words.name(span), NAME), NAME), "seconds": span.seconds}


TOOLS: Final = (
    Tool(
        "run_tree",
        "Tree of a run",
        "The spans of a run, parents first, without their attributes: a row each with depth, span_id, name, kind (model, tool, agent), whose it is,"
        " start in seconds from the run's beginning, seconds, state (ended, failed, open, interrupted), and how many children there was no room for."
        " Levels that there is no room for are left out: ask for the part below a span.",
        (
            RUN,
            Parameter("depth", "number", "levels below the roots (default: as many as there is room for)"),
            Parameter("below", "text", "the span_id of a span: only that and what is in it"),
            Parameter("only", "text", "errors: only spans that failed or were interrupted, and those that they are in", among=("errors",)),
            Parameter("limit", "number", "spans at most", default=200, least=1, most=1_000),
        ),
        answers.TOLD,
        _tree,
    ),
    Tool(
        "run_span",
        "One span in full",
        "One span with all its attributes, events and links: prompts, replies, arguments, results, exceptions; what it is in, and what is in it."
        " Values that are too long are cut: attribute and offset give the rest.",
        (
            Parameter("span_id", "text", "the span's id, 16 hexadecimal digits", required=True),
            Parameter("run", "text", "its run (default: wherever it is recorded)"),
            Parameter("attribute", "text", "give this attribute only, from offset on"),
            Parameter("offset", "number", "characters of the attribute to pass over", default=0),
        ),
        answers.TOLD,
        _span,
    ),
)

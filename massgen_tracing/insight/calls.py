"""The model calls, tool calls and errors of a recording, each once, however many layers report it.

Layers are stacked: an agent framework, an instrumentation of its client, this package's facade. What counts once:

- A model call within another one, by the spans' parents, without a tool call or an agent between them, is the same call, made by who stands below:
  the inner one counts. Where it is the only one, it is completed by what only the outer one knows.
- Two model calls of different instrumentations, one within the time of the other, that report the same tokens, are the same call too: some
  instrumentations do not make their spans current. The inner one counts.
- A streamed call may tell its tokens in a record after its span (Logfire's `streaming response …`); both are one call.
- A tool call within another one, without an agent or a model call between them, is the same call, wrapped: the outer one counts. A record beside a
  call, of the same tool, is the same call too.
- An error that is within another one is its cause, on its way up: the innermost counts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from massgen_tracing import conventions, semconv
from massgen_tracing.model import SpanRecord, Usage
from massgen_tracing.prices.recorded import priced

Key = tuple[str, str]
"""A span's trace and id."""

_APART: Final = frozenset({"tool", "agent"})
"""What is called by a model, and may call one of its own."""


@dataclass(frozen=True, slots=True)
class ModelCall:
    """One model call.

    Attributes:
        usage: what it says that it used; the cost, where nobody said it, by the price list.
        model, provider: as it was asked for; empty where that is not said.
        of_facade: whether a span of the facade reports it, whose round has its usage already.
    """

    span: SpanRecord
    usage: Usage
    model: str
    provider: str
    of_facade: bool


class Tree:
    """Spans by their identities, and what stands above each."""

    def __init__(self, spans: Iterable[SpanRecord]) -> None:
        self.spans: dict[Key, SpanRecord] = {span.key: span for span in spans}
        self._rounds: dict[Key, SpanRecord | None] = {}

    @cached_property
    def kinds(self) -> Mapping[Key, conventions.Kind | None]:
        """What each span is."""
        return {key: conventions.kind_of(span.name, span.attributes) for key, span in self.spans.items()}

    def above(self, span: SpanRecord) -> Iterator[SpanRecord]:
        """The spans that a span is within, the nearest first; each once, also where parents go in a circle."""
        seen = {span.key}
        while (parent := self.spans.get((span.trace_id, span.parent_span_id))) is not None:
            key = parent.key
            if key in seen:
                return
            seen.add(key)
            yield parent
            span = parent

    def round_of(self, span: SpanRecord) -> SpanRecord | None:
        """The agent's round that a span is within, the nearest one."""
        known, passed = self._rounds, [span.key]
        if span.key in known:
            return known[span.key]
        found, last = None, span
        for last in self.above(span):
            if last.name.startswith(semconv.AGENT_PREFIX):
                found = last
                break
            if last.key in known:
                found = known[last.key]
                break
            passed.append(last.key)
        else:
            if (last.trace_id, last.parent_span_id) in self.spans:  # a circle, which looks different from each of its spans
                return None
        known.update(dict.fromkeys(passed, found))
        return found


def model_calls(tree: Tree) -> list[ModelCall]:
    """The model calls, each once, by their starts."""
    found = [span for key, span in tree.spans.items() if tree.kinds[key] == "model"]
    said = {span.key: conventions.usage_of(span.attributes) for span in found}
    calls = _without_records(found, said)
    inner: dict[Key, list[Key]] = defaultdict(list)
    of_facade = set()
    for span in calls:
        key = span.key
        if _is_facade(span):
            of_facade.add(key)
        for parent in tree.above(span):
            if tree.kinds[parent.key] in _APART:
                break
            if (outer := parent.key) in said:
                inner[outer].append(key)
                if _is_facade(parent):
                    of_facade.add(key)
    leaves = [span for span in calls if span.key not in inner]
    for outer, below in inner.items():
        lowest = [key for key in below if key not in inner]
        if len(lowest) == 1:
            said[lowest[0]] = said[outer].updated(said[lowest[0]])
    return [_call(tree, span, said[span.key], span.key in of_facade) for span in sorted(_without_twins(leaves, said), key=lambda span: span.start_ns)]


def tool_calls(tree: Tree) -> list[SpanRecord]:
    """The tool calls, each once."""
    kinds = tree.kinds

    def is_wrapped(span: SpanRecord) -> bool:
        nearest = (kind for parent in tree.above(span) if (kind := kinds[parent.key]) is not None)
        return next(nearest, None) == "tool"

    calls = [span for key, span in tree.spans.items() if kinds[key] == "tool" and not is_wrapped(span)]
    beside: dict[Key, list[str]] = defaultdict(list)
    for span in calls:
        if not conventions.is_record(span.attributes):
            beside[span.trace_id, span.parent_span_id].append(_tool(span))
    return [span for span in calls if not conventions.is_record(span.attributes) or not _announces(span, beside[span.trace_id, span.parent_span_id])]


def errors(tree: Tree) -> list[SpanRecord]:
    """The spans that failed of themselves."""
    failed = {key: span for key, span in tree.spans.items() if span.status_code == 2}
    causes = {parent.key for span in failed.values() for parent in tree.above(span)}
    return [span for key, span in failed.items() if key not in causes]


def _tool(span: SpanRecord) -> str:
    return conventions.text_of(span.attributes, conventions.TOOL) or span.name.rpartition(".")[2]


def _announces(record: SpanRecord, beside: list[str]) -> bool:
    """Whether a record tells of one of these calls, by the name that the model knows the tool by (`mcp__files__write` for `write`); takes it out."""
    name = conventions.text_of(record.attributes, conventions.TOOL) or record.name
    tool = next((tool for tool in beside if name.endswith(tool)), None)
    if tool is not None:
        beside.remove(tool)
    return tool is not None


def _is_facade(span: SpanRecord) -> bool:
    return span.name.startswith(semconv.LLM_PREFIX)


def _without_records(found: Sequence[SpanRecord], said: dict[Key, Usage]) -> list[SpanRecord]:
    """The calls without the records that complete one; what such a record says is said of its call."""
    spans = [span for span in found if not conventions.is_record(span.attributes)]
    waiting: dict[tuple[str, str, str], list[SpanRecord]] = defaultdict(list)
    for span in sorted(spans, key=lambda span: span.start_ns):
        if said[span.key] == Usage():
            waiting[span.trace_id, span.parent_span_id, span.scope.name].append(span)
    alone = []
    for record in sorted((span for span in found if conventions.is_record(span.attributes)), key=lambda span: span.start_ns):
        begun = waiting[record.trace_id, record.parent_span_id, record.scope.name]
        model = conventions.text_of(record.attributes, conventions.MODEL)
        earlier = (span for span in begun if span.start_ns <= record.start_ns)
        call = next((span for span in earlier if conventions.text_of(span.attributes, conventions.MODEL) == model), None)
        if call is None:
            alone.append(record)
        else:
            begun.remove(call)
            said[call.key] = said[record.key]
    return spans + alone


def _without_twins(calls: Sequence[SpanRecord], said: Mapping[Key, Usage]) -> list[SpanRecord]:
    """The calls without those that another instrumentation reports too, within their time."""
    alike: dict[tuple[str, int, int], list[SpanRecord]] = defaultdict(list)
    for span in calls:
        usage = said[span.key]
        if usage.input is not None and usage.output is not None and span.end_ns is not None:
            alike[span.trace_id, usage.input, usage.output].append(span)
    twins: set[Key] = set()
    for group in alike.values():
        taken: set[tuple[Key, str]] = set()
        # The shortest first, so that each inner one finds the nearest around it.
        for outer in sorted(group, key=lambda span: span.seconds or 0.0) if len({span.scope.name for span in group}) > 1 else ():
            for inner in group:
                pair = (inner.key, outer.scope.name)
                if pair not in taken and inner.scope.name != outer.scope.name and _within(inner, outer):
                    taken.add(pair)
                    twins.add(outer.key)
                    break
    return [span for span in calls if span.key not in twins]


def _within(inner: SpanRecord, outer: SpanRecord) -> bool:
    return inner is not outer and outer.start_ns <= inner.start_ns and (inner.end_ns or 0) <= (outer.end_ns or 0)


def _call(tree: Tree, span: SpanRecord, usage: Usage, of_facade: bool) -> ModelCall:
    models = _models(tree, span)
    if not _is_facade(span):  # what the facade did not know the cost of, the price list does not know either
        usage = priced(usage, span.attributes, span.start_ns, models)
    return ModelCall(span, usage, models[0] if models else "", conventions.text_of(span.attributes, conventions.PROVIDER), of_facade)


def _models(tree: Tree, span: SpanRecord) -> list[str]:
    """The names of a call's model, the one that was asked for first; of Codex' requests, the turn that they are within says it."""
    return conventions.models_of(span.attributes) or [
        name for above in tree.above(span) if (name := conventions.text_of(above.attributes, conventions.TURNS_MODEL))
    ]

"""What agents do in their rounds, folded: model calls and tools, as counters by agent, model, tool and round."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from massgen_tracing import conventions, semconv
from massgen_tracing.model import SpanRecord, Usage
from massgen_tracing.prices.recorded import priced
from massgen_tracing.projection import values
from massgen_tracing.projection.scribe import Scribe
from massgen_tracing.projection.state import MOST_NAMES, OTHER, AgentState, RoundState, Tools, ToolStats
from massgen_tracing.projection.usage import Used
from massgen_tracing.projection.values import text

K = TypeVar("K", str, int)
V = TypeVar("V")


@dataclass(slots=True)
class _Call:
    """A model call that has ended.

    Attributes:
        used: what it says that it used.
        first: seconds until its first chunk.
        said: what came of it, each text with the type of its event.
    """

    span: SpanRecord
    used: Usage
    first: float | None
    said: Sequence[tuple[str, str]]

    @classmethod
    def of(cls, span: SpanRecord) -> _Call:
        about = span.attributes
        first = conventions.number(about.get(semconv.GEN_AI_TIME_TO_FIRST_CHUNK))
        return cls(span, values.usage_of(span), first, _written(about.get(semconv.GEN_AI_OUTPUT_MESSAGES)))

    def completed(self, outer: _Call) -> _Call:
        """With what only the call around it knows, which is the same one."""
        return _Call(self.span, outer.used.updated(self.used), outer.first if self.first is None else self.first, self.said or outer.said)


@dataclass(slots=True)
class _Open:
    """A tool call that has not ended: the wrapper, whose arguments may be those of the call inside."""

    name: str
    inside: bool = False
    told: bool = False
    chars: int = 0


class Work:
    """Folds the spans of model calls, MCP calls and other tool calls. A call counts once, however many spans stand for it.

    Of model calls within each other, whoever reports them, the inner one counts, as `insight.calls` has it; which also knows those that two
    instrumentations report beside each other.
    """

    def __init__(self, scribe: Scribe) -> None:
        self._scribe = scribe
        self._wrappers: dict[str, _Open] = {}
        self._inside: set[str] = set()
        self._calls: dict[str, str] = {}
        """Model calls that go on, and the one around each; empty where there is none."""
        self._between: dict[str, str] = {}
        """Other spans that go on within a model call, and that call."""
        self._held: dict[str, list[_Call]] = {}
        """Calls that have ended within one that goes on."""

    def started(self, span: SpanRecord) -> None:
        """A call of the facade's has started."""
        if span.name.startswith(semconv.LLM_PREFIX):
            self._call_started(span)
        elif span.name.startswith(semconv.TOOL_PREFIX):
            arguments = span.attributes.get(semconv.GEN_AI_TOOL_ARGUMENTS)
            name = text(span.attributes.get(semconv.GEN_AI_TOOL_NAME))
            self._wrappers[span.span_id] = wrapper = _Open(name, chars=values.length(arguments))
            if arguments is not None:
                wrapper.told = True
                self._tool_started(span, span.span_id, name)
        else:
            self._mcp_started(span)

    def ended(self, span: SpanRecord) -> None:
        """A call of the facade's has ended."""
        if span.name.startswith(semconv.LLM_PREFIX):
            self._call_ended(span)
        elif span.name.startswith(semconv.TOOL_PREFIX):
            self._wrapper_ended(span)
        elif span.span_id in self._inside:
            self._inside.discard(span.span_id)
        else:
            self._tool_ended(span, span.span_id, values.length(span.attributes.get(semconv.GEN_AI_TOOL_ARGUMENTS)), mcp=True)

    def others_started(self, span: SpanRecord) -> None:
        """A span of anybody's has started: a model call, or what may be between two."""
        if _is_call(span):
            self._scribe.seen(span, span.start_ns)
            self._call_started(span)
        elif around := self._call_around(span):
            self._between[span.span_id] = around

    def others_ended(self, span: SpanRecord) -> None:
        """A span of anybody's has ended: it counts where it is a model call, or a record of what a stream of Logfire's has used."""
        if _is_call(span):
            self._scribe.seen(span, span.end_ns or 0)
            self._call_ended(span)
        else:
            self._between.pop(span.span_id, None)
            if conventions.is_record(span.attributes) and conventions.kind_of(span.name, span.attributes) == "model":
                agent, rnd = self._scribe.place(span) or (None, None)
                self.use(agent, rnd, conventions.text_of(span.attributes, conventions.MODEL), _priced(span, values.usage_of(span)))

    def use(self, agent: AgentState | None, rnd: RoundState | None, model: str, used: Usage) -> None:
        """Count usage that no model call stands for."""
        if used == Usage():
            return
        state = self._scribe.state
        places = [state.used, *(() if agent is None else (agent.used,))]
        if rnd is not None:
            places += [rnd.used, _named(state.by_round, rnd.number, Used)]
        if model or rnd is not None:
            places.append(_named(state.by_model, model or (rnd.model if rnd is not None else "") or OTHER, Used))
        for place in places:
            place.add(used)

    def _call_around(self, span: SpanRecord) -> str:
        parent = span.parent_span_id
        return parent if parent in self._calls else self._between.get(parent, "")

    def _call_started(self, span: SpanRecord) -> None:
        self._calls[span.span_id] = self._call_around(span)

    def _call_ended(self, span: SpanRecord) -> None:
        call, within = _Call.of(span), self._held.pop(span.span_id, [])
        around = self._calls.pop(span.span_id, None)
        if around is None:  # what it is has been said at its end only
            around = self._between.pop(span.span_id, "")
        if len(within) == 1:
            within = [within[0].completed(call)]
        if around in self._calls:
            self._held.setdefault(around, []).extend(within or [call])
        else:
            for each in within or [call]:
                self._count(each)

    def _count(self, call: _Call) -> None:
        span, state = call.span, self._scribe.state
        assert span.end_ns is not None
        model, provider = (conventions.text_of(span.attributes, keys) or OTHER for keys in (conventions.MODEL, conventions.PROVIDER))
        places = [state.used, _named(state.by_model, model, Used), _named(state.by_backend, provider, Used)]
        found = self._scribe.place(span)
        if found is not None:
            places += [found[0].used, found[1].used, _named(state.by_round, found[1].number, Used)]
        used, latency = _priced(span, call.used), max(0, span.end_ns - span.start_ns)
        for place in places:
            place.call(used, latency, call.first)
        if found is not None:
            for kind, said in call.said:
                self._scribe.telling(span.end_ns, *found)(kind, {"content": said})

    def _mcp_started(self, span: SpanRecord) -> None:
        wrapper = self._wrappers.get(span.parent_span_id)
        if wrapper is None:
            self._tool_started(span, span.span_id, text(span.attributes.get(semconv.GEN_AI_TOOL_NAME)))
            return
        self._inside.add(span.span_id)
        wrapper.inside = True
        if not wrapper.told:
            wrapper.told = True
            wrapper.chars = values.length(span.attributes.get(semconv.GEN_AI_TOOL_ARGUMENTS))
            self._tool_started(span, span.parent_span_id, wrapper.name)

    def _wrapper_ended(self, span: SpanRecord) -> None:
        wrapper = self._wrappers.pop(span.span_id, None) or _Open("")
        if not wrapper.told:
            wrapper.chars = values.length(span.attributes.get(semconv.GEN_AI_TOOL_ARGUMENTS))
            self._tool_started(span, span.span_id, text(span.attributes.get(semconv.GEN_AI_TOOL_NAME)))
        self._tool_ended(span, span.span_id, wrapper.chars, mcp=wrapper.inside)

    def _tool_started(self, span: SpanRecord, tool_id: str, name: str) -> None:
        found = self._scribe.place(span)
        if found is None:
            return
        about = span.attributes
        server = span.name.removeprefix(semconv.MCP_PREFIX).rpartition(".")[0] if span.name.startswith(semconv.MCP_PREFIX) else ""
        self._scribe.telling(span.start_ns, *found)(
            "tool_start",
            {
                "tool_id": tool_id,
                "tool_name": name,
                "args": _arguments(about.get(semconv.GEN_AI_TOOL_ARGUMENTS)),
                "server_name": server or None,
            },
        )

    def _tool_ended(self, span: SpanRecord, tool_id: str, chars: int, *, mcp: bool) -> None:
        state, about = self._scribe.state, span.attributes
        assert span.end_ns is not None
        ns, failed = max(0, span.end_ns - span.start_ns), span.status_code == 2
        name, result = text(about.get(semconv.GEN_AI_TOOL_NAME)), about.get(semconv.GEN_AI_TOOL_RESULT)
        found = self._scribe.place(span)
        for tools in [state.tools, *([found[0].tools] if found is not None else ())]:
            _count_tool(tools, name or OTHER, ns, chars, values.length(result), failed=failed, mcp=mcp or name.startswith("mcp__"))
        if found is None:
            return
        found[1].tools += 1
        self._scribe.telling(span.end_ns, *found)(
            "tool_complete",
            {
                "tool_id": tool_id,
                "tool_name": name,
                "result": text(result),
                "elapsed_seconds": ns / 1e9,
                "status": "error" if failed else "success",
                "is_error": failed,
            },
        )


def _is_call(span: SpanRecord) -> bool:
    return conventions.kind_of(span.name, span.attributes) == "model" and not conventions.is_record(span.attributes)


def _priced(span: SpanRecord, used: Usage) -> Usage:
    """With its cost by the price list, where nobody said it; what the facade did not know the cost of, the list does not know either."""
    return used if span.name.startswith(semconv.LLM_PREFIX) else priced(used, span.attributes, span.start_ns, conventions.models_of(span.attributes))


def _count_tool(tools: Tools, name: str, ns: int, input_chars: int, output_chars: int, *, failed: bool, mcp: bool) -> None:
    named = _named(tools.by_name, name, ToolStats)
    named.mcp = named.mcp or mcp
    for stats in (tools.total, named):
        stats.add(ns, input_chars, output_chars, failed=failed)


def _named(known: dict[K, V], name: K, make: Callable[[], V]) -> V:
    found = known.get(name)
    if found is None:
        if len(known) >= MOST_NAMES and isinstance(name, str):
            name = OTHER
        found = known.setdefault(name, make())
    return found


def _arguments(said: object) -> dict[str, Any]:
    """A tool's arguments as MassGen's readers take them: a mapping."""
    found = values.decoded(said)
    if isinstance(found, Mapping):
        return {str(key): item for key, item in found.items()}
    return {} if found is None else {"arguments": found}


def _written(messages: object) -> list[tuple[str, str]]:
    """The texts of a model's output, each with the type of its event."""
    kinds = {"text": "text", "reasoning": "thinking"}
    parts = [part for message in _mappings(values.decoded(messages)) for part in _mappings(message.get("parts"))]
    told = [(kinds.get(text(part.get("type"))), text(part.get("content"))) for part in parts]
    return [(kind, said) for kind, said in told if kind is not None and said]


def _mappings(value: object) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list | tuple) else []

"""What agents do in their rounds, folded: model calls and tools, as counters by agent, model, tool and round."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from massgen_tracing import conventions, semconv
from massgen_tracing.model import SpanRecord, Usage
from massgen_tracing.prices.recorded import priced
from massgen_tracing.projection import values
from massgen_tracing.projection.calls import Call, Calls
from massgen_tracing.projection.scribe import Scribe
from massgen_tracing.projection.state import MOST_NAMES, OTHER, AgentState, RoundState, Tools, ToolStats
from massgen_tracing.projection.usage import Used
from massgen_tracing.projection.values import text

K = TypeVar("K", str, int)
V = TypeVar("V")


@dataclass(slots=True)
class _Open:
    """A tool call that has not ended: the wrapper, whose arguments may be those of the call inside."""

    name: str
    inside: bool = False
    told: bool = False
    chars: int = 0


class Work:
    """Folds the spans of model calls, MCP calls and other tool calls. A call counts once, however many spans stand for it."""

    def __init__(self, scribe: Scribe) -> None:
        self._scribe = scribe
        self._wrappers: dict[str, _Open] = {}
        self._inside: set[str] = set()
        self._calls = Calls(self._count)

    def started(self, span: SpanRecord) -> None:
        """A call of the facade's has started."""
        if span.name.startswith(semconv.LLM_PREFIX):
            self._calls.started(span)
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
            self._calls.ended(span)
        elif span.name.startswith(semconv.TOOL_PREFIX):
            self._wrapper_ended(span)
        elif span.span_id in self._inside:
            self._inside.discard(span.span_id)
        else:
            self._tool_ended(span, span.span_id, values.length(span.attributes.get(semconv.GEN_AI_TOOL_ARGUMENTS)), mcp=True)

    def others_started(self, span: SpanRecord) -> None:
        """A span of anybody's has started: a model call, or what may be between two that are the same; tools and agents are not."""
        kind = conventions.kind_of(span.name, span.attributes)
        if kind == "model" and not conventions.is_record(span.attributes):
            self._scribe.seen(span, span.start_ns)
            self._calls.started(span)
        elif kind not in {"tool", "agent"}:
            self._calls.passed(span)

    def others_ended(self, span: SpanRecord) -> None:
        """A span of anybody's has ended: it counts where it is a model call, or a record of what a stream of Logfire's has used."""
        is_model = conventions.kind_of(span.name, span.attributes) == "model"
        if is_model and not conventions.is_record(span.attributes):
            self._scribe.seen(span, span.end_ns or 0)
            self._calls.ended(span)
            return
        self._calls.left(span.span_id)
        if is_model:
            agent, rnd = self._scribe.place(span) or (None, None)
            used = _priced(span, values.usage_of(span))
            self.use(agent, rnd, conventions.text_of(span.attributes, conventions.MODEL), used)

    def over(self) -> None:
        """The run is over."""
        self._calls.rest()

    def use(self, agent: AgentState | None, rnd: RoundState | None, model: str, used: Usage) -> None:
        """Count usage that no model call stands for."""
        if used == Usage():
            return
        state = self._scribe.state
        places = [state.used, *(() if agent is None else (agent.used,))]
        if rnd is not None:
            places += [rnd.used, state.in_rounds, _named(state.by_round, rnd.number, Used)]
        if model or rnd is not None:
            places.append(_named(state.by_model, model or (rnd.model if rnd is not None else "") or OTHER, Used))
        for place in places:
            place.add(used)

    def _count(self, call: Call) -> None:
        span, state = call.span, self._scribe.state
        assert span.end_ns is not None
        model, provider = (conventions.text_of(span.attributes, keys) or OTHER for keys in (conventions.MODEL, conventions.PROVIDER))
        places = [state.used, _named(state.by_model, model, Used), _named(state.by_backend, provider, Used)]
        found = self._scribe.place(span)
        if found is not None:
            places += [found[0].used, found[1].used, state.in_rounds, _named(state.by_round, found[1].number, Used)]
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

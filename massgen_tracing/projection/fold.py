"""Records, in any order, into the state of a run; and what happened, as events.

Nothing hangs on the order in which records come, but that a call comes after the one around it has started: totals are sums of whole numbers, the
latest is the latest by its time. A span counts once for its start and once for its end.
"""

from __future__ import annotations

import json
from bisect import insort
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final, TypeVar

from massgen_tracing import semconv
from massgen_tracing.model import SpanRecord, Usage
from massgen_tracing.projection import judged, values
from massgen_tracing.projection.events import Event, iso
from massgen_tracing.projection.state import MOST_NAMES, OTHER, AgentState, Enforced, RoundState, RunState, Said, Tools, ToolStats
from massgen_tracing.projection.usage import Used
from massgen_tracing.projection.values import integer, number, text, texts

K = TypeVar("K", str, int)
V = TypeVar("V")

ROUND_PREFIX: Final = semconv.ROUND_NAME.partition("{")[0]
_MCP: Final = semconv.MCP_NAME.partition("{")[0]
_TOOL: Final = semconv.TOOL_NAME.partition("{")[0]
_EVENT: Final = semconv.EVENT_NAME.partition("{")[0]
_ANSWER: Final = semconv.ANSWER_NAME.partition("{")[0]
_VOTE: Final = semconv.VOTE_NAME.partition("{")[0]
_RESTART: Final = semconv.RESTART_NAME.partition("{")[0]
_WINNER: Final = semconv.WINNER_NAME.partition("{")[0]
_FINAL: Final = semconv.FINAL_ANSWER_NAME.partition("{")[0]

PREFIXES: Final = (semconv.SESSION, ROUND_PREFIX, values.LLM_PREFIX, _MCP, _TOOL, _EVENT, _ANSWER, _VOTE, _RESTART, _WINNER, _FINAL)
"""What the names of the spans begin with that say something of a run; others need not be folded."""

MOST_ATTEMPTS: Final = 50
"""Enforcements of one agent that are kept whole; all are counted."""

_MOST_DETAIL: Final = 20_000
"""Events of one round that are kept for its trace."""

_ENFORCEMENT: Final = "enforcement"
_order: Final = attrgetter("order")
_moment: Final = attrgetter("moment")


@dataclass(slots=True)
class _Open:
    """A tool call that has not ended: the wrapper, whose arguments may be those of the call inside."""

    name: str
    inside: bool = False
    told: bool = False
    chars: int = 0


class Fold:
    """Folds the records of one coordination.

    Args:
        turn, attempt: which of the run's it is.
        on_event: told what happened, as it is folded.

    Attributes:
        state: what is known by now.
        due: what is to be written of rounds: something that was said in one, or None for the whole of one that has ended.
        changed: whether something has happened since this was set to False that whoever watches a run wants to know at once.
    """

    def __init__(self, turn: int = 1, attempt: int = 1, on_event: Callable[[Event], None] | None = None) -> None:
        self.state = RunState(turn, attempt)
        self.changed = False
        self.due: list[tuple[AgentState, RoundState, Said | None]] = []
        self._on_event = on_event
        self._wrappers: dict[str, _Open] = {}
        self._inside: set[str] = set()
        self._calls: set[str] = set()
        self._around: set[str] = set()

    # --- starts and ends -----------------------------------------------------------------------------------------------------------

    def started(self, span: SpanRecord) -> None:
        """A span has started; what it says at its end is passed over."""
        name = span.name
        self._seen(span, span.start_ns)
        if name == semconv.SESSION:
            self._begin(span)
        elif name.startswith(ROUND_PREFIX):
            self._round_started(span)
        elif name.startswith(values.LLM_PREFIX):
            self._calls.add(span.span_id)
            if span.parent_span_id in self._calls:
                self._around.add(span.parent_span_id)
        elif name.startswith(_TOOL):
            arguments = span.attributes.get(semconv.GEN_AI_TOOL_ARGUMENTS)
            self._wrappers[span.span_id] = wrapper = _Open(text(span.attributes.get(semconv.GEN_AI_TOOL_NAME)), chars=values.length(arguments))
            if arguments is not None:
                wrapper.told = True
                self._tool_started(span, span.span_id, wrapper.name)
        elif name.startswith(_MCP):
            self._mcp_started(span)

    def ended(self, span: SpanRecord) -> None:
        """A span that has started has ended."""
        if span.end_ns is None:
            return
        name = span.name
        self._seen(span, span.end_ns)
        if name == semconv.SESSION:
            self._end(span)
        elif name.startswith(ROUND_PREFIX):
            self._round_ended(span)
        elif name.startswith(values.LLM_PREFIX):
            self._call_ended(span)
        elif name.startswith(_TOOL):
            self._wrapper_ended(span)
        elif name.startswith(_MCP):
            if span.span_id in self._inside:
                self._inside.discard(span.span_id)
            else:
                self._tool_ended(span, span.span_id, values.length(span.attributes.get(semconv.GEN_AI_TOOL_ARGUMENTS)), mcp=True)
        else:
            self._happened(span)

    # --- the session ---------------------------------------------------------------------------------------------------------------

    def _begin(self, span: SpanRecord) -> None:
        state = self.state
        state.trace_id, state.span_id, state.start_ns = span.trace_id, span.span_id, span.start_ns
        state.about = span.attributes
        state.offset = integer(span.attributes.get(semconv.UTC_OFFSET)) or 0
        named = dict.fromkeys(agent_id for agent_id in texts(span.attributes.get(semconv.AGENT_IDS)) if agent_id)
        state.agents = {agent_id: state.agent(agent_id) for agent_id in named} | state.agents
        state.named = len(named)
        self.changed = True
        self._tell(span.start_ns, "system_status", None, 0, {"message": "Coordination started", "kind": "session_start"})

    def _end(self, span: SpanRecord) -> None:
        state = self.state
        state.end_ns, state.about = span.end_ns, span.attributes
        state.failed = span.status_code == 2
        self.changed = True
        assert span.end_ns is not None
        data = {"message": f"Coordination finished: {judged.finish_reason(state)}", "kind": "session_end"}
        self._tell(span.end_ns, "system_status", None, 0, data)

    # --- rounds --------------------------------------------------------------------------------------------------------------------

    def _round_started(self, span: SpanRecord) -> None:
        found = self._place(span)
        if found is None or semconv.ROUND_TYPE not in span.attributes:
            return
        agent, rnd = found
        about = span.attributes
        rnd.start_ns, rnd.span_id = span.start_ns, span.span_id
        rnd.kind = text(about.get(semconv.ROUND_TYPE))
        rnd.model = text(about.get(semconv.GEN_AI_REQUEST_MODEL))
        rnd.iteration = integer(about.get(semconv.ITERATION))
        rnd.labels = tuple(texts(about.get(semconv.CONTEXT_LABELS)))
        agent.working[span.span_id] = rnd
        agent.model = rnd.model or agent.model
        if rnd.presents:
            agent.presentation = rnd
        elif agent.latest is None or rnd.number >= agent.latest.number:
            agent.latest = rnd
        self.changed = True
        tell = self._telling(span.start_ns, agent, rnd)
        if rnd.presents:
            tell("final_presentation_start", {})
            return
        tell("round_start", {"round_type": rnd.kind})
        if rnd.labels:
            tell("context_received", {"context_labels": list(rnd.labels)})

    def _round_ended(self, span: SpanRecord) -> None:
        found = self._place(span)
        if found is None or semconv.ROUND_TYPE not in span.attributes:
            return
        agent, rnd = found
        about = span.attributes
        state = self.state
        rnd.end_ns = span.end_ns
        rnd.outcome = text(about.get(semconv.OUTCOME))
        rnd.error = text(about.get(semconv.ERROR_MESSAGE)) or span.status_message
        agent.working.pop(span.span_id, None)
        state.rounds += 1
        outcome = "presentation" if rnd.presents and rnd.outcome == "answer" else rnd.outcome or "cancelled"
        state.outcomes[outcome] = state.outcomes.get(outcome, 0) + 1
        if not rnd.presents:
            agent.votes += rnd.outcome == "vote"
            agent.restarts += rnd.outcome == "restarted"
        if not rnd.used.calls:  # its owner has told what it used, and has traced no call
            self._use(agent, rnd, "", values.usage_of(span))
        self.changed = True
        assert span.end_ns is not None
        tell = self._telling(span.end_ns, agent, rnd)
        if rnd.outcome in {"error", "timeout"}:
            tell("status", {"message": f"{rnd.outcome}: {rnd.error}", "level": "error", "kind": rnd.outcome})
        if rnd.presents:
            tell("final_presentation_end", {})
        self.due.append((agent, rnd, None))

    def _use(self, agent: AgentState, rnd: RoundState | None, model: str, used: Usage) -> None:
        """Count usage that no model call stands for."""
        if used == Usage():
            return
        state = self.state
        places = [agent.used, state.used]
        if rnd is not None:
            places += [rnd.used, _named(state.by_round, rnd.number, Used)]
        if model or rnd is not None:
            places.append(_named(state.by_model, model or (rnd.model if rnd is not None else "") or OTHER, Used))
        for place in places:
            place.add(used)

    # --- model calls and tools -----------------------------------------------------------------------------------------------------

    def _call_ended(self, span: SpanRecord) -> None:
        self._calls.discard(span.span_id)
        if span.span_id in self._around:
            self._around.discard(span.span_id)
            return
        state, about = self.state, span.attributes
        assert span.end_ns is not None
        used, latency = values.usage_of(span), max(0, span.end_ns - span.start_ns)
        first = number(about.get(semconv.GEN_AI_TIME_TO_FIRST_CHUNK))
        model = text(about.get(semconv.GEN_AI_REQUEST_MODEL)) or text(about.get(semconv.GEN_AI_RESPONSE_MODEL)) or OTHER
        places = [state.used, _named(state.by_model, model, Used), _named(state.by_backend, text(about.get(semconv.GEN_AI_PROVIDER)) or OTHER, Used)]
        found = self._place(span)
        if found is not None:
            agent, rnd = found
            places += [agent.used, rnd.used, _named(state.by_round, rnd.number, Used)]
        for place in places:
            place.call(used, latency, first)
        if found is not None:
            for kind, said in _written(about.get(semconv.GEN_AI_OUTPUT_MESSAGES)):
                self._telling(span.end_ns, *found)(kind, {"content": said})

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
        found = self._place(span)
        if found is None:
            return
        about = span.attributes
        server = span.name.removeprefix(_MCP).rpartition(".")[0] if span.name.startswith(_MCP) else ""
        self._telling(span.start_ns, *found)(
            "tool_start",
            {
                "tool_id": tool_id,
                "tool_name": name,
                "args": _arguments(about.get(semconv.GEN_AI_TOOL_ARGUMENTS)),
                "server_name": server or None,
            },
        )

    def _tool_ended(self, span: SpanRecord, tool_id: str, chars: int, *, mcp: bool) -> None:
        state, about = self.state, span.attributes
        assert span.end_ns is not None
        ns, failed = max(0, span.end_ns - span.start_ns), span.status_code == 2
        name, result = text(about.get(semconv.GEN_AI_TOOL_NAME)), about.get(semconv.GEN_AI_TOOL_RESULT)
        found = self._place(span)
        for tools in [state.tools, *([found[0].tools] if found is not None else ())]:
            _count_tool(tools, name or OTHER, ns, chars, values.length(result), failed=failed, mcp=mcp or name.startswith("mcp__"))
        if found is None:
            return
        found[1].tools += 1
        self._telling(span.end_ns, *found)(
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

    # --- point events --------------------------------------------------------------------------------------------------------------

    def _happened(self, span: SpanRecord) -> None:
        name, about = span.name, span.attributes
        found = self._place(span)
        if name.startswith(_ANSWER) and found is not None:
            self._answered(span, *found)
        elif name.startswith(_VOTE) and found is not None:
            self._voted(span, *found)
        elif name.startswith(_RESTART) and found is not None:
            by = text(about.get(semconv.RESTART_BY))
            data = {"restart_round": found[1].number + 1, "restart_reason": f"new answer of {by}" if by else "new answer", "triggered_by": by or None}
            self._telling(span.start_ns, *found)("agent_restart", data)
        elif name.startswith(_WINNER):
            self.state.winner_label = text(about.get(semconv.WINNER_LABEL)) or self.state.winner_label
            data = {"message": f"Winner selected: {self.state.winner_label}", "level": "info", "kind": "winner_selected"}
            self._tell(span.start_ns, "status", text(about.get(semconv.AGENT_ID)) or None, 0 if found is None else found[1].number, data)
        elif name.startswith(_FINAL):
            self._final(span, found)
        elif name.startswith(_EVENT):
            self._coordination_event(span, found)
        else:
            return
        self.changed = True

    def _said(self, span: SpanRecord, agent: AgentState, rnd: RoundState, label: str, words: str, voted_for: str = "") -> Said:
        """What an agent says, as part of its round."""
        return Said(span.start_ns, span.span_id, agent.id, label, words, voted_for, rnd.number, rnd.iteration, rnd.labels)

    def _answered(self, span: SpanRecord, agent: AgentState, rnd: RoundState) -> None:
        label = text(span.attributes.get(semconv.ANSWER_LABEL_KEY))
        said = self._said(span, agent, rnd, label, _whole(span.attributes))
        rnd.said.append(said)
        agent.answers += 1
        if agent.answer is None or said.moment > agent.answer.moment:
            agent.answer = said
        insort(self.state.answers, said, key=_moment)
        self.due.append((agent, rnd, said))
        data = {"content": said.text, "answer_number": _how_many_th(label), "answer_label": label, "workspace_path": None}
        self._telling(span.start_ns, agent, rnd)("answer_submitted", data)

    def _voted(self, span: SpanRecord, agent: AgentState, rnd: RoundState) -> None:
        about = span.attributes
        label, target = text(about.get(semconv.VOTED_FOR_LABEL)), text(about.get(semconv.VOTED_FOR))
        said = self._said(span, agent, rnd, label, text(about.get(semconv.VOTE_REASON)), target)
        rnd.said.append(said)
        if agent.vote is None or said.moment > agent.vote.moment:
            agent.vote = said
        self.due.append((agent, rnd, said))
        data = {"target_id": target, "reason": said.text, "vote_label": None, "voted_for_label": label or None}
        self._telling(span.start_ns, agent, rnd)("vote", data)

    def _final(self, span: SpanRecord, found: tuple[AgentState, RoundState] | None) -> None:
        agent_id, whole = text(span.attributes.get(semconv.AGENT_ID)), _whole(span.attributes)
        if not agent_id:
            return
        rnd = RoundState(0) if found is None else found[1]
        said = self._said(span, self.state.agent(agent_id), rnd, "", whole)
        if self.state.final is None or said.moment > self.state.final.moment:
            self.state.final = said
        self._tell(span.start_ns, "final_answer", agent_id, rnd.number, {"content": whole})

    def _coordination_event(self, span: SpanRecord, found: tuple[AgentState, RoundState] | None) -> None:
        about = span.attributes
        kind = text(about.get(semconv.EVENT_TYPE)) or span.name.removeprefix(_EVENT)
        if kind == _ENFORCEMENT and found is not None:
            self._enforced(span, *found)
            return
        if len(self.state.coordination) < MOST_NAMES:
            self.state.coordination.add(kind)
        more = {key: value for key, value in about.items() if not key.startswith(("massgen.", "gen_ai.", "logfire."))}
        if said := text(about.get(semconv.EVENT_DETAILS)):
            more["details"] = said
        message = f"{kind}: {json.dumps(more, ensure_ascii=False, default=str)}" if more else kind
        data = {"message": message, "kind": kind, **({"details": json.loads(json.dumps(more, default=str))} if more else {})}
        if found is None:
            self._tell(span.start_ns, "system_status", None, 0, data)
        else:
            self._telling(span.start_ns, *found)("status", {**data, "level": "info"})

    def _enforced(self, span: SpanRecord, agent: AgentState, rnd: RoundState) -> None:
        about = span.attributes
        reason = text(about.get(semconv.ENFORCEMENT_REASON))
        tried = integer(about.get(semconv.ENFORCEMENT_ATTEMPT))
        tools = texts(about.get(semconv.ENFORCEMENT_TOOL_CALLS))
        chars = integer(about.get(semconv.ENFORCEMENT_BUFFER_CHARS))
        shown = {
            "round": rnd.number,
            "attempt": tried,
            "max_attempts": integer(about.get(semconv.ENFORCEMENT_MAX_ATTEMPTS)),
            "reason": reason,
            "tool_calls": tools,
            "error_message": text(about.get(semconv.ERROR_MESSAGE)) or None,
            "buffer_preview": text(about.get(semconv.ENFORCEMENT_BUFFER_PREVIEW)) or None,
            "buffer_chars": chars or 0,
            "timestamp": span.start_ns / 1e9,
        }
        insort(agent.attempts, Enforced((rnd.number, span.start_ns, span.span_id), shown), key=_order)
        del agent.attempts[:-MOST_ATTEMPTS]
        reasons = agent.reasons.setdefault(rnd.number, {})
        reasons[reason] = reasons.get(reason, 0) + 1
        agent.enforced += 1
        if len(agent.workflow_errors) < MOST_NAMES:
            agent.workflow_errors.add(reason)
        agent.lost_chars += chars or 0
        if reason == "no_workflow_tool" and len(agent.unknown_tools) < MOST_NAMES:
            agent.unknown_tools.update(tools)
        data = {"message": f"Asked again: {reason}", "level": "warning", "kind": _ENFORCEMENT, "details": shown}
        self._telling(span.start_ns, agent, rnd)("status", data)

    # --- inner ---------------------------------------------------------------------------------------------------------------------

    def _seen(self, span: SpanRecord, ns: int) -> None:
        state = self.state
        state.last_ns = max(state.last_ns, ns)
        agent_id = text(span.attributes.get(semconv.AGENT_ID))
        if agent_id:
            agent = state.agent(agent_id)
            agent.last_ns = max(agent.last_ns, ns)

    def _place(self, span: SpanRecord) -> tuple[AgentState, RoundState] | None:
        """Whose it is, and of which round; None where it does not say."""
        agent_id, number = text(span.attributes.get(semconv.AGENT_ID)), integer(span.attributes.get(semconv.ROUND))
        if not agent_id or number is None:
            return None
        agent = self.state.agent(agent_id)
        return agent, agent.at(number)

    def _telling(self, ns: int, agent: AgentState, rnd: RoundState) -> Callable[[str, Mapping[str, Any]], None]:
        """Tells of something in a round, which keeps it for its trace."""

        def tell(kind: str, data: Mapping[str, Any]) -> None:
            event = self._tell(ns, kind, agent.id, rnd.number, data)
            if rnd.detail is not None and len(rnd.detail) < _MOST_DETAIL:
                rnd.detail.append(event)

        return tell

    def _tell(self, ns: int, kind: str, agent_id: str | None, number: int, data: Mapping[str, Any]) -> Event:
        event = Event(iso(ns, self.state.offset), kind, agent_id, number, data)
        if self._on_event is not None:
            self._on_event(event)
        return event


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


def _whole(about: Mapping[str, Any]) -> str:
    """An answer in full, as far as it was recorded."""
    return text(about.get(semconv.ANSWER_TEXT)) or text(about.get(semconv.ANSWER_PREVIEW))


def _how_many_th(label: str) -> int:
    count = label.rpartition(".")[2]
    return int(count) if count.isascii() and count.isdigit() and len(count) < 10 else 1


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

"""What agents say and what happens to them, folded: answers, votes, restarts, enforcement, the winner, the final answer."""

from __future__ import annotations

import json
from bisect import insort
from collections.abc import Mapping
from operator import attrgetter
from typing import Any, Final

from massgen_tracing import semconv
from massgen_tracing.model import SpanRecord
from massgen_tracing.projection.scribe import Place, Scribe
from massgen_tracing.projection.state import MOST_NAMES, AgentState, Enforced, RoundState, Said
from massgen_tracing.projection.values import integer, text, texts

EVENT_PREFIX: Final = semconv.EVENT_NAME.partition("{")[0]
_ANSWER: Final = semconv.ANSWER_NAME.partition("{")[0]
_VOTE: Final = semconv.VOTE_NAME.partition("{")[0]
_RESTART: Final = semconv.RESTART_NAME.partition("{")[0]
_WINNER: Final = semconv.WINNER_NAME.partition("{")[0]
_FINAL: Final = semconv.FINAL_ANSWER_NAME.partition("{")[0]

PREFIXES: Final = (EVENT_PREFIX, _ANSWER, _VOTE, _RESTART, _WINNER, _FINAL)
"""What the names of point events begin with."""

MOST_ATTEMPTS: Final = 50
"""Enforcements of one agent that are kept whole; all are counted."""

_ENFORCEMENT: Final = "enforcement"
_order: Final = attrgetter("order")
_moment: Final = attrgetter("moment")


class Points:
    """Folds point events."""

    def __init__(self, scribe: Scribe) -> None:
        self._scribe = scribe

    def happened(self, span: SpanRecord) -> None:
        """Something has happened."""
        name, about = span.name, span.attributes
        found = self._scribe.place(span)
        if name.startswith(_ANSWER) and found is not None:
            self._answered(span, *found)
        elif name.startswith(_VOTE) and found is not None:
            self._voted(span, *found)
        elif name.startswith(_RESTART) and found is not None:
            by = text(about.get(semconv.RESTART_BY))
            data = {"restart_round": found[1].number + 1, "restart_reason": f"new answer of {by}" if by else "new answer", "triggered_by": by or None}
            self._scribe.telling(span.start_ns, *found)("agent_restart", data)
        elif name.startswith(_WINNER):
            self._scribe.state.winner_label = text(about.get(semconv.WINNER_LABEL)) or self._scribe.state.winner_label
            data = {"message": f"Winner selected: {self._scribe.state.winner_label}", "level": "info", "kind": "winner_selected"}
            self._scribe.tell(span.start_ns, "status", text(about.get(semconv.AGENT_ID)) or None, 0 if found is None else found[1].number, data)
        elif name.startswith(_FINAL):
            self._final(span, found)
        elif name.startswith(EVENT_PREFIX):
            self._coordination_event(span, found)
        else:
            return
        self._scribe.changed = True

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
        insort(self._scribe.state.answers, said, key=_moment)
        self._scribe.due.append((agent, rnd, said))
        data = {"content": said.text, "answer_number": _how_many_th(label), "answer_label": label, "workspace_path": None}
        self._scribe.telling(span.start_ns, agent, rnd)("answer_submitted", data)

    def _voted(self, span: SpanRecord, agent: AgentState, rnd: RoundState) -> None:
        about = span.attributes
        label, target = text(about.get(semconv.VOTED_FOR_LABEL)), text(about.get(semconv.VOTED_FOR))
        said = self._said(span, agent, rnd, label, text(about.get(semconv.VOTE_REASON)), target)
        rnd.said.append(said)
        if agent.vote is None or said.moment > agent.vote.moment:
            agent.vote = said
        self._scribe.due.append((agent, rnd, said))
        data = {"target_id": target, "reason": said.text, "vote_label": None, "voted_for_label": label or None}
        self._scribe.telling(span.start_ns, agent, rnd)("vote", data)

    def _final(self, span: SpanRecord, found: Place | None) -> None:
        agent_id, whole = text(span.attributes.get(semconv.AGENT_ID)), _whole(span.attributes)
        if not agent_id:
            return
        rnd = RoundState(0) if found is None else found[1]
        said = self._said(span, self._scribe.state.agent(agent_id), rnd, "", whole)
        if self._scribe.state.final is None or said.moment > self._scribe.state.final.moment:
            self._scribe.state.final = said
        self._scribe.tell(span.start_ns, "final_answer", agent_id, rnd.number, {"content": whole})

    def _coordination_event(self, span: SpanRecord, found: Place | None) -> None:
        about = span.attributes
        kind = text(about.get(semconv.EVENT_TYPE)) or span.name.removeprefix(EVENT_PREFIX)
        if kind == _ENFORCEMENT and found is not None:
            self._enforced(span, *found)
            return
        if len(self._scribe.state.coordination) < MOST_NAMES:
            self._scribe.state.coordination.add(kind)
        more = {key: value for key, value in about.items() if not key.startswith(("massgen.", "gen_ai.", "logfire."))}
        if said := text(about.get(semconv.EVENT_DETAILS)):
            more["details"] = said
        message = f"{kind}: {json.dumps(more, ensure_ascii=False, default=str)}" if more else kind
        data = {"message": message, "kind": kind, **({"details": json.loads(json.dumps(more, default=str))} if more else {})}
        if found is None:
            self._scribe.tell(span.start_ns, "system_status", None, 0, data)
        else:
            self._scribe.telling(span.start_ns, *found)("status", {**data, "level": "info"})

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
        self._scribe.telling(span.start_ns, agent, rnd)("status", data)


def _whole(about: Mapping[str, Any]) -> str:
    """An answer in full, as far as it was recorded."""
    return text(about.get(semconv.ANSWER_TEXT)) or text(about.get(semconv.ANSWER_PREVIEW))


def _how_many_th(label: str) -> int:
    count = label.rpartition(".")[2]
    return int(count) if count.isascii() and count.isdigit() and len(count) < 10 else 1

"""The events of a run as its coordination: `coordination_events.json`, and the table that a person reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any, Final

from massgen_tracing import semconv
from massgen_tracing.projection import judged
from massgen_tracing.projection.encoded import as_bytes, as_json
from massgen_tracing.projection.events import Event
from massgen_tracing.projection.state import RunState
from massgen_tracing.projection.values import text

_WIDTH: Final = 60
_TYPES: Final = {
    "round_start": "status_change",
    "context_received": "context_received",
    "answer_submitted": "new_answer",
    "vote": "vote_cast",
    "agent_restart": "restart_triggered",
    "final_presentation_start": "final_round_start",
    "final_answer": "final_answer",
    "tool_start": "tool_call",
    "tool_complete": "tool_result",
}
"""MassGen's names in `coordination_events.json` for those in `events.jsonl`; others go by what they say they are."""

_UNSAID: Final = frozenset({"text", "thinking", "final_presentation_end"})
_NOT_SHOWN: Final = frozenset({"tool_call", "tool_result", "status_change", "context_received"})
"""What the table leaves out."""


Entry = dict[str, Any]
"""An event as `coordination_events.json` says it."""


def coordination_events(state: RunState, events: Iterable[Event], row: Callable[[bytes], None]) -> Iterator[bytes]:
    """The content of `coordination_events.json`, in pieces.

    Args:
        state: the run.
        events: all of its events, in order; none is kept.
        row: is given the rows of `coordination_table`: a line for each answer, vote, restart and the like.
    """
    width = _width(state)
    head = {
        "user_prompt": text(state.about.get(semconv.TASK)),
        "agent_ids": list(state.agents),
        "start_time": state.start_ns / 1e9,
        "end_time": (state.end_ns or state.last_ns) / 1e9,
        "final_winner": judged.winner(state) or None,
        "trace_id": state.trace_id,
    }
    yield b'{\n"session_metadata": ' + as_json(head) + b',\n"events": ['
    first = True
    for event in events:
        said = _entry(event)
        if said is not None:
            yield (b"\n" if first else b",\n") + as_json(said)
            first = False
            if said["event_type"] not in _NOT_SHOWN:
                row(_row(state, event, said, width))
    yield b"\n]\n}\n"


def coordination_table(state: RunState, rows: Iterable[bytes]) -> Iterator[bytes]:
    """The content of `coordination_table.txt`, in pieces: the rows that `coordination_events` has given, one below the other in time."""
    agents, width = list(state.agents), _width(state)
    yield as_bytes(f"Question: {' '.join(text(state.about.get(semconv.TASK)).split())}\nAgents:   {', '.join(agents)}\n\n")
    yield as_bytes(f"{'time':>9}  {'agent':{width}}  {'round':>5}  what\n{'-' * 9}  {'-' * width}  {'-' * 5}  {'-' * _WIDTH}\n")
    yield from rows
    yield as_bytes("\n" + "".join(f"{line}\n" for line in _summary(state)))


def _width(state: RunState) -> int:
    return max([len("agent"), *map(len, state.agents)])


def _row(state: RunState, event: Event, said: Entry, width: int) -> bytes:
    seconds = max(0.0, said["timestamp"] - state.start_ns / 1e9)
    what = " ".join(said["details"].split())
    what = what if len(what) <= _WIDTH else f"{what[: _WIDTH - 1]}…"
    round_number = "" if event.agent_id is None else str(event.round_number)
    return as_bytes(f"{seconds:9.3f}  {event.agent_id or '':{width}}  {round_number:>5}  {said['event_type']}: {what}\n")


def _summary(state: RunState) -> Iterator[str]:
    for agent in state.agents.values():
        vote = judged.counted_vote(agent)
        voted = "no vote" if vote is None else f"voted for {vote.label or vote.voted_for}"
        answers = f"{agent.answers} answer{'' if agent.answers == 1 else 's'}"
        yield f"{agent.id}: {judged.agent_status(state, agent)}, {answers}, {voted}, restarted {judged.restarts(agent)} times"
    votes = judged.votes(state)
    if votes:
        yield "Votes: " + ", ".join(f"{label} {count}" for label, count in votes.items())
    won, reason = judged.winner(state), text(state.about.get(semconv.WINNER_REASON))
    yield f"Winner: {won} ({reason})" if won and reason else f"Winner: {won or 'none'}"
    final = judged.final_answer(state)
    if final is not None:
        yield f"Final answer: {' '.join(final.text[:200].split())}"
    yield f"Finished: {judged.finish_reason(state)}"


def _entry(event: Event) -> Entry | None:
    if event.event_type in _UNSAID:
        return None
    data = event.data
    kind = _TYPES.get(event.event_type) or str(data.get("kind") or event.event_type)
    context = {key: value for key, value in data.items() if key not in {"message", "kind", "level"}}
    return {
        "timestamp": _unix(event.timestamp),
        "event_type": kind,
        "agent_id": event.agent_id,
        "details": _details(kind, event),
        "context": {**_named(kind, context), "round": event.round_number},
    }


def _named(kind: str, context: dict[str, Any]) -> dict[str, Any]:
    if kind == "new_answer":
        return {"label": context.get("answer_label"), "content": context.get("content")}
    if kind == "vote_cast":
        return {"voted_for": context.get("target_id"), "voted_for_label": context.get("voted_for_label"), "reason": context.get("reason")}
    if kind == "context_received":
        labels = context.get("context_labels")
        return {"available_answer_labels": labels, "answer_count": len(labels) if isinstance(labels, list) else 0}
    return context


def _details(kind: str, event: Event) -> str:
    data = event.data
    match kind:
        case "new_answer":
            return f"Provided answer {data.get('answer_label')}"
        case "vote_cast":
            return f"Voted for {data.get('voted_for_label') or data.get('target_id')}"
        case "status_change":
            return "Changed to status: streaming"
        case "context_received":
            return f"Received context with {len(data.get('context_labels') or ())} answers"
        case "restart_triggered":
            return f"Restarted: {data.get('restart_reason')}"
        case "final_round_start":
            return "Starting final presentation"
        case "final_answer":
            return "Presented final answer"
        case "tool_call":
            return f"Called {data.get('tool_name')}"
        case "tool_result":
            return f"{data.get('tool_name')}: {data.get('status')}"
    return str(data.get("message") or kind)


def _unix(timestamp: str) -> float:
    try:
        return datetime.fromisoformat(timestamp).timestamp()
    except ValueError:
        return 0.0

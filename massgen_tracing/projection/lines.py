"""An event as what the logs say of it: a line of `massgen.log`, a piece of an agent's output, a line of `streaming_debug.log`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from massgen_tracing.projection.encoded import as_bytes
from massgen_tracing.projection.events import Event

_LINE_CHARS: Final = 500
_LEVELS: Final = {"error": "ERROR", "warning": "WARNING"}


def _arguments(data: Mapping[str, Any]) -> str:
    return json.dumps(data.get("args"), ensure_ascii=False)


_SUMMARIES: Final[dict[str, Callable[[Mapping[str, Any]], str]]] = {
    "round_start": lambda data: f"starts ({data.get('round_type')})",
    "context_received": lambda data: f"sees {', '.join(map(str, data.get('context_labels') or ()))}",
    "text": lambda data: f"says: {data.get('content')}",
    "thinking": lambda data: f"thinks: {data.get('content')}",
    "tool_start": lambda data: f"calls {data.get('tool_name')} {_arguments(data)}",
    "tool_complete": lambda data: f"{data.get('tool_name')} {data.get('status')} after {data.get('elapsed_seconds'):.3f} s: {data.get('result')}",
    "answer_submitted": lambda data: f"answers ({data.get('answer_label')}): {data.get('content')}",
    "vote": lambda data: f"votes for {data.get('voted_for_label') or data.get('target_id')}: {data.get('reason')}",
    "agent_restart": lambda data: f"starts again: {data.get('restart_reason')}",
    "final_presentation_start": lambda _: "presents the final answer",
    "final_presentation_end": lambda _: "has presented the final answer",
    "final_answer": lambda data: f"final answer: {data.get('content')}",
}


def log(event: Event) -> bytes:
    """The line of `massgen.log`."""
    summary = _SUMMARIES.get(event.event_type)
    said = str(event.data.get("message") or event.event_type) if summary is None else summary(event.data)
    said = " ".join(said[: 4 * _LINE_CHARS].split())
    if len(said) > _LINE_CHARS:
        said = f"{said[:_LINE_CHARS]}…"
    level = "ERROR" if event.data.get("is_error") else _LEVELS.get(str(event.data.get("level")), "INFO")
    who = "run" if event.agent_id is None else f"{event.agent_id}.{event.round_number}"
    return as_bytes(f"{event.timestamp} | {level:7} | {who} | {said}\n")


_OUTPUTS: Final[dict[str, Callable[[Mapping[str, Any]], str]]] = {
    "round_start": lambda data: f"--- {data.get('round_type') or 'round'}",
    "final_presentation_start": lambda _: "--- presentation",
    "text": lambda data: str(data.get("content")),
    "thinking": lambda data: f"[thinking] {data.get('content')}",
    "tool_start": lambda data: f"[tool] {data.get('tool_name')} {_arguments(data)}",
    "tool_complete": lambda data: f"[{'tool error' if data.get('is_error') else 'tool result'}] {data.get('result')}",
    "answer_submitted": lambda data: f"[answer {data.get('answer_label')}]\n{data.get('content')}",
    "vote": lambda data: f"[vote {data.get('voted_for_label') or data.get('target_id')}] {data.get('reason')}",
    "agent_restart": lambda data: f"[restart] {data.get('restart_reason')}",
    "status": lambda data: f"[{data.get('level')}] {data.get('message')}",
    "final_answer": lambda data: f"[final answer]\n{data.get('content')}",
}


def output(event: Event) -> bytes:
    """What it adds to the file of the agent's output; nothing where it is no agent's."""
    shown = None if event.agent_id is None else _OUTPUTS.get(event.event_type)
    return b"" if shown is None else as_bytes(f"{event.timestamp} round {event.round_number}\n{shown(event.data)}\n\n")


def stream(event: Event) -> bytes:
    """The line of `streaming_debug.log`; nothing where nothing was streamed. A tool's command stands in it, once, as `"command": "…"`."""
    data = event.data
    said: dict[str, Any] = {"timestamp": event.timestamp, "agent_id": event.agent_id, "round": event.round_number, "type": event.event_type}
    if event.event_type in {"text", "thinking"}:
        said["content"] = data.get("content")
    elif event.event_type == "tool_start":
        said |= {"tool": data.get("tool_name"), "arguments": data.get("args")}
    elif event.event_type == "tool_complete":
        said |= {"tool": data.get("tool_name"), "is_error": data.get("is_error"), "result": data.get("result")}
    else:
        return b""
    return as_bytes(json.dumps(said, ensure_ascii=False)) + b"\n"

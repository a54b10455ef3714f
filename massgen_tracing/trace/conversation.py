"""What providers are sent and answer, as messages of OpenTelemetry's GenAI conventions: a role, and parts.

Parts are `text`, `reasoning`, `tool_call` and `tool_call_response`; of what is something else (images, sound, files) there is the kind alone. Source:
the schemas of `gen_ai.input.messages` and `gen_ai.output.messages` (semantic-conventions-genai, Development status, 2026).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

Part = dict[str, Any]

_TEXTS: Final = frozenset({"text", "input_text", "output_text"})
_ROLES: Final = {"model": "assistant", "function": "tool", "developer": "system"}
"""Gemini's and OpenAI's names of roles that the conventions call otherwise."""

CALLS: Final = frozenset({"function_call", "custom_tool_call", "mcp_call"})
_RESULTS: Final = frozenset({"function_call_output", "custom_tool_call_output"})
"""Items of OpenAI's Responses that are no messages there."""

_REASONS: Final = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "completed": "stop",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "tool_calls": "tool_call",
    "tool_use": "tool_call",
    "function_call": "tool_call",
    "refusal": "content_filter",
    "safety": "content_filter",
    "failed": "error",
}
"""Providers' words, in lower case, for what the conventions' output messages have a word for."""


def of_request(request: object) -> list[dict[str, Any]]:
    """The messages of a request's body, by whichever interface; empty where it has none.

    Chat completions and Anthropic have them under `messages`, OpenAI's Responses under `input` (a text, or a list), Gemini under `contents`.
    """
    if not isinstance(request, Mapping):
        return []
    given = next((request[key] for key in ("messages", "input", "contents") if request.get(key)), None)
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    return [message(item) for item in _listed(items) if isinstance(item, Mapping)]


def message(item: Mapping[str, Any]) -> dict[str, Any]:
    """One message of a conversation."""
    kind, role = str(item.get("type") or ""), str(item.get("role") or "")
    if kind in CALLS:
        return {
            "role": "assistant",
            "parts": [call(item.get("call_id") or item.get("id"), item.get("name"), item.get("arguments", item.get("input")))],
        }
    if kind in _RESULTS:
        return {"role": "tool", "parts": [response(item.get("call_id"), item.get("output"))]}
    if kind == "reasoning":
        return {"role": "assistant", "parts": _reasonings(item)}
    if role == "tool" and not item.get("parts"):
        return {"role": role, "parts": [response(item.get("tool_call_id"), _plain(item.get("content")))]}
    parts = [*parts_of(item.get("content")), *parts_of(item.get("parts")), *_calls_of(item)]
    only_responses = bool(parts) and all(part["type"] == "tool_call_response" for part in parts)
    return {"role": "tool" if only_responses else _ROLES.get(role, role or "user"), "parts": parts}


def parts_of(content: object) -> list[Part]:
    """The parts of a message's content: of a text one, of a list one for each block."""
    if isinstance(content, str):
        return [text(content)] if content else []
    if isinstance(content, Mapping):
        return [part(content)]
    return [text(block) if isinstance(block, str) else part(block) for block in _listed(content) if isinstance(block, str | Mapping)]


def part(block: Mapping[str, Any]) -> Part:
    """A block of a message's content, of Anthropic, OpenAI, Gemini or LangChain, or a part already."""
    kind = str(block.get("type") or "")
    called = block.get("functionCall") or block.get("function_call")
    if isinstance(called, Mapping):
        return call(called.get("id"), called.get("name"), called.get("args"))
    answered = block.get("functionResponse") or block.get("function_response")
    if isinstance(answered, Mapping):
        return response(answered.get("id"), answered.get("response"))
    if kind == "tool_call" or kind.endswith("tool_use"):
        return call(block.get("id"), block.get("name"), _first(block, "input", "arguments", "args"))
    if kind.endswith("tool_result"):
        return response(block.get("tool_use_id"), _plain(block.get("content")))
    if kind == "tool_call_response":
        return response(block.get("id"), block.get("response"))
    if kind in {"thinking", "reasoning"}:
        return reasoning(_said(block, "thinking", "text", "content"))
    if kind == "refusal":
        return text(_said(block, "refusal"))
    if kind in _TEXTS or (not kind and "text" in block):
        said = _said(block, "text", "content")
        return reasoning(said) if block.get("thought") else text(said)
    return {"type": kind or next((str(key) for key in block), "unknown")}


def _first(block: Mapping[str, Any], *keys: str) -> Any:
    return next((block[key] for key in keys if block.get(key) is not None), None)


def _said(block: Mapping[str, Any], *keys: str) -> str:
    said = _first(block, *keys)
    return said if isinstance(said, str) else ""


def _calls_of(item: Mapping[str, Any]) -> list[Part]:
    """The tool calls that a message of chat completions has beside its content."""
    found = []
    for each in _listed(item.get("tool_calls")):
        if isinstance(each, Mapping):
            function = each.get("function")
            named = function if isinstance(function, Mapping) else each
            found.append(call(each.get("id"), named.get("name"), named.get("arguments")))
    return found


def _reasonings(item: Mapping[str, Any]) -> list[Part]:
    """What an item of OpenAI's Responses tells of the model's reasoning: its summary, or the text itself."""
    blocks = [*_listed(item.get("summary")), *_listed(item.get("content"))]
    return [reasoning(said) for block in blocks if isinstance(block, Mapping) and isinstance(said := block.get("text"), str) and said]


def text(content: str) -> Part:
    """A part of text."""
    return {"type": "text", "content": content}


def reasoning(content: str) -> Part:
    """A part of reasoning."""
    return {"type": "reasoning", "content": content}


def finish_reason(word: str) -> str:
    """Why a model stopped, by the conventions' word for the provider's, or the provider's own in lower case."""
    return _REASONS.get(word.lower(), word.lower())


def call(id: object, name: object, arguments: object) -> Part:  # noqa: A002 - the conventions' name
    """A tool call; its arguments as what their JSON text says, where that is whole."""
    part: Part = {"type": "tool_call", "name": str(name or "")}
    if id:
        part["id"] = str(id)
    if arguments is not None and arguments != "":
        part["arguments"] = _parsed(arguments) if isinstance(arguments, str) else arguments
    return part


def response(id: object, result: object) -> Part:  # noqa: A002 - the conventions' name
    """What a tool gave back."""
    return {"type": "tool_call_response", **({"id": str(id)} if id else {}), "response": result}


def _plain(content: object) -> object:
    """A tool's result: the text, where it consists of that alone."""
    parts = parts_of(content)
    if parts and all(part["type"] == "text" for part in parts):
        return "\n".join(part["content"] for part in parts)
    return content


def _parsed(arguments: str) -> object:
    try:
        return json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments


def _listed(value: object) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()

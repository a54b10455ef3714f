"""What a model was told and said, as messages of a role and parts, by whichever convention a span says it.

| who | where it says it |
| --- | --- |
| OpenTelemetry GenAI, this package's facade | `gen_ai.system_instructions`, `gen_ai.input.messages`, `gen_ai.output.messages` |
| pydantic-ai, Logfire's events | `pydantic_ai.all_messages`, `all_messages_events`, `events` |
| Logfire's integrations of clients | `request_data`, `response_data` |
| OpenInference | `llm.input_messages.0.message.role`, …; `input.value`, `output.value` |
| older instrumentations | `gen_ai.prompt.0.role`, `gen_ai.completion.0.content`, … |
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from massgen_tracing import semconv
from massgen_tracing.model import Attributes
from massgen_tracing.projection.values import decoded
from massgen_tracing.trace import conversation

Message = dict[str, Any]
"""A role, and parts: `text`, `reasoning`, `tool_call`, `tool_call_response`, or the kind of what is something else."""

_NUMBERED: Final = re.compile(r"(\d+)\.(?:message\.)?(.+)")
_TOOL_CALL: Final = re.compile(r"(?:tool_calls\.(\d+)\.(?:tool_call\.)?(?:function\.)?|function_call_?\.?)(id|name|arguments)(?:_json)?")
_CONTENT: Final = re.compile(r"contents\.(\d+)\.message_content\.(type|text)")
_WHOLE: Final = ("pydantic_ai.all_messages", "all_messages", "all_messages_events", "events")
"""Keys under which a whole conversation stands, what was said and what was answered."""


def told(attributes: Attributes) -> list[Message]:
    """What went in, the first message first; empty where that is not recorded."""
    system = [{"role": "system", "parts": conversation.parts_of(said)} for key in ("gen_ai.system_instructions",) if (said := _said(attributes, key))]
    for found in (
        _messages(_said(attributes, semconv.GEN_AI_INPUT_MESSAGES)),
        *(_messages(_said(attributes, key)) for key in _WHOLE),
        conversation.of_request(_said(attributes, "request_data")),
        _numbered(attributes, "llm.input_messages."),
        _numbered(attributes, "gen_ai.prompt."),
        _value(_said(attributes, "input.value")),
    ):
        if found:
            return [*system, *found]
    return system


def said(attributes: Attributes) -> list[Message]:
    """What came out; empty where that is not recorded, or part of what `told` gives."""
    for found in (
        _messages(_said(attributes, semconv.GEN_AI_OUTPUT_MESSAGES)),
        _response(_said(attributes, "response_data")),
        _numbered(attributes, "llm.output_messages."),
        _numbered(attributes, "gen_ai.completion."),
        _value(_said(attributes, "output.value"), role="assistant"),
    ):
        if found:
            return found
    return []


def _said(attributes: Attributes, key: str) -> object:
    return decoded(attributes.get(key))


def _messages(value: object) -> list[Message]:
    if isinstance(value, str) and value:
        return [{"role": "user", "parts": [conversation.text(value)]}]
    return [_message(item) for item in value if isinstance(item, Mapping)] if isinstance(value, list | tuple) else []


def _message(item: Mapping[str, Any]) -> Message:
    """A message; why the model stopped stays beside it."""
    inner = item.get("message")
    made = conversation.message(inner if isinstance(inner, Mapping) and "content" not in item else item)
    for key in ("finish_reason", "name"):
        if isinstance(word := item.get(key), str) and word:
            made[key] = word
    return made


def _response(value: object) -> list[Message]:
    """What Logfire's integrations say of an answer."""
    if not isinstance(value, Mapping):
        return []
    message = value.get("message")
    if isinstance(message, Mapping):
        return [_message({"role": "assistant", **message})]
    text = next((value[key] for key in ("combined_chunk_content", "text", "content") if isinstance(value.get(key), str)), "")
    return [{"role": "assistant", "parts": [conversation.text(text)]}] if text else []


def _value(value: object, role: str = "user") -> list[Message]:
    """What OpenInference has under `input.value` or `output.value`: a request or an answer of some interface, messages, or a text."""
    if isinstance(value, str):
        return [{"role": role, "parts": [conversation.text(value)]}] if value else []
    if isinstance(value, list):
        return _messages(value)
    if isinstance(value, Mapping):
        choices = value.get("choices")
        if isinstance(choices, Sequence):
            return [_message(choice) for choice in choices if isinstance(choice, Mapping)]
        return conversation.of_request(value)
    return []


def _numbered(attributes: Attributes, prefix: str) -> list[Message]:
    """Messages of which each part has a key of its own."""
    parts: dict[int, dict[str, Any]] = {}
    for key, value in attributes.items():
        if key.startswith(prefix) and (found := _NUMBERED.fullmatch(key, len(prefix))):
            parts.setdefault(int(found[1]), {})[found[2]] = value
    return [_gathered(parts[number]) for number in sorted(parts)]


def _gathered(keys: Mapping[str, Any]) -> Message:
    calls: dict[int, dict[str, Any]] = {}
    blocks: dict[int, dict[str, Any]] = {}
    for key, value in keys.items():
        if found := _TOOL_CALL.fullmatch(key):
            calls.setdefault(int(found[1] or 0), {})[found[2]] = value
        elif found := _CONTENT.fullmatch(key):
            blocks.setdefault(int(found[1]), {})[found[2]] = value
    content = keys.get("content")
    made: dict[str, Any] = {"role": keys.get("role"), "content": decoded(content) if content else [blocks[place] for place in sorted(blocks)]}
    if calls:
        made["tool_calls"] = [calls[place] for place in sorted(calls)]
    if isinstance(id_ := keys.get("tool_call_id"), str):
        made["tool_call_id"] = id_
    return _message(made)

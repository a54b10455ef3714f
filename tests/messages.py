"""Whether recorded messages are those of OpenTelemetry's GenAI conventions: as its own types have them, each part by its type."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

from opentelemetry.util.genai import types
from pydantic import ConfigDict, TypeAdapter, with_config

PARTS = (types.TextPart, types.ReasoningPart, types.ToolCallRequestPart, types.ToolCallResponsePart)
STRICT = with_config(ConfigDict(extra="forbid", strict=True))
BY_TYPE = {field.default: TypeAdapter(STRICT(part)) for part in PARTS for field in fields(part) if field.name == "type"}
"""How to check the parts that the package records whole, by their types; of others it records the type."""
UNSAID = {"tool_call": {"id": None, "arguments": None}, "tool_call_response": {"id": None}}
"""What the conventions' schema has defaults for, and their types have not."""


def checked(recorded: object, *, output: bool = False) -> list[dict[str, Any]]:
    """Recorded messages, after a check; the note that says how many there were is left out.

    Raises:
        ValidationError: if one is not as the conventions have it.
    """
    messages: list[dict[str, Any]] = json.loads(str(recorded))
    assert isinstance(messages, list)
    for message in messages:
        assert message.keys() <= {"role", "parts", "name", *(["finish_reason"] if output else [])}
        assert isinstance(message["role"], str)
        for part in message["parts"]:
            if part["type"] in BY_TYPE:
                BY_TYPE[part["type"]].validate_json(json.dumps({**UNSAID.get(part["type"], {}), **part}))
            else:
                assert isinstance(part["type"], str)
        assert isinstance(message.get("finish_reason", ""), str)
    return [message for message in messages if message["role"] != "cut"]

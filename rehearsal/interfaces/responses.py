"""OpenAI's Responses, which xAI has too."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from massgen_tracing.runs.coordinator.protocol import Usage
from massgen_tracing.runs.coordinator.scripted import CREATED, Question, Reply, Turn, call_id, event, pieces, words


@dataclass(frozen=True, slots=True)
class Responses:
    """`/v1/responses`."""

    path: str = "/v1/responses"
    kind: str = "resp"
    counts: tuple[str, ...] = ("input", "output", "reasoning", "cached_input")

    def read(self, body: Mapping[str, Any], path: Mapping[str, str]) -> Question:  # noqa: ARG002 - all of it is in the body
        tools = tuple(tool["name"] for tool in body.get("tools") or () if tool["type"] == "function")
        return Question(body["model"], [_message(item) for item in body["input"]], tools, bool(body.get("stream")))

    def error(self, message: str, status: int) -> dict[str, Any]:  # noqa: ARG002 - the status is in the response's head
        return {"error": {"message": message, "type": "scripted", "code": None, "param": None}}

    def usage(self, usage: Usage) -> dict[str, Any]:
        sent, made = usage.input or 0, usage.output or 0
        return {
            "input_tokens": sent,
            "input_tokens_details": {"cached_tokens": usage.cached_input or 0},
            "output_tokens": made,
            "output_tokens_details": {"reasoning_tokens": usage.reasoning or 0},
            "total_tokens": sent + made,
        }

    def finish(self, turn: Turn) -> str:  # noqa: ARG002 - it is no choice
        return "completed"

    def whole(self, reply: Reply) -> dict[str, Any]:
        usage = self.usage(reply.turn.usage) if reply.turn.usage is not None else None
        return {**_response(reply, "completed"), "output": [*_text(reply), *_calls(reply)], "usage": usage}

    def events(self, reply: Reply) -> Iterator[str]:
        for kind in ("created", "in_progress"):
            yield _event(f"response.{kind}", response=_response(reply, "in_progress"))
        place = 0
        for item in _text(reply):
            at = {"item_id": item["id"], "output_index": place, "content_index": 0}
            yield _event("response.output_item.added", output_index=place, item={**item, "status": "in_progress", "content": []})
            yield _event("response.content_part.added", **at, part={"type": "output_text", "text": "", "annotations": []})
            for word in words(reply.turn.text):
                yield _event("response.output_text.delta", **at, delta=word, logprobs=[])
            yield _event("response.output_text.done", **at, text=reply.turn.text, logprobs=[])
            yield _event("response.content_part.done", **at, part=item["content"][0])
            yield _event("response.output_item.done", output_index=place, item=item)
            place += 1
        for item, call in zip(_calls(reply), reply.turn.calls, strict=True):
            at = {"item_id": item["id"], "output_index": place}
            yield _event("response.output_item.added", output_index=place, item={**item, "status": "in_progress", "arguments": ""})
            for piece in pieces(call):
                yield _event("response.function_call_arguments.delta", **at, delta=piece)
            yield _event("response.function_call_arguments.done", **at, arguments=item["arguments"], name=call.name)
            yield _event("response.output_item.done", output_index=place, item=item)
            place += 1

    def ending(self, reply: Reply, *, with_usage: bool) -> Iterator[str]:  # noqa: ARG002 - it always says
        yield _event("response.completed", response=self.whole(reply))


def _message(item: Mapping[str, Any]) -> Mapping[str, Any]:
    """An item of the input in the shape of chat completions."""
    if item.get("type") == "function_call_output":
        return {"role": "tool", "tool_call_id": item["call_id"], "content": item["output"]}
    if item.get("role") == "developer":
        return {**item, "role": "system"}
    return item


def _event(kind: str, **data: Any) -> str:
    return event({"type": kind, "sequence_number": 0, **data}, kind)


def _response(reply: Reply, status: str) -> dict[str, Any]:
    return {
        "id": reply.id,
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "model": reply.model,
        "output": [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "error": None,
        "incomplete_details": None,
        "usage": None,
    }


def _text(reply: Reply) -> list[dict[str, Any]]:
    part = {"type": "output_text", "text": reply.turn.text, "annotations": []}
    return [{"id": f"msg_{reply.id}", "type": "message", "role": "assistant", "status": "completed", "content": [part]}] if reply.turn.text else []


def _calls(reply: Reply) -> list[dict[str, Any]]:
    return [
        {
            "id": f"fc_{reply.id}_{index}",
            "type": "function_call",
            "call_id": call_id(reply, index),
            "name": call.name,
            "arguments": json.dumps(call.arguments),
            "status": "completed",
        }
        for index, call in enumerate(reply.turn.calls)
    ]

"""Anthropic's Messages: it counts cached tokens beside the others, and names the input first and the output last."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from massgen_tracing.runs.coordinator.protocol import Usage
from massgen_tracing.runs.coordinator.scripted import Question, Reply, Turn, call_id, event, pieces, words


@dataclass(frozen=True, slots=True)
class Messages:
    """`/v1/messages`."""

    path: str = "/v1/messages"
    kind: str = "msg"
    counts: tuple[str, ...] = ("input", "output", "cached_input")

    def read(self, body: Mapping[str, Any], path: Mapping[str, str]) -> Question:  # noqa: ARG002 - all of it is in the body
        messages = [{"role": "system", "content": body.get("system")}, *(_message(message) for message in body["messages"])]
        return Question(body["model"], messages, tuple(tool["name"] for tool in body.get("tools") or ()), bool(body.get("stream")))

    def error(self, message: str, status: int) -> dict[str, Any]:
        return {"type": "error", "error": {"type": "rate_limit_error" if status == 429 else "api_error", "message": message}}

    def usage(self, usage: Usage) -> dict[str, Any]:
        cached = usage.cached_input or 0
        written = ((usage.input or 0) - cached) // 3
        return {
            "input_tokens": (usage.input or 0) - cached - written,
            "cache_read_input_tokens": cached,
            "cache_creation_input_tokens": written,
            "output_tokens": usage.output or 0,
        }

    def finish(self, turn: Turn) -> str:
        return "tool_use" if turn.calls else "end_turn"

    def whole(self, reply: Reply) -> dict[str, Any]:
        return {
            **self._message(reply),
            "content": _blocks(reply),
            "stop_reason": self.finish(reply.turn),
            "usage": self.usage(reply.turn.usage or Usage()),
        }

    def events(self, reply: Reply) -> Iterator[str]:
        yield _event("message_start", message=self._message(reply))
        place = 0
        if reply.turn.text:
            yield _event("content_block_start", index=place, content_block={"type": "text", "text": ""})
            yield event({"type": "ping"}, "ping")
            for word in words(reply.turn.text):
                yield _event("content_block_delta", index=place, delta={"type": "text_delta", "text": word})
            yield _event("content_block_stop", index=place)
            place += 1
        for index, call in enumerate(reply.turn.calls):
            block = {"type": "tool_use", "id": call_id(reply, index), "name": call.name, "input": {}}
            yield _event("content_block_start", index=place, content_block=block)
            for piece in pieces(call):
                yield _event("content_block_delta", index=place, delta={"type": "input_json_delta", "partial_json": piece})
            yield _event("content_block_stop", index=place)
            place += 1

    def ending(self, reply: Reply, *, with_usage: bool) -> Iterator[str]:  # noqa: ARG002 - it always says
        used = self.usage(reply.turn.usage or Usage())
        yield _event(
            "message_delta", delta={"stop_reason": self.finish(reply.turn), "stop_sequence": None}, usage={"output_tokens": used["output_tokens"]}
        )
        yield _event("message_stop")

    def _message(self, reply: Reply) -> dict[str, Any]:
        return {
            "id": reply.id,
            "type": "message",
            "role": "assistant",
            "model": reply.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {**self.usage(reply.turn.usage or Usage()), "output_tokens": 1},
        }


def _message(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """A message in the shape of chat completions."""
    content = message["content"]
    if isinstance(content, Sequence) and any(isinstance(block, Mapping) and block.get("type") == "tool_result" for block in content):
        return {**message, "role": "tool"}
    return message


def _event(kind: str, **data: Any) -> str:
    return event({"type": kind, **data}, kind)


def _blocks(reply: Reply) -> list[dict[str, Any]]:
    text = [{"type": "text", "text": reply.turn.text}] if reply.turn.text else []
    calls = [
        {"type": "tool_use", "id": call_id(reply, index), "name": call.name, "input": dict(call.arguments)}
        for index, call in enumerate(reply.turn.calls)
    ]
    return [*text, *calls]

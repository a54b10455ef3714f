"""Google's Gemini: MassGen offers it MCP tools as functions, and has it say in JSON at the end of its text whether it answers or votes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from massgen_tracing.runs.coordinator.protocol import NEW_ANSWER, VOTE, Usage
from massgen_tracing.runs.coordinator.scripted import Question, Reply, ScriptedCall, Turn, event, words

_ACTIONS: Final = {VOTE: "vote_data", NEW_ANSWER: "answer_data", "submit": "submit_data"}
"""The decisions that MassGen's prompt asks for, each with the key under which its arguments stand."""

_OFFERED: Final = re.compile(r'"action_type": "(\w+)"')


@dataclass(frozen=True, slots=True)
class GenerateContent:
    """`:streamGenerateContent`."""

    path: str = "/v1beta/models/{model}:streamGenerateContent"
    kind: str = "gemini"
    counts: tuple[str, ...] = ("input", "output", "reasoning", "cached_input")

    def read(self, body: Mapping[str, Any], path: Mapping[str, str]) -> Question:
        functions = [function["name"] for tool in body.get("tools") or () for function in tool.get("functionDeclarations") or ()]
        messages = [_message(content) for content in body["contents"]]
        actions = dict.fromkeys(_OFFERED.findall(json.dumps(body["contents"]).replace('\\"', '"')))
        return Question(path["model"], messages, (*functions, *(action for action in actions if action in _ACTIONS)))

    def error(self, message: str, status: int) -> dict[str, Any]:
        return {"error": {"code": status, "message": message, "status": "RESOURCE_EXHAUSTED" if status == 429 else "INTERNAL"}}

    def usage(self, usage: Usage) -> dict[str, Any]:
        sent, made, thought = usage.input or 0, usage.output or 0, usage.reasoning or 0
        return {
            "promptTokenCount": sent,
            "candidatesTokenCount": made - thought,
            "thoughtsTokenCount": thought,
            "cachedContentTokenCount": usage.cached_input or 0,
            "totalTokenCount": sent + made,
        }

    def finish(self, turn: Turn) -> str:  # noqa: ARG002 - calls or not
        return "STOP"

    def whole(self, reply: Reply) -> dict[str, Any]:
        parts = [{"text": reply.turn.text}, *_functions(reply), *({"text": text} for text in _decisions(reply))]
        return self._chunk(reply, parts, finish=self.finish(reply.turn), used=reply.turn.usage)

    def events(self, reply: Reply) -> Iterator[str]:
        for word in words(reply.turn.text):
            yield event(self._chunk(reply, [{"text": word}]))
        for text in _decisions(reply):
            yield from (event(self._chunk(reply, [{"text": text[at : at + 48]}])) for at in range(0, len(text), 48))
        if functions := _functions(reply):
            yield event(self._chunk(reply, functions))

    def ending(self, reply: Reply, *, with_usage: bool) -> Iterator[str]:  # noqa: ARG002 - it always says
        yield event(self._chunk(reply, [{"text": ""}], finish=self.finish(reply.turn), used=reply.turn.usage))

    def _chunk(self, reply: Reply, parts: list[dict[str, Any]], *, finish: str | None = None, used: Usage | None = None) -> dict[str, Any]:
        candidate = {"content": {"role": "model", "parts": parts}, "index": 0, **({"finishReason": finish} if finish else {})}
        usage = {"usageMetadata": self.usage(used)} if used is not None else {}
        return {"candidates": [candidate], "modelVersion": reply.model, "responseId": reply.id, **usage}


def _message(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """A content in the shape of chat completions; the rules, which come before the question, are left out."""
    parts = content.get("parts") or ()
    text = "\n".join(str(part["text"]) for part in parts if part.get("text"))
    role = "tool" if any("functionResponse" in part for part in parts) else content.get("role")
    return {"role": role, "content": text[max(0, text.find("<ORIGINAL MESSAGE>")) :]}


def _functions(reply: Reply) -> list[dict[str, Any]]:
    return [{"functionCall": {"name": call.name, "args": dict(call.arguments)}} for call in reply.turn.calls if call.name not in _ACTIONS]


def _decisions(reply: Reply) -> list[str]:
    return [_decision(call) for call in reply.turn.calls if call.name in _ACTIONS]


def _decision(call: ScriptedCall) -> str:
    decision = {"action_type": call.name, _ACTIONS[call.name]: {"action": call.name, **call.arguments}}
    return f"\n```json\n{json.dumps(decision, indent=2)}\n```"

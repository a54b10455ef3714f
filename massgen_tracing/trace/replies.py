"""A model's reply, put together from what a provider sends of it: whole, or event by event.

OpenAI's chat completions and Responses and what imitates them, Anthropic and Gemini are understood, as the JSON that they send or as the objects
that their clients make of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from massgen_tracing.trace import conversation

_MOST: Final = 2**16
"""Characters of text, reasoning and arguments that are kept of a reply."""


@dataclass(slots=True)
class Facts:
    """What an answer says of itself; None and empty where it does not.

    Attributes:
        usage: as the provider reported it; what it reported in several pieces is put together.
        error: kind and text of an error that came where the answer should have gone on.
    """

    id: str | None = None
    model: str | None = None
    finish_reasons: list[str] = field(default_factory=list)
    usage: dict[str, Any] = field(default_factory=dict)
    error: tuple[str, str] | None = None


class Reply:
    """What has come of a reply.

    Attributes:
        facts: what it says of itself.
    """

    __slots__ = ("_left", "_parts", "_reasons", "facts")

    def __init__(self) -> None:
        self.facts = Facts()
        self._left = _MOST
        self._parts: dict[int, dict[object, conversation.Part]] = {}  # of each choice, in the order in which they began
        self._reasons: dict[int, str] = {}

    def read(self, event: Mapping[str, Any]) -> None:
        """Take the next event, or all of the reply."""
        if isinstance(chunk := event.get("chunk"), Mapping):  # OpenAI's client wraps it in events of its own, with what it makes of it
            event = chunk
        _read(event, self.facts)
        kind = str(event.get("type") or "")
        if kind.startswith("response."):
            self._responses(kind, event)
        elif kind.startswith("content_block_"):
            self._anthropic(event)
        elif event.get("object") == "response":
            self._items(event.get("output"))
        elif kind == "message":
            self._blocks(0, event.get("content"))
        for index, choice in enumerate(_mappings(event.get("choices"))):
            self._choice(_place(choice, "index", index), choice)
        for index, candidate in enumerate(_mappings(event.get("candidates"))):
            self._candidate(_place(candidate, "index", index), candidate)

    def output(self) -> list[dict[str, Any]]:
        """The reply as the conventions' output messages: one for each choice that says anything."""
        found = []
        last = self.facts.finish_reasons[-1] if self.facts.finish_reasons else None
        for choice, parts in sorted(self._parts.items()):
            reason = self._reasons.get(choice, last)
            told = {} if reason is None else {"finish_reason": conversation.finish_reason(reason)}
            found.append({"role": "assistant", "parts": [_whole(part) for part in parts.values()], **told})
        return found

    # --- by interface --------------------------------------------------------------------------------------------------------------

    def _choice(self, index: int, choice: Mapping[str, Any]) -> None:
        """Chat completions."""
        said = choice.get("delta") or choice.get("message")
        if isinstance(said, Mapping):
            self._add(index, "reasoning", "reasoning", said.get("reasoning_content") or said.get("reasoning"))
            if isinstance(said.get("content"), str):
                self._add(index, "text", "text", said["content"])
            else:
                self._blocks(index, said.get("content"))
            self._add(index, "refusal", "text", said.get("refusal"))
            for position, called in enumerate(_mappings(said.get("tool_calls"))):
                function = called.get("function")
                named = function if isinstance(function, Mapping) else {}
                self._call(index, ("call", _place(called, "index", position)), called.get("id"), named.get("name"), named.get("arguments"))
        if choice.get("finish_reason"):
            self._reasons[index] = str(choice["finish_reason"])

    def _candidate(self, index: int, candidate: Mapping[str, Any]) -> None:
        """Gemini, whose parts of one kind go on from event to event."""
        content = candidate.get("content")
        for block in _mappings(content.get("parts")) if isinstance(content, Mapping) else ():
            part = conversation.part(block)
            parts = self._parts.setdefault(index, {})
            if part["type"] in {"text", "reasoning"} and parts:
                key, latest = next(reversed(parts.items()))
                if latest["type"] == part["type"]:
                    self._add(index, key, part["type"], part["content"])
                    continue
            self._put(index, len(parts), part)
        if reason := candidate.get("finishReason") or candidate.get("finish_reason"):
            self._reasons[index] = str(getattr(reason, "value", reason))

    def _anthropic(self, event: Mapping[str, Any]) -> None:
        place, block, delta = _place(event, "index"), event.get("content_block"), event.get("delta")
        if isinstance(block, Mapping):
            part = conversation.part(block)
            if part["type"] == "tool_call":
                part.pop("arguments", None)  # an empty object, before they come
            self._put(0, place, part)
        elif isinstance(delta, Mapping):
            if isinstance(piece := delta.get("partial_json"), str):
                self._call(0, place, None, None, piece)
            elif isinstance(piece := delta.get("thinking"), str):
                self._add(0, place, "reasoning", piece)
            else:
                self._add(0, place, "text", delta.get("text"))

    def _responses(self, kind: str, event: Mapping[str, Any]) -> None:
        """OpenAI's Responses: pieces, which whole items take the place of when they come."""
        place, piece, item, whole = _place(event, "output_index"), event.get("delta"), event.get("item"), event.get("response")
        if isinstance(item, Mapping):
            if kind.endswith(".done") or str(item.get("type")) in conversation.CALLS:
                parts = self._parts.setdefault(0, {})
                for key in [key for key in parts if isinstance(key, tuple) and key[0] == place]:
                    del parts[key]
                self._item(place, item)
        elif isinstance(whole, Mapping) and whole.get("output"):
            self._items(whole["output"])
        elif isinstance(piece, str):
            if kind.endswith(("arguments.delta", "call_input.delta")):
                self._call(0, (place, 0), None, None, piece)
            elif "text" in kind:
                told = "reasoning" if "reasoning" in kind else "text"
                self._add(0, (place, _place(event, "content_index", _place(event, "summary_index"))), told, piece)

    def _items(self, output: object) -> None:
        self._parts.pop(0, None)
        self._left = _MOST
        for place, item in enumerate(_mappings(output)):
            self._item(place, item)

    def _item(self, place: object, item: Mapping[str, Any]) -> None:
        for index, part in enumerate(conversation.message(item)["parts"]):
            self._put(0, (place, index), part)

    def _blocks(self, index: int, content: object) -> None:
        for place, part in enumerate(conversation.parts_of(content)):
            self._put(index, place, part)

    # --- parts, bounded ------------------------------------------------------------------------------------------------------------

    def _put(self, index: int, key: object, part: conversation.Part) -> None:
        if isinstance(part.get("content"), str):
            part["content"] = self._kept(part["content"])
        self._parts.setdefault(index, {})[key] = part

    def _add(self, index: int, key: object, kind: str, piece: object) -> None:
        """More of a text."""
        if isinstance(piece, str) and piece:
            parts = self._parts.setdefault(index, {})
            if parts.get(key, {}).get("type") != kind:
                parts[key] = {"type": kind, "content": ""}
            parts[key]["content"] += self._kept(piece)

    def _call(self, index: int, key: object, id: object, name: object, arguments: object) -> None:  # noqa: A002 - the conventions' name
        """More of a tool call."""
        parts = self._parts.setdefault(index, {})
        if parts.get(key, {}).get("type") != "tool_call":
            parts[key] = {"type": "tool_call", "name": ""}
        part = parts[key]
        if id:
            part["id"] = str(id)
        if name:
            part["name"] = str(name)
        if isinstance(arguments, str):
            had = part.get("arguments", "")
            part["arguments"] = f"{had if isinstance(had, str) else ''}{self._kept(arguments)}"

    def _kept(self, piece: str) -> str:
        kept = piece[: self._left]
        self._left -= len(kept)
        return kept


def _whole(part: conversation.Part) -> conversation.Part:
    return conversation.call(part.get("id"), part["name"], part.get("arguments")) if part["type"] == "tool_call" else part


def _read(message: Mapping[str, Any], facts: Facts) -> None:
    kind = str(message.get("type", ""))
    inner = message.get("response") or message.get("message")  # OpenAI's Responses and Anthropic wrap what matters
    for body in (message, inner) if isinstance(inner, Mapping) else (message,):
        is_event = body is message and kind.startswith(("response.", "message_", "content_"))
        facts.id = facts.id or _text(None if is_event else body.get("id") or body.get("responseId") or body.get("response_id"))
        facts.model = facts.model or _text(body.get("model") or body.get("modelVersion") or body.get("model_version"))
        facts.finish_reasons = _why(body) or facts.finish_reasons
        usage = body.get("usage") or body.get("usageMetadata") or body.get("usage_metadata")
        if isinstance(usage, Mapping):
            tier = body.get("service_tier")  # OpenAI says beside the usage how the call was served, others within
            told = usage if tier is None else {"service_tier": tier, **usage}
            facts.usage.update({key: value for key, value in told.items() if value is not None})
        error = body if kind == "error" and "message" in body and body is message else body.get("error")
        if isinstance(error, Mapping):
            named = error.get("type") if error is not message else None
            facts.error = (str(error.get("code") or error.get("status") or named or "_OTHER"), str(error.get("message") or ""))


def _why(body: Mapping[str, Any]) -> list[str]:
    """Why the model stopped, in the provider's words."""
    reasons = [*_each(body.get("choices"), "finish_reason"), *_each(body.get("candidates"), "finishReason", "finish_reason")]
    holders = (body.get("delta"), body)
    reasons += [str(holder["stop_reason"]) for holder in holders if isinstance(holder, Mapping) and holder.get("stop_reason")]
    if body.get("object") == "response" and str(body.get("status")) in {"completed", "incomplete", "failed"}:
        details = body.get("incomplete_details")
        reasons.append(str((details.get("reason") if isinstance(details, Mapping) else None) or body["status"]))
    return reasons


def _each(items: object, *keys: str) -> list[str]:
    found = (next((item[key] for key in keys if item.get(key)), None) for item in _mappings(items))
    return [str(getattr(reason, "value", reason)) for reason in found if reason is not None]


def _place(event: Mapping[str, Any], name: str, otherwise: int = 0) -> int:
    """Which of several something is, as a provider counts them."""
    place = event.get(name)
    return place if isinstance(place, int) else otherwise


def _mappings(items: object) -> list[Mapping[str, Any]]:
    return [item for item in items if isinstance(item, Mapping)] if isinstance(items, list | tuple) else []


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None

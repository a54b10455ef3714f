"""What a provider's answer says of itself, read off the bytes: id, model, why it stopped, tokens.

All of MassGen's HTTP backends (OpenAI's two interfaces and what imitates them, Anthropic, Gemini) answer in JSON or in server-sent events whose
data is JSON. Only the beginning and the end of an answer are kept: the first event names it, the last ones say how it ended.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

_HEAD: Final = 4096
_TAIL: Final = 16384
"""Bytes that are kept of an answer's beginning and end."""


@dataclass(slots=True)
class Tokens:
    """One call's tokens as the facade counts them: cached ones are part of the input, reasoning is part of the output; None is unknown.

    Attributes:
        cost: USD, where the provider itself names it.
        raw: as the provider reported it.
    """

    input: int | None = None
    output: int | None = None
    reasoning: int | None = None
    cached_input: int | None = None
    cost: float | None = None
    raw: Mapping[str, Any] | None = None


@dataclass(slots=True)
class Facts:
    """What an answer says of itself; None and empty where it does not."""

    id: str | None = None
    model: str | None = None
    finish_reasons: list[str] = field(default_factory=list)
    tokens: Tokens | None = None


class Answer:
    """The beginning and the end of an answer's body, as it passes by."""

    __slots__ = ("_head", "_tail")

    def __init__(self) -> None:
        self._head = b""
        self._tail = bytearray()

    def add(self, chunk: bytes) -> None:
        """Take the next bytes of the body."""
        missing = _HEAD - len(self._head)
        if missing > 0:
            self._head += chunk[:missing]
        self._tail += chunk
        if len(self._tail) > 2 * _TAIL:
            del self._tail[:-_TAIL]

    def facts(self) -> Facts:
        """What has been said so far."""
        facts = Facts()
        tail = bytes(self._tail)
        for message in (*_messages(self._head), *(_messages(tail) if tail != self._head else ())):
            _read(message, facts)
        return facts


def tokens_of(usage: object) -> Tokens | None:
    """A provider's usage, of whatever kind, as the facade counts; None for what is none.

    OpenAI reports `prompt_tokens` or `input_tokens` with details, cached ones included. Anthropic reports cached and cache-writing tokens beside
    the input: they are added. Gemini reports `prompt_token_count` and thoughts beside the candidates: these are added to the output.
    """
    raw = _mapping(usage)
    if not raw:
        return None
    get = _Numbers(raw)
    if "cache_read_input_tokens" in raw or "cache_creation_input_tokens" in raw:  # Anthropic
        parts = (get("input_tokens"), get("cache_read_input_tokens"), get("cache_creation_input_tokens"))
        made = _mapping(raw.get("output_tokens_details"))
        tokens = Tokens(_sum(*parts), get("output_tokens"), _Numbers(made)("thinking_tokens"), get("cache_read_input_tokens"))
    elif "prompt_token_count" in raw or "promptTokenCount" in raw:  # Gemini
        thoughts = get("thoughts_token_count", "thoughtsTokenCount")
        output = _sum(get("candidates_token_count", "candidatesTokenCount"), thoughts)
        tokens = Tokens(get("prompt_token_count", "promptTokenCount"), output, thoughts, get("cached_content_token_count", "cachedContentTokenCount"))
    else:
        details = _mapping(raw.get("prompt_tokens_details") or raw.get("input_tokens_details"))
        made = _mapping(raw.get("completion_tokens_details") or raw.get("output_tokens_details"))
        tokens = Tokens(
            get("prompt_tokens", "input_tokens"),
            get("completion_tokens", "output_tokens"),
            _Numbers(made)("reasoning_tokens"),
            _Numbers(details)("cached_tokens") if details else get("cached_input_tokens"),
        )
    cost = raw.get("cost")
    tokens.cost = float(cost) if isinstance(cost, int | float) and not isinstance(cost, bool) and cost > 0 else None
    tokens.raw = raw
    return None if tokens.input is None and tokens.output is None else tokens


class _Numbers:
    """The whole numbers of a mapping, by any of several names."""

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self._raw = raw

    def __call__(self, *names: str) -> int | None:
        for name in names:
            value = self._raw.get(name)
            if isinstance(value, int | float) and not isinstance(value, bool):
                return int(value)
        return None


def _sum(*parts: int | None) -> int | None:
    known = [part for part in parts if part is not None]
    return sum(known) if known else None


def _mapping(value: object) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return value
    dump = getattr(value, "model_dump", None)  # pydantic, which the providers' clients use
    if callable(dump):
        dumped = dump(exclude_none=True)
        return dumped if isinstance(dumped, Mapping) else {}
    return dict(vars(value)) if hasattr(value, "__dict__") else {}


def _messages(body: bytes) -> Iterator[Mapping[str, Any]]:
    """The JSON objects in a body, or in a piece of one: of server-sent events, or the whole of it."""
    for line in body.splitlines():
        text = line.removeprefix(b"data:").strip()
        if not text.startswith((b"{", b"[")):
            continue
        try:
            value = json.loads(text)
        except ValueError:
            continue
        if isinstance(value, dict):
            yield value
    if body[:1] in {b"{", b"["} and b"\n" in body:  # printed over several lines
        try:
            value = json.loads(body)
        except ValueError:
            return
        yield from (item for item in (value if isinstance(value, list) else [value]) if isinstance(item, dict))


def _read(message: Mapping[str, Any], facts: Facts) -> None:
    inner = message.get("response") or message.get("message")  # OpenAI's Responses and Anthropic wrap what matters
    for body in (message, inner) if isinstance(inner, Mapping) else (message,):
        is_event = body is message and str(message.get("type", "")).startswith(("response.", "message_", "content_"))
        facts.id = facts.id or _text(None if is_event else body.get("id") or body.get("responseId"))
        facts.model = facts.model or _text(body.get("model") or body.get("modelVersion"))
        reasons = [*_reasons(body.get("choices"), "finish_reason"), *_reasons(body.get("candidates"), "finishReason")]
        delta = body.get("delta")
        if isinstance(delta, Mapping) and delta.get("stop_reason"):
            reasons.append(str(delta["stop_reason"]))
        if body.get("stop_reason"):
            reasons.append(str(body["stop_reason"]))
        if body.get("object") == "response" and body.get("status") in {"completed", "incomplete", "failed"}:
            reasons.append(str(body["status"]))
        facts.finish_reasons = reasons or facts.finish_reasons
        tokens = tokens_of(body.get("usage") or body.get("usageMetadata"))
        if tokens is not None:
            # Anthropic names the input at the beginning and the output at the end.
            if facts.tokens is not None and tokens.input is None:
                tokens.input, tokens.cached_input = facts.tokens.input, facts.tokens.cached_input
            facts.tokens = tokens


def _reasons(items: object, key: str) -> list[str]:
    return [str(item[key]) for item in items if isinstance(item, Mapping) and item.get(key)] if isinstance(items, list) else []


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None

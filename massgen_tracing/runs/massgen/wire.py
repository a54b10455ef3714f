"""What a provider's answer says of itself, read off the bytes: id, model, why it stopped, tokens, what went wrong.

All of MassGen's HTTP backends (OpenAI's two interfaces and what imitates them, Anthropic, Gemini) answer in JSON or in server-sent events whose
data is JSON. Events are read as they pass by; only what they say is kept.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from massgen_tracing.trace.reported import as_mapping, usage_of

_LINE_END: Final = re.compile(rb"\r\n|\n|\r(?=[^\n])")
"""The ends of lines in server-sent events; a CR that nothing follows yet may be half of one."""

_MOST: Final = 1 << 24
"""Bytes of a single event, or of an answer that is no stream, from which on it is not looked at."""


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


class Answer:
    """An answer's body, as it passes by."""

    __slots__ = ("_begun", "_data", "_facts", "_is_stream", "_line", "_size")

    def __init__(self) -> None:
        self._facts = Facts()
        self._line: list[bytes] = []  # what has come of the line, or of all where the answer is no stream
        self._data: list[bytes] = []  # of the event
        self._size = 0
        self._is_stream: bool | None = None
        self._begun = False

    def add(self, chunk: bytes) -> None:
        """Take the next bytes of the body."""
        if self._is_stream is None:
            begun = b"".join((*self._line, chunk)).lstrip()
            self._is_stream = begun[:1] not in {b"{", b"["} if begun else None
        if not self._is_stream or (b"\n" not in chunk and b"\r" not in chunk):
            self._keep(chunk)
            return
        *lines, rest = _LINE_END.split(b"".join((*self._line, chunk)))
        self._line = [rest]
        self._size = len(rest)
        for line in lines:
            if line.startswith(b"data:"):
                self._begun = True
                self._data.append(line[5:])
            elif not line:
                self._dispatch()

    def read(self, event: Mapping[str, Any]) -> None:
        """Take the next event, where somebody else has read it."""
        self._begun = True
        _read(event, self._facts)

    @property
    def begun(self) -> bool:
        """Whether any of the answer itself has come, and not only comments by which a server keeps the connection open."""
        return self._begun or self._is_stream is False

    def facts(self) -> Facts:
        """What has been said so far."""
        if self._is_stream:
            line = b"".join(self._line)
            self._dispatch([*self._data, line[5:]] if line.startswith(b"data:") else None)
        elif self._line:
            for message in _whole(b"".join(self._line)):
                _read(message, self._facts)
        return self._facts

    def _keep(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size < _MOST:
            self._line.append(chunk)

    def _dispatch(self, data: list[bytes] | None = None) -> None:
        """An event is complete."""
        text = b"\n".join(data or self._data)
        if data is None:
            self._data = []
        message = _parsed(text)
        if isinstance(message, dict):
            _read(message, self._facts)


def usage_in(said: object) -> Mapping[str, Any] | None:
    """A provider's usage, of whatever kind; None for what tells of no tokens."""
    usage = as_mapping(said)
    tokens = usage_of(usage)
    return None if tokens.input is None and tokens.output is None else usage


def _whole(body: bytes) -> list[Mapping[str, Any]]:
    """The JSON objects of a body that is no stream of events: one, a list of them, or one a line."""
    value = _parsed(body)
    values = value if isinstance(value, list) else [value] if value is not None else [_parsed(line) for line in body.splitlines()]
    return [item for item in values if isinstance(item, dict)]


def _parsed(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _read(message: Mapping[str, Any], facts: Facts) -> None:
    kind = str(message.get("type", ""))
    inner = message.get("response") or message.get("message")  # OpenAI's Responses and Anthropic wrap what matters
    for body in (message, inner) if isinstance(inner, Mapping) else (message,):
        is_event = body is message and kind.startswith(("response.", "message_", "content_"))
        facts.id = facts.id or _text(None if is_event else body.get("id") or body.get("responseId"))
        facts.model = facts.model or _text(body.get("model") or body.get("modelVersion"))
        facts.finish_reasons = _why(body) or facts.finish_reasons
        usage = body.get("usage") or body.get("usageMetadata")
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
    reasons = [*_each(body.get("choices"), "finish_reason"), *_each(body.get("candidates"), "finishReason")]
    holders = (body.get("delta"), body)
    reasons += [str(holder["stop_reason"]) for holder in holders if isinstance(holder, Mapping) and holder.get("stop_reason")]
    if body.get("object") == "response" and body.get("status") in {"completed", "incomplete", "failed"}:
        details = body.get("incomplete_details")
        reasons.append(str((details.get("reason") if isinstance(details, Mapping) else None) or body["status"]))
    return reasons


def _each(items: object, key: str) -> list[str]:
    return [str(item[key]) for item in items if isinstance(item, Mapping) and item.get(key)] if isinstance(items, list) else []


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None

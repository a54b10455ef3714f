"""A provider's answer, read off the bytes.

All of MassGen's HTTP backends (OpenAI's two interfaces and what imitates them, Anthropic, Gemini) answer in JSON or in server-sent events whose
data is JSON. Events are read as they pass by; what they say is kept (`massgen_tracing.trace.replies`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from massgen_tracing.trace.replies import Reply
from massgen_tracing.trace.reported import as_mapping, usage_of

_LINE_END: Final = re.compile(rb"\r\n|\n|\r(?=[^\n])")
"""The ends of lines in server-sent events; a CR that nothing follows yet may be half of one."""

_MOST: Final = 1 << 24
"""Bytes of a single event, or of an answer that is no stream, from which on it is not looked at."""


class Answer:
    """An answer's body, as it passes by."""

    __slots__ = ("_begun", "_data", "_is_stream", "_line", "_reply", "_size")

    def __init__(self) -> None:
        self._reply = Reply()
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
        self._reply.read(event)

    @property
    def begun(self) -> bool:
        """Whether any of the answer itself has come, and not only comments by which a server keeps the connection open."""
        return self._begun or self._is_stream is False

    def reply(self) -> Reply:
        """What has come so far."""
        if self._is_stream:
            line = b"".join(self._line)
            self._dispatch([*self._data, line[5:]] if line.startswith(b"data:") else None)
        elif self._line:
            for message in _whole(b"".join(self._line)):
                self._reply.read(message)
        return self._reply

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
            self._reply.read(message)


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

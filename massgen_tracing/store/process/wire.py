"""Messages between a caller and its worker: JSON, and bytes that go with it. Nothing that comes from a worker is ever executed."""

from __future__ import annotations

import json
import os
import struct
from typing import Any, Final

_LENGTHS: Final = struct.Struct("!QQ")
_MOST: Final = 2**20
"""Bytes a read or write asks for; some systems take no more than 2 GiB at once."""

Message = tuple[dict[str, Any], bytes]


def send(descriptor: int, head: dict[str, Any], body: bytes | memoryview = b"") -> None:
    """Write one message.

    Raises:
        OSError: if the other side is gone.
    """
    text = json.dumps(head).encode()
    for part in (_LENGTHS.pack(len(text), len(body)), text, body):
        rest = memoryview(part)
        while rest:
            rest = rest[os.write(descriptor, rest[:_MOST]) :]


def receive(descriptor: int) -> Message | None:
    """Read one message; None when the other side is gone."""
    lengths = _read(descriptor, _LENGTHS.size)
    if lengths is None:
        return None
    of_head, of_body = _LENGTHS.unpack(lengths)
    head, body = _read(descriptor, of_head), _read(descriptor, of_body)
    return None if head is None or body is None else (json.loads(head), body)


def _read(descriptor: int, length: int) -> bytes | None:
    parts: list[bytes] = []
    while length:
        try:
            part = os.read(descriptor, min(length, _MOST))
        except OSError:
            part = b""
        if not part:
            return None
        parts.append(part)
        length -= len(part)
    return b"".join(parts)

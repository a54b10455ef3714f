"""Arrivals: requests as they came, each behind its length in four bytes; what was acknowledged together is a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


def framed(content: bytes) -> bytes:
    """A request as it stands in an arrival."""
    return len(content).to_bytes(4, "big") + content


def requests(arrival: Path) -> Iterator[bytes]:
    """The requests of an arrival."""
    content = arrival.read_bytes()
    at = 0
    while at < len(content):
        begin = at + 4
        at = begin + int.from_bytes(content[at:begin], "big")
        yield content[begin:at]

"""Bytes as they come, as lines of text: half ones wait for their end, what is no UTF-8 is shown, and what steers a terminal is taken out."""

from __future__ import annotations

import re
from typing import Final

LONGEST: Final = 65_536
"""Bytes of a line; the rest of a longer one is a line of its own."""

_STEERING: Final = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|\x1b[\]P^_X][^\x07\x1b]*(?:\x07|\x1b\\|$)"  # OSC, DCS and their like: titles, links
    r"|\x1b[ -/]*[0-~]"  # two characters and more
    r"|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
)


def plain(text: str) -> str:
    """A line as a terminal would leave it: without what steers it, and of what overwrote itself the last."""
    if text.isprintable():
        return text
    text = _STEERING.sub("", text).rstrip("\r")
    return text.rpartition("\r")[2].replace("\t", "    ").rstrip()


class Lines:
    """Takes bytes and gives whole lines."""

    def __init__(self) -> None:
        self._half = b""

    def feed(self, data: bytes) -> list[str]:
        """The lines that are whole now."""
        *whole, self._half = (self._half + data).split(b"\n")
        if len(self._half) > LONGEST:
            whole.append(self._half)
            self._half = b""
        return [plain(line[:LONGEST].decode("utf-8", "backslashreplace")) for line in whole]

    def rest(self) -> list[str]:
        """What stands without an end, where no more will come."""
        half, self._half = self._half, b""
        return [plain(half.decode("utf-8", "backslashreplace"))] if half else []

    @property
    def half(self) -> str:
        """The line that has no end yet."""
        return plain(self._half[-LONGEST:].decode("utf-8", "backslashreplace"))

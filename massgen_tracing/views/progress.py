"""A line that says that something still goes on: on a terminal only, and only where it takes long."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Final, Self, TextIO

from massgen_tracing.views import text

_PATIENCE: Final = 1.0
"""Seconds until the line is shown."""

_WIPE: Final = "\r\x1b[K"


_EVERY: Final = 0.1
"""Seconds from one line to the next."""


class Progress:
    """Takes the seconds since a query began, or says how far something is; the line is gone when the block is left.

    Args:
        stream: where to, standard error unless said otherwise.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._said = time.monotonic()
        self._stream = sys.stderr if stream is None else stream
        self._is_terminal = self._stream.isatty()
        self._shown = False

    def __call__(self, seconds: float) -> None:
        if seconds >= _PATIENCE:
            self._show(f"still asking, {text.duration(seconds)}; Ctrl-C stops it")

    def say(self, line: str) -> None:
        """Say how far it is, where the last time is a moment ago."""
        if time.monotonic() - self._said >= _EVERY:
            self._said = time.monotonic()
            self._show(line)

    def _show(self, line: str) -> None:
        if self._is_terminal:
            self._stream.write(f"{_WIPE}{line}")
            self._stream.flush()
            self._shown = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._shown:
            self._stream.write(_WIPE)
            self._stream.flush()

"""A line that says that a query is still being answered: on a terminal only, and only where it takes long."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Final, Self, TextIO

from massgen_tracing.views import text

_PATIENCE: Final = 1.0
"""Seconds until the line is shown."""

_WIPE: Final = "\r\x1b[K"


class Progress:
    """Takes the seconds since a query began; the line is gone when the block is left.

    Args:
        stream: where to, standard error unless said otherwise.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._is_terminal = self._stream.isatty()
        self._shown = False

    def __call__(self, seconds: float) -> None:
        if self._is_terminal and seconds >= _PATIENCE:
            self._stream.write(f"{_WIPE}still asking, {text.duration(seconds)}; Ctrl-C stops it")
            self._stream.flush()
            self._shown = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._shown:
            self._stream.write(_WIPE)
            self._stream.flush()

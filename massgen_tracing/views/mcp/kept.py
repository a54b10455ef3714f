"""Runs that were asked for last, read and taken apart once for as long as their recordings are the same."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Final

from massgen_tracing.views.mcp.backend import Opened

_MOST: Final = 2
"""Runs; one of 50,000 spans takes about 150 MB."""

_Version = tuple[tuple[str, int, int], ...]


class Kept:
    """The runs that were asked for last."""

    def __init__(self) -> None:
        self._runs: OrderedDict[str, tuple[_Version, Opened]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, name: str, files: tuple[Path, ...], opened: Callable[[], Opened]) -> Opened:
        """A run, opened anew where its files have changed.

        Args:
            name: what it was asked for by.
            files: where it lies.
            opened: opens it.
        """
        version = tuple(_stamp(file) for file in files)
        with self._lock:  # who asks for the same at once waits, rather than reads it too
            known = self._runs.get(name)
            if known is not None and known[0] == version:
                self._runs.move_to_end(name)
                return known[1]
            made = opened()
            # Whether what is open was interrupted shows in no file: it is whether somebody still holds it.
            if not made.subject.analysis.summary.open:
                self._runs[name] = version, made
                while len(self._runs) > _MOST:
                    self._runs.popitem(last=False)
            return made


def _stamp(file: Path) -> tuple[str, int, int]:
    try:
        found = file.stat()
    except OSError:
        return str(file), 0, 0
    return str(file), found.st_size, found.st_mtime_ns

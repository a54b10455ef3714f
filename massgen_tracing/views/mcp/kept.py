"""Runs that were asked for last, read and taken apart once for as long as they are the same."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from pathlib import Path
from typing import Final

from massgen_tracing.views.mcp.backend import Opened

_MOST: Final = 2
"""Runs; one of 50,000 spans takes about 150 MB."""


class Kept:
    """The runs that were asked for last."""

    def __init__(self) -> None:
        self._runs: OrderedDict[str, tuple[Hashable, Opened]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, name: str, version: Hashable, opened: Callable[[], Opened], *, trace: str = "") -> Opened:
        """A run, opened anew where it has changed.

        Args:
            name: what it is called.
            version: another one whenever it has changed.
            opened: opens it.
            trace: the first digits of its trace's id, where it was asked for by these: a run that has only that one will do.
        """
        with self._lock:  # who asks for the same at once waits, rather than reads it too
            for known, (of, made) in self._runs.items():
                ids = made.subject.analysis.summary.trace_ids
                if of == version and (known == name or (trace and len(ids) == 1 and ids[0].startswith(trace.lower()))):
                    self._runs.move_to_end(known)
                    return made
            made = opened()
            # Whether what is open was interrupted shows in no file: it is whether somebody still holds it.
            if not made.subject.analysis.summary.open:
                self._runs[name] = version, made
                self._runs.move_to_end(name)
                while len(self._runs) > _MOST:
                    self._runs.popitem(last=False)
            return made


def of_files(files: Iterable[Path]) -> Hashable:
    """A version that is another one whenever one of the files has changed."""
    return tuple(_stamp(file) for file in files)


def _stamp(file: Path) -> tuple[str, int, int]:
    try:
        found = file.stat()
    except OSError:
        return str(file), 0, 0
    return str(file.resolve()), found.st_size, found.st_mtime_ns

"""Sealing what was sent, soon after it has come: a process that is started now and then, and gives way to all others.

Recordings that are read as they were written cost a question as much as they have spans; sealed ones cost next to nothing. Of a trace that goes on
after it was sealed, the rest is another file beside the first.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from massgen_tracing import layout
from massgen_tracing.errors import RecordingError

_PAUSE_SECONDS: Final = 15.0
"""Between two such processes."""

_QUIET_SECONDS: Final = 10.0
"""How long nothing has come of a trace that is sealed; one with open spans is held locked, and stays as it is."""

_LONGEST_SECONDS: Final = 20.0
_NICE: Final = 10
_BOOT: Final = "import sys; sys.path[:] = sys.argv[2:]; from massgen_tracing.serve.ingest.tidying import main; main(sys.argv[1])"


class Tidier:
    """Starts the process when there is something for it.

    Args:
        root: whose recordings are sealed.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._process: subprocess.Popen[bytes] | None = None
        self._started = self._written = time.monotonic()
        self._has_something = True  # a server before this one may have left it

    def written(self) -> None:
        """Something was written just now."""
        self._written = time.monotonic()
        self._has_something = True

    def tidy(self) -> None:
        """Start the process, if it is time to."""
        now = time.monotonic()
        is_running = self._process is not None and self._process.poll() is None
        if is_running or not self._has_something or now - self._started < _PAUSE_SECONDS:
            return
        self._has_something = now - self._written < _QUIET_SECONDS
        self._started = now
        self._process = subprocess.Popen([sys.executable, "-c", _BOOT, str(self._root), *sys.path], stdin=subprocess.DEVNULL)

    def close(self) -> None:
        """End it; what it has not sealed stays as it is."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()


def main(root: str) -> None:
    """Seal what is quiet: many small recordings together, others by themselves."""
    from massgen_tracing.store.roots import compaction
    from massgen_tracing.store.sealing import seal

    os.nice(_NICE)
    deadline = time.monotonic() + _LONGEST_SECONDS
    with contextlib.suppress(RecordingError):
        compaction.compact(Path(root), until=deadline, only=_is_quiet)
    for path in sorted((Path(root) / layout.TRACES_DIR).glob(f"*{layout.RECORDING_SUFFIX}")):
        if time.monotonic() > deadline:
            return
        with contextlib.suppress(RecordingError, OSError):
            if seal.is_own(path) and _is_quiet(path):
                seal.seal(path)


def _is_quiet(path: Path) -> bool:
    return time.time() - path.stat().st_mtime > _QUIET_SECONDS

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
"""Between the starts of two such processes, unless much has come."""

_MUCH: Final = 2**25
"""So many bytes of what was sent are worth a process at once."""

_QUIET_SECONDS: Final = 10.0
_SHORT_SECONDS: Final = 2.0
"""How long nothing has come of a trace that is sealed, and where much has come. One with open spans is held locked, and stays as it is."""

_LONGEST_SECONDS: Final = 20.0
_NICE: Final = 5
_BOOT: Final = "import sys; sys.path[:] = sys.argv[3:]; from massgen_tracing.serve.ingest.tidying import main; main(sys.argv[1], float(sys.argv[2]))"


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
        self._bytes = 0

    def written(self, size: int) -> None:
        """So many bytes of what was sent were written just now."""
        self._written = time.monotonic()
        self._has_something = True
        self._bytes += size

    def tidy(self) -> None:
        """Start the process, if it is time to."""
        now = time.monotonic()
        is_running = self._process is not None and self._process.poll() is None
        is_much = self._bytes > _MUCH
        if is_running or not self._has_something or (now - self._started < _PAUSE_SECONDS and not is_much):
            return
        quiet = _SHORT_SECONDS if is_much else _QUIET_SECONDS
        self._has_something = now - self._written < quiet
        self._started, self._bytes = now, 0
        self._process = subprocess.Popen([sys.executable, "-c", _BOOT, str(self._root), str(quiet), *sys.path], stdin=subprocess.DEVNULL)

    def close(self) -> None:
        """End it; what it has not sealed stays as it is."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()


def main(root: str, seconds: float) -> None:
    """Seal what has been quiet for so long: many small recordings together, others by themselves."""
    from massgen_tracing.store.roots import compaction
    from massgen_tracing.store.sealing import candidates, seal

    os.nice(_NICE)
    deadline = time.monotonic() + _LONGEST_SECONDS

    def is_quiet(path: Path) -> bool:
        return time.time() - path.stat().st_mtime > seconds

    with contextlib.suppress(RecordingError):
        compaction.compact(Path(root), until=deadline, only=is_quiet)
    for path in sorted((Path(root) / layout.TRACES_DIR).glob(f"*{layout.RECORDING_SUFFIX}")):
        if time.monotonic() > deadline:
            return
        with contextlib.suppress(RecordingError, OSError):
            if candidates.is_own(path) and is_quiet(path):
                seal.seal(path)

"""Where spans wait for their delivery when nothing is to be recorded."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from opentelemetry.sdk.trace import ReadableSpan

from massgen_tracing import guard, layout
from massgen_tracing.delivery import leftovers
from massgen_tracing.sinks.recording import Recording


class Temporary(Recording):
    """A recording that is only there to be delivered: in a directory of its own, which goes with the last process that needs it.

    Forked children write there too. What they leave their parent sends, as long as it is there and has not finished. If that is killed, the next run,
    or a push, finds what is left (`leftovers`).
    """

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix=leftovers.PREFIX))
        super().__init__(self.directory)
        self._maker = os.getpid()
        self._kept = self.directory / leftovers.KEPT
        self._held = leftovers.hold(self.directory)
        self._over = False

    @property
    def is_anothers(self) -> bool:
        """Whether a process from which this one was forked sends what is in it, and removes it."""
        return os.getpid() != self._maker and layout.is_there(self._kept) and _runs(self._maker)

    def on_end(self, span: ReadableSpan) -> None:
        """Record an ended span, as long as there is somebody to send it."""
        if not self._over:
            super().on_end(span)

    def remove(self) -> None:
        """Remove it, unless another process needs it; what ends from now on is not recorded."""
        self._over = True
        if self.is_anothers:
            return
        self.release()
        with guard.ignored(OSError):
            os.close(self._held)
        with guard.ignored(OSError):
            self._kept.unlink()
        if not leftovers.is_written(self.directory):
            shutil.rmtree(self.directory, ignore_errors=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except OSError as error:
        guard.passing(error)
        return not isinstance(error, ProcessLookupError)
    return True

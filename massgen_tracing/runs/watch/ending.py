"""Ends the processes of what is watched, which happens only where `--kill-on` asks for it: SIGTERM, and SIGKILL for what is left after a while."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Sequence
from typing import Final

GRACE_SECONDS: Final = 5.0


class Ending:
    """Ends processes of which others are told, each with those below it."""

    def end(self, pids: Sequence[int], told: Callable[[str], None]) -> None:
        """Begin to; *told* is called with what was done."""
        from massgen_tracing.runs.watch.processes import TABLE, library

        library("ending processes")
        everything = [pid for root in pids for pid in TABLE.below(root) if pid != os.getpid()]
        if not everything:
            told("nothing: no process of it is known")
            return
        self._send(everything, signal.SIGTERM, told)
        asyncio.get_running_loop().call_later(GRACE_SECONDS, self._send, everything, signal.SIGKILL, told)

    @staticmethod
    def _send(pids: Sequence[int], number: signal.Signals, told: Callable[[str], None]) -> None:
        for pid in reversed(pids):  # children first, or they are somebody else's by then
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)
                told(f"{number.name} to process {pid}")

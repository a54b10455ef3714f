"""Waiting for processes that are not children of this one."""

from __future__ import annotations

import contextlib
import os
import select


def gone(pid: int) -> None:
    """Return when a process has ended, at once where it has already."""
    with contextlib.suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
        try:
            select.select([descriptor], [], [])
        finally:
            os.close(descriptor)

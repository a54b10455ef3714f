"""Whether the process that writes a recording still runs.

A writer holds a shared lock on its file for as long as it lives, and the kernel takes it away however the process ends. A reader asks
for the exclusive lock on a descriptor of its own and gives it back at once.
"""

from __future__ import annotations

import importlib
import os
import time
from pathlib import Path
from types import ModuleType
from typing import Final

fcntl: ModuleType | None
try:
    fcntl = importlib.import_module("fcntl")
except ImportError:  # Windows
    fcntl = None

ATTEMPTS: Final = 3
PAUSE_SECONDS: Final = 0.002
"""Another reader's question holds the lock for some microseconds; a writer holds it for as long as it lives."""


def writer_alive(path: Path) -> bool:
    """Whether some process still writes to *path*; False where the system cannot say.

    Raises:
        OSError: if the file cannot be opened.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(PAUSE_SECONDS)
            if not _is_locked(descriptor):
                return False
        return True
    finally:
        os.close(descriptor)


def _is_locked(descriptor: int) -> bool:
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        # Some network file systems know no such lock; then nobody can hold one.
        return False
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False

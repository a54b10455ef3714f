"""Whether the process that writes a recording still runs.

A writer holds a shared lock on its file for as long as it lives, and the kernel takes it away however the process ends. A reader asks
for the exclusive lock on a descriptor of its own and gives it back at once. A writer that has more files than it may open vouches for those that
it has closed (`layout.Voucher`): its lock is then on a file that the voucher names.
"""

from __future__ import annotations

import importlib
import os
import time
from pathlib import Path
from types import ModuleType
from typing import Final

from massgen_tracing import layout

fcntl: ModuleType | None
try:
    fcntl = importlib.import_module("fcntl")
except ImportError:  # Windows
    fcntl = None

ATTEMPTS: Final = 3
PAUSE_SECONDS: Final = 0.002
"""Another reader's question holds the lock for some microseconds; a writer holds it for as long as it lives."""

_FLAGS: Final = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)
"""Whatever somebody may have put there is opened without waiting."""

_MOST_BYTES: Final = 4096


def writer_alive(path: Path) -> bool:
    """Whether some process still writes to *path*; False where the system cannot say.

    Raises:
        OSError: if the file cannot be opened.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return _stays_locked(descriptor) or vouched_for(path, os.fstat(descriptor).st_ino)
    finally:
        os.close(descriptor)


def vouched_for(path: Path, inode: int) -> bool:
    """Whether the writer of *path*, which has this inode, has closed it and goes on all the same; False where there is nothing that says so."""
    try:
        voucher = layout.Voucher.decode(_content(layout.Voucher.path(path)))
        if voucher is None or voucher.inode != inode:
            return False
        descriptor = os.open(path.parent / voucher.writer, _FLAGS)
    except OSError:
        return False
    try:
        return _stays_locked(descriptor, others=True)
    finally:
        os.close(descriptor)


def _content(path: Path) -> bytes:
    descriptor = os.open(path, _FLAGS)
    try:
        return os.read(descriptor, _MOST_BYTES)
    finally:
        os.close(descriptor)


def _stays_locked(descriptor: int, *, others: bool = False) -> bool:
    """Whether a file is locked for longer than a reader looks.

    Args:
        descriptor: the file.
        others: whether others may look at the same time, for the lock is an exclusive one.
    """
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(PAUSE_SECONDS)
        if not _is_locked(descriptor, others=others):
            return False
    return True


def _is_locked(descriptor: int, *, others: bool) -> bool:
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if others else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        # Some network file systems know no such lock; then nobody can hold one.
        return False
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False

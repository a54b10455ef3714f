"""Temporary recordings of processes that were killed: found again in the temporary directory, sent, and removed."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from massgen_tracing import guard, layout, ledger
from massgen_tracing.store.reading import liveness

PREFIX: Final = "massgen-tracing-unsent-"
"""Begins the names of their directories, and of nobody else's: what a query's process keeps beside them is not to be removed."""

KEPT: Final = "kept"
"""The file in such a directory that a process holds locked for as long as it needs it."""

_YOUNG_SECONDS: Final = 60.0
"""For so long a directory may not have it yet."""


def hold(directory: Path) -> int:
    """Say that this process needs a directory, until it ends or closes the descriptor that is returned.

    Raises:
        OSError: if that cannot be said.
    """
    descriptor = os.open(directory / KEPT, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
    if liveness.fcntl is not None:
        with guard.ignored(OSError):  # a file system without locks
            liveness.fcntl.flock(descriptor, liveness.fcntl.LOCK_EX | liveness.fcntl.LOCK_NB)
    return descriptor


def directories() -> Iterator[Path]:
    """Those of this user that no process needs any more."""
    if liveness.fcntl is None:
        return
    for directory in sorted(Path(tempfile.gettempdir()).glob(f"{PREFIX}*")):
        with guard.ignored(OSError):
            status = directory.lstat()
            if stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not _is_needed(directory, status.st_mtime):
                yield directory


def discard(directory: Path) -> None:
    """Remove one, unless its recordings still owe something."""
    if not any(any(ledger.unfinished(path)) for path in _recordings(directory)):
        shutil.rmtree(directory, ignore_errors=True)


def is_written(directory: Path) -> bool:
    """Whether a process writes to a recording in a directory."""
    return any(map(_is_written, _recordings(directory)))


def _is_needed(directory: Path, changed: float) -> bool:
    assert liveness.fcntl is not None
    try:
        descriptor = os.open(directory / KEPT, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except FileNotFoundError:
        return time.time() - changed < _YOUNG_SECONDS or is_written(directory)
    try:
        liveness.fcntl.flock(descriptor, liveness.fcntl.LOCK_SH | liveness.fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return is_written(directory)


def _recordings(directory: Path) -> Iterator[Path]:
    return directory.rglob(f"*{layout.RECORDING_SUFFIX}")


def _is_written(path: Path) -> bool:
    try:
        return liveness.writer_alive(path)
    except OSError as error:
        guard.passing(error)
        return False

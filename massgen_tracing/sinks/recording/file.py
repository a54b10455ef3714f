"""One append-only file that survives what a run survives, and more.

A line is handed to the kernel by one `write` before the call returns: a SIGKILL of this process loses nothing of it. The file is opened for
appending and each line is one write, so threads need no lock. What the kernel cannot take (disk full, directory read-only or deleted) is
counted, said once, and tried again later; the run never waits for it and never sees an error.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from massgen_tracing import guard

try:
    import fcntl
except ImportError:  # Windows has no flock; readers there take an unfinished span for an interrupted one
    fcntl = None  # type: ignore[assignment]

CHECK_EVERY_NS: Final = 250_000_000
"""How often a writer looks whether its file still has a name: writes into a deleted file succeed and are lost."""

RETRY_AFTER_NS: Final = 1_000_000_000
"""How long a file that could not be written is left alone."""

_LOCK_ATTEMPTS: Final = 50
_LOCK_PAUSE_SECONDS: Final = 0.002


class _Descriptor:
    """An open file descriptor, closed when the last one who uses it lets go.

    A thread that is about to write holds it, so its number cannot meanwhile be closed and given to a stranger's file.
    """

    __slots__ = ("inode", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        status = os.fstat(number)
        self.inode = status.st_dev, status.st_ino

    def alive(self) -> bool:
        """Whether the file still has a name, and the number is still this file's (a daemon may have closed everything)."""
        try:
            status = os.fstat(self.number)
        except OSError:
            return False
        return status.st_nlink > 0 and (status.st_dev, status.st_ino) == self.inode

    def __del__(self) -> None:
        with contextlib.suppress(OSError):
            if (status := os.fstat(self.number)) and (status.st_dev, status.st_ino) == self.inode:
                os.close(self.number)


class AppendFile:
    """An append-only file of lines, opened at the first line.

    While it is open it holds a shared `flock`, by which readers know that its writer is alive; the kernel releases it when the process dies.

    Args:
        path: asked again at each opening, because a forked child writes to a file of its own.
    """

    def __init__(self, path: Callable[[], Path]) -> None:
        self._path = path
        self._file: _Descriptor | None = None
        self._checked_ns = 0
        self._retry_ns = 0
        self._since_check = 0
        self._torn = False
        self._opening = threading.Lock()

    def write(self, line: bytes) -> bool:
        """Append one line; whether the kernel has it. Never raises."""
        now = time.monotonic_ns()
        file = self._file
        if file is None or now - self._checked_ns > CHECK_EVERY_NS:
            file = self._ready(now)
            if file is None:
                return False
        if self._torn:
            line = b"\n" + line
        try:
            written = os.write(file.number, line)
            if written < len(line):
                # The disk filled up in the middle of the line; a reader skips what stands there, so the next line must begin anew.
                self._torn = True
                written += os.write(file.number, line[written:])
        except OSError as error:
            self._failed(error, now)
            return False
        self._torn = written < len(line)
        self._since_check += 1
        return not self._torn

    def sync(self) -> None:
        """Have the disk itself take what was written (power loss); may take long, so never on the run's own thread."""
        file = self._file
        if file is not None:
            with contextlib.suppress(OSError):
                os.fsync(file.number)

    def close(self) -> None:
        """Release the file; a later line opens it again."""
        self._file = None

    def abandon(self) -> None:
        """In a forked child: leave the parent's file alone."""
        self._opening = threading.Lock()
        self.close()

    def _ready(self, now: int) -> _Descriptor | None:
        """The open file, opened (again) where that is needed and possible."""
        with self._opening:
            self._checked_ns = now
            if self._file is not None:
                if self._file.alive():
                    self._since_check = 0
                    return self._file
                lost, self._since_check = self._since_check, 0
                self.close()
                guard.report(
                    "recording.deleted",
                    f"The recording {self._path()} was deleted while the run goes on. What was in it is gone; recording goes on in a new file.",
                    lost=lost,
                )
            if now < self._retry_ns:
                guard.report("recording.write", "", lost=1)
                return None
            try:
                self._file, self._torn = self._open(self._path())
            except OSError as error:
                self._failed(error, now)
            return self._file

    @staticmethod
    def _open(path: Path) -> tuple[_Descriptor, bool]:
        """The file, and whether its last line is torn."""
        path.parent.mkdir(parents=True, exist_ok=True)
        file = _Descriptor(os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644))
        size = os.fstat(file.number).st_size
        torn = size > 0 and os.pread(file.number, 1, size - 1) != b"\n"
        if fcntl is not None and not AppendFile._lock(file):
            # Sealed into another file just now: what follows begins a new one.
            return AppendFile._open(path)
        return file, torn

    @staticmethod
    def _lock(file: _Descriptor) -> bool:
        """Say that a writer is here; False where the file has lost its name meanwhile."""
        for attempt in range(_LOCK_ATTEMPTS):
            try:
                fcntl.flock(file.number, fcntl.LOCK_SH | fcntl.LOCK_NB)
                break
            except BlockingIOError:  # a reader looks, or a sealer removes the file; either takes a moment
                time.sleep(_LOCK_PAUSE_SECONDS if attempt < _LOCK_ATTEMPTS - 1 else 0)
            except OSError:  # no locks on this file system; a live run only looks interrupted
                break
        return file.alive()

    def _failed(self, error: OSError, now: int) -> None:
        self._retry_ns = now + RETRY_AFTER_NS
        self.close()
        guard.report(
            "recording.write",
            f"The recording {self._path()} cannot be written ({error.strerror or error}). The run goes on; what is not recorded is counted,"
            " and recording resumes when it can.",
            error=error,
            lost=1,
        )

"""One append-only file that survives what a run survives, and more.

A line is handed to the kernel by one `write` before the call returns: a SIGKILL of this process loses nothing of it. The file is opened for
appending and each line is one write, so threads need no lock. What the kernel cannot take (disk full, directory read-only or deleted) is
counted, said once, and tried again later; the run never waits for it and never sees an error.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Final

from massgen_tracing import guard

try:
    import fcntl
except ImportError:  # Windows has no flock; readers there take an unfinished span for an interrupted one
    fcntl = None  # type: ignore[assignment]

CHECK_EVERY_NS: Final = 10_000_000
"""How often a writer looks whether its file still has a name: writes into a deleted file succeed and are lost."""

_HIGH: Final = 500
"""Where the numbers of our descriptors begin; below the usual limit of 1,024."""

RETRY_AFTER_NS: Final = 1_000_000_000
"""How long a file that could not be written is left alone."""

_LOCK_ATTEMPTS: Final = 50
_LOCK_PAUSE_SECONDS: Final = 0.002


_descriptors: Final[weakref.WeakSet[_Descriptor]] = weakref.WeakSet()


def close_all() -> None:
    """In a forked child: let go of the parent's files, whose locks say that the parent is alive."""
    for descriptor in list(_descriptors):
        descriptor.close()


class _Descriptor:
    """An open file descriptor, closed when the last one who uses it lets go.

    A thread that is about to write holds it, so its number cannot meanwhile be closed and given to a stranger's file.
    """

    __slots__ = ("__weakref__", "device", "inode", "lines", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        status = os.fstat(number)
        self.device, self.inode = status.st_dev, status.st_ino
        self.lines = 0
        """How many lines were written through it, nearly: threads do not wait for each other to count."""
        _descriptors.add(self)

    def names(self) -> int:
        """How many names the file has; -1 where the number is not this file's any more (a daemon closes what it finds open)."""
        try:
            status = os.fstat(self.number)
            if status.st_ino == self.inode and status.st_dev == self.device:
                return status.st_nlink
        except OSError:
            pass
        self.number = -1  # for good: the next one to open this file may be given the same number
        return -1

    def close(self) -> None:
        if self.names() >= 0:
            with contextlib.suppress(OSError):
                os.close(self.number)
        self.number = -1

    def __del__(self) -> None:
        self.close()


def _out_of_the_way(number: int) -> int:
    """The same file under a high number.

    A daemon closes every descriptor that it finds open, and the lowest free number goes to the next file that is opened. Up there it does not
    happen that a line meant for us lands in a stranger's file before we have looked.
    """
    if fcntl is None:
        return number  # type: ignore[unreachable]  # not on this system
    try:
        high = fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, _HIGH)
    except OSError:  # the process may not open so many
        return number
    os.close(number)
    return high


class AppendFile:
    """An append-only file of lines, opened at the first line.

    While it is open it holds a shared `flock`, by which readers know that its writer is alive; the kernel releases it when the process dies.

    Args:
        path: asked again at each opening, because a forked child writes to a file of its own.
    """

    def __init__(self, path: Callable[[], Path]) -> None:
        self._path = path
        self._file: _Descriptor | None = None
        self._check_ns = 0
        self._retry_ns = 0
        self._torn = False
        self._opening = threading.RLock()

    def write(self, line: bytes) -> bool:
        """Append one line; whether the kernel has it. Never raises."""
        file = self._file
        if file is None or time.monotonic_ns() >= self._check_ns:
            file = self._ready()
            if file is None:
                return False
        if self._torn:
            line = b"\n" + line
        try:
            written = os.write(file.number, line)
            while written < len(line):
                # The disk filled up in the middle of the line; a reader skips what stands there, so the next line must begin anew.
                self._torn = True
                written += os.write(file.number, line[written:])
        except OSError as error:
            if error.errno == errno.EBADF:  # closed by a stranger since the last look
                if self._file is file:
                    self.close()
                return self.write(line)
            self._failed(error)
            return False
        self._torn = False
        file.lines += 1
        return True

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
        """In a forked child: leave the parent's file alone, and no lock held that a thread of the parent's had taken."""
        self._opening = threading.RLock()
        self.close()

    def _ready(self) -> _Descriptor | None:
        """The open file, opened (again) where that is needed and possible."""
        with self._opening:
            self._check_ns = time.monotonic_ns() + CHECK_EVERY_NS
            file = self._file
            if file is not None:
                names = file.names()
                if names > 0:
                    return file
                self.close()
                if names == 0:
                    guard.report(
                        "recording.deleted",
                        f"The recording {self._path()} was deleted while the run goes on. What was in it is gone; recording goes on in a new file.",
                        lost=file.lines,
                    )
            if time.monotonic_ns() < self._retry_ns:
                guard.report("recording.write", self._cannot("it failed a moment ago"), lost=1)
                return None
            try:
                self._file, self._torn = self._open(self._path())
            except OSError as error:
                self._failed(error)
            return self._file

    @staticmethod
    def _open(path: Path) -> tuple[_Descriptor, bool]:
        """The file, and whether its last line is torn."""
        path.parent.mkdir(parents=True, exist_ok=True)
        file = _Descriptor(_out_of_the_way(os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)))
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
        return file.names() != 0

    def _failed(self, error: OSError) -> None:
        self._retry_ns = time.monotonic_ns() + RETRY_AFTER_NS
        self.close()
        guard.report("recording.write", self._cannot(error.strerror or str(error)), error=error, lost=1)

    def _cannot(self, why: str) -> str:
        return (
            f"The recording {self._path()} cannot be written ({why}). The run goes on; what is not recorded is counted,"
            " and recording resumes when it can."
        )

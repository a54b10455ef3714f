"""One append-only file that survives what a run survives, and more.

A line is handed to the kernel by one `write` before the call returns: a SIGKILL of this process loses nothing of it. The file is opened for
appending and each line is one write, so threads need no lock. What the kernel cannot take (disk full, directory read-only or deleted) is
counted, said once, and tried again later; the run never waits for it and never sees an error.

However many files there are, few are open: where one more is to be opened, the one that was written longest ago is closed, until its next line.
"""

from __future__ import annotations

import errno
import os
import time
import weakref
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Final

from massgen_tracing import finalization, guard, layout
from massgen_tracing.sinks.recording import vouchers
from massgen_tracing.sinks.recording.descriptor import Descriptor, close_unused, fcntl, leaving, most

CHECK_EVERY_NS: Final = 10_000_000
"""How often a writer looks whether its file still has a name: writes into a deleted file succeed and are lost."""

RETRY_AFTER_NS: Final = 1_000_000_000
"""How long a file that could not be written is left alone."""

_LOCK_ATTEMPTS: Final = 50
_LOCK_PAUSE_SECONDS: Final = 0.002

_open: Final[dict[int, weakref.ref[AppendFile]]] = {}
"""The files that are open, by their objects' identities."""


class AppendFile:
    """An append-only file of lines, opened at the first line.

    While it is open it holds a shared `flock`, by which readers know that its writer is alive; the kernel releases it when the process dies. Where it
    is closed only to make room for another, this process vouches for it (`vouchers`).

    Args:
        path: the file.
        root: where this process may keep what it vouches by.
    """

    def __init__(self, path: Path, root: Path) -> None:
        self.path = path
        self._root = root
        self._file: Descriptor | None = None
        self._lines = 0
        """How many lines were written, nearly: threads do not wait for each other to count."""
        self._used_ns = 0
        self._check_ns = 0
        self._retry_ns = 0
        self._torn = False
        self._vouched = False
        self._opening = finalization.Lock()

    def write(self, line: bytes) -> bool:
        """Append one line; whether the kernel has it. Raises nothing of its own."""
        file = self._file
        self._used_ns = now = time.monotonic_ns()
        try:
            if file is None or now >= self._check_ns:
                file = self._ready()
                if file is None:
                    return False
            if self._torn:
                line = b"\n" + line
            written = os.write(file.number, line)
            if written < len(line) or self._torn:
                while written < len(line):
                    # The disk filled up in the middle of the line; a reader skips what stands there, so the next line must begin anew.
                    self._torn = True
                    written += os.write(file.number, line[written:])
                self._torn = False
            self._lines += 1
        except OSError as error:
            guard.passing(error)
            if error.errno == errno.EBADF:  # closed by a stranger since the last look
                if self._file is file:
                    file = None
                    self._let_go()
                return self.write(line)
            file = None
            self._failed(error)
            return False
        finally:
            file = None  # what outlives this call with its frame, such as a traceback, must not keep it from being closed
        if leaving:  # asked only now: until here this thread has kept open what another one may have left meanwhile
            close_unused()
        return True

    def close(self) -> None:
        """Release the file, for what it records is over; a later line opens it again."""
        self._lines = 0
        try:
            self._let_go()
        finally:
            if self._vouched:
                self._vouched = False  # first, so that `_vouch` in another thread takes back what it is giving
                vouchers.withdraw(self.path)

    def make_way(self) -> None:
        """Close the file until its next line; readers know that what it records goes on."""
        file = self._file
        inode = None if file is None else file.inode
        del file
        if inode is None:
            _open.pop(id(self), None)
            return
        error = self._vouch(inode)
        self._let_go()
        if error is not None:
            error = self._vouch(inode)  # there is a free descriptor now
        if error is not None and layout.is_there(self.path):
            guard.report(
                "recording.voucher",
                f"Nothing can be written beside the recording {self.path} ({error.strerror or error}). It is recorded, but is taken for interrupted"
                " while others of the many runs of this process are written.",
                error=error,
            )

    def abandon(self) -> None:
        """In a forked child: leave the parent's file alone."""
        self._vouched = False
        self._let_go()

    def _let_go(self) -> None:
        file = self._file
        if file is not None:
            file.leave()
        self._file = None
        _open.pop(id(self), None)
        del file
        close_unused()

    def _vouch(self, inode: int) -> OSError | None:
        self._vouched = True
        try:
            vouchers.give(self.path, inode, self._root)
        except OSError as error:
            guard.passing(error)
            return error
        finally:
            if not self._vouched:  # another thread has ended the run meanwhile, or the garbage collector
                vouchers.withdraw(self.path)
        return None

    def _ready(self) -> Descriptor | None:
        """The open file, opened (again) where that is needed and possible."""
        with self._opening.held():
            file = self._file
            try:
                self._check_ns = time.monotonic_ns() + CHECK_EVERY_NS
                if file is not None:
                    if file.names() > 0:
                        return file
                    file = None
                    self._let_go()
                if time.monotonic_ns() < self._retry_ns:
                    guard.report("recording.write", self._cannot("it failed a moment ago"), lost=1)
                    return None
                try:
                    file, size = self._opened()
                except OSError as error:
                    guard.passing(error)
                    self._failed(error)
                    return None
                self._file = file
                _open[id(self)] = weakref.ref(self, partial(_dropped, id(self), self.path, file))
                lost, self._lines = (self._lines, 0) if size == 0 else (0, self._lines)
                if lost and not any(layout.sealed_beside(self.path)):
                    guard.report(
                        "recording.deleted",
                        f"The recording {self.path} was deleted while the run goes on. What was in it is gone; recording goes on in a new file.",
                        lost=lost,
                    )
                _make_room(most())
                return file
            finally:
                file = None

    def _opened(self) -> tuple[Descriptor, int]:
        """The file, locked, and how many bytes it has."""
        while True:
            file = Descriptor(self._number())
            kept = False
            try:
                if fcntl is None or self._lock(file):
                    size = os.fstat(file.number).st_size
                    self._torn = size > 0 and os.pread(file.number, 1, size - 1) != b"\n"
                    if size == 0:
                        with guard.ignored(OSError):
                            layout.goes_on(self.path)
                    kept = True
                    return file, size
                # Sealed into another file just now: what follows begins a new one.
            finally:
                if not kept:
                    file.close()
                del file

    def _number(self) -> int:
        while True:
            try:
                return self._made()
            except OSError as error:
                guard.passing(error)
                # The program has used up what it may open: ours is the first to do without.
                if error.errno not in {errno.EMFILE, errno.ENFILE} or not _make_room(len(_open) - 1):
                    raise

    def _made(self) -> int:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT
        try:
            return os.open(self.path, flags, 0o644)
        except FileNotFoundError as error:
            guard.passing(error)
            layout.make_directory(self.path.parent)
            return os.open(self.path, flags, 0o644)

    @staticmethod
    def _lock(file: Descriptor) -> bool:
        """Say that a writer is here; False where the file has lost its name meanwhile."""
        for attempt in range(_LOCK_ATTEMPTS):
            try:
                fcntl.flock(file.number, fcntl.LOCK_SH | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:  # a reader looks, or a sealer removes the file; either takes a moment
                guard.passing(error)
                if attempt < _LOCK_ATTEMPTS - 1 and not finalization.begun():
                    time.sleep(_LOCK_PAUSE_SECONDS)
            except OSError as error:  # no locks on this file system; a live run only looks interrupted
                guard.passing(error)
                break
        return file.names() != 0

    def _failed(self, error: OSError) -> None:
        self._retry_ns = time.monotonic_ns() + RETRY_AFTER_NS
        self._let_go()
        guard.report("recording.write", self._cannot(error.strerror or str(error)), error=error, lost=1)

    def _cannot(self, why: str) -> str:
        return (
            f"The recording {self.path} cannot be written ({why}). The run goes on; what is not recorded is counted,"
            " and recording resumes when it can."
        )


def _dropped(identity: int, path: Path, file: Descriptor, _: object) -> None:
    """Close the file of a recording that was dropped as it was."""
    _open.pop(identity, None)
    with guard.guarded("recording.dropped"):
        file.close()
        vouchers.withdraw(path)


def _make_room(most_open: int) -> bool:
    """Close those that were written longest ago until no more than so many are open; whether there was any to be closed."""
    found = False
    while len(_open) > max(most_open, 0) and (files := [file for known in list(_open.values()) if (file := known()) is not None]):
        found = True
        min(files, key=_used).make_way()
    return found


_used: Final = attrgetter("_used_ns")

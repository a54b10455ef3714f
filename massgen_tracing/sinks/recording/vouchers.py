"""Vouching for recordings of open runs that had to be closed, because a process may not have any number of files open.

While a recording is open, its lock says that its writer lives (`file`). One that is closed before its run is over gets a voucher beside it, which
names a file of this process's that is locked as long as there are vouchers: one descriptor for all of them. The kernel takes the lock away however
the process ends, so what is left lying then says nothing.
"""

from __future__ import annotations

import errno
import os
import secrets
from pathlib import Path
from typing import Final

from massgen_tracing import finalization, guard, layout
from massgen_tracing.sinks.recording.descriptor import Descriptor, fcntl

_ATTEMPTS: Final = 5


class _Vouchers:
    """The vouchers that this process has given."""

    def __init__(self) -> None:
        self.lock = finalization.Lock()
        self._given: dict[Path, int] = {}
        """For which inodes."""
        self._path: Path | None = None
        self._file: Descriptor | None = None

    def give(self, recording: Path, inode: int, root: Path) -> None:
        with self.lock.held():
            path = layout.Voucher.path(recording)
            given = self._given.setdefault(path, 0)  # before anything else: as long as there is one, the writer's file stays
            writer = self._writer(root)
            if given == inode:
                return
            voucher = layout.Voucher(inode, os.path.relpath(writer, os.path.realpath(recording.parent)))
            number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
            try:
                content = voucher.encode()
                if os.write(number, content) < len(content):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            finally:
                os.close(number)
            self._given[path] = inode

    def withdraw(self, recording: Path) -> None:
        with self.lock.held():
            path = layout.Voucher.path(recording)
            if path not in self._given:
                return
            with guard.ignored(OSError):
                path.unlink(missing_ok=True)
            self._given.pop(path, None)
            if not self._given and self._path is not None:
                with guard.ignored(OSError):
                    self._path.unlink(missing_ok=True)
                if self._file is not None:
                    self._file.close()
                self._path = self._file = None

    def _writer(self, root: Path) -> Path:
        """The file that this process holds locked; where somebody has closed or deleted it, again under the same name."""
        if self._path is None:
            _tidy(root)
            self._path = Path(os.path.realpath(root)) / f"{layout.WRITER_PREFIX}{os.getpid()}.{secrets.token_hex(4)}"
        for _ in range(_ATTEMPTS):
            if self._file is not None and self._file.names() > 0:
                return self._path
            layout.make_directory(self._path.parent)
            file: Descriptor | None = Descriptor(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644))
            with guard.ignored(BlockingIOError):  # somebody tidies up, and is about to remove it
                fcntl.flock(file.number, fcntl.LOCK_EX | fcntl.LOCK_NB)  # type: ignore[union-attr]
                file, self._file = self._file, file
            if file is not None:
                file.close()
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN), str(self._path))


def _tidy(root: Path) -> None:
    """Remove what processes that were killed have left in a root."""
    left: list[str] = []
    with guard.ignored(OSError), os.scandir(root) as entries:
        left += [entry.path for entry in entries if entry.name.startswith(layout.WRITER_PREFIX)]
    for path in left:
        with guard.ignored(OSError):
            number = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(path)
            finally:
                os.close(number)


_vouchers = _Vouchers()


def give(recording: Path, inode: int, root: Path) -> None:
    """Say that the run goes on whose recording is about to be closed.

    Args:
        recording: the live file.
        inode: its inode.
        root: where this process's own file may lie.

    Raises:
        OSError: if that cannot be written.
    """
    if fcntl is not None:
        _vouchers.give(recording, inode, root)


def withdraw(recording: Path) -> None:
    """Take back what `give` has said, where it has: the run is over. Never raises."""
    _vouchers.withdraw(recording)


def after_fork() -> None:
    """In a forked child: the vouchers are the parent's."""
    global _vouchers
    _vouchers = _Vouchers()

"""A file that is followed, whatever happens to it: it grows, is cut, is replaced, is rotated, appears only later, or cannot be read."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from massgen_tracing.runs.watch.lines import Lines

_AT_ONCE: Final = 1 << 20
"""Bytes that one look reads; what is left is read at the next one."""

_LANDMARK: Final = 64
"""Bytes before the place where reading ended that have to be there again, or the file is another one."""


class Tail:
    """Follows a file by its path.

    Args:
        path: the file.

    Attributes:
        path: the file.
        problem: why it cannot be read; empty where it can.
        exists: whether it was there at the last look.
        replaced: how often it was replaced, or cut.
        more: whether there is more to read than the last look has read.
        number: of the last line that was given, from 1, in the file as it is now.
        changed_at: when it was last written to, in Unix seconds; None where it is not known.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problem = ""
        self.exists = False
        self.replaced = 0
        self.more = False
        self.number = 0
        self.changed_at: float | None = None
        self._lines = Lines()
        self._descriptor: int | None = None
        self._identity: tuple[int, int] | None = None
        self._end = 0
        self._landmark = b""

    def read(self) -> list[str]:
        """The lines that have come since the last look; never raises."""
        try:
            return self._read()
        except FileNotFoundError:
            self.exists, self.problem = False, ""
        except OSError as error:
            self.problem = error.strerror or str(error)
        self.more = False
        return []

    @property
    def half(self) -> str:
        """The line that has no end yet."""
        return self._lines.half

    def close(self) -> list[str]:
        """End it; what stood without an end is a line after all."""
        self._forget()
        return self._lines.rest()

    def _read(self) -> list[str]:
        found: list[str] = []
        status = self._status()
        if self._descriptor is not None and (status is None or (status.st_dev, status.st_ino) != self._identity):
            found += self._grown()  # what was written to the old one before it was put away
            if self.more:
                return found
            found += self._lines.rest()
            self._forget()
            self.replaced += 1
        if status is None:
            raise FileNotFoundError
        self.exists, self.problem, self.changed_at = True, "", status.st_mtime
        if self._descriptor is None:
            self._open()
        elif status.st_size < self._end or not self._is_the_same():
            self.replaced += 1
            self._lines = Lines()
            self._end, self.number, self._landmark = 0, 0, b""
        if status.st_size > self._end:
            found += self._grown()
        return found

    def _status(self) -> os.stat_result | None:
        try:
            return self.path.stat()
        except FileNotFoundError:
            return None

    def _open(self) -> None:
        # A pipe would have its reader wait, and what is read from it would be missing elsewhere.
        descriptor = os.open(self.path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            raise OSError(0, "is no regular file")
        self._descriptor, self._identity = descriptor, (status.st_dev, status.st_ino)

    def _is_the_same(self) -> bool:
        assert self._descriptor is not None
        return not self._landmark or os.pread(self._descriptor, len(self._landmark), self._end - len(self._landmark)) == self._landmark

    def _grown(self) -> list[str]:
        assert self._descriptor is not None
        data = os.pread(self._descriptor, _AT_ONCE, self._end)
        self._end += len(data)
        self._landmark = (self._landmark + data)[-_LANDMARK:]
        self.more = len(data) == _AT_ONCE
        lines = self._lines.feed(data)
        self.number += len(lines)
        return lines

    def _forget(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor, self._identity, self._end, self.number, self._landmark = None, None, 0, 0, b""
        self.exists = self.more = False

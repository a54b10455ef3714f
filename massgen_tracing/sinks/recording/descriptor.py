"""The descriptors of recordings: few, out of the program's way, and never taken for somebody else's."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Final

from massgen_tracing import guard

try:
    import fcntl as fcntl  # noqa: PLC0414 - for the other modules
    import resource
except ImportError:  # Windows has no flock; readers there take an unfinished span for an interrupted one
    fcntl = resource = None  # type: ignore[assignment]

_MOST: Final = 32
_SHARE: Final = 8
"""Which part of what the process may open is ours at most."""

_HIGH: Final = 500
"""Where the numbers of our descriptors begin; below the usual limit of 1,024."""

_descriptors: Final[weakref.WeakSet[Descriptor]] = weakref.WeakSet()


def most() -> int:
    """How many recordings may be open at once."""
    soft = _MOST * _SHARE if resource is None else resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return _MOST if soft < 0 else max(1, min(_MOST, soft // _SHARE))


def close_all() -> None:
    """In a forked child: let go of the parent's files, whose locks say that the parent is alive."""
    for descriptor in list(_descriptors):
        descriptor.close()


class Descriptor:
    """An open file descriptor, closed when the last one who uses it lets go.

    A thread that is about to write holds it, so its number cannot meanwhile be closed and given to a stranger's file.

    Args:
        number: as `os.open` gave it.
    """

    __slots__ = ("__weakref__", "device", "inode", "number")

    def __init__(self, number: int) -> None:
        self.number = _out_of_the_way(number)
        status = os.fstat(self.number)
        self.device, self.inode = status.st_dev, status.st_ino
        _descriptors.add(self)

    def names(self) -> int:
        """How many names the file has; -1 where the number is not this file's any more (a daemon closes what it finds open)."""
        try:
            status = os.fstat(self.number)
            if status.st_ino == self.inode and status.st_dev == self.device:
                return status.st_nlink
        except OSError as error:
            guard.passing(error)
        self.number = -1  # for good: the next one to open this file may be given the same number
        return -1

    def close(self) -> None:
        if self.names() >= 0:
            with guard.ignored(OSError):
                os.close(self.number)
        self.number = -1

    def __del__(self) -> None:
        try:
            self.close()
        except BaseException as error:  # noqa: BLE001 - out of here it would reach nobody
            self.close()
            _interrupted.append(error)


_interrupted: Final[list[BaseException]] = []
"""What signal handlers of the program have raised while a descriptor was closed."""


def deliver() -> None:
    """Raise, in the main thread, what a signal handler of the program raised where a descriptor was let go: the program has yet to get it."""
    if _interrupted and threading.get_ident() == threading.main_thread().ident:
        raise _interrupted.pop()


def _out_of_the_way(number: int) -> int:
    """The same file under a high number.

    A daemon closes every descriptor that it finds open, and the lowest free number goes to the next file that is opened. Up there it does not
    happen that a line meant for us lands in a stranger's file before we have looked.
    """
    if fcntl is None:
        return number  # type: ignore[unreachable]  # not on this system
    try:
        high = fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, _HIGH)
    except OSError as error:  # the process may not open so many
        guard.passing(error)
        return number
    os.close(number)
    return high

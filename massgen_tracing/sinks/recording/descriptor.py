"""The descriptors of recordings: few, out of the program's way, and never taken for somebody else's."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Mapping
from typing import Final

from massgen_tracing import finalization, guard

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

_all: Final[set[Descriptor]] = set()
leaving: Final[dict[int, Descriptor]] = {}
"""Those that are to be closed as soon as no thread uses them."""

_closing = threading.RLock()
"""Two threads that counted references at once would each count the other's."""

_ALONE: Final = contextlib.nullcontext()


def most() -> int:
    """How many recordings may be open at once."""
    soft = _MOST * _SHARE if resource is None else resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return _MOST if soft < 0 else max(1, min(_MOST, soft // _SHARE))


def close_all() -> None:
    """In a forked child: let go of the parent's files, whose locks say that the parent is alive."""
    global _closing
    _closing = threading.RLock()
    leaving.clear()
    for descriptor in list(_all):
        descriptor.close()


class Descriptor:
    """An open file descriptor.

    A thread that is about to write holds it, so its number cannot meanwhile be closed and given to a stranger's file: `leave` waits for that. It
    has no destructor: what a signal handler of the program's raises in one is lost.

    Args:
        number: as `os.open` gave it.
    """

    __slots__ = ("device", "inode", "number")

    def __init__(self, number: int) -> None:
        self.number = _out_of_the_way(number)
        status = os.fstat(self.number)
        self.device, self.inode = status.st_dev, status.st_ino
        _all.add(self)

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

    def leave(self) -> None:
        """Have it closed by `close_unused`."""
        leaving[id(self)] = self

    def close(self) -> None:
        """Close it at once; nobody else may be using it."""
        if self.names() >= 0:
            with guard.ignored(OSError):
                os.close(self.number)
        self.number = -1
        _all.discard(self)


def close_unused() -> None:
    """Close what has been left, as far as no thread is writing through it; the others when the last one has written, which is to call this again."""
    with _ALONE if finalization.begun() else _closing:
        _close_unused()


def _close_unused() -> None:
    for key in list(leaving):
        if key in leaving and _references(leaving, key) == _UNUSED:  # the garbage collector may do the same in between
            try:
                leaving[key].close()
            except BaseException:  # a signal handler's of the program, whose traceback would now be one that uses it
                leaving[key].close()
                raise
            finally:
                leaving.pop(key, None)


def _references(held: Mapping[int, object], key: int) -> int:
    return sys.getrefcount(held[key])


_UNUSED: Final = _references({0: object()}, 0) + 1
"""References to a descriptor that only `leaving` and `_all` hold."""


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

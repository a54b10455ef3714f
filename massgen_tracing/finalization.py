"""The interpreter on its way out: whether it is, and a lock that nobody waits for then, nor in a forked child.

Once finalization has begun, only the thread that ends the interpreter runs. Others are stopped wherever they are, with the locks that they hold: to
wait for one of them, or for a thread that is started now, is to wait for ever (Python documents both under `sys.is_finalizing`, `threading.Thread`).
In a forked child only the thread lives that forked, and the others' locks are held for good as well.
"""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Final

begun: Final[Callable[[], bool]] = sys.is_finalizing
"""Whether finalization has begun: then no thread is started, nothing is waited for, nothing is imported."""


class Lock:
    """A re-entrant lock; once finalization has begun, it is passed without waiting, for nobody else can be inside. A forked child has it free.

    Re-entrant, because the garbage collector may end an abandoned stream's span in the middle of anything.
    """

    __slots__ = ("__weakref__", "_lock")

    def __init__(self) -> None:
        self.free()
        _locks.add(self)

    def free(self) -> None:
        """Nobody holds it, whoever did."""
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        self._lock.acquire(blocking=not begun())

    def __exit__(self, exc_type: object, exc: object, tb: object) -> None:
        try:
            self._lock.release()
        except RuntimeError:  # passed without being held, or freed within
            if not begun() and not _forked:
                raise


_locks: Final[weakref.WeakSet[Lock]] = weakref.WeakSet()
_forked = False


def _after_fork() -> None:
    global _forked
    _forked = True
    for lock in list(_locks):
        lock.free()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

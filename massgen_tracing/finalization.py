"""The interpreter on its way out: whether it is, and a lock that nobody waits for then, nor in a forked child.

Once finalization has begun, only the thread that ends the interpreter runs. Others are stopped wherever they are, with the locks that they hold: to
wait for one of them, or for a thread that is started now, is to wait for ever (Python documents both under `sys.is_finalizing`, `threading.Thread`).
In a forked child only the thread lives that forked, and the others' locks are held for good as well.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from typing import Final

begun: Final[Callable[[], bool]] = sys.is_finalizing
"""Whether finalization has begun: then no thread is started, nothing is waited for, nothing is imported."""


class Lock:
    """A re-entrant lock; once finalization has begun, it is passed without waiting, for nobody else can be inside. A forked child has it free.

    Re-entrant, because the garbage collector may end an abandoned stream's span in the middle of anything.
    """

    __slots__ = ("_forks", "_lock")

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._forks = _forks

    def __enter__(self) -> None:
        # By count, not by a list of all locks: what a signal handler raises in the code that tidies up such a list would be lost.
        if self._forks != _forks:
            self._free()
        self._lock.acquire(blocking=not begun())

    def __exit__(self, exc_type: object, exc: object, tb: object) -> None:
        try:
            self._lock.release()
        except RuntimeError:  # passed without being held, or freed within
            if not begun() and not _forks:
                raise

    def _free(self) -> None:
        """Nobody holds it, whoever did before the fork."""
        held = _freeing.acquire(blocking=not begun())
        try:
            if self._forks != _forks:
                self._lock = threading.RLock()
                self._forks = _forks
        finally:
            if held:
                _freeing.release()


_freeing = threading.RLock()
_forks = 0
"""Those that led to this process."""


def _after_fork() -> None:
    global _freeing, _forks
    _freeing = threading.RLock()
    _forks += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

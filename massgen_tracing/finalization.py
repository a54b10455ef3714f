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
from contextlib import AbstractContextManager, nullcontext
from typing import Final

begun: Final[Callable[[], bool]] = sys.is_finalizing
"""Whether finalization has begun: then no thread is started, nothing is waited for, nothing is imported."""


class Lock:
    """A re-entrant lock: `with lock.held(): …`.

    Once finalization has begun, nobody waits for it, for nobody else can be inside; a forked child has it free. Re-entrant, because the garbage
    collector may end an abandoned stream's span in the middle of anything.
    """

    __slots__ = ("_forks", "_lock")

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._forks = _forks

    def held(self) -> AbstractContextManager[object]:
        """What to enter. It is Python's own lock: what a signal handler raises in an `__enter__` written in Python would leave it locked for good."""
        # By count, not by a list of all locks: what a signal handler raises in the code that tidies up such a list would be lost.
        if self._forks != _forks:
            with _ALONE if begun() else _freeing:
                if self._forks != _forks:
                    self._lock, self._forks = threading.RLock(), _forks
        return _ALONE if begun() else self._lock


_ALONE: Final = nullcontext()
_freeing = threading.RLock()
_forks = 0
"""Those that led to this process."""


def _after_fork() -> None:
    global _freeing, _forks
    _freeing = threading.RLock()
    _forks += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

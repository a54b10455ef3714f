"""The interpreter on its way out: whether it is, and a lock that nobody waits for then.

Once finalization has begun, only the thread that ends the interpreter runs. Others are stopped wherever they are, with the locks that they hold: to
wait for one of them, or for a thread that is started now, is to wait for ever (Python documents both under `sys.is_finalizing`, `threading.Thread`).
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Final

begun: Final[Callable[[], bool]] = sys.is_finalizing
"""Whether finalization has begun: then no thread is started, nothing is waited for, nothing is imported."""


class Lock:
    """A re-entrant lock; once finalization has begun, it is passed without waiting, for nobody else can be inside.

    Re-entrant, because the garbage collector may end an abandoned stream's span in the middle of anything.
    """

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        self._lock.acquire(blocking=not begun())

    def __exit__(self, exc_type: object, exc: object, tb: object) -> None:
        try:
            self._lock.release()
        except RuntimeError:  # passed without being held
            if not begun():
                raise

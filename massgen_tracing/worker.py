"""A thread of the package's own, which the traced program never notices.

It is a bare one, and its starter does not wait for it: a span may begin anywhere, in the garbage collector in the middle of `threading` itself too.
It never starts where the interpreter is on its way out. Before a fork its owner ends it: from Python 3.12 on, whoever forks with threads is warned,
and the program may have none of its own.
"""

from __future__ import annotations

import queue
import time
from _thread import allocate_lock, get_native_id, start_new_thread
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from massgen_tracing import finalization, guard

_TASKS: Final = Path("/proc/self/task")


class Worker:
    """A thread that has something to do whenever it is woken, until it is to end.

    Subclasses say what, in `_work`. It sets `_idle` before it looks whether there is anything to do, and then takes a token: so whoever adds
    something after that look wakes it.
    """

    def __init__(self) -> None:
        self._idle = False
        self._tokens: queue.SimpleQueue[bool] = queue.SimpleQueue()
        """True: there is something to do; False: the end."""
        self._lives = allocate_lock()
        self._native: int | None = None

    def start(self) -> bool:
        """Start the thread; False where there are no more to be had."""
        self._lives.acquire()
        try:
            start_new_thread(self._run, ())
        except RuntimeError as error:
            self._lives.release()
            guard.passing(error)
            return False
        return True

    def wake(self) -> None:
        """There is something to do. Never waits."""
        if self._idle:
            self._idle = False
            self._tokens.put(True)

    def end(self) -> None:
        """Have the thread end when it has done what there is to do."""
        self._tokens.put(False)

    def wait(self, seconds: float) -> bool:
        """Wait for the thread's end, at most so long; whether it has come."""
        if finalization.begun() or not self._lives.acquire(timeout=max(0.0, seconds)):
            return False
        self._lives.release()
        return True

    def wait_until_gone(self, deadline: float) -> None:
        """Wait until the system does not count the thread any more: Python is through with it a moment before."""
        if self.wait(deadline - time.monotonic()) and self._native is not None:
            task = _TASKS / str(self._native)
            while task.exists() and time.monotonic() < deadline:
                time.sleep(0.0001)

    def _run(self) -> None:
        self._native = get_native_id()
        try:
            self._work()
        finally:
            self._lives.release()

    def _work(self) -> None:
        """All that the thread does; each kind of worker has its own."""
        raise NotImplementedError


def all_gone(workers: Iterable[Worker | None], seconds: float) -> None:
    """Wait for the ends of threads that have been told to, together at most so long."""
    deadline = time.monotonic() + seconds
    for worker in workers:
        if worker is not None:
            worker.wait_until_gone(deadline)

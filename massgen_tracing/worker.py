"""A thread of the package's own, which the traced program never notices.

It is a bare one, and its starter does not wait for it: a span may begin anywhere, in the garbage collector in the middle of `threading` itself too.
It never starts where the interpreter is on its way out. Before a fork its owner ends it: from Python 3.12 on, whoever forks with threads is warned,
and the program may have none of its own.
"""

from __future__ import annotations

import os
import queue
import time
from _thread import allocate_lock, get_native_id, start_new_thread
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from massgen_tracing import finalization, guard, layout

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
            while layout.is_there(task) and time.monotonic() < deadline:
                time.sleep(0.0001)

    def _run(self) -> None:
        self._native = get_native_id()
        try:
            self._work()
        finally:
            self._lives.release()

    def _token(self, seconds: float | None) -> bool:
        """Wait for a token, at most so long; False where it says that the end has come."""
        try:
            return self._tokens.get(timeout=seconds)
        except queue.Empty:
            return True

    def _work(self) -> None:
        """All that the thread does; each kind of worker has its own."""
        raise NotImplementedError


class Rounds(Worker):
    """Does a round whenever it was woken or the round asked for another; subclasses say how long it waits in between.

    Args:
        work: a round; returns in how many seconds there is to be another, None for when there is something to do.
        kind: what an error of a round is counted as.
    """

    _hurry = False
    """Whether somebody waits for the next round."""

    def __init__(self, work: Callable[[], float | None], kind: str) -> None:
        super().__init__()
        self._round = work
        self._kind = kind
        self._fresh = True
        """Whether something has come since the last round began."""

    def wake(self) -> None:
        self._fresh = True
        super().wake()

    def _one(self) -> float | None:
        """A round; one that fails asks for no other."""
        try:
            return self._round()
        except Exception as error:  # noqa: BLE001 - telemetry never breaks the run
            guard.swallow(self._kind, error)
            return None

    def _rested(self, seconds: float) -> bool:
        """Wait so long for more to do, unless somebody waits for the round; False at the end."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and not self._hurry:
            if not self._token(left):
                return False
        return True


def all_gone(workers: Iterable[Worker | None], seconds: float) -> None:
    """Wait for the ends of threads that have been told to, together at most so long."""
    deadline = time.monotonic() + seconds
    for worker in workers:
        if worker is not None:
            worker.wait_until_gone(deadline)


def end_at_forks(
    pause: Callable[[], Iterable[Worker | None]], seconds: float, *, in_child: Callable[[], None], in_parent: Callable[[], None] | None = None
) -> None:
    """Have threads end before every fork; to be said once, where the module that has them is loaded.

    Args:
        pause: tells each to end as soon as it can, and returns them.
        seconds: how long a fork waits for them, at most.
        in_child: called in the child after the fork.
        in_parent: called in the parent after the fork.
    """

    def before() -> None:
        if not finalization.begun():
            all_gone(pause(), seconds)

    if hasattr(os, "register_at_fork"):
        after = {} if in_parent is None else {"after_in_parent": in_parent}
        os.register_at_fork(before=before, after_in_child=in_child, **after)

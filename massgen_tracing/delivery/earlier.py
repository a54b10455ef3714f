"""What earlier runs owe to a backend that is there now, sent beside a run whose own spans somebody else sends."""

from __future__ import annotations

import time
import weakref
from _thread import allocate_lock
from collections.abc import Container
from pathlib import Path
from typing import Final

from massgen_tracing import finalization, guard
from massgen_tracing.delivery.backend import Backend
from massgen_tracing.delivery.deliver import Delivery
from massgen_tracing.delivery.push import owing
from massgen_tracing.delivery.senders import open_sender
from massgen_tracing.errors import MassGenTracingError
from massgen_tracing.ledger import Busy
from massgen_tracing.store.reading import liveness
from massgen_tracing.worker import Worker, end_at_forks

_FORK_SECONDS: Final = 0.1
"""How long a fork waits for the thread to be gone."""


class EarlierRuns(Worker):
    """Sends it once, on a thread of its own; what the backend does not take then stays owed.

    Args:
        backend: where to.
        root: where recordings live.
        own: those of this run.
    """

    def __init__(self, backend: Backend, root: Path, own: Container[Path]) -> None:
        super().__init__()
        self._backend = backend
        self._root = root
        self._own = own
        self._first = allocate_lock()
        """Taken by whoever begins it."""
        self._done = self._paused = False
        self._until: float | None = None
        _all.add(self)

    def begin(self) -> None:
        """Begin, where that has not been done. Never waits."""
        if self._until is None and not finalization.begun() and self._first.acquire(blocking=False):
            self.start()

    def stop(self, until: float) -> None:
        """Stop at that monotonic time at the latest, and wait for it."""
        self._until = until
        self.wait(until - time.monotonic())

    def pause(self) -> None:
        """Have the thread end as soon as it can."""
        self._paused = True

    def go_on(self) -> None:
        """Begin again where it was paused."""
        self._paused = False
        if self._first.locked() and not self._done and self._until is None and self.wait(0):
            self.start()

    def _work(self) -> None:
        with guard.guarded("delivery.earlier"), guard.ignored(MassGenTracingError):
            sender = open_sender(self._backend)
            try:
                self._send(Delivery(self._backend, sender, lambda *_: False, enough=self._enough))
            finally:
                sender.close()

    def _send(self, delivery: Delivery) -> None:
        for path in owing(self._root, self._backend):
            if path in self._own or liveness.writer_alive(path):  # somebody sends it just now
                continue
            with guard.ignored(OSError):
                try:
                    stopped = delivery.deliver(path)
                except Busy:
                    continue
                if stopped is not None:
                    break
        self._done = not self._paused
        tally, place = delivery.tally, self._backend.place
        if tally.late:
            problem = f"{tally.late:,} span{'' if tally.late == 1 else 's'} of earlier runs began more than 24 hours ago"
            guard.report("delivery.late", f"{problem}, which {place.title()} drops without a word: they are not sent, and stay in their recordings.")
        if tally.refused:
            problem = f"{place.title()} refuses spans of earlier runs for good ({tally.why})."
            guard.report("delivery.refused", f"{problem} They are in their recordings; `massgen-tracing doctor` says how many.")

    def _enough(self) -> bool:
        return self._paused or finalization.begun() or (self._until is not None and time.monotonic() >= self._until)


_all: Final[weakref.WeakSet[EarlierRuns]] = weakref.WeakSet()


def _pause() -> list[EarlierRuns]:
    earlier = list(_all)
    for each in earlier:
        each.pause()
    return earlier


def _after_fork_in_parent() -> None:
    for each in list(_all):
        each.go_on()


# In a child there are none: what earlier runs owe the parent sends.
end_at_forks(_pause, _FORK_SECONDS, in_child=_all.clear, in_parent=_after_fork_in_parent)

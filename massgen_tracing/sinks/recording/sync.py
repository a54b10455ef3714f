"""Having the disk itself take what was written, against loss of power: on a thread of its own, so that no run ever waits for a disk.

Files are known by their paths: how often one was written and whether it is still open does not matter, and a disk that is slow, or hangs, costs
neither descriptors nor memory.
"""

from __future__ import annotations

import logging
import os
from collections import OrderedDict
from pathlib import Path
from typing import Final

from massgen_tracing import finalization, guard
from massgen_tracing.worker import Worker, end_at_forks

_MOST: Final = 1024
"""Files that wait at once; the system writes the others out when it sees fit, within half a minute as a rule."""

_REST: Final = 0.05
"""Seconds between having files synced and having them synced again: what hundreds of rounds have written in between is one sync."""

_FORK_SECONDS: Final = 0.5
"""How long a fork waits for the thread to be gone."""


class Syncer:
    """What has to be synced, and the thread that does it."""

    def __init__(self) -> None:
        self._due: OrderedDict[str, None] = OrderedDict()
        self._worker: dict[None, _Worker] = {}
        """One at most: `setdefault` is what decides where several begin at once."""

    def begin(self) -> None:
        """Start the thread where there is none; only ever in the course of an ordinary program, and never in anybody's way."""
        if self._worker or finalization.begun():
            return
        worker = _Worker(self._due)
        if self._worker.setdefault(None, worker) is not worker:
            return
        if worker.start():
            _working.add(self)
        else:
            self._worker.clear()

    def want(self, path: Path) -> None:
        """Have a file synced soon; never waits, and starts nothing."""
        if finalization.begun():
            return
        self._due[str(path)] = None
        if len(self._due) > _MOST:
            self._due.popitem(last=False)
            guard.report(
                "recording.sync",
                "The disk takes recordings more slowly than runs end. Nothing is lost unless the power fails: they are written, and on the disk"
                " when the system puts them there.",
                level=logging.INFO,
            )
        worker = self._worker.get(None)
        if worker is not None:
            worker.wake()

    def stop(self, seconds: float) -> bool:
        """Have what is due synced and the thread ended, in so many seconds; whether it was done by then. Later nothing is synced, only written.

        Where no thread runs and the interpreter starts none any more, nothing is waited for: a disk that hangs must not keep a program from ending.
        """
        if self._due:
            self.begin()
        worker = self._taken()
        if worker is None:
            return not self._due
        worker.end()
        done = worker.wait(seconds)
        worker.hurry = True
        return done

    def pause(self) -> _Worker | None:
        """Have the thread end as soon as it can, and return what it does until then; `begin` starts another."""
        worker = self._taken()
        if worker is not None:
            worker.hurry = True
            worker.end()
        return worker

    def _taken(self) -> _Worker | None:
        _working.discard(self)
        return self._worker.pop(None, None)


class _Worker(Worker):
    """The thread that syncs.

    Args:
        due: paths; shared with a worker that takes over from this one.

    Attributes:
        hurry: whether to end without having done everything.
    """

    def __init__(self, due: OrderedDict[str, None]) -> None:
        super().__init__()
        self.due = due
        self.hurry = False

    def _work(self) -> None:
        goes_on = True
        while goes_on:
            for _ in range(len(self.due)):
                self._one()
            goes_on = self._token(_REST)
            if goes_on and not self.due:
                self._idle = True
                goes_on = bool(self.due) or self._token(None)
                self._idle = False
        while self.due and not self.hurry:
            self._one()

    def _one(self) -> None:
        with guard.guarded("recording.sync"):  # the next file still wants its turn
            self._next()

    def _next(self) -> None:
        try:
            path, _ = self.due.popitem(last=False)
            number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except (KeyError, OSError):  # another worker was faster; sealed or deleted meanwhile
            return
        try:
            os.fsync(number)
        except OSError as error:
            guard.report("recording.sync", f"The disk did not take {path} ({error.strerror or error}); the run goes on.", error=error)
        finally:
            os.close(number)


_working: Final[set[Syncer]] = set()
"""Those that have a thread."""


# They begin again with the next session or round: what runs after a fork in the parent runs before Python counts threads. In a child there are none,
# and what was to be synced is the parent's.
end_at_forks(lambda: [syncer.pause() for syncer in list(_working)], _FORK_SECONDS, in_child=_working.clear)

"""The thread that writes the files of runs."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from typing import Final

from massgen_tracing import finalization, guard
from massgen_tracing.worker import Worker

_DELAY: Final = 0.05
"""Seconds from a span to the round that looks at it, so that many spans are one round."""

_SHARE: Final = 20
"""A round is followed by a rest of so many times what it took: where writing takes long, it is done less often."""

_GLANCE: Final = 0.005


class FileWorker(Worker):
    """Does a round soon after each `wake`, again where the round asks for it, and a last one after `end`.

    Args:
        work: a round; returns in how many seconds there is to be another, None for when there is something to do.
    """

    def __init__(self, work: Callable[[], float | None]) -> None:
        super().__init__()
        self._round = work
        self._wanted = 0
        self._done = 0
        self._hurry = False
        self._fresh = True
        """Whether something has come since the last round began."""

    def wake(self) -> None:
        self._fresh = True
        super().wake()

    def caught_up(self, seconds: float) -> bool:
        """Wait until a round has begun and ended from now on, at most so long; whether it has."""
        self._wanted += 1
        wanted, deadline = self._wanted, time.monotonic() + seconds
        self._hurry = True
        self._tokens.put(True)
        while self._done < wanted:
            if time.monotonic() >= deadline or finalization.begun() or self.wait(_GLANCE):
                return self._done >= wanted
        return True

    def _work(self) -> None:
        again: float | None = None
        rest = _DELAY
        goes_on = True
        while goes_on:
            self._idle = True
            goes_on = (self._fresh or self._token(again)) and self._rested(rest)
            self._idle = self._fresh = self._hurry = False
            wanted = self._wanted
            began = time.monotonic()
            again = self._one()
            self._done = wanted
            rest = max(_DELAY, _SHARE * (time.monotonic() - began))

    def _one(self) -> float | None:
        try:
            return self._round()
        except Exception as error:  # noqa: BLE001 - telemetry never breaks the run
            guard.swallow("run_files", error)
            return None

    def _rested(self, seconds: float) -> bool:
        """Wait so long, unless somebody waits for the round; False at the end."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and not self._hurry:
            if not self._token(left):
                return False
        return True

    def _token(self, seconds: float | None) -> bool:
        """Wait for a token; False where it says that the end has come."""
        try:
            return self._tokens.get(timeout=seconds)
        except queue.Empty:
            return True

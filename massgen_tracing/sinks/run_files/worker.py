"""The thread that writes the files of runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from massgen_tracing import finalization
from massgen_tracing.worker import Rounds

_DELAY: Final = 0.05
"""Seconds from a span to the round that looks at it, so that many spans are one round."""

_SHARE: Final = 19
"""A round is followed by a rest of so many times the processor time that it took: files are a twentieth of a core, as long as `_MOST_REST` is not
reached."""

_MOST_REST: Final = 1.0
"""Seconds that a rest takes at most, so that `status.json` of a large run is no older than that."""

_GLANCE: Final = 0.005


class FileWorker(Rounds):
    """Does a round soon after each `wake`, again where the round asks for it, and a last one after `end`.

    Args:
        work: a round.
        relieve: what is done between two rounds when there is much to do, of what a round does.
    """

    def __init__(self, work: Callable[[], float | None], relieve: Callable[[], None]) -> None:
        super().__init__(work, "run_files")
        self._relieve = relieve
        self._crowded = False
        self._wanted = 0
        self._done = 0

    def crowd(self) -> None:
        """There is much to do. Never waits."""
        if not self._crowded:
            self._crowded = True
            self._tokens.put(True)

    def _token(self, seconds: float | None) -> bool:
        goes_on = super()._token(seconds)
        if self._crowded:
            self._crowded = False
            self._relieve()
        return goes_on

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
            began = time.thread_time()
            again = self._one()
            self._done = wanted
            rest = min(max(_DELAY, _SHARE * (time.thread_time() - began)), _MOST_REST)

"""The time of spans: they start at the system's time, and last as long as the monotonic clock says.

The system's time may be set while a span is open. So it is read as the monotonic clock plus a distance, the same for all spans, so that each lies
within its parent to the nanosecond. Only where the system's time was set by more than `STEP` is a new distance taken, for what starts later.
"""

from __future__ import annotations

import time
from typing import Final

STEP: Final = 250_000_000
"""Nanoseconds that the system's time may be set by unnoticed."""


class Clock:
    """The system's time, by the monotonic clock."""

    __slots__ = ("_distance",)

    def __init__(self) -> None:
        self._distance = 0

    def start(self) -> tuple[int, int]:
        """Now, in Unix nanoseconds, and the distance that `since` takes to tell the time by the same measure later."""
        ticks = time.monotonic_ns()
        distance = self._distance
        if not -STEP < time.time_ns() - ticks - distance < STEP:
            distance = self._distance = self._measured()
        return ticks + distance, distance

    @staticmethod
    def since(distance: int) -> int:
        """Now, in Unix nanoseconds, by the measure of a `start`."""
        return time.monotonic_ns() + distance

    @staticmethod
    def _measured() -> int:
        """How far the system's time is from the monotonic clock: of several looks the one in which the least time passed."""
        looks = []
        for _ in range(3):
            before, now, after = time.monotonic_ns(), time.time_ns(), time.monotonic_ns()
            looks.append((after - before, now - before))
        return min(looks)[1]


CLOCK: Final = Clock()
"""The one of this process."""

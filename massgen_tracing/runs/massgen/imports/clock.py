"""MassGen writes some times as local ones without a zone; other files of the same run tell which zone it was."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

from massgen_tracing import layout
from massgen_tracing.runs.massgen.imports import values

_SNAPSHOT: Final = re.compile(r"\d{8}_\d{6}(?:_\d{1,6})?", re.ASCII)
_STEP: Final = timedelta(minutes=15)
"""Every zone's distance from UTC is a multiple of it."""

_FARTHEST: Final = timedelta(hours=14)
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - compared with local times
_MICROSECOND: Final = timedelta(microseconds=1)


def local(text: object) -> datetime | None:
    """A time as MassGen writes it: ISO 8601, a snapshot's `YYYYMMDD_HHMMSS_ffffff`, or a run directory's name."""
    if not isinstance(text, str) or len(text) > 64:
        return None
    name = text.removeprefix(layout.RUN_PREFIX)
    try:
        if _SNAPSHOT.fullmatch(name):
            return datetime.strptime(name if name.count("_") > 1 else f"{name}_0", "%Y%m%d_%H%M%S_%f")  # noqa: DTZ007 - local
        return datetime.fromisoformat(text)
    except ValueError:
        return None


class Clock:
    """Turns local times into Unix nanoseconds.

    Args:
        pairs: local times, each with the moment that it stands for, more or less; the first that makes sense decides.

    Attributes:
        known: whether one did; if not, the zone of this machine is taken.
    """

    def __init__(self, pairs: Iterable[tuple[object, int | None]]) -> None:
        self._ahead: timedelta | None = None
        for text, moment in pairs:
            said = local(text)
            if said is None or moment is None or said.tzinfo is not None:
                continue
            ahead = round((said - _EPOCH - moment // 1000 * _MICROSECOND) / _STEP) * _STEP
            if abs(ahead) <= _FARTHEST:
                self._ahead = ahead
                break

    @property
    def known(self) -> bool:
        """Whether the run's own files tell the zone."""
        return self._ahead is not None

    def at(self, text: object) -> int | None:
        """The moment of a local time."""
        said = local(text)
        if said is None:
            return None
        try:
            if said.tzinfo is None and self._ahead is not None:
                seconds = (said - self._ahead).replace(tzinfo=UTC).timestamp()
            else:
                seconds = said.timestamp()
        except (OverflowError, OSError, ValueError):
            return None
        return values.moment(seconds)

    def on_day_of(self, start: int, time_of_day: str) -> int | None:
        """The first moment from *start* on (Unix nanoseconds) at a local time of the day, `HH:MM:SS` with or without a fraction."""
        try:
            day = datetime.fromtimestamp(start / 1e9, UTC) + self._ahead if self._ahead is not None else datetime.fromtimestamp(start / 1e9)  # noqa: DTZ006
            made = self.at(f"{day:%Y-%m-%d}T{time_of_day}")
        except (OverflowError, OSError, ValueError):
            return None
        if made is None:
            return None
        slack = 1_000_000_000  # a log without fractions tells the second that has begun
        return made if made + slack >= start else made + 86_400_000_000_000

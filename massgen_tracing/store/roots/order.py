"""Runs in the order of time. Their names tell local times, and a root may have runs of several zones.

A name says when a run began to a day, more or less, the time of change of its directory how late that can have been, and its recording when it was.
Only where the first two leave it open which of two runs is newer, the third is asked, so that of a root with many runs few are opened.
"""

from __future__ import annotations

import contextlib
import heapq
import math
import os
import re
from collections.abc import Iterator, Sequence
from datetime import UTC
from operator import itemgetter
from pathlib import Path
from typing import Final

from massgen_tracing import layout
from massgen_tracing.errors import RecordingError
from massgen_tracing.store.roots.catalogue import Run

_WEST_SECONDS: Final = 12 * 3600
"""A zone is behind UTC by so much at most."""

_MOST_OPENED: Final = 256
"""Recordings that are opened; of further runs what is known without has to do. It comes to that where many runs of a day have been copied."""

_BEGINNING: Final = 65_536
_START: Final = re.compile(rb'"startTimeUnixNano":"([0-9]{1,19})"')


def newest_first(runs: Sequence[Run]) -> Iterator[Run]:
    """Runs in the order of their times, found out as far as it is asked for.

    Args:
        runs: the latest name first, as `catalogue.runs` gives them.
    """
    waiting = sorted(((_by_name(run), -place, run) for place, run in enumerate(runs)), key=itemgetter(0, 1))
    # The negative of when it began, or of when it began at the latest; place; whether that is known; run.
    known: list[tuple[float, int, bool, Run]] = []
    opened = 0
    while waiting or known:
        while waiting and (not known or waiting[-1][0] >= -known[0][0]):
            latest, place, run = waiting.pop()
            heapq.heappush(known, (-_by_directory(run, latest), -place, False, run))
        latest, place, sure, run = heapq.heappop(known)
        if sure:
            yield run
        else:
            began = _by_recording(run) if opened < _MOST_OPENED else None
            opened += 1
            heapq.heappush(known, (-(_here(run, -latest) if began is None else began), place, True, run))


def _by_name(run: Run) -> float:
    """When a run began at the latest, Unix time in seconds, as its name tells."""
    return math.inf if run.started is None else run.started.replace(tzinfo=UTC).timestamp() + _WEST_SECONDS


def _by_directory(run: Run, latest: float) -> float:
    """The same, as its directory tells, which was there when it began; in whole minutes, so that of a copied root the latest names come first."""
    try:
        return min(latest, math.ceil(os.stat(run.path).st_mtime / 60) * 60)
    except OSError:
        return latest


def _here(run: Run, latest: float) -> float:
    """When it began if its name is of the zone of this machine."""
    return latest if run.started is None else min(latest, run.started.timestamp())


def _by_recording(run: Run) -> float | None:
    """When it began, as its recording says; None where it does not."""
    return next((began for began in map(_began, run.files()) if began is not None), None)


def _began(path: Path) -> float | None:
    """When the first span of a recording began; None where it does not say."""
    with contextlib.suppress(OSError, RecordingError, ValueError):
        if layout.is_sealed(path):
            from massgen_tracing.store.sealing import sealed  # loads Arrow

            index = sealed.index(path)
            return None if index is None else index.first_us / 1e6
        with open(path, "rb") as file:
            found = _START.search(os.read(file.fileno(), _BEGINNING))
        return None if found is None else int(found[1]) / 1e9
    return None

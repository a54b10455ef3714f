"""Runs in the order of time. Their names tell local times, and a root may have runs of several zones.

A name says when a run began to a day, more or less, the time of change of its directory how late that can have been, and its recording when it was.
Only where the first two leave it open which of two runs is newer, the third is asked, so that of a root with many runs few are opened.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import math
import os
import re
from collections.abc import Iterator, Mapping
from datetime import UTC
from pathlib import Path
from typing import Final

from massgen_tracing import layout
from massgen_tracing.errors import RecordingError
from massgen_tracing.store.roots import catalogue
from massgen_tracing.store.roots.catalogue import Run, Runs
from massgen_tracing.store.roots.contents import SETTLED_NS

_WEST_SECONDS: Final = 12 * 3600
"""A zone is behind UTC by so much at most."""

_SET_BACK_SECONDS: Final = 2 * SETTLED_NS / 1e9
"""How far compaction may have set back a directory's time."""

_MOST_OPENED: Final = 256
"""Recordings that are opened; of further runs what is known without has to do. It comes to that where many runs of a day have been copied."""

_BEGINNING: Final = 65_536
_START: Final = re.compile(rb'"startTimeUnixNano":"([0-9]{1,19})"')


def listed(root: Path | str) -> tuple[int, Iterator[Run]]:
    """How many runs are listed of *root*, and the runs in the order of their times.

    Raises:
        RecordingError: if *root* does not exist.
    """
    known = catalogue.listed(root)
    if isinstance(known, Runs):
        return len(known), newest_first(known)
    if not catalogue.roots_below(root):
        return len(known), iter(known)
    # Of several roots, a few runs each: each is asked when it began, as far as recordings are opened.
    began = {run.path: _by_recording(run) if place < _MOST_OPENED else None for place, run in enumerate(known)}
    return len(known), iter(sorted(known, key=lambda run: -(began[run.path] or _here(run, 0.0))))


def newest_first(runs: Runs) -> Iterator[Run]:
    """Runs in the order of their times, found out as far as it is asked for."""
    told = _told(runs.directory)
    odd = [place for place, name in enumerate(runs.names) if not layout.TIMED.match(name)]
    without_time = set(odd)
    waiting = itertools.chain(odd, (place for place in range(len(runs)) if place not in without_time))
    following = next(waiting, None)
    # The negative of when it began, or of when it began at the latest; place; whether that is known; run.
    known: list[tuple[float, int, bool, Run]] = []
    opened = 0
    while following is not None or known:
        while following is not None:
            run = runs[following]
            latest = _by_name(run)
            if known and latest < -known[0][0]:
                break
            began = told.get(run.run_id)
            heapq.heappush(known, (-(_by_directory(run, latest) if began is None else began), following, began is not None, run))
            following = next(waiting, None)
        latest, place, sure, run = heapq.heappop(known)
        if sure:
            yield run
        else:
            began = _by_recording(run) if opened < _MOST_OPENED else None
            opened += 1
            heapq.heappush(known, (-(_here(run, -latest) if began is None else began), place, True, run))


def _told(directory: Path) -> Mapping[str, float]:
    """When runs began, by their names, of those of which that is known without opening them."""
    if not catalogue.has_segments(directory.parent):
        return {}
    from massgen_tracing.store.roots import segments  # loads Arrow

    return segments.began(directory.parent)


def _by_name(run: Run) -> float:
    """When a run began at the latest, Unix time in seconds, as its name tells."""
    return math.inf if run.started is None else run.started.replace(tzinfo=UTC).timestamp() + _WEST_SECONDS


def _by_directory(run: Run, latest: float) -> float:
    """The same, as its directory tells, which was there when it began; in whole minutes, so that of a copied root the latest names come first."""
    try:
        return min(latest, math.ceil((os.stat(run.path).st_mtime + _SET_BACK_SECONDS) / 60) * 60)
    except OSError:
        return latest


def _here(run: Run, latest: float) -> float:
    """When it began if its name is of the zone of this machine."""
    return latest if run.started is None else min(latest, run.started.timestamp())


def _by_recording(run: Run) -> float | None:
    """When it began, as its recording says; None where it does not."""
    return next((began for began in map(_began, run.own_files()) if began is not None), None)


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

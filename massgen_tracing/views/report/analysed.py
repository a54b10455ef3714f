"""Finding what is to be analysed: a question of a run, and the earlier runs that it is compared with."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

from massgen_tracing import layout, settings
from massgen_tracing.errors import RecordingError
from massgen_tracing.insight.analysis import Analysis, Configuration, configuration
from massgen_tracing.insight.findings import Earlier
from massgen_tracing.insight.findings.spending import by_agent
from massgen_tracing.insight.parts import Parts
from massgen_tracing.insight.summary import total
from massgen_tracing.store.reading.recording import Recording
from massgen_tracing.store.roots import catalogue, lookup, order, reader
from massgen_tracing.views import links
from massgen_tracing.views.report.subject import Subject

_MOST_EARLIER: Final = 10
_LEAST_BYTES: Final = 4 * 1024 * 1024
"""So much of earlier runs is read in any case; else as much as the run itself has."""


@dataclass(frozen=True)
class Located:
    """Where a question of a run lies.

    Attributes:
        title: what it is called.
        root: where it was looked for.
        log_dir: its run's directory; None for a bare recording.
        turn: which question of the run; None for a bare recording.
        attempts: how often it was attempted; 0 where that is not known.
        trace: a trace's first digits, where that is all that was named; the files then have other traces too, and may have none of it.
        files: its recordings.
    """

    title: str
    root: str
    log_dir: Path | None
    turn: int | None
    attempts: int
    trace: str
    files: tuple[Path, ...]


@dataclass(frozen=True)
class Found(Located):
    """A question of a run before anything is computed: its spans, and where they lie."""

    recording: Recording


def find(root: str, wanted: str | None, turn: int | None = None) -> Found:
    """What was asked for, read: the last question of the newest run, where nothing is named.

    Args:
        root: where runs are recorded.
        wanted: a run's name or directory, a part of one, a recording, or a trace's first digits.
        turn: which question of the run.

    Raises:
        RecordingError: if there is no such thing, or nothing in it.
    """
    return read(locate(root, wanted, turn))


def locate(root: str, wanted: str | None, turn: int | None = None) -> Located:
    """Where what was asked for lies; the arguments are those of `find`.

    Raises:
        RecordingError: if there is no such thing.
    """
    if wanted is None:
        newest = lookup.newest_run(root)
        if newest.log_dir is None:
            return Located(newest.run_id, root, None, None, 0, "", newest.files())
        return _question(root, newest.log_dir, turn)
    place = lookup.place_named(root, wanted)
    if place is None:
        return locate_trace(root, wanted)
    run = layout.run_of(place)
    if run is None:
        return Located(place.name, root, None, None, 0, "", catalogue.files(place))
    return _question(str(run.root), run.log_dir, turn if turn is not None else _named_turn(place, run))


def locate_trace(root: str, trace_id: str) -> Located:
    """Where a trace may lie that is named by its id, or the first digits of it.

    Raises:
        RecordingError: if that is no such id.
    """
    return Located(f"trace {trace_id}", root, None, None, 0, trace_id, lookup.files_of_trace(root, trace_id))


def read(located: Located) -> Found:
    """The spans of a question.

    Raises:
        RecordingError: if there are none.
    """
    recording = lookup.trace(located.root, located.trace) if located.trace else reader.read(located.files)
    if not recording.spans:
        raise RecordingError(f"There are no spans in {located.title}", hint=f"The reader {recording.report.sentence or 'found nothing at all in it'}")
    files = () if located.trace else located.files
    return Found(located.title, located.root, located.log_dir, located.turn, located.attempts, located.trace, files, recording)


def _named_turn(place: Path, run: layout.RunDirectory) -> int | None:
    """The turn that a path names; None for a whole run's."""
    below = Path(os.path.abspath(place)).relative_to(run.log_dir).parts
    return run.turn if below and below[0].startswith(layout.TURN_PREFIX) else None


def _question(root: str, log_dir: Path, turn: int | None) -> Located:
    places = {
        file: run for file in catalogue.files(log_dir) if (run := layout.run_of(file)) is not None and run.log_dir == Path(os.path.abspath(log_dir))
    }
    turns = sorted({place.turn for place in places.values()})
    if not turns:
        raise RecordingError(
            f"There are no recordings in {log_dir}", hint=f"Where MassGen's own logs lie there: massgen-tracing logs import {log_dir}"
        )
    if turn is not None and turn not in turns:
        raise RecordingError(f"The run {log_dir.name} has no recording of turn {turn}", expected=f"one of {', '.join(map(str, turns))}", got=turn)
    chosen = turns[-1] if turn is None else turn
    own = [file for file, place in places.items() if place.turn == chosen]
    attempts = [attempt for attempt in layout.attempts(log_dir) if attempt.turn == chosen]
    nested = [file for attempt in attempts for directory in layout.nested_in(attempt) for file in catalogue.files(directory)]
    files = (*own, *dict.fromkeys(nested))
    return Located(log_dir.name, root, log_dir, chosen, len({places[file].attempt for file in own}), "", files)


def subject(found: Found, *, compare: bool = True, now: datetime | None = None) -> Subject:
    """What is reported on; *compare* says whether with earlier runs."""
    analysis = Analysis(found.recording.spans, settings.thresholds(), partial(_earlier, found) if compare else None)
    made = Subject(found.title, found.root, found.log_dir, found.turn, found.attempts, found.files, analysis, now or datetime.now(UTC))
    at_logfire = [link.url for link in links.links(made.trace_id, found.files) if link.kind == "logfire" and link.url]
    return replace(made, link=at_logfire[0] if at_logfire else "")


def _earlier(found: Found, own: Configuration) -> Iterator[Earlier]:
    """The newest earlier runs of the same configuration, as far as reading them takes no longer than reading the run itself."""
    if found.log_dir is None:
        return
    left = max(_LEAST_BYTES, sum(_size(file) for file in found.files))
    begun = min(span.start_ns for span in found.recording.spans)
    runs = order.newest_first(catalogue.runs(found.log_dir.parent.parent))
    others = (run for run in runs if run.log_dir not in {None, found.log_dir} and not run.is_nested)
    for run in itertools.islice(others, _MOST_EARLIER):
        files = run.files()
        left -= sum(_size(file) for file in files)
        if left < 0:
            return
        spans = reader.read(files).spans
        if spans and spans[0].start_ns < begun:
            parts = Parts(spans)
            if configuration(parts) == own:
                yield Earlier(run.run_id, total(parts), by_agent(parts))


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0

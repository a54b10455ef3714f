"""`massgen-tracing logs rebuild`: the files of a run made anew of its recording."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from massgen_tracing import layout
from massgen_tracing.errors import RecordingError
from massgen_tracing.store.roots import lookup
from massgen_tracing.views import options, text

if TYPE_CHECKING:
    from massgen_tracing.projection.writer import Saved

COMMAND: Final = "logs rebuild"


def run(root: str, name: str | None) -> int:
    """Make the files of a run's attempts of their recordings; 0 where there was one, 2 where a file could not be written.

    Args:
        root: where runs lie.
        name: a run's name or directory, or the directory of one attempt; None: the newest run.

    Raises:
        RecordingError: if there is no such run, if it has no recording, or if its files are MassGen's own.
    """
    failed = 0
    for saved in [_rebuilt(attempt, newest=newest) for attempt, newest in _attempts(root, name)]:
        failed += saved.failed
    return 2 if failed else 0


def _attempts(root: str, name: str | None) -> Iterator[tuple[layout.RunDirectory, bool]]:
    """What was asked for, and of each attempt whether it is the newest of its run."""
    place = lookup.newest_run(root, with_directory=True).path if name is None else lookup.place_named(root, name)
    asked = None if place is None else layout.run_of(place)
    if place is None or asked is None or not asked.log_dir.is_dir():
        raise RecordingError(
            f"There is no run {name}", expected="a run's name or directory", hint=f"See the runs: massgen-tracing logs --root {root}"
        )
    found = [attempt for attempt in layout.attempts(asked.log_dir) if any(_recordings(attempt))]
    wanted = [attempt for attempt in found if attempt.attempt_dir == asked.attempt_dir or _above(place, attempt.attempt_dir)]
    if not wanted:
        raise RecordingError(f"There is no recording in {place}", hint="Without one nothing can be made of it")
    for attempt in wanted:
        yield attempt, attempt == found[-1]


def _above(place: Path, directory: Path) -> bool:
    return directory.is_relative_to(place.resolve()) or directory.is_relative_to(place.absolute())


def _recordings(attempt: layout.RunDirectory) -> Iterator[Path]:
    """The recording of the process that ran the attempt, live or sealed; what other processes have recorded beside it is in no file of the run."""
    live = attempt.attempt_dir / layout.recording_name()
    if live.exists():
        yield live
    yield from layout.sealed_beside(live)


def _rebuilt(attempt: layout.RunDirectory, *, newest: bool) -> Saved:
    from massgen_tracing.projection.directory import rebuild
    from massgen_tracing.store.roots import reader

    recording = reader.read(_recordings(attempt))
    files = rebuild(attempt, recording.spans, links=newest)
    if files is None:
        raise RecordingError(
            f"The files in {attempt.attempt_dir} cannot be made of its recording",
            expected="the recording of a run of this package",
            hint="What MassGen itself has written there stays as it is",
        )
    if recording.report.sentence:
        options.note(COMMAND, recording.report.sentence)
    saved = files.writer.saved
    said = f"{text.count(saved.written, 'file')} written, {saved.unchanged:,} unchanged"
    print(f"{attempt.attempt_dir}: {said}{f', {saved.failed:,} not written' if saved.failed else ''}")
    return saved

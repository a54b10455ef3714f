"""Finding one trace or one run by what people call it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from massgen_tracing import layout
from massgen_tracing.errors import RecordingError
from massgen_tracing.store.reading.recording import Recording
from massgen_tracing.store.roots import catalogue, order
from massgen_tracing.store.roots.contents import Wanted
from massgen_tracing.store.roots.reader import Reader, is_columnar

_HEX: Final = frozenset("0123456789abcdef")
_MOST_OUTSIDE: Final = 256
"""Recordings without a session that are looked at for a run that began later than their processes."""

_SHORTEST_ID: Final = 6
"""Digits of a trace id that are taken for one; fewer are too often something else."""


def newest_run(root: Path | str, *, with_directory: bool = False) -> catalogue.Run:
    """The newest run under *root* that has a recording, and was not started in another one.

    What a process has recorded without a session is a run as new as the process: what it records beside its sessions is older than these.

    Args:
        root: where runs lie.
        with_directory: whether what was recorded without a session does not count.

    Raises:
        RecordingError: if there is none.
    """
    known = () if catalogue.is_whole(root) else order.listed(root)[1]
    runs = (run for run in known if not run.is_nested and any(file.stat().st_size for file in run.files()))
    outside: list[catalogue.Run] = []
    for run in runs:
        if run.log_dir is not None:
            return next((other for other in outside if not _began_before(other, run)), run)
        if not with_directory:
            outside.append(run)
            if len(outside) == _MOST_OUTSIDE:
                break
    if not outside:
        raise RecordingError(f"There are no recorded runs under {root} yet", hint='Start one with `massgen-tracing run "your question"`')
    return outside[0]


def _began_before(outside: catalogue.Run, run: catalogue.Run) -> bool:
    """Whether the process of a recording without a session was there when a run began, as their names tell: then it is no newer work."""
    return outside.started is not None and run.started is not None and outside.started <= run.started


def place_named(root: Path | str, name: str) -> Path | None:
    """The run or the recording that *name* means: a path, or the name of a run's directory, or of a recording, under *root*; None for neither."""
    candidates = itertools.chain([Path(name)], places_of(root, name))
    return next((path for path in candidates if path.exists() or any(layout.sealed_beside(path)) or catalogue.outside_named(path)), None)


def places_of(root: Path | str, name: str | Path) -> Iterator[Path]:
    """Where a run or a recording of that name would lie under *root*, or in the roots that lie in it."""
    path = Path(root)
    yield from (path / layout.LOGS_DIR / name, path / layout.TRACES_DIR / name, path / name)
    yield from (below / part / name for below in catalogue.roots_below(path) for part in (layout.LOGS_DIR, layout.TRACES_DIR))


def trace(root: Path | str, trace_id: str) -> Recording:
    """Every span of one trace, from all recordings under *root*.

    Args:
        root: where to look.
        trace_id: its id, or the first digits of it.

    Raises:
        RecordingError: if no trace, or more than one, has such an id.
    """
    wanted = trace_id.lower()
    files = files_of_trace(root, trace_id)
    # Looking for the id's bytes is far cheaper than decoding; but other writers may spell ids in another way.
    reader = Reader(named=[Path(root)])
    for path in files:
        with reader.surviving(path):
            if is_columnar(path):
                reader.add_sealed(path, wanted)
            elif not path.name.endswith(layout.RECORDING_SUFFIX) or _mentions(path, wanted):
                reader.add_file(path)
    recording = reader.recording()
    found = sorted({span.trace_id for span in recording.spans if span.trace_id.startswith(wanted)})
    if not found:
        raise RecordingError(
            f"No recording under {root} has a trace {trace_id}",
            hint='See the traces there are: massgen-tracing sql "SELECT DISTINCT trace_id FROM records_all"',
        )
    if len(found) > 1:
        raise RecordingError(f"{len(found)} traces begin with {trace_id}", expected=f"more of its digits, as in {', '.join(found[:3])}")
    return Recording(
        tuple(span for span in recording.spans if span.trace_id == found[0]),
        recording.report,
        begin=lambda: tuple(span for span in recording.starts if span.trace_id == found[0]),
    )


def files_of_trace(root: Path | str, trace_id: str) -> tuple[Path, ...]:
    """The recordings under *root* that may have spans of a trace; the others need not be opened.

    Raises:
        RecordingError: if that is no id of a trace, nor the first digits of one.
    """
    wanted = trace_id.lower()
    if len(wanted) < _SHORTEST_ID or not _HEX.issuperset(wanted):
        raise RecordingError(
            f"There is no run or recording named {trace_id}",
            expected=f"a run's directory, a recording, or at least {_SHORTEST_ID} digits of a trace id",
            hint=f"`massgen-tracing logs list --root {root}` shows the runs",
        )
    return _files_with(Path(root), Wanted(traces=(wanted,)))


def _files_with(root: Path, wanted: Wanted) -> tuple[Path, ...]:
    if not catalogue.has_segments(root):
        return catalogue.files_with(root, wanted)
    from massgen_tracing.store.roots import segments  # loads Arrow

    return segments.files_with(root, wanted)


def _mentions(path: Path, trace_id: str) -> bool:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RecordingError(f"The recording {path} cannot be read ({error.strerror})", hint="Check that it is readable") from error
    return trace_id.encode() in content or trace_id.upper().encode() in content

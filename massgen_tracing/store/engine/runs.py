"""`massgen_run`: the run that a row belongs to, by its trace. It is in no file, for a run may be copied or be given another name."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import pyarrow as pa

from massgen_tracing import layout
from massgen_tracing.errors import RecordingError
from massgen_tracing.store.engine.sources import traces_of
from massgen_tracing.store.engine.tables import RUNS
from massgen_tracing.store.roots.contents import look_into
from massgen_tracing.store.roots.segments import Found
from massgen_tracing.store.sealing import sealed

_MOST_OUTER: Final = 16
"""Runs within runs; files may say anything."""


def of_traces(there: Found) -> pa.RecordBatch:
    """The run of each trace that files and segments have.

    Where a run was started in another one, it is the outer one; where several have the trace, some were copied, and it is the first by name.
    """
    found: dict[str, str] = {}

    def take(traces: Iterable[str], path: Path) -> None:
        name = _run_of(path)
        if name is not None:
            found.update({trace: min(name, found.get(trace, name)) for trace in traces})

    for path in there.files:
        with contextlib.suppress(OSError, RecordingError):
            take(_traces(path), path)
    for chosen in there.segments:
        for number in chosen.members:
            take(chosen.segment.traces[number], chosen.root / chosen.segment.names[number])
    return pa.RecordBatch.from_arrays([pa.array(list(found), pa.string()), pa.array(list(found.values()), pa.string())], schema=RUNS)


def _traces(path: Path) -> Iterable[str]:
    if layout.is_sealed(path):
        index = sealed.index(path)
        return () if index is None else traces_of(path, index)
    contents = look_into(path)
    return () if contents is None else contents.traces or ()


def _run_of(path: Path) -> str | None:
    if path.parent.name == layout.TRACES_DIR:
        return layout.name_outside(path)
    run = layout.run_of(path)
    for _ in range(_MOST_OUTER):
        outer = None if run is None else layout.outer_of(run.log_dir)
        if outer is None:
            break
        run = outer
    return None if run is None else run.run_id

"""Recordings as records: the total reader.

Whatever a file holds, reading it gives every span, log record and data point that can be read and a report of what could not: lines in any
order, a torn last line, garbage, NUL bytes, invalid UTF-8, missing starts, missing ends, the same span twice. Only a file that cannot be opened
is an error.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from massgen_tracing import layout
from massgen_tracing.errors import RecordingError
from massgen_tracing.store.reading import live, liveness
from massgen_tracing.store.reading.recording import Collector, Recording


class Reader(Collector):
    """Reads files, live and sealed, into one recording.

    Args:
        named: the files that were asked for by name; of those, `surviving` lets errors pass. None: of all.
    """

    def __init__(self, named: Collection[Path] | None = None) -> None:
        super().__init__()
        self._named = named

    @contextlib.contextmanager
    def surviving(self, path: Path) -> Iterator[None]:
        """Within, a file that was found under a root and cannot be read is reported and passed over: it may be deleted at any time."""
        try:
            yield
        except RecordingError as error:
            if self._named is None or path in self._named:
                raise
            self.report.lost[str(path)] = str(error.__cause__ or error)

    def add_file(self, path: Path) -> None:
        """Read one file.

        Raises:
            RecordingError: if it cannot be opened or read from the disk at all.
        """
        if layout.is_sealed(path):
            self.add_sealed(path)
            return
        try:
            # Asked before reading: a writer that dies in between has written all it ever will, so nothing is called dead too early.
            alive = liveness.writer_alive(path)
            self.add_said(live.read(path, alive=alive), alive=alive)
        except OSError as error:
            beside = list(layout.sealed_beside(path)) if isinstance(error, FileNotFoundError) else []
            if beside:  # sealed since it was found
                for each in beside:
                    self.add_sealed(each)
                return
            raise RecordingError(
                f"The recording {path} cannot be read ({error.strerror or error})", hint="Check that the file exists and is readable"
            ) from error

    def add_sealed(self, path: Path, trace_prefix: str = "") -> None:
        """Read one sealed file; only the traces that begin with *trace_prefix*. A Parquet file that is none is passed over.

        Raises:
            RecordingError: if it cannot be read.
        """
        from massgen_tracing.store.sealing import sealed  # loads Arrow, which live files do not need

        index = sealed.index(path)
        if index is None:
            return
        self.report.add_sealed(str(path), lines=index.lines, skipped=index.skipped)
        if not index.may_have(trace_prefix):
            return
        self.add_spans(sealed.spans(path, trace_prefix))


def read(paths: Iterable[Path]) -> Recording:
    """Read recordings as one.

    Raises:
        RecordingError: if a file cannot be opened.
    """
    reader = Reader()
    for path in paths:
        reader.add_file(path)
    return reader.recording()

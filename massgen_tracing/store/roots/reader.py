"""Recordings as records: the total reader.

Whatever a file holds, reading it gives every span, log record and data point that can be read and a report of what could not: lines in any
order, a torn last line, garbage, NUL bytes, invalid UTF-8, missing starts, missing ends, the same span twice. Only a file that cannot be opened
is an error.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from massgen_tracing import layout
from massgen_tracing.errors import RecordingError
from massgen_tracing.store.reading import liveness
from massgen_tracing.store.reading.recording import Collector, Recording

if TYPE_CHECKING:
    from massgen_tracing.store.reading.sources import Foreign


class Reader(Collector):
    """Reads files, live and sealed, into one recording.

    Args:
        named: the files that were asked for by name; of those, `surviving` lets errors pass. None: of all.
    """

    def __init__(self, named: Collection[Path] | None = None) -> None:
        super().__init__()
        self._named = named
        self._first_lost: RecordingError | None = None

    @contextlib.contextmanager
    def surviving(self, path: Path) -> Iterator[None]:
        """Within, a file that was found under a root and cannot be read is reported and passed over: it may be deleted at any time."""
        try:
            yield
        except RecordingError as error:
            if self._named is None or path in self._named:
                raise
            self.report.lost[str(path)] = str(error.__cause__ or error)
            self._first_lost = self._first_lost or error

    def fail_if_all_are_lost(self, paths: Collection[Path]) -> None:
        """Raise the first error where there are files, and nothing can be read of any.

        Raises:
            RecordingError: if it is so.
        """
        if self._first_lost is not None and len(self.report.lost) == len(paths):
            raise self._first_lost

    def fail_if_nothing_was_read(self) -> None:
        """Raise where the files that were read have something, and their writers are gone, and yet nothing could be read.

        Raises:
            RecordingError: if it is so.
        """
        if self.report.skipped and self.says_nothing():
            raise RecordingError(f"Nothing can be read: {self.report.sentence}", expected="a recording that has whole lines")

    def add_file(self, path: Path) -> None:
        """Read one file.

        Raises:
            RecordingError: if it cannot be opened or read from the disk at all, or is no recording.
        """
        if is_columnar(path):
            self.add_sealed(path)
            return
        from massgen_tracing.store.reading import live  # which sealed files do not need, as the rest of what is imported here and there
        from massgen_tracing.store.reading.sources import Foreign

        try:
            # Asked before reading: a writer that dies in between has written all it ever will, so nothing is called dead too early.
            alive = liveness.writer_alive(layout.held_by_writer(path))
            self.add_said(live.read(path, alive=alive), alive=alive)
        except Foreign as foreign:
            raise no_otlp(path, foreign) from foreign
        except OSError as error:
            beside = list(layout.sealed_beside(path)) if isinstance(error, FileNotFoundError) else []
            if layout.is_arrival(path) and layout.sorted_arrival(path).exists():  # since it was found, and maybe after the others were
                self.add_said(live.read(layout.sorted_arrival(path), alive=True), alive=True)
                return
            if beside:  # sealed since it was found
                for each in beside:
                    self.add_sealed(each)
                return
            raise RecordingError(
                f"The recording {path} cannot be read ({error.strerror or error})", hint="Check that the file exists and is readable"
            ) from error

    def add_sealed(self, path: Path, trace_prefix: str = "") -> None:
        """Read one sealed file, or rows of records; only the traces that begin with *trace_prefix*. Other Parquet files of a run are passed over.

        Raises:
            RecordingError: if it cannot be read, or is no recording.
        """
        from massgen_tracing.store.sealing import exported, sealed  # load Arrow, which live files do not need

        index = sealed.index(path)
        if index is None:
            if not is_beside_runs(path):
                from massgen_tracing.store.reading.live import Said

                said = Said(str(path))
                for record in exported.read(path):
                    said.add_located(record)
                self.add_said(said, alive=False)
            return
        self.report.add_sealed(str(path), lines=index.lines, skipped=index.skipped)
        if not index.may_have(trace_prefix):
            return
        self.add_spans(sealed.spans(path, trace_prefix))


def is_columnar(path: Path) -> bool:
    """Whether a file is Parquet, by its name or by how it begins; one that cannot be read is not."""
    if layout.is_sealed(path):
        return True
    if path.name.endswith(layout.RECORDING_SUFFIX):
        return False
    from massgen_tracing.store.reading.sources import PARQUET

    with contextlib.suppress(OSError), path.open("rb") as file:
        return file.read(len(PARQUET)) == PARQUET
    return False


def is_beside_runs(path: Path) -> bool:
    """Whether a file lies where our own recordings do."""
    return path.parent.name == layout.TRACES_DIR or layout.is_in_run(path.parent)


def no_otlp(path: Path, foreign: Foreign) -> RecordingError:
    """The error that a file is something else."""
    return RecordingError(f"{path} is no OTLP: {foreign}", expected="OTLP in JSON or protobuf, also compressed, or a sealed recording")


def read(paths: Iterable[Path]) -> Recording:
    """Read recordings as one.

    Raises:
        RecordingError: if a file cannot be opened.
    """
    reader = Reader()
    for path in paths:
        reader.add_file(path)
    return reader.recording()

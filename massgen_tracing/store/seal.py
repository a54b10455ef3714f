"""Sealing: an ended recording becomes one Parquet file beside it, and the live file goes.

At every moment the directory holds each span at least once: the sealed file gets its name when it is whole, on the disk and compared with
what was read, and only then does the live file go. Where both are there, because the process died in between, the sealed file says which bytes
of the live one it holds; readers count a span once, and sealing again only removes what is left over.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import pyarrow as pa
from pyarrow import parquet

from massgen_tracing import layout
from massgen_tracing.errors import RecordingError
from massgen_tracing.model import SpanRecord
from massgen_tracing.store import liveness, otlp, reader, sealed, typed
from massgen_tracing.store.lines import LineDecoder, SpanKey

_GROUP_BATCHES: Final = 32
_BATCH_SPANS: Final = 1024
"""A row group has so many batches of so many spans: spans are held in memory for a batch, columns for a group."""

_ORDER: Final = [("start_timestamp", "ascending"), ("trace_id", "ascending"), ("span_id", "ascending")]

_WITH_STATISTICS: Final = ("trace_id", "start_timestamp", "end_timestamp", "duration", "span_name", "kind", "level", "is_exception")
_WITHOUT_DICTIONARY: Final = frozenset(
    {"span_id", "start_timestamp", "end_timestamp", "created_at", "duration", "start_nanos", "end_nanos", "attributes"}
)
_IN_RUN: Final = re.compile(rf"{layout.RECORDING_STEM}(\.\d+)?{re.escape(layout.RECORDING_SUFFIX)}")
_OUTSIDE_RUNS: Final = re.compile(rf"{layout.RECORDING_STEM}_\d{{8}}_\d{{6}}_\d{{6}}_\d+{re.escape(layout.RECORDING_SUFFIX)}")

_SETTLED_SECONDS: Final = 60.0
"""How long a recording must have been left alone before a reader seals it in passing."""

_BYTES_A_SECOND: Final = 10_000_000
"""Less than sealing manages, so that a reader can tell what it has no time for."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a live file.

    Attributes:
        path: the live file.
        sealed: the sealed file; None where the live one was left as it is.
        before, after: bytes of the two.
        reason: why it was left.
    """

    path: Path
    sealed: Path | None = None
    before: int = 0
    after: int = 0
    reason: str = ""


class _Left(Exception):
    """The live file stays; the text says why."""


class _Irregular(Exception):
    """Not only lines as our own writer writes them; the total reader has to read them."""


def seal(path: Path) -> Outcome:
    """Seal one live file; leaves it as it is where a writer still has it open, or where not all of it would be kept.

    Raises:
        RecordingError: if the file or its directory cannot be read or written.
    """
    if liveness.fcntl is None:
        return Outcome(path, reason="this system cannot say whether its writer still runs")
    try:
        with path.open("rb") as live:
            try:
                with _only_sealer(path.parent):
                    return _Sealing(path, live).run()
            except _Left as reason:
                return Outcome(path, before=os.fstat(live.fileno()).st_size, reason=str(reason))
    except FileNotFoundError:
        return Outcome(path, reason="it is gone")
    except (OSError, pa.ArrowException) as error:
        raise RecordingError(
            f"The recording {path} cannot be sealed ({error})", hint="Check that its directory is writable and the disk has room"
        ) from error


def seal_settled(files: Iterable[Path], *, seconds: float) -> None:
    """Seal what can be sealed in passing: recordings left alone for a while, in about so many seconds. Never raises."""
    deadline = time.monotonic() + seconds
    for path in files:
        left = deadline - time.monotonic()
        if left <= 0:
            return
        with contextlib.suppress(RecordingError, OSError):
            status = path.stat()
            settled = is_own(path) and time.time() - status.st_mtime > _SETTLED_SECONDS
            if settled and status.st_size <= left * _BYTES_A_SECOND and os.access(path.parent, os.W_OK):
                seal(path)


def is_own(path: Path) -> bool:
    """Whether place and name are those of a live recording of our own writer; nothing else is ever sealed, whoever put it there."""
    if path.parent.name == layout.TRACES_DIR:
        return _OUTSIDE_RUNS.fullmatch(path.name) is not None
    attempt, turn, run, *_ = (*(parent.name for parent in path.absolute().parents), "", "", "")
    in_run = attempt.startswith("attempt_") and turn.startswith("turn_") and run.startswith(layout.RUN_PREFIX)
    return in_run and _IN_RUN.fullmatch(path.name) is not None


@contextlib.contextmanager
def _only_sealer(directory: Path) -> Iterator[None]:
    """One sealer a directory; the lock is on the directory itself, so nothing is left behind."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        _lock(descriptor, "another process is sealing in its directory")
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, otherwise: str) -> None:
    """Take the exclusive lock, or leave the file; a file system without locks is an error, for then a writer may be there."""
    assert liveness.fcntl is not None
    for attempt in range(liveness.ATTEMPTS):
        time.sleep(liveness.PAUSE_SECONDS if attempt else 0)
        with contextlib.suppress(BlockingIOError):
            liveness.fcntl.flock(descriptor, liveness.fcntl.LOCK_EX | liveness.fcntl.LOCK_NB)
            return
    raise _Left(otherwise)


class _Sealing:
    """One live file on its way."""

    def __init__(self, path: Path, live: IO[bytes]) -> None:
        self._path = path
        self._live = live
        self._size = os.fstat(live.fileno()).st_size
        self._digest = hashlib.blake2b(digest_size=16)
        self._lines = 0
        self._skipped = 0

    def run(self) -> Outcome:
        if liveness.writer_alive(self._path):
            raise _Left("its writer still runs")
        if not self._size:
            raise _Left("it is empty")
        target, held = self._target()
        if held == self._size:
            # An earlier sealer died before it could remove the live file.
            _read_all(target)
            self._replace(lambda: None)
        else:
            temporary = target.with_name(f".{target.name}.tmp")
            try:
                try:
                    self._write(temporary, self._regular())
                except _Irregular:
                    self._write(temporary, self._irregular())
                self._replace(lambda: os.replace(temporary, target))
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
        return Outcome(self._path, target, self._size, target.stat().st_size)

    def _target(self) -> tuple[Path, int]:
        """The sealed file's name, and how many of the live file's first bytes a file of that name holds already."""
        for candidate in layout.sealed_names(self._path):
            if not candidate.exists():
                return candidate, 0
            known = sealed.index(candidate)
            if known is not None and 0 < known.source_bytes <= self._size and known.source_digest == self._digest_of(known.source_bytes):
                return candidate, known.source_bytes
        raise AssertionError  # the names never end

    def _digest_of(self, length: int) -> str:
        digest = hashlib.blake2b(digest_size=16)
        self._live.seek(0)
        while length > 0 and (block := self._live.read(min(length, 2**20))):
            digest.update(block)
            length -= len(block)
        return digest.hexdigest()

    # --- reading -----------------------------------------------------------------------------------------------------------------

    def _all_lines(self) -> Iterator[bytes]:
        self._live.seek(0)
        self._lines = 0
        self._digest = hashlib.blake2b(digest_size=16)
        left = self._size
        for line in self._live:
            whole = line[:left]
            left -= len(whole)
            if not whole:
                return
            self._lines += 1
            self._digest.update(whole)
            yield whole

    def _regular(self) -> Iterator[SpanRecord]:
        """The spans of lines as our own writer writes them; only open spans are kept in memory."""
        decoder = LineDecoder(otlp.Decoder())
        open_spans: dict[SpanKey, bytes] = {}
        for line in self._all_lines():
            key = decoder.start(line)
            if key is not None:
                open_spans[key] = line
                continue
            span = decoder.span(line)
            if span is None or span.end_ns is None or otlp.is_pending(span):
                raise _Irregular
            open_spans.pop((span.trace_id, span.span_id), None)
            yield span
        for line in open_spans.values():
            pending = decoder.span(line)
            start = None if pending is None else otlp.started(pending)
            if start is None:
                raise _Irregular
            yield reader.unfinished(start, "interrupted")

    def _irregular(self) -> Iterator[SpanRecord]:
        """The spans of any lines, in memory; a file is left where something whole in it is no span, for that would be lost."""
        collected = reader.Reader()
        torn = 0

        def lines() -> Iterator[bytes]:
            nonlocal torn
            for line in self._all_lines():
                torn += _is_torn(line)
                yield line

        collected.add_lines(lines(), source=str(self._path))
        recording = collected.recording()
        self._skipped = recording.report.skipped
        if self._skipped > torn:
            raise _Left("it has lines that are no spans")
        if recording.logs or recording.points:
            raise _Left("it has logs or metrics, which a sealed recording cannot hold")
        yield from recording.spans

    # --- writing -----------------------------------------------------------------------------------------------------------------

    def _write(self, temporary: Path, spans: Iterator[SpanRecord]) -> None:
        """Write the sealed file, have the disk take it, and compare what it gives back."""
        inventory = sealed.Inventory()
        tables = _groups(inventory, spans)
        table, following = next(tables, None), next(tables, None)
        if table is None:
            raise _Left("it has no spans")
        if following is None:
            # Columns that say nothing cost more than what is in a small file.
            empty = [known.column for known in typed.COLUMNS.values() if table.column(known.column).null_count == len(table)]
            table = table.drop_columns(empty)
        rest = tables if following is None else itertools.chain([following], tables)
        with tempfile.TemporaryFile(dir=temporary.parent) as copy:
            with temporary.open("wb") as file:
                with _writer(file, table.schema) as writer, pa.ipc.new_stream(copy, table.schema) as copier:
                    for each in itertools.chain([table], rest):
                        writer.write_table(each, row_group_size=len(each))
                        copier.write_table(each)
                    index = inventory.index(lines=self._lines, skipped=self._skipped, source_bytes=self._size, source_digest=self._digest.hexdigest())
                    writer.add_key_value_metadata(index.metadata())
                file.flush()
                os.fsync(file.fileno())
            copy.seek(0)
            _compare(temporary, pa.ipc.open_stream(copy))

    def _replace(self, rename: Callable[[], None]) -> None:
        """Give the sealed file its name and remove the live one, while no writer can come."""
        descriptor = self._live.fileno()
        _lock(descriptor, "its writer still runs")
        status = os.fstat(descriptor)
        if status.st_size != self._size or not os.path.samestat(status, self._path.stat()):
            raise _Left("it has changed meanwhile")
        rename()
        _sync(self._path.parent)
        self._path.unlink()
        _sync(self._path.parent)


def _writer(file: IO[bytes], schema: pa.Schema) -> parquet.ParquetWriter:
    return parquet.ParquetWriter(
        file,
        schema,
        compression="zstd",
        use_dictionary=[name for name in schema.names if name not in _WITHOUT_DICTIONARY],
        write_statistics=[name for name in schema.names if name in _WITH_STATISTICS],
        store_schema=False,
    )


def _groups(inventory: sealed.Inventory, spans: Iterator[SpanRecord]) -> Iterator[pa.Table]:
    """One table a row group, its rows by their start."""
    batches = iter(lambda: list(itertools.islice(spans, _BATCH_SPANS)), [])
    while tables := [inventory.table(batch) for batch in itertools.islice(batches, _GROUP_BATCHES)]:
        yield pa.concat_tables(tables).sort_by(_ORDER).combine_chunks()


def _compare(path: Path, expected: Any) -> None:
    """Read the file back, group by group.

    Raises:
        _Irregular: if a span is in it twice, which the total reader sorts out.
        RecordingError: if the disk gives back something else than was written.
    """
    keys = []
    with parquet.ParquetFile(path) as file:
        for number, batch in enumerate(expected):
            written = pa.Table.from_batches([batch])
            if not file.read_row_group(number).cast(written.schema).equals(written):
                raise RecordingError(f"What was written to {path} reads differently", hint="Check the disk; the recording was left as it is")
            keys.append(written.select(["trace_id", "span_id"]))
    every = pa.concat_tables(keys)
    if every.group_by(["trace_id", "span_id"]).aggregate([]).num_rows < every.num_rows:
        raise _Irregular


def _read_all(path: Path) -> None:
    for _ in sealed.spans(path):
        pass


def _is_torn(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return True
    return False


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

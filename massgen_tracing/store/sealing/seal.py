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
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import BinaryIO, Final

import pyarrow as pa

from massgen_tracing import layout, ledger
from massgen_tracing.errors import RecordingError
from massgen_tracing.store.reading import liveness, recording
from massgen_tracing.store.sealing import groups, regular, sealed, written
from massgen_tracing.store.sealing.groups import Part
from massgen_tracing.store.sealing.regular import Irregular, Regular

_BLOCK_BYTES: Final = 2**21
"""Bytes of the live file that are read at once."""

_ENDS: Final = 2**16
"""Bytes at either end of the live file by which it is known again."""


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


class Left(Exception):
    """The live file stays; the text says why."""


def seal(path: Path) -> Outcome:
    """Seal one live file; leaves it as it is where a writer still has it open, or where not all of it would be kept.

    Raises:
        RecordingError: if the file or its directory cannot be read or written.
    """
    if liveness.fcntl is None:
        return Outcome(path, reason="this system cannot say whether its writer still runs")
    owed = next(ledger.owes(path), None)
    if owed is not None:
        return Outcome(path, reason=f"it has spans that {owed.url} has not taken; `massgen-tracing push` sends them")
    try:
        with path.open("rb") as live:
            try:
                with _only_sealer(path.parent):
                    return _Sealing(path, live).run()
            except Left as reason:
                return Outcome(path, before=os.fstat(live.fileno()).st_size, reason=str(reason))
    except FileNotFoundError:
        return Outcome(path, reason="it is gone")
    except (OSError, pa.ArrowException) as error:
        raise RecordingError(
            f"The recording {path} cannot be sealed ({error})", hint="Check that its directory is writable and the disk has room"
        ) from error


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
        if attempt:
            time.sleep(liveness.PAUSE_SECONDS)
        with contextlib.suppress(BlockingIOError):
            liveness.fcntl.flock(descriptor, liveness.fcntl.LOCK_EX | liveness.fcntl.LOCK_NB)
            return
    raise Left(otherwise)


class _Sealing:
    """One live file on its way."""

    def __init__(self, path: Path, live: BufferedReader) -> None:
        self._path = path
        self._live = live
        self._size = os.fstat(live.fileno()).st_size
        self._lines = 0
        self._skipped = 0

    def run(self) -> Outcome:
        if liveness.writer_alive(self._path):
            raise Left("its writer still runs")
        if not self._size:
            raise Left("it is empty")
        name = target(self._path, self._live, self._size)
        temporary = name.with_name(f".{name.name}.tmp")
        try:
            try:
                self._write(temporary, self._regular(), once=True)
            except Irregular:
                self._write(temporary, self._irregular(), once=False)
            self._replace(lambda: os.replace(temporary, name))
            layout.small_name(name).unlink(missing_ok=True)  # of the same bytes
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        return Outcome(self._path, name, self._size, name.stat().st_size)

    # --- reading -----------------------------------------------------------------------------------------------------------------

    def _blocks(self) -> Iterator[tuple[bytearray, int]]:
        """The file as it was when sealing began, some lines at a time: a buffer, which the next ones overwrite, and how many bytes they are."""
        buffer = bytearray(min(self._size, _BLOCK_BYTES))
        at = kept = 0
        while at < self._size:
            self._live.seek(at)
            with memoryview(buffer) as view:
                length = kept + self._live.readinto(view[kept : kept + self._size - at])
            if length == kept:
                return
            at += length - kept
            whole = length if at == self._size else buffer.rfind(b"\n", 0, length) + 1
            if whole:
                yield buffer, whole
            # A line that is torn here goes on in the next block, which has to have room for it.
            kept = length - whole
            if not whole:
                buffer = buffer + bytes(len(buffer))
            buffer[:kept] = buffer[whole:length]

    def _regular(self) -> Iterator[list[Part]]:
        """The rows of lines as our own writer writes them, group by group."""
        reader = Regular()
        yield from reader.groups(self._blocks())
        self._lines = reader.lines

    def _irregular(self) -> Iterator[list[Part]]:
        """The rows of any lines, in memory; a file is left where something whole in it is no span, for that would be lost."""
        collected = recording.Collector()
        torn = 0

        def lines() -> Iterator[bytes]:
            nonlocal torn
            self._lines = 0
            for line in itertools.chain.from_iterable(BytesIO(buffer[:length]) for buffer, length in self._blocks()):
                self._lines += 1
                torn += _is_torn(line)
                yield line

        collected.add_lines(lines(), source=str(self._path))
        found = collected.recording()
        self._skipped = found.report.skipped
        if self._skipped - found.report.partly > torn:
            raise Left("it has lines that are no spans")
        if found.logs or found.points:
            raise Left("it has logs or metrics, which a sealed recording cannot hold")
        starts = {(start.trace_id, start.span_id): start for start in found.starts}
        spans = ((span, starts.get((span.trace_id, span.span_id))) for span in found.spans)
        while part := groups.of_spans(itertools.islice(spans, regular.GROUP_LINES // 2)):
            yield [part]

    # --- writing -----------------------------------------------------------------------------------------------------------------

    def _write(self, temporary: Path, parts: Iterator[list[Part]], *, once: bool) -> None:
        """Write the sealed file, have the disk take it, and compare what it gives back.

        Args:
            temporary: where.
            parts: the rows of each group.
            once: whether it has yet to be seen that no span is there twice.
        """
        made = groups.Groups()
        tables = map(made.table, parts)
        first, following = next(tables, None), next(tables, None)
        if first is None:
            raise Left("it has no spans")
        # In a small file, columns without values would otherwise take more than those with.
        empty = {name for name in first.column_names if first.column(name).null_count == len(first)} if following is None else set()
        rest = tables if following is None else itertools.chain([following], tables)
        with contextlib.closing(written.Copies(temporary.parent)) as copies:
            with temporary.open("wb") as file:
                with written.writer(file, first.schema, empty=empty) as writer:
                    for table in itertools.chain([first], rest):
                        writer.write_table(table, row_group_size=len(table))
                        copies.add(table)
                    if once and made.repeats():
                        raise Irregular
                    index = made.index(
                        lines=self._lines, skipped=self._skipped, source_bytes=self._size, source_digest=digest(self._live, self._size)
                    )
                    writer.add_key_value_metadata(index.metadata())
                file.flush()
                os.fsync(file.fileno())
            copies.compare(temporary, first.schema)

    def _replace(self, rename: Callable[[], None]) -> None:
        """Give the sealed file its name and remove the live one, while no writer can come."""
        replace(self._path, self._live.fileno(), self._size, rename)


def target(path: Path, live: BinaryIO, size: int) -> Path:
    """What the Parquet file of a live file is called: a new name, or that of what a sealer that died too early has made of its beginning.

    Args:
        path: the live file.
        live: the same, open.
        size: how many bytes of it are to be sealed.
    """
    for name in layout.sealed_names(path):
        present = next(filter(Path.exists, (name, layout.small_name(name))), None)
        if present is None:
            return name
        known = sealed.index(present)
        if known is not None and 0 < known.source_bytes <= size and digest(live, known.source_bytes).startswith(known.source_digest):
            return name
    raise AssertionError  # the names never end


def digest(live: BinaryIO, length: int) -> str:
    """Tells the first bytes of a live file from those of any other; spans have random ids, so both ends of them are enough."""
    made = hashlib.blake2b(digest_size=16)
    for begin in (0, max(0, length - _ENDS)):
        live.seek(begin)
        made.update(live.read(min(length, _ENDS)))
    return made.hexdigest()


def replace(path: Path, descriptor: int, size: int, rename: Callable[[], None]) -> None:
    """Give a sealed file its name and remove the live one, while no writer can come.

    Args:
        path: the live file.
        descriptor: the same, open.
        size: how many bytes of it were sealed.
        rename: gives the sealed file its name.

    Raises:
        Left: if the live file has to stay.
        OSError: if a file cannot be removed.
    """
    _lock(descriptor, "its writer still runs")
    status = os.fstat(descriptor)
    if liveness.vouched_for(path, status.st_ino):
        raise Left("its writer still runs")
    if status.st_size != size or not os.path.samestat(status, path.stat()):
        raise Left("it has changed meanwhile")
    rename()
    _sync(path.parent)
    path.unlink()
    layout.Voucher.path(path).unlink(missing_ok=True)  # of a writer that was killed


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

"""Many small recordings at once: their lines become rows together, and each gets a small sealed file in place of its live one.

What a recording costs alone, most of all a Parquet file of its own, many times what its few rows do, they share.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from massgen_tracing import layout, ledger
from massgen_tracing.errors import RecordingError
from massgen_tracing.model import SpanRecord
from massgen_tracing.store.reading import liveness, recording
from massgen_tracing.store.sealing import candidates, groups, seal, sealed, small
from massgen_tracing.store.sealing.groups import Part
from massgen_tracing.store.sealing.regular import Irregular, Regular
from massgen_tracing.store.sealing.small import Small
from massgen_tracing.store.tables import records

MOST_BYTES: Final = 2**20
"""Of a live file that is small."""

MOST_SPANS: Final = 512
"""Of a sealed one."""

_BLOCK_BYTES: Final = 2**21
"""Bytes of lines that are read together."""

_TRACE: Final = re.compile(rb'"spans":\[\{"traceId":"([0-9a-f]{32})"')
"""What each line of our own writer has once."""


@dataclass(frozen=True, slots=True)
class Source:
    """A recording that can be a small sealed file, or is one.

    Attributes:
        path: the file.
        traces: its traces.
        lines: how many lines the live file had.
        content: of a live file.
        spans: of a sealed one, each with how it was at its start, where that is known.
    """

    path: Path
    traces: frozenset[str]
    lines: int
    content: bytes = field(default=b"", repr=False)
    spans: tuple[tuple[SpanRecord, SpanRecord | None], ...] = field(default=(), repr=False)


def source(path: Path) -> Source | None:
    """A recording that has ended and is small; None for any other.

    Raises:
        OSError, RecordingError: if it cannot be read.
    """
    if layout.is_sealed(path):
        return _sealed(path)
    if not candidates.is_own(path) or not 0 < os.stat(path).st_size <= MOST_BYTES:
        return None
    if liveness.writer_alive(path) or next(ledger.owes(path), None) is not None:
        return None
    content = path.read_bytes()
    lines = content.count(b"\n")
    traces = _TRACE.findall(content)
    if len(traces) != lines or not content.endswith(b"\n"):
        return None
    return Source(path, frozenset(map(bytes.decode, set(traces))), lines, content)


def _sealed(path: Path) -> Source | None:
    index = sealed.index(path)
    if index is None or index.spans > MOST_SPANS or index.traces is None or index.skipped:
        return None
    collected = recording.Collector()
    collected.add_spans(sealed.spans(path))
    found = collected.recording()
    starts = {(start.trace_id, start.span_id): start for start in found.starts}
    spans = tuple((span, starts.get((span.trace_id, span.span_id))) for span in found.spans)
    return Source(path, frozenset(index.traces), index.lines, spans=spans)


class Batch:
    """The rows of some recordings.

    Args:
        sources: recordings; no span is in two of them.

    Attributes:
        table: all rows.
        index: what a footer says of them.

    Raises:
        Irregular: if one of them has lines that our own writer does not write, or a span is there twice.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        self._rounds = [(each, _parts(each.values())) for each in _apart(sources)]
        made = groups.Groups()
        self.table = made.table([part for _, parts in self._rounds for part in parts])
        if made.repeats():
            raise Irregular
        self.index = made.index(lines=sum(each.lines for each in sources), skipped=0, source_bytes=0, source_digest="")

    def seal(self) -> dict[Path, Path]:
        """Make small files of all recordings that are none yet; gives their names by those of what they were made from.

        What cannot be sealed now, because its writer is back, or the disk is full, stays as it is.
        """
        done: dict[Path, Path] = {}
        for sources, parts in self._rounds:
            table = self.table if len(self._rounds) == 1 else groups.Groups().table(parts)
            for each, columns in _by_source(table, sources):
                with contextlib.suppress(seal.Left, OSError, RecordingError):
                    done[each.path] = _replaced(each, columns)
        return done


def _apart(sources: Sequence[Source]) -> list[dict[str, Source]]:
    """Recordings in so many groups that each trace is of one recording in each; by traces."""
    found: list[dict[str, Source]] = []
    for each in sources:
        mine = next((group for group in found if group.keys().isdisjoint(each.traces)), None)
        if mine is None:
            mine = {}
            found.append(mine)
        mine.update(dict.fromkeys(each.traces, each))
    return found


def _parts(sources: Any) -> list[Part]:
    each = {source.path: source for source in sources}.values()
    parts = [part for group in Regular().groups(_blocks(source.content for source in each if source.content)) for part in group]
    others = groups.of_spans(span for source in each for span in source.spans)
    return parts if others is None else [*parts, others]


def _blocks(contents: Iterator[bytes]) -> Iterator[tuple[bytearray, int]]:
    block = bytearray()
    for content in contents:
        block += content
        if len(block) >= _BLOCK_BYTES:
            yield block, len(block)
            block = bytearray()
    if block:
        yield block, len(block)


def _by_source(table: pa.Table, sources: dict[str, Source]) -> Iterator[tuple[Source, dict[str, list[Any]]]]:
    """The columns that make the spans of each recording, for those that are no small files yet."""
    table = table.select(sealed.WHOLE).filter(pc.not_equal(table["kind"], records.SPAN_EVENT))
    columns = {name: _values(column.combine_chunks()) for name, column in zip(table.column_names, sealed.plain(table).columns, strict=True)}
    rows: dict[Path, list[int]] = {}
    for number, trace in enumerate(columns["trace_id"]):
        rows.setdefault(sources[trace].path, []).append(number)
    for each in {source.path: source for source in sources.values()}.values():
        if not layout.is_small(each.path):
            mine = rows[each.path]
            yield each, {name: [values[number] for number in mine] for name, values in columns.items()}


def _replaced(of: Source, columns: dict[str, list[Any]]) -> Path:
    """Put a small file in place of a live one or of a Parquet file.

    Raises:
        seal.Left, OSError: if the other one has to stay.
    """
    with of.path.open("rb") as file:
        if layout.is_sealed(of.path):
            index = sealed.index(of.path)
            assert index is not None
            name, said = of.path, Small(columns, of.lines, index.source_bytes, index.source_digest)
        else:
            if file.read() != of.content:
                raise seal.Left("it has changed meanwhile")
            name, said = _target(of), Small(columns, of.lines, len(of.content), seal.digest(BytesIO(of.content), len(of.content))[:_DIGITS])
        target = layout.small_name(name)
        temporary = target.with_name(f".{target.name}.tmp")
        try:
            _write(temporary, small.encode(said))
            seal.replace(of.path, file.fileno(), os.fstat(file.fileno()).st_size, lambda: os.replace(temporary, target))
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    return target


def _values(column: Any) -> list[Any]:
    """A column's values; Arrow's own way there takes ten times as long."""
    if isinstance(column, pa.ChunkedArray):
        column = column.chunk(0)
    if pa.types.is_dictionary(column.type):
        texts = [*column.dictionary.to_pylist(), None]
        return [texts[number] for number in column.indices.fill_null(len(texts) - 1).to_numpy().tolist()]
    if not column.null_count or not pa.types.is_integer(column.type):
        values: list[Any] = column.to_numpy(zero_copy_only=False).tolist()
        return values
    pairs = zip(column.fill_null(0).to_numpy().tolist(), column.is_valid().to_numpy(zero_copy_only=False).tolist(), strict=True)
    return [value if there else None for value, there in pairs]


_DIGITS: Final = 16
"""Of the live file's digest, which is most of what a small file says of it."""


def _target(of: Source) -> Path:
    name = seal.target(of.path, BytesIO(of.content), len(of.content))
    if name.exists():
        raise seal.Left("it has been sealed already")
    return name


def _write(path: Path, content: bytes) -> None:
    with path.open("w+b") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
        file.seek(0)
        if file.read() != content:
            raise RecordingError(f"What was written to {path} reads differently", hint="Check the disk; the recording was left as it is")

"""Lines of our own writer, taken apart by their shape: spans that differ in values only become columns together.

Most spans of a recording look alike: the same keys in the same order, with other values. The first line of a shape is decoded as any other and
becomes a pattern; the lines that follow are cut where that says, which Arrow turns into columns all at once. What the values cannot change (resource,
kind, level) is taken from the row of the first line, so that both ways derive it by the same code. Lines that are not that plain (events, links,
bytes, maps) are left to the decoder of lines.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from massgen_tracing.store.reading import otlp
from massgen_tracing.store.reading.lines import LineDecoder
from massgen_tracing.store.sealing import begun, columns, patterns, sealed, slices
from massgen_tracing.store.sealing.columns import NotPlain, Sample
from massgen_tracing.store.sealing.groups import Part
from massgen_tracing.store.sealing.patterns import Lines
from massgen_tracing.store.sealing.slices import Cut, Places, Rows

_MAX_SHAPES: Final = 256
"""So many kinds of lines with one head are told apart."""

_END: Final = b"\n"
"""Of a line; it is cut off, with the head."""

Left = tuple[bytes, bytes | None]
"""A line that is not plain, and that of its span's start, where there is one."""


@dataclass(frozen=True)
class _Shape(Sample):
    """What lines of one shape have in common.

    Attributes:
        tried: how many attributes spans of this shape have had at their start.
        tells: whether the row tells how the span was with so many.
    """

    tried: list[int] = field(default_factory=list)
    tells: dict[int, bool] = field(default_factory=lambda: {begun.UNKNOWN: True, begun.OTHERWISE: False})

    def tells_start(self, count: int) -> bool:
        """Whether the row tells how the span was when it had its first *count* attributes only."""
        known = self.tells.get(count)
        if known is None:
            known = self.tells[count] = sealed.start_length(sealed.begun(self.span, count), self.row) is not None
        return known


class Shapes:
    """The shapes of one recording's lines.

    Attributes:
        lines: how many were added.
    """

    def __init__(self, decoder: LineDecoder) -> None:
        self.lines = 0
        self._decoder = decoder
        self._homes: dict[bytes, _Home] = {}

    def add(self, buffer: bytearray, length: int) -> None:
        """Add lines.

        Args:
            buffer: the lines are at its beginning; they are copied.
            length: how many bytes they are.

        Raises:
            NotPlain: if a line is not one that our writer writes.
        """
        try:
            lines = slices.of_lines(buffer, length)
        except ValueError:
            raise NotPlain from None
        self.lines += len(lines)
        is_start = begun.are_starts(lines)
        rows = np.arange(len(lines))
        while len(rows):
            head = self._decoder.head(lines[int(rows[0])].as_py())
            if head is None:
                raise NotPlain
            has = slices.as_mask(pc.starts_with(lines, head))[rows]
            home = self._homes.setdefault(head, _Home(head, self._decoder))
            mine, rows = rows[has], rows[~has]
            home.add(*(slices.between(lines, len(head), -1, rows=some) for some in (mine[is_start[mine]], mine[~is_start[mine]])))

    def take(self) -> tuple[list[Part], list[Left]]:
        """The rows of the plain ones of the lines that were added since the last time, and the others: those whose span began otherwise, too.

        Raises:
            NotPlain: if a span starts twice, or a value is not what it looks like.
        """
        parts: list[Part] = []
        left: list[Left] = []
        for home in self._homes.values():
            home.take(parts, left)
        return parts, left

    def unfinished(self) -> Iterable[bytes]:
        """The lines of starts whose spans have not ended."""
        return (home.head + start + _END for home in self._homes.values() for start in home.unfinished())


class _Home:
    """The lines that begin with the same head, which names resource and scope; of them is kept what follows it, without the end.

    Attributes:
        head: what they begin with.
    """

    def __init__(self, head: bytes, decoder: LineDecoder) -> None:
        self.head = head
        self._decoder = decoder
        self._starts: list[pa.Array] = []
        self._ends: list[pa.Array] = []
        self._shapes: dict[int, list[_Shape]] = {}
        self._count = 0

    def add(self, starts: pa.Array, ends: pa.Array) -> None:
        """Add lines that tell starts, and others."""
        if slices.has_controls(starts) or slices.has_controls(ends):
            raise NotPlain
        self._starts.append(starts)
        self._ends.append(ends)

    def unfinished(self) -> Iterable[bytes]:
        """The starts whose spans have not ended."""
        return (start for each in self._starts for start in each.to_pylist())

    def take(self, parts: list[Part], left: list[Left]) -> None:
        """Add the rows of plain lines to some, and the other lines to others."""
        if not self._ends:
            return
        starts, ended = Lines(self._starts), Lines(self._ends)
        ids = begun.started_ids(starts.texts)
        if pc.count_distinct(ids).as_py() < len(ids):
            raise NotPlain
        of_ended = pc.index_in(begun.ended_ids(ended.texts), ids).fill_null(-1).to_numpy()
        is_open = np.ones(len(ids), np.bool_)
        is_open[of_ended[of_ended >= 0]] = False
        self._starts, self._ends = [starts.texts.filter(pa.array(is_open))], []
        others: list[Rows] = []
        for key, alike in ended.alike():
            for shape, rows, borders in self._told_apart(self._shapes.setdefault(key, []), ended, alike, others):
                counts = begun.counts(shape.pattern, ended, borders, starts, of_ended[rows], shape.tried)
                told = np.isin(counts, [count for count in np.unique(counts).tolist() if shape.tells_start(count)])
                others.append(rows[~told])
                if told.any():
                    parts.append(columns.part(shape, Cut(ended.buffer, borders[told]), counts[told]))
        for row in np.sort(np.concatenate(others)).tolist() if others else ():
            line, start = ended.texts[row].as_py(), of_ended[row]
            left.append((self.head + line + _END, None if start < 0 else self.head + starts.texts[int(start)].as_py() + _END))

    def _told_apart(self, shapes: list[_Shape], lines: Lines, rows: Rows, left: list[Rows]) -> Iterator[tuple[_Shape, Rows, Places]]:
        """Some lines by their shapes, which may be new, and the borders of their pieces; those that are not plain go into *left*."""
        number = 0
        while len(rows):
            if number == len(shapes):
                made = self._made(lines.texts[int(rows[0])].as_py())
                if made is None:
                    left.append(rows[:1])
                    rows = rows[1:]
                    continue
                shapes.append(made)
            shape = shapes[number]
            number += 1
            found, borders = shape.pattern.matching(lines, rows)
            if len(found):
                yield shape, found, borders
                rows = np.setdiff1d(rows, found, assume_unique=True)

    def _made(self, line: bytes) -> _Shape | None:
        """A new shape; None where the line is not plain."""
        pattern = patterns.of(line) if self._count < _MAX_SHAPES else None
        span = None if pattern is None else self._decoder.span(self.head + line + _END)
        if pattern is None or span is None or otlp.is_pending(span):
            return None
        self._count += 1
        row, shown = next(sealed.rows(span, None))
        return _Shape(pattern, span, row, frozenset(shown))

"""What a report is made of, whatever it is written as: sections with paragraphs, lists, tables, checks, quotes and pictures.

Texts are plain: whoever writes them down sees to it that none is taken for markup. Ids of spans stand in them as they are, sixteen digits.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

SPAN_ID: Final = re.compile(r"\b[0-9a-f]{16}\b")


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A few sentences."""

    text: str


@dataclass(frozen=True, slots=True)
class Items:
    """A list; *ordered* by numbers."""

    items: Sequence[str]
    ordered: bool = False


@dataclass(frozen=True, slots=True)
class Checks:
    """Statements, each with whether it holds; None where that is not known."""

    items: Sequence[tuple[bool | None, str]]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under columns; those in *numeric* are set to the right."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    numeric: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Repeat:
    """A command by which a reader can repeat what stands above."""

    command: str


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a picture.

    Attributes:
        lane: in which row.
        start, end: on the axis.
        kind: which colour.
        note: what is shown when one points at it.
    """

    lane: str
    start: float
    end: float
    kind: str
    note: str


@dataclass(frozen=True, slots=True)
class Picture:
    """Bars in lanes, for those who would rather look than read; *unit* is that of the axis, *marks* are single moments."""

    title: str
    bars: Sequence[Bar]
    unit: str
    marks: Sequence[Bar] = ()


Block = Paragraph | Items | Checks | Table | Repeat | Picture


@dataclass(frozen=True, slots=True)
class Section:
    """A heading of a level from 2, and what stands below it."""

    level: int
    title: str
    blocks: Sequence[Block] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """A whole report: its head, and its sections in order."""

    title: str
    head: Sequence[tuple[str, str]]
    sections: Sequence[Section] = field(default_factory=tuple)


MOST: Final = 50
"""Rows of a table and items of a list; how many more there are is said."""


def table(columns: str, rows: Sequence[Sequence[str]], numeric: str = "") -> list[Block]:
    """A table whose columns are written in one text, parted by `|`; without rows a sentence that says so."""
    names = columns.split("|")
    blocks: list[Block] = [Table(names, rows[:MOST], frozenset(numeric.split("|")))] if rows else [Paragraph("None.")]
    return [*blocks, Paragraph(f"… and {len(rows) - MOST:,} more.")] if len(rows) > MOST else blocks


def listed(items: Sequence[str], nothing: str = "None.") -> list[Block]:
    """A list; without items the sentence that says so."""
    more = [f"… and {len(items) - MOST:,} more"] * (len(items) > MOST)
    return [Items([*items[:MOST], *more])] if items else [Paragraph(nothing)]

"""Many lines of our own writer at once: where their fields stand is found for all of them, and what recurs in them is encoded once.

It takes a fraction of the time of a line at a time, and needs Arrow and NumPy, which take a while to load.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import numpy as np
import pyarrow.compute as pc

from massgen_tracing.delivery.encode.columns import Columns, Fields, together
from massgen_tracing.delivery.encode.fields import plain
from massgen_tracing.delivery.encode.octets import Mask, Positions, Text, binary, mask
from massgen_tracing.delivery.encode.placed import NO_SPANS, Piece
from massgen_tracing.delivery.encode.spans import Form, Home, attempted
from massgen_tracing.store.reading.lines import PENDING, PENDING_START, SPANS

_MOST_HEADS: Final = 16
"""Heads in one block that are looked for; lines with others are taken one by one."""

_LINE_END: Final = ord("\n")
_WORD: Final = 8


class Run(NamedTuple):
    """Lines that follow each other.

    Attributes:
        spans: theirs, each with the position behind its line.
        line: the line after them, which is none of the plain ones; empty where there is none.
        end: the position behind all of it.
    """

    spans: Piece
    line: bytes
    end: int


def runs(block: memoryview, position: int, form: Form, wanted: Callable[[bytes], bool]) -> Iterator[Run]:
    """Whole lines as spans, starts left out.

    Args:
        block: the lines.
        position: where they begin.
        form: what encodes what recurs.
        wanted: whether spans with this head are.
    """
    text = Text.of(block)
    ends = _line_ends(text) + 1
    begins: Positions = np.concatenate([np.zeros(1, np.int64), ends[:-1]])
    left = ~text.has(ends + PENDING_START, PENDING)
    homes: list[Home] = []
    found: list[Fields] = []
    for head, numbers in _by_head(text, begins, ends, left):
        if not wanted(head):
            left[numbers] = False
        elif head.isascii() and (home := form.home(head)) is not None:
            fields = attempted(plain, text.parts(begins[numbers] + len(head) - 1, ends[numbers]), form)
            if fields is not None and len(fields.places):
                lines = numbers[fields.places]
                left[lines] = False
                found.append(fields._replace(places=lines, homes=np.full(len(lines), len(homes))))
                homes.append(home)
    spans: Piece = NO_SPANS
    lines = np.empty(0, np.int64)
    if found:
        fields = together(found)
        lines = fields.places
        spans = Columns(fields._replace(places=ends[lines] + position), homes, form.separator)
    odd, begin = np.flatnonzero(left), 0
    for number, at in zip(odd.tolist(), np.searchsorted(lines, odd).tolist(), strict=True):
        yield Run(spans[begin:at], bytes(text.octets[begins[number] : ends[number]]), int(ends[number]) + position)
        begin = at
    yield Run(spans[begin:], b"", position + len(block))


def _line_ends(text: Text) -> Positions:
    """Where lines end, looked for in words first, of which few have one."""
    count = len(text.octets) // _WORD * _WORD
    is_end = text.octets == _LINE_END
    words = np.flatnonzero(is_end[:count].view(np.uint64) != 0)
    rows, places = np.nonzero(is_end[:count].reshape(-1, _WORD)[words])
    return np.concatenate([words[rows] * _WORD + places, np.flatnonzero(is_end[count:]) + count])


def _by_head(text: Text, begins: Positions, ends: Positions, given: Mask) -> Iterator[tuple[bytes, Positions]]:
    """What given lines begin with, up to the span, and the numbers of those that do."""
    lines = binary(np.append(begins[:1], ends).astype(np.int32), text.buffer)
    left = given.copy()
    for _ in range(_MOST_HEADS):
        if not left.any():
            break
        line = lines[int(left.argmax())].as_py()
        head = line[: line.find(SPANS) + len(SPANS)]
        same = left & mask(pc.starts_with(lines, head))
        left &= ~same
        if head.endswith(SPANS):
            yield head, np.flatnonzero(same)

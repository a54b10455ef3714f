"""Bytes, looked at in many places at once."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Positions = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Octets = npt.NDArray[np.uint8]
Lengths = npt.NDArray[np.int64]

_WORD: Final = 8
_LONG: Final = 32
"""Bytes up to which it is quicker to compare words."""


class Text(NamedTuple):
    """Bytes, as what looks into them wants them."""

    buffer: pa.Buffer
    octets: Octets
    words: npt.NDArray[np.uint64]
    """The eight bytes that begin at each place."""

    @classmethod
    def of(cls, content: Any) -> Text:
        octets: Octets = np.frombuffer(content, np.uint8)
        if len(octets) < _WORD:
            octets = np.append(octets, np.zeros(_WORD, np.uint8))
        return cls(pa.py_buffer(octets), octets, np.ndarray((len(octets) - _WORD + 1,), "<u8", octets, 0, (1,)))

    def has(self, at: Positions, literal: bytes) -> Mask:
        """At which of these places, which follow each other, *literal* stands."""
        if len(literal) > _LONG:
            most = len(self.octets)
            return mask(pc.equal(self.parts(at.clip(0, most), (at + len(literal)).clip(0, most)), literal))
        seen, step = (self.words, _WORD) if len(literal) >= _WORD else (self.octets, 1)
        found: Mask = (at >= 0) & (at + len(literal) <= len(self.octets))
        for offset in (*range(0, len(literal) - step, step), len(literal) - step):
            found &= seen[np.where(found, at + offset, 0)] == int.from_bytes(literal[offset : offset + step], "little")
        return found

    def parts(self, begins: Positions, ends: Positions) -> pa.BinaryArray:
        """What stands between these places, which follow each other."""
        around = np.empty(2 * len(begins) + 1, np.int32)
        around[0:-1:2], around[1::2], around[-1] = begins, ends, ends[-1]
        return binary(around, self.buffer).take(pa.array(np.arange(0, 2 * len(begins), 2)))

    def rows(self, at: Positions, width: int) -> Octets:
        """The bytes at these places, a row each; there have to be up to 7 more behind them."""
        found: Octets = self.words[at[:, None] + np.arange(0, width, _WORD)].view(np.uint8)
        return found[:, :width]


def mask(of: pa.BooleanArray) -> Mask:
    """Truth values, none of which is null."""
    found: Mask = of.to_numpy(zero_copy_only=False)
    return found


def binary(places: npt.NDArray[np.int32], content: Any) -> pa.BinaryArray:
    """The texts between these places, of which there is one more, of *content*."""
    return pa.Array.from_buffers(pa.binary(), len(places) - 1, [None, pa.py_buffer(places), pa.py_buffer(content)])


def of_rows(rows: Octets, kept: Mask) -> pa.BinaryArray:
    """Of each row the bytes that are kept, as a text."""
    return binary(bounds(kept.sum(axis=1)), rows[kept].tobytes())


def whole_rows(rows: Octets) -> pa.BinaryArray:
    """Each row as a text."""
    return binary(np.arange(0, rows.size + 1, rows.shape[1], dtype=np.int32), rows.tobytes())


def column(count: int, *values: int) -> Octets:
    """The same bytes in so many rows."""
    return np.broadcast_to(np.array(values, np.uint8), (count, len(values)))


def varints(numbers: Lengths, most: int) -> tuple[Octets, Mask]:
    """Numbers, not negative, in protobuf's wire format, in rows of *most* bytes; and which of these bytes they need."""
    groups = numbers.astype(np.uint64)[:, None] >> np.arange(0, 7 * most, 7, dtype=np.uint64)
    needed = groups > 0
    needed[:, 0] = True
    more = np.append(needed[:, 1:], np.zeros((len(numbers), 1), np.bool_), axis=1)
    written: Octets = (groups & np.uint64(0x7F)).astype(np.uint8) | more.astype(np.uint8) * np.uint8(0x80)
    return written, needed


def offsets(of: pa.Array) -> npt.NDArray[np.int32]:
    """Where the texts of an array, or its lists, begin, and where the last one ends."""
    found: npt.NDArray[np.int32] = np.frombuffer(of.buffers()[1], np.int32)[of.offset : of.offset + len(of) + 1]
    return found


def bounds(lengths: Lengths) -> npt.NDArray[np.int32]:
    """Where texts of these lengths begin that follow each other, and where the last one ends."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)]).astype(np.int32)

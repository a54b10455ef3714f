"""A small sealed recording: the few rows of one run in as few bytes, which a Parquet file's footer alone would be many times of.

Rows come column by column, a column that says one thing says it once, times are differences, and what the package's own runs say again and again is
in a dictionary that this version and every later one have. Such a file is only written and read as a whole.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, Final

import orjson

_MAGIC: Final = b"mts1"
"""How every such file begins; the number is that of the format, and of its dictionary."""

_TIMES: Final = (("start_timestamp", "start_nanos"), ("end_timestamp", "end_nanos"))
_SPAN, _PARENT = "span_id", "parent_span_id"
_STEPS, _LENGTHS = "steps", "lengths"
"""The columns that a file has instead of times: nanoseconds since the row before, and of the span."""

_ID_BYTES: Final = 8

Column = list[Any]


@dataclass(frozen=True, slots=True)
class Small:
    """What such a file holds.

    Attributes:
        columns: by name, the values of each row.
        lines: how many lines the live file had.
        source_bytes, source_digest: which bytes of the live file it was made from.
    """

    columns: Mapping[str, Column]
    lines: int
    source_bytes: int
    source_digest: str

    def rows(self) -> list[dict[str, Any]]:
        """Row by row."""
        return [dict(zip(self.columns, values, strict=True)) for values in zip(*self.columns.values(), strict=True)]


def encode(said: Small) -> bytes:
    """The bytes of a file: what can be compressed, and the ids of the spans, which cannot."""
    columns = dict(said.columns)
    spans = columns.pop(_SPAN)
    starts, ends = (_joined(columns.pop(time), columns.pop(nanos)) for time, nanos in _TIMES)
    columns[_LENGTHS] = [None if end is None else end - start for start, end in zip(starts, ends, strict=True)]
    columns[_STEPS] = [starts[0], *(later - earlier for earlier, later in pairwise(starts))]
    places = {span: number for number, span in enumerate(spans)}
    columns[_PARENT] = [places.get(parent, parent) for parent in columns[_PARENT]]
    short = {name: values[:1] if values.count(values[0]) == len(values) else values for name, values in columns.items()}
    content = orjson.dumps([said.lines, said.source_bytes, said.source_digest, short])
    ids = bytes.fromhex("".join(spans))
    packer = zlib.compressobj(9, wbits=-zlib.MAX_WBITS, zdict=_dictionary())
    return _MAGIC + zlib.crc32(ids, zlib.crc32(content)).to_bytes(4, "big") + packer.compress(content) + packer.flush() + ids


def decode(content: bytes) -> Small:
    """What the bytes of a file say.

    Raises:
        ValueError: if they are not such a file, or damaged.
    """
    if not content.startswith(_MAGIC):
        raise ValueError("it does not begin as a small recording does")
    unpacker = zlib.decompressobj(wbits=-zlib.MAX_WBITS, zdict=_dictionary())
    begin = len(_MAGIC) + 4
    try:
        packed = unpacker.decompress(content[begin:])
    except zlib.error as error:
        raise ValueError(f"it is damaged ({error})") from None
    ids = unpacker.unused_data
    if zlib.crc32(ids, zlib.crc32(packed)) != int.from_bytes(content[len(_MAGIC) : begin], "big"):
        raise ValueError("it is damaged")
    lines, size, digest, short = orjson.loads(packed)
    rows = len(ids) // _ID_BYTES
    columns: dict[str, Column] = {name: values * rows if len(values) < rows else values for name, values in short.items()}
    columns[_SPAN] = spans = [ids[at : at + _ID_BYTES].hex() for at in range(0, len(ids), _ID_BYTES)]
    columns[_PARENT] = [spans[parent] if isinstance(parent, int) else parent for parent in columns[_PARENT]]
    starts = list(accumulate(columns.pop(_STEPS)))
    ends = [None if length is None else start + length for start, length in zip(starts, columns.pop(_LENGTHS), strict=True)]
    for (time, nanos), moments in zip(_TIMES, (starts, ends), strict=True):
        columns[time] = [None if moment is None else moment // 1000 for moment in moments]
        columns[nanos] = [None if moment is None else moment % 1000 for moment in moments]
    return Small(columns, lines, size, digest)


def _joined(microseconds: Column, nanoseconds: Column) -> Column:
    pairs = zip(microseconds, nanoseconds, strict=True)
    return [None if moment is None else moment * 1000 + nanos for moment, nanos in pairs]


@lru_cache(maxsize=1)
def _dictionary() -> bytes:
    """What the compression takes as said already; another one would make every file unreadable."""
    return Path(__file__).with_name("small.dictionary").read_bytes()

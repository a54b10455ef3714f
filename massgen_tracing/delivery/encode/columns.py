"""Spans of one block as columns: what a request or a ledger wants of many is taken as it lies there, and objects are made of few."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, Self, final, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from massgen_tracing.delivery.encode.octets import Mask, Octets, Positions, binary, bounds, offsets, whole_rows
from massgen_tracing.delivery.encode.placed import Piece, Placed
from massgen_tracing.delivery.encode.spans import Content, EncodedSpan, Home

Times = npt.NDArray[np.uint64]


class Fields(NamedTuple):
    """Fields of spans, a row each.

    Attributes:
        places: the number of its line, and later the position behind it.
        homes: the number of what it is of.
        keys: trace and span id.
        parents: the parent's span id; any for a root.
        has_parent: whether it is none.
        started: Unix time in nanoseconds.
        contents: the spans, each with what separates it from the next one.
    """

    places: Positions
    homes: Positions
    keys: Octets
    parents: Octets
    has_parent: Mask
    started: Times
    contents: pa.BinaryArray

    def rows(self, chosen: slice | Mask) -> Fields:
        """Some of them."""
        contents = self.contents[chosen] if isinstance(chosen, slice) else self.contents.filter(pa.array(chosen))
        columns: list[Any] = [column[chosen] for column in self[:-1]]
        return Fields._make([*columns, contents])


def together(found: Sequence[Fields]) -> Fields:
    """All of them, by their places."""
    if len(found) == 1:
        return found[0]
    order = np.argsort(np.concatenate([each.places for each in found]))
    columns: list[Any] = [np.concatenate(column)[order] for column in zip(*[each[:-1] for each in found], strict=True)]
    return Fields._make([*columns, pa.concat_arrays([each.contents for each in found]).take(pa.array(order))])


@final
class Columns(Piece):
    """Spans as columns.

    Args:
        fields: theirs.
        homes: what they are of, by its numbers.
        separator: what separates two spans in a request.
    """

    def __init__(self, fields: Fields, homes: Sequence[Home], separator: bytes) -> None:
        self._fields = fields
        self._homes = homes
        self._separator = separator

    def __len__(self) -> int:
        return len(self._fields.places)

    def __iter__(self) -> Iterator[Placed]:
        places, homes, keys, parents, has_parent, started, contents = self._fields
        end = -len(self._separator) or None
        above = binary(bounds(8 * has_parent.astype(np.int64)), parents[has_parent].tobytes())
        of = map(self._homes.__getitem__, homes.tolist())
        written = (content[:end] for content in contents.to_pylist())
        spans = map(EncodedSpan, of, whole_rows(keys).to_pylist(), above.to_pylist(), started.tolist(), written)
        return zip(spans, places.tolist(), strict=True)

    @overload
    def __getitem__(self, at: int) -> Placed: ...
    @overload
    def __getitem__(self, at: slice) -> Self: ...
    def __getitem__(self, at: int | slice) -> Placed | Self:
        if isinstance(at, slice):
            return Columns(self._fields.rows(at), self._homes, self._separator)
        number = range(len(self))[at]
        (placed,) = self[number : number + 1]
        return placed

    def contents(self) -> Iterator[tuple[Home, Content]]:
        homes, contents = self._fields.homes, memoryview(self._fields.contents.buffers()[2])
        places = offsets(self._fields.contents)
        for begin, end in pairwise([0, *(np.flatnonzero(np.diff(homes)) + 1).tolist(), len(self)]):
            yield self._homes[homes[begin]], contents[places[begin] : places[end] - len(self._separator)]

    def sizes(self) -> Sequence[int]:
        places = offsets(self._fields.contents)
        sizes: Any = places - places[0] - len(self._separator) * np.arange(len(places))
        return sizes  # type: ignore[no-any-return]  # as far as it goes, an array is a sequence

    def ended(self) -> Iterable[bytes]:
        keys: list[bytes] = whole_rows(self._fields.keys).to_pylist()
        return keys

    def since(self, start_ns: float) -> Self:
        return Columns(self._fields.rows(self._fields.started >= start_ns), self._homes, self._separator)

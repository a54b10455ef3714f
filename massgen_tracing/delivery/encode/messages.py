"""Many Span messages at once, in protobuf, of what stands on their lines."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from massgen_tracing.delivery.encode import attributes as at_once
from massgen_tracing.delivery.encode.columns import Times
from massgen_tracing.delivery.encode.octets import Lengths, Mask, Octets, binary, column, mask, of_rows, offsets, varints
from massgen_tracing.delivery.encode.protobuf import Protobuf
from massgen_tracing.delivery.encode.spans import attempted


class Beginnings(NamedTuple):
    """What no two spans have alike."""

    keys: Octets
    started: Times
    ended: Times
    parents: Octets
    has_parent: Mask

    def before(self, lengths: Lengths) -> pa.BinaryArray:
        """The field `spans` of a ScopeSpans message up to the rest of it, which has these lengths."""
        count = len(lengths)
        # What stands below before the rest: 18 bytes of a trace's id, 10 of a span's, 9 of each time, and 10 of a parent.
        size, needed = varints(lengths + np.where(self.has_parent, 56, 46), 5)
        columns = (
            column(count, 0x12), size, column(count, 0x0A, 0x10), self.keys[:, :16], column(count, 0x12, 0x08), self.keys[:, 16:],
            column(count, 0x39), _fixed(self.started), column(count, 0x41), _fixed(self.ended), column(count, 0x22, 0x08), self.parents,
        )  # fmt: skip
        rows = np.concatenate(columns, axis=1)
        kept = np.ones(rows.shape, np.bool_)
        kept[:, 1:6], kept[:, -10:] = needed, self.has_parent[:, None]
        return of_rows(rows, kept)


def _fixed(numbers: Times) -> Octets:
    return numbers.astype("<u8")[:, None].view(np.uint8)


def contents(beginnings: Beginnings, since: pa.BinaryArray, attributes: pa.BinaryArray, form: Protobuf) -> tuple[pa.BinaryArray, Mask]:
    """Spans, and which of them are right.

    Args:
        beginnings: their ids and times.
        since: what stands between these.
        attributes: their lists of attributes, each from behind the beginning of the first key.
        form: what encodes what recurs.
    """
    middles = _middles(since, form)
    lists = at_once.Lists.of(attributes)
    once = at_once.encoded(lists, form)
    good = lists.good(mask(once.is_valid())) & mask(middles.is_valid())
    pieces = once.take(lists.which)
    encoded = binary(offsets(pieces)[np.append(lists.firsts, len(pieces))], pieces.buffers()[2])
    lengths = np.diff(offsets(middles)) + np.diff(offsets(encoded))
    return pc.binary_join_element_wise(beginnings.before(lengths.astype(np.int64)), middles, encoded, b""), good


def _middles(written: pa.BinaryArray, form: Protobuf) -> pa.BinaryArray:
    """What stands between ids and times, encoded; null where it is not that of a plain span."""
    found = written.dictionary_encode()
    return pa.array([attempted(form.since, each) for each in found.dictionary.to_pylist()], pa.binary()).take(found.indices)

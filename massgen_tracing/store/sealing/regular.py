"""The rows of lines as our own writer writes them, as many at a time as make a row group."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from massgen_tracing.model import SpanRecord
from massgen_tracing.store.reading import otlp, recording
from massgen_tracing.store.reading.lines import LineDecoder
from massgen_tracing.store.sealing import groups
from massgen_tracing.store.sealing.columns import NotPlain
from massgen_tracing.store.sealing.groups import Part
from massgen_tracing.store.sealing.shapes import Left, Shapes

GROUP_LINES: Final = 65_536
"""Lines whose spans make a row group, nearly; so many are held in memory."""

_GROUP_BYTES: Final = 2**27
"""The same, where lines are long."""


class Irregular(Exception):
    """Not only lines as our own writer writes them; the total reader has to read them."""


class Regular:
    """Makes rows of lines; only open spans are kept in memory longer.

    Attributes:
        lines: how many there were, when all are read.
    """

    def __init__(self) -> None:
        self.lines = 0

    def groups(self, blocks: Iterable[tuple[bytearray, int]]) -> Iterator[list[Part]]:
        """The rows, group by group.

        Args:
            blocks: whole lines: a buffer, which may be overwritten afterwards, and how many bytes they are.

        Raises:
            Irregular: if a line is not as our writer writes it.
        """
        decoder = LineDecoder(otlp.Decoder())
        plain = Shapes(decoder)
        lines = held = 0
        try:
            for buffer, length in blocks:
                plain.add(buffer, length)
                held += length
                if plain.lines - lines >= GROUP_LINES or held >= _GROUP_BYTES:
                    lines, held = plain.lines, 0
                    yield _parts(decoder, *plain.take())
            self.lines = plain.lines
            parts = _parts(decoder, *plain.take())
            unfinished = groups.of_spans((recording.unfinished(_started(decoder, line), "interrupted"), None) for line in plain.unfinished())
            parts += [] if unfinished is None else [unfinished]
            if parts:
                yield parts
        except NotPlain:
            raise Irregular from None


def _parts(decoder: LineDecoder, parts: list[Part], left: list[Left]) -> list[Part]:
    """All rows of a group: those of plain lines, and of the others that were left."""
    others = groups.of_spans((_ended(decoder, line), None if start is None else _started(decoder, start)) for line, start in left)
    return parts if others is None else [*parts, others]


def _ended(decoder: LineDecoder, line: bytes) -> SpanRecord:
    span = decoder.span(line)
    if span is None or span.end_ns is None or otlp.is_pending(span):
        raise Irregular
    return span


def _started(decoder: LineDecoder, line: bytes) -> SpanRecord:
    pending = decoder.span(line)
    start = None if pending is None else otlp.started(pending)
    if start is None:
        raise Irregular
    return start

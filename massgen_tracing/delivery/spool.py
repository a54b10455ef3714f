"""A recording from a position on, as batches that a backend can take.

Positions in a live file are bytes, whole lines; in a sealed file, which never changes, spans.
"""

from __future__ import annotations

import math
import os
import time
from bisect import bisect_right
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final

from massgen_tracing import layout, ledger
from massgen_tracing.delivery.encode import EncodedSpan, Form, Protobuf, attempted
from massgen_tracing.delivery.encode.placed import NO_SPANS, Joined, Listed, Piece, Placed
from massgen_tracing.ledger import THROUGH, Entry
from massgen_tracing.model import SpanRecord
from massgen_tracing.store.reading import liveness, otlp
from massgen_tracing.store.reading.lines import PENDING, PENDING_END, PENDING_START, SPANS, LineDecoder
from massgen_tracing.store.reading.live import Said

MOST_BYTES: Final = 3_000_000
"""Of a request before compression; gRPC's servers take 4 MiB unless they are told otherwise."""

MOST_SPANS: Final = 4000
_EACH: Final = 64
"""Lines between two looks at the clock; spans of a sealed file that are given on together."""

Found = tuple[Piece, int, int]
"""Spans, the position behind them, and how many could not be read before it."""

_INSTANCE: Final = "service.instance.id"


@dataclass(slots=True)
class Batch:
    """Spans that are sent together.

    Attributes:
        spans: them.
        end: the position behind all of them.
        size: bytes, nearly.
        unreadable: how many lines or spans between them could not be read.
    """

    end: int
    spans: Joined = field(default_factory=Joined)
    size: int = 0
    unreadable: int = 0


class Spool:
    """One recording, open.

    Args:
        path: a live or a sealed file.
        only: the `service.instance.id` of the spans that are wanted; empty for all.
        pending: whether starts are wanted too, of spans whose end is not in the same batch.
        form: how spans are encoded.
        at_once: whether lines are encoded many at a time where there are many, for which Arrow is loaded.
        without: keys of spans that are not wanted.
        among: keys of those that are; None for all.

    Raises:
        OSError: if it cannot be opened.
    """

    def __init__(
        self,
        path: Path,
        *,
        only: str = "",
        pending: bool = False,
        form: Form | None = None,
        at_once: bool = False,
        without: frozenset[bytes] = frozenset(),
        among: frozenset[bytes] | None = None,
    ) -> None:
        self.path = path
        self._only = only.encode()
        self._pending = pending
        self.sealed = layout.is_sealed(path)
        self._file = path.open("rb")
        self.inode = 0 if self.sealed else os.fstat(self._file.fileno()).st_ino
        self._form = form or Protobuf()
        self._at_once = at_once and not pending
        self._without = without
        self._among = among
        self._lines = LineDecoder(otlp.Decoder())

    def close(self) -> None:
        """Close it."""
        self._file.close()

    def position(self, entry: Entry) -> int:
        """Where to go on that a ledger's entry says; 0 where it is of another file, or the file has other content before that place."""
        if self.sealed:
            return entry.position if entry.inode == 0 else THROUGH  # it was sealed when the backend was through it
        return entry.position if entry.inode == self.inode and entry.landmark == self.landmark(entry.position) else 0

    def landmark(self, position: int) -> int:
        """By what the place is known again; 0 in a sealed file."""
        return 0 if self.sealed else ledger.landmark(self._file.fileno(), position)

    def batches(self, position: int) -> Generator[Batch]:
        """What follows *position*; nothing where there is nothing."""
        batch = Batch(position)
        for spans, end, unreadable in self._sealed_spans(position) if self.sealed else self._live_spans(position):
            at = 0
            while at < len(spans):
                fitting, size = _fitting(batch, spans[at : at + MOST_SPANS - len(batch.spans)])
                if not fitting:
                    yield self._without_needless(batch)
                    batch = Batch(batch.end)
                    continue
                batch.spans.append(fitting)
                batch.size += size
                at += len(fitting)
                batch.end = fitting[-1][1]
            batch.end = end
            batch.unreadable += unreadable
            if not spans:
                yield self._without_needless(batch)
                batch = Batch(end)
        if batch.spans:
            yield self._without_needless(batch)

    def owed(self, position: int, *, until: float = math.inf) -> tuple[int, bool]:
        """How many spans that have ended follow *position*, and whether that is all of them; without decoding those of our own writer.

        Args:
            position: from where on.
            until: the monotonic time at which counting ends.
        """
        if self.sealed:
            return sum(record.end_ns is not None for _, record in self._records(position)), True
        count = 0
        for number, found in enumerate(self._ends_without(position) if self._without else self._ends(position)):
            if number % _EACH == 0 and time.monotonic() >= until:
                return count, False
            count += found
        return count, True

    def _ends(self, position: int) -> Iterator[int]:
        for _, line in self._whole_lines(position):
            yield self._is_wanted(line) and line[PENDING_START:PENDING_END] != PENDING

    def _ends_without(self, position: int) -> Iterator[int]:
        for spans, _, _ in self._live_spans(position):
            yield sum(not span.starts for span, _ in spans)

    # --- live files ---------------------------------------------------------------------------------------------------------------

    def _whole_lines(self, position: int) -> Iterator[tuple[int, bytes]]:
        """Each line with the position behind it. What a live writer is in the middle of is none yet."""
        self._file.seek(position)
        for line in self._file:
            if not line.endswith(b"\n"):
                break
            position += len(line)
            yield position, line
        else:
            return
        if liveness.writer_alive(self.path):
            return
        self._file.seek(position)  # it may have written the rest before it was gone
        for line in self._file:
            position += len(line)
            yield position, line

    def _is_wanted(self, line: bytes) -> bool:
        return not self._only or line.find(self._only, 0, line.find(SPANS)) >= 0

    def _is_due(self, span: EncodedSpan) -> bool:
        return span.key not in self._without and (self._among is None or span.key in self._among)

    def _live_spans(self, position: int) -> Iterator[Found]:
        """The spans of lines that follow each other; none where nothing has come for long, and at the end."""
        said = end = position
        for plain, line, behind in self._read(position):
            if plain := self._due(plain):
                said = end = plain[-1][1]
                yield plain, end, 0
            others, unreadable = self._of_line(line) if line else ((), 0)
            before, end = end, behind
            spans = self._due(Listed([(span, end if span is others[-1] else before) for span in others]))
            if spans or unreadable or end - said > _MOST_SKIPPED:
                said = end
                yield spans, end, unreadable
        if end > said:
            yield NO_SPANS, end, 0

    def _due(self, spans: Piece) -> Piece:
        if not self._without and self._among is None:
            return spans
        return Listed([placed for placed in spans if self._is_due(placed[0])])

    def _read(self, position: int) -> Iterator[tuple[Piece, bytes, int]]:
        """Spans that were encoded at once, the line behind them, and the position behind that."""
        left = os.fstat(self._file.fileno()).st_size - position
        if self._at_once and left > _MANY:
            from massgen_tracing.delivery.encode import block  # loads Arrow

            room = bytearray(_BLOCK)  # for all blocks: memory that was never used costs more than reading the file
            while (lines := self._block(position, room)) is not None:
                yield from block.runs(lines, position, self._form, self._is_wanted)
                position += len(lines)
        for end, line in self._whole_lines(position):
            yield NO_SPANS, line, end

    def _block(self, position: int, room: bytearray) -> memoryview | None:
        """Whole lines from *position* on; None where there are few."""
        self._file.seek(position)
        size = room.rfind(b"\n", 0, self._file.readinto(room)) + 1
        return memoryview(room)[:size] if size > _MANY else None

    def _of_line(self, line: bytes) -> tuple[Sequence[EncodedSpan], int]:
        """What is to be sent of a line, and how much of it could not be read."""
        starts = line[PENDING_START:PENDING_END] == PENDING
        if (starts and not self._pending) or not self._is_wanted(line):
            return (), 0
        span = self._form.span(line, starts)
        if span is not None:
            return (span,), 0
        return attempted(self._of_other_line, line) or ((), 1)

    def _of_other_line(self, line: bytes) -> tuple[Sequence[EncodedSpan], int]:
        record = self._lines.span(line)
        if record is None:
            said = Said(str(self.path))
            said.add((line,))
            spans, unreadable = self._encoded(said.ended)
            return spans, unreadable + said.report.skipped
        starts = otlp.is_pending(record)
        spans, unreadable = self._encoded([record] if (self._pending if starts else record.end_ns is not None) else ())
        return [span._replace(starts=starts) for span in spans], unreadable

    def _encoded(self, records: Iterable[SpanRecord]) -> tuple[list[EncodedSpan], int]:
        """Spans, and how many of them have no form in which they could be sent."""
        made = [attempted(self._form.record, each) for each in records]
        spans = [span for span in made if span is not None]
        return spans, len(made) - len(spans)

    def _without_needless(self, batch: Batch) -> Batch:
        """A batch without the starts of spans that have ended in it, and without a span twice."""
        ended = set(batch.spans.ended())
        if len(ended) < len(batch.spans):
            kept: dict[bytes, Placed] = {}
            for span, end in batch.spans:
                if not (span.starts and span.key[:16] + span.parent in ended):
                    kept[span.key] = span, end
            batch.spans = Joined([Listed(sorted(kept.values(), key=_by_position))])
        return batch

    # --- sealed files -------------------------------------------------------------------------------------------------------------

    def _records(self, position: int) -> Iterator[tuple[int, SpanRecord]]:
        if position == THROUGH:
            return
        from massgen_tracing.store.sealing import sealed  # loads Arrow

        for number, record in enumerate(sealed.spans(self.path), 1):
            if number > position:
                yield number, record

    def _sealed_spans(self, position: int) -> Iterator[Found]:
        end, records = position, self._records(position)
        while found := list(islice(records, _EACH)):
            end, placed, unreadable = found[-1][0], [], 0
            for number, record in found:
                wanted = not self._only or str(record.resource.attributes.get(_INSTANCE)).encode() == self._only
                if wanted and record.end_ns is not None:
                    spans, bad = self._encoded((record,))
                    placed += [(span, number) for span in spans if self._is_due(span)]
                    unreadable += bad
            if placed or unreadable:
                yield Listed(placed), end, unreadable
        if end > position:
            yield NO_SPANS, end, 0


def _fitting(batch: Batch, spans: Piece) -> tuple[Piece, int]:
    """The first of these spans, as far as a batch may have them besides, and their bytes; it may always have one."""
    sizes = spans.sizes()
    fit = max(0, bisect_right(sizes, MOST_BYTES - batch.size) - 1) or (0 if batch.spans or not spans else 1)
    return spans[:fit], int(sizes[fit])


_BLOCK: Final = 8_000_000
_MANY: Final = 1_000_000
"""Bytes of lines that are encoded at once, at most and at least."""

_MOST_SKIPPED: Final = 64_000_000
"""Bytes without a span to send after which the ledger is told all the same."""


def _by_position(placed: Placed) -> int:
    return placed[1]

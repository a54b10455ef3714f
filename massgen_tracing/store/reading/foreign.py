"""Files of other programs than our own: OTLP in JSON or protobuf, in whatever envelope and wrapping, as records, one after the other.

However long a file is, no more of it is in memory than a block and what one value needs.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from massgen_tracing.store.reading import looks, otlp, signals
from massgen_tracing.store.reading.envelopes import Envelopes
from massgen_tracing.store.reading.nodes import Broken
from massgen_tracing.store.reading.report import Report
from massgen_tracing.store.reading.signals import Record
from massgen_tracing.store.reading.sources import HEAD, WRAPPINGS, Foreign, Piece, Source, pieces
from massgen_tracing.store.reading.text import Text
from massgen_tracing.store.reading.values import Malformed
from massgen_tracing.store.reading.wire import Envelope


class Document:
    """A file of another program.

    Attributes:
        report: what of it could not be read.
    """

    def __init__(self, path: Path) -> None:
        self.report = Report()
        self._path = path
        self._decoder = otlp.Decoder(self._complain)
        self._envelopes = Envelopes(self._complain)
        self._text: Text | None = None
        self._head = b""

    def records(self) -> Iterator[Record]:
        """All spans, log records and data points.

        Raises:
            OSError: if the file cannot be opened or read.
            Foreign: if it has something, and that is no OTLP.
        """
        with self._path.open("rb") as file:
            source = Source(file.read)
            head = self._head = source.peek(HEAD)
            found = self._found(source)
            first = next(found, None)
            if first is not None:
                yield from itertools.chain([first], found)
            elif self.report.skipped:
                what = looks.like(self._head, self._envelopes.keys, self.report.first_skips[0].reason)
                raise Foreign(f"{WRAPPINGS[head[:2]]} of something else: {what}" if head[:2] in WRAPPINGS else what)

    def _found(self, source: Source) -> Iterator[Record]:
        for piece in pieces(source, self._complain):
            if not self._head or not piece.alone:
                self._head = piece.source.peek(HEAD)
            for group in self._groups(piece):
                for record in signals.records(self._decoder, group):
                    if isinstance(record, Malformed):
                        self._complain(str(record))
                    else:
                        yield record

    def _groups(self, piece: Piece):  # type: ignore[no-untyped-def]  # noqa: ANN202
        if not piece.is_text:
            self.report.lines += 1
            try:
                yield from self._envelopes.groups(Envelope(piece.source.read))
            except Broken as broken:
                self._complain(str(broken))
            return
        text = Text(piece.source.text(), self._complain)
        self._text = text if piece.alone else None
        while begins := text.peek():
            if begins == ",":
                text.step()
                continue
            self.report.lines += 1
            try:
                if begins not in {"{", "["}:
                    raise Broken("not a line of OTLP/JSON")
                before = self._envelopes.known
                yield from self._envelopes.groups(text.next(maybe_line=True))
                if self._envelopes.known == before:
                    self._complain("JSON that has nothing of OTLP")
            except Broken as broken:
                self._complain(str(broken))
                text.recover()
        self._text = None

    def _complain(self, reason: str) -> None:
        self.report.skip(str(self._path), 0 if self._text is None else self._text.line, reason)

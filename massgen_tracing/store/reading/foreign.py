"""Files of other programs than our own: OTLP in JSON or protobuf, in whatever envelope and wrapping, as records, one after the other.

However long a file is, no more of it is in memory than a block and what one value needs.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from massgen_tracing.store.reading import looks, otlp, signals
from massgen_tracing.store.reading.envelopes import Envelopes, Group
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
        has_some: whether anything of it was read.
    """

    def __init__(self, path: Path) -> None:
        self.report = Report()
        self.has_some = False
        self._path = path
        self.decoder = otlp.Decoder(self.complain)
        self._envelopes = Envelopes(self.complain)
        self._text: Text | None = None
        self._head = b""

    def records(self) -> Iterator[Record]:
        """All spans, log records and data points.

        Raises:
            OSError: if the file cannot be opened or read.
            Foreign: if it has something, and that is no OTLP.
        """
        for group in self.groups():
            yield from self.decoded(group)

    def groups(self) -> Iterator[Group]:
        """The same, undecoded; whoever decodes them in another way than `decoded` does has to put down that it `has_some`.

        Raises:
            OSError: if the file cannot be opened or read.
            Foreign: if it has something, and that is no OTLP.
        """
        with self._path.open("rb") as file:
            source = Source(file.read)
            head = self._head = source.peek(HEAD)
            for piece in pieces(source, self.complain):
                if not piece.alone:
                    self._head = piece.source.peek(HEAD)
                yield from self._groups(piece)
        if self.report.skipped and not self.has_some:
            what = looks.like(self._head, self._envelopes.keys, self.report.first_skips[0].reason)
            raise Foreign(f"{WRAPPINGS[head[:2]]} of something else: {what}" if head[:2] in WRAPPINGS else what)

    def decoded(self, group: Group) -> Iterator[Record]:
        """What a group has; what cannot be read is counted."""
        for record in signals.records(self.decoder, group):
            if isinstance(record, Malformed):
                self.complain(str(record))
            else:
                self.has_some = True
                yield record

    def _groups(self, piece: Piece) -> Iterator[Group]:
        if not piece.is_text:
            self.report.lines += 1
            try:
                yield from self._envelopes.groups(Envelope(piece.source.read))
            except Broken as broken:
                self.complain(str(broken))
            return
        text = Text(piece.source.text(), self.complain)
        self._text = text if piece.alone else None
        while begins := text.peek():
            if begins == ",":
                text.step()
                continue
            self.report.lines += 1
            if begins not in {"{", "["}:
                self.complain("not a line of OTLP/JSON")
                text.recover()
                continue
            try:
                before = self._envelopes.known
                yield from self._envelopes.groups(text.next(maybe_line=True))
                if self._envelopes.known == before:
                    self.complain("JSON that has nothing of OTLP")
            except Broken as broken:
                self.complain(str(broken))
                text.recover()
        self._text = None

    def complain(self, reason: str) -> None:
        """Count something that could not be read."""
        self.report.skip(str(self._path), 0 if self._text is None else self._text.line, reason)

"""What the lines of one live file say, and keeping it, for a file that only grows need not be read twice.

A file is read from where the last reading in this process ended, as long as it is the same file and still has what was read last before that
place. Starts of spans are kept as lines: most are followed by their span's end, and then nobody asks for them. Files that are not written as our own
writer writes are read by `foreign`.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
import threading
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

from massgen_tracing import layout
from massgen_tracing.model import LogRecord, MetricPoint, SpanRecord
from massgen_tracing.store.reading import foreign, otlp, signals, sources
from massgen_tracing.store.reading.envelopes import Envelopes
from massgen_tracing.store.reading.lines import LineDecoder
from massgen_tracing.store.reading.report import Report
from massgen_tracing.store.reading.signals import Record
from massgen_tracing.store.reading.spans import Ended, SpanKey
from massgen_tracing.store.reading.values import Malformed

_LINE_START: Final = re.compile(rb'\{"resource(?:Spans|Logs|Metrics)"')
_NOISE: Final = b"\0 \t\r\n\xef\xbb\xbf"
"""What may stand around a line without harm: white space, a byte order mark, the NULs that a power loss leaves."""

_KEPT_BYTES: Final = 32_000_000
"""So much of the files' lines is kept, as records, in all; the files that were asked for longest ago go first."""

_LANDMARK: Final = 64
"""Bytes before the place where reading ended that have to be there again."""


class LogId(NamedTuple):
    """The ids of a log record's row: its trace, and a span id of its own.

    OpenTelemetry gives a log no id. These follow from what it says, so that they are the same whenever it is read, and a log that two
    files have is one.
    """

    trace_id: str
    span_id: str


@dataclass(slots=True)
class Said:
    """What lines say.

    Attributes:
        source: names them in the report.
        ended: the spans that have ended.
        starts: spans at their start, decoded or as the line that says so, in two parts of which all lines share the first.
        logs, points: the other signals.
        report: what was read and skipped.
        number: how many lines there were.
    """

    source: str
    ended: Ended = field(default_factory=Ended)
    starts: dict[SpanKey, SpanRecord | tuple[bytes, bytes]] = field(default_factory=dict)
    logs: dict[LogId, LogRecord] = field(default_factory=dict)
    points: dict[str, MetricPoint] = field(default_factory=dict)
    report: Report = field(default_factory=Report)
    number: int = 0
    _same: Counter[str] = field(default_factory=Counter)
    _decoder: otlp.Decoder = field(default_factory=otlp.Decoder)
    _fast: LineDecoder = field(init=False)
    _envelopes: Envelopes = field(init=False)

    def __post_init__(self) -> None:
        self._fast = LineDecoder(self._decoder)
        self._envelopes = Envelopes(self._skip)

    def copy(self) -> Said:
        """The same as it is now; what is added to the one is not added to the other."""
        copy = Said(self.source, self.ended.copy(), dict(self.starts), dict(self.logs), dict(self.points), Report(), self.number, Counter(self._same))
        copy.report.add(self.report)
        copy._decoder, copy._fast = self._decoder, self._fast
        return copy

    def add(self, lines: Iterable[bytes], *, alive: bool = False) -> None:
        """Add lines; *alive* says whether their writer may still be in the middle of the last one."""
        self._decoder.complain = self._skip_part
        for line in lines:
            self.number += 1
            start = self._fast.start(line)
            if start is not None:
                self.report.lines += 1
                head = self._fast.head(line) or b""
                self.starts[start] = head, line[len(head) :]
                continue
            span = self._fast.span(line)
            if span is not None:
                self.report.lines += 1
                self._add_span(span)
                continue
            content = line.strip(_NOISE)
            if not content:
                continue
            self.report.lines += 1
            known = self._envelopes.known
            for document in _documents(content):
                self._add_document(document)
            # A live writer may be in the middle of its last line: nothing is lost yet.
            if self._envelopes.known == known and not (alive and not line.endswith(b"\n")):
                self._skip("a torn line" if not line.endswith(b"\n") else "not a line of OTLP/JSON")

    def add_foreign(self, path: Path) -> None:
        """Add what a file of another program says.

        Raises:
            OSError: if it cannot be opened or read.
            Foreign: if it is no OTLP.
        """
        document = foreign.Document(path)
        for record in document.records():
            self._add(record)
        self.report.add(document.report)

    def add_located(self, record: Record | tuple[LogId, LogRecord]) -> None:
        """Add a record; a log may be given with its ids."""
        if isinstance(record, tuple):
            self.logs[record[0]] = record[1]
        else:
            self._add(record)

    def start(self, key: SpanKey) -> SpanRecord | None:
        """A span at its start; None where the line says so at its ends only, and is damaged in between."""
        found = self.starts[key]
        if isinstance(found, tuple):
            line = b"".join(found)
            pending = self._fast.span(line)
            if pending is None:
                documents = _documents(line.strip(_NOISE))
                said = (
                    record for document in documents for group in self._envelopes.groups(document) for record in signals.records(self._decoder, group)
                )
                pending = next((record for record in said if isinstance(record, SpanRecord)), None)
            started = None if pending is None else otlp.started(pending)
            if started is None:
                return None
            found = self.starts[key] = started
        return found

    def _add_document(self, document: Any) -> None:
        try:
            for group in self._envelopes.groups(document):
                for found in signals.records(self._decoder, group):
                    if isinstance(found, Malformed):
                        self._skip(str(found))
                    else:
                        self._add(found)
        except RecursionError:
            self._skip("values nested too deep")

    def _add(self, record: Record) -> None:
        match record:
            case SpanRecord():
                self._add_span(record)
            case LogRecord():
                ids = log_id(record, self._same)
                self.logs[ids] = record
            case MetricPoint():
                self.points[digest(record, self._same)] = record

    def _add_span(self, span: SpanRecord) -> None:
        if otlp.is_pending(span):
            start = otlp.started(span)
            if start is None:
                self._skip("a pending span that does not say which span has started")
            else:
                self.starts[start.trace_id, start.span_id] = start
        elif span.end_ns is None:
            self.starts[span.trace_id, span.span_id] = span
        else:
            self.ended.add(span)

    def _skip_part(self, reason: str) -> None:
        self.report.partly += 1
        self._skip(reason)

    def _skip(self, reason: str) -> None:
        self.report.skip(self.source, self.number, reason)


@dataclass(slots=True)
class _Kept:
    """A file as far as it was read: which it was, when it had changed, where reading ended, and what stood before that place."""

    said: Said
    inode: int = 0
    changed_ns: int = 0
    end: int = 0
    landmark: bytes = b""

    def is_of(self, file: IO[bytes], status: os.stat_result) -> bool:
        """Whether a file is this one, or this one grown."""
        if status.st_ino != self.inode or status.st_size < self.end or (status.st_size == self.end and status.st_mtime_ns != self.changed_ns):
            return False
        file.seek(self.end - len(self.landmark))
        return file.read(len(self.landmark)) == self.landmark


_LONGEST_OWN: Final = 2**18
"""Bytes of a line: our own writer's are shorter."""


def is_foreign(path: Path) -> bool:
    """Whether a file has something, and is not written as our own writer writes, a span a line.

    Raises:
        OSError: if it cannot be opened or read.
    """
    with path.open("rb") as file:
        line = file.readline(_LONGEST_OWN)
        # A line of ours that is torn behind its bracket ends the file, or has a whole line behind it.
        pretty = line.endswith(b"\n") and (line.strip() == b"[" or (line.strip() == b"{" and file.read(1) != b"{"))
    if path.name.endswith(layout.RECORDING_SUFFIX):  # and may have been damaged, or just been begun
        return len(line) == _LONGEST_OWN or pretty or line.startswith((sources.GZIP, sources.ZSTD))
    return bool(line) and LineDecoder(otlp.Decoder()).head(line) is None


class _Files:
    """Files as far as they were read, as many as may be kept; those that were asked for longest ago go first."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, _Kept] = OrderedDict()
        self._bytes = 0

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def take(self, source: str) -> _Kept | None:
        """What is kept of a file, to be kept again when it was read on."""
        known = self._known.pop(source, None)
        if known is not None:
            self._bytes -= known.end
        return known

    def keep(self, source: str, known: _Kept) -> None:
        """Keep a file that was taken, or is new."""
        self._known[source] = known
        self._bytes += known.end
        while self._bytes > _KEPT_BYTES:
            self._bytes -= self._known.popitem(last=False)[1].end

    def clear(self) -> None:
        """Keep none."""
        self._known.clear()
        self._bytes = 0


_kept: Final = _Files()
_lock: Final = threading.Lock()


def read(path: Path, *, alive: bool) -> Said:
    """What a file says.

    Args:
        path: the file.
        alive: whether its writer still runs.

    Raises:
        OSError: if it cannot be opened or read.
        Foreign: if it is no OTLP.
    """
    source = str(path)
    with _lock, path.open("rb") as file:
        status = os.fstat(file.fileno())
        known = _kept.take(source)
        if known is None or not known.is_of(file, status):
            known = _Kept(Said(source), status.st_ino)
            file.seek(0)
            if layout.is_arrival(path) or (not alive and is_foreign(path)):
                known.said.add_foreign(path)
                return known.said
        known.changed_ns = status.st_mtime_ns
        file.seek(known.end)
        rest: list[bytes] = []
        known.said.add(_whole(file, known, rest))
        worth_keeping = known.end <= _KEPT_BYTES
        # What has no end yet is not kept: it may be whole the next time.
        said = known.said.copy() if worth_keeping else known.said
        said.add(rest, alive=alive)
        if worth_keeping:
            _kept.keep(source, known)
    return said


def _whole(file: IO[bytes], known: _Kept, rest: list[bytes]) -> Iterator[bytes]:
    """The whole lines that follow; what comes after the last of them goes into *rest*."""
    for line in file:
        if not line.endswith(b"\n"):
            rest.append(line)
            return
        known.end += len(line)
        known.landmark = line[-_LANDMARK:]
        yield line


def log_id(log: LogRecord, same: Counter[str]) -> LogId:
    """The ids of a log record; *same* counts what its file has said before."""
    words = digest(log, same)
    return LogId(log.trace_id or words[:32], words[32:])


def digest(record: LogRecord | MetricPoint, same: Counter[str]) -> str:
    """48 hex digits that follow from what a record says and how often its file has said it before."""
    made = hashlib.blake2b(repr(record).encode("utf-8", "replace"), digest_size=24)
    words = made.hexdigest()
    if same[words]:
        made.update(same[words].to_bytes(8, "big"))
    same[words] += 1
    return made.hexdigest()


def _documents(content: bytes) -> list[Any]:
    """The documents of one line: one as a rule; what follows a torn one that another process's line was glued to; none for garbage."""
    document = _document(content)
    if document is not None:
        return [document]
    return [found for piece in _pieces(content) if (found := _document(piece)) is not None]


def _pieces(content: bytes) -> Iterator[bytes]:
    """The parts of a line that each begin as a document does."""
    begins = [match.start() for match in _LINE_START.finditer(content)]
    for begin, end in itertools.pairwise([*begins, len(content)]):
        yield content[begin:end].strip(_NOISE)


def _document(content: bytes) -> Any:
    text = content.decode("utf-8", "replace")
    try:
        value = json.loads(text)
        if "\\ud" in text or "\\uD" in text:
            # Half of a surrogate pair cannot be written as UTF-8; it would stop Arrow and every terminal later.
            whole = json.dumps(value, ensure_ascii=False).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            value = json.loads(whole)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict | list) else None

"""Recordings as records: the total reader.

Whatever a file holds, reading it gives every span, log record and data point that can be read and a report of what could not: lines in any
order, a torn last line, garbage, NUL bytes, invalid UTF-8, missing starts, missing ends, the same span twice. Only a file that cannot be opened
is an error.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from massgen_tracing import layout, semconv
from massgen_tracing.errors import RecordingError
from massgen_tracing.model import LogRecord, MetricPoint, SpanRecord, SpanState
from massgen_tracing.store import liveness, otlp, signals
from massgen_tracing.store.lines import LineDecoder

_KEPT_SKIPS: Final = 20
"""How many skipped places a report names; the rest is only counted."""

_SIGNALS: Final = ("resourceSpans", "resourceLogs", "resourceMetrics")
_LINE_START: Final = re.compile(rb'\{"resource(?:Spans|Logs|Metrics)"')
_NOISE: Final = b"\0 \t\r\n\xef\xbb\xbf"
"""What may stand around a line without harm: white space, a byte order mark, the NULs that a power loss leaves."""


@dataclass(frozen=True, slots=True)
class Skip:
    """Something that was not read: *line* counts from 1."""

    source: str
    line: int
    reason: str


@dataclass(slots=True)
class Report:
    """What the reader read and what it could not read.

    Attributes:
        files, lines, spans, logs, points: how many were read; a started span that never ended counts as one.
        skipped: how many lines or records could not be read.
        first_skips: the first of them.
        lost: files that could not be read at all, each with the reason.
    """

    files: int = 0
    lines: int = 0
    spans: int = 0
    logs: int = 0
    points: int = 0
    skipped: int = 0
    first_skips: list[Skip] = field(default_factory=list)
    lost: dict[str, str] = field(default_factory=dict)

    def skip(self, source: str, line: int, reason: str) -> None:
        """Count one line or span that was not read."""
        self.skipped += 1
        if len(self.first_skips) < _KEPT_SKIPS:
            self.first_skips.append(Skip(source, line, reason))

    def add_sealed(self, source: str, *, lines: int, skipped: int) -> None:
        """Count a sealed file, and what could not be read when it was sealed."""
        self.files += 1
        self.lines += lines
        for _ in range(skipped):
            self.skip(source, 0, "it could not be read when the recording was sealed")

    @property
    def sentence(self) -> str:
        """One line for people; empty when everything was read."""
        said = []
        if self.lost:
            what = "1 recording" if len(self.lost) == 1 else f"{len(self.lost)} recordings"
            source, reason = next(iter(self.lost.items()))
            said.append(f"passed over {what} that could not be read; the first: {source}: {reason}")
        if self.skipped:
            first = self.first_skips[0]
            what = "1 line or record" if self.skipped == 1 else f"{self.skipped} lines or records"
            place = f"{first.source}, line {first.line}" if first.line else first.source
            said.append(f"skipped {what} that could not be read; the first: {place}: {first.reason}")
        return "; ".join(said)


class LogId(NamedTuple):
    """The ids of a log record's row: its trace, and a span id of its own.

    OpenTelemetry gives a log no id. These follow from what it says, so that they are the same whenever it is read, and a log that two
    files have is one.
    """

    trace_id: str
    span_id: str


@dataclass(frozen=True, slots=True)
class Recording:
    """What one or several files say.

    Attributes:
        spans: every span once, by start time; a span without an end is `open` or `interrupted`.
        starts: how the spans that have ended looked when they started, where the files say so; their `end_ns` is None.
        report: what was read and what was skipped.
        logs: OpenTelemetry's log records.
        points: data points of metrics.
    """

    spans: tuple[SpanRecord, ...]
    starts: tuple[SpanRecord, ...]
    report: Report
    logs: Mapping[LogId, LogRecord] = field(default_factory=dict)
    points: tuple[MetricPoint, ...] = ()


_Key = tuple[str, str]


class Reader:
    """Collects files and gives the spans of all of them, so that a run that several processes wrote is one recording.

    Args:
        named: the files that were asked for by name; of those, `surviving` lets errors pass. None: of all.
    """

    def __init__(self, named: Collection[Path] | None = None) -> None:
        self._named = named
        self._decoder = otlp.Decoder()
        self._fast = LineDecoder(self._decoder)
        self._ended: dict[_Key, SpanRecord] = {}
        self._started: dict[_Key, SpanRecord] = {}
        self._logs: dict[LogId, LogRecord] = {}
        self._points: dict[str, MetricPoint] = {}
        self._report = Report()

    @contextlib.contextmanager
    def surviving(self, path: Path) -> Iterator[None]:
        """Within, a file that was found under a root and cannot be read is reported and passed over: it may be deleted at any time."""
        try:
            yield
        except RecordingError as error:
            if self._named is None or path in self._named:
                raise
            self._report.lost[str(path)] = str(error.__cause__ or error)

    def add_file(self, path: Path) -> None:
        """Read one file.

        Raises:
            RecordingError: if it cannot be opened or read from the disk at all.
        """
        if layout.is_sealed(path):
            self.add_sealed(path)
            return
        try:
            # Asked before reading: a writer that dies in between has written all it ever will, so nothing is called dead too early.
            alive = liveness.writer_alive(path)
            with path.open("rb") as file:
                self.add_lines(file, source=str(path), alive=alive)
        except OSError as error:
            beside = list(layout.sealed_beside(path)) if isinstance(error, FileNotFoundError) else []
            if beside:  # sealed since it was found
                for each in beside:
                    self.add_sealed(each)
                return
            raise RecordingError(
                f"The recording {path} cannot be read ({error.strerror or error})", hint="Check that the file exists and is readable"
            ) from error

    def add_sealed(self, path: Path, trace_prefix: str = "") -> None:
        """Read one sealed file; only the traces that begin with *trace_prefix*. A Parquet file that is none is passed over.

        Raises:
            RecordingError: if it cannot be read.
        """
        from massgen_tracing.store import sealed  # loads Arrow, which live files do not need

        index = sealed.index(path)
        if index is None:
            return
        self._report.add_sealed(str(path), lines=index.lines, skipped=index.skipped)
        if not index.may_have(trace_prefix):
            return
        for span in sealed.spans(path, trace_prefix):
            spans = self._started if span.end_ns is None else self._ended
            spans[span.trace_id, span.span_id] = span

    def add_lines(self, lines: Iterable[bytes], *, source: str, alive: bool = False) -> None:
        """Read lines; *alive* says whether their writer still runs, *source* names them in the report."""
        self._report.files += 1
        state: SpanState = "open" if alive else "interrupted"
        same: Counter[str] = Counter()
        for number, line in enumerate(lines, 1):
            span = self._fast.span(line)
            if span is not None:
                self._report.lines += 1
                self._add_span(span, source, number, state)
                continue
            content = line.strip(_NOISE)
            if not content:
                continue
            self._report.lines += 1
            documents = _documents(content)
            if not documents:
                # A live writer may be in the middle of its last line: nothing is lost yet.
                if not (alive and not line.endswith(b"\n")):
                    torn = "a torn line" if not line.endswith(b"\n") else "not a line of OTLP/JSON"
                    self._report.skip(source, number, torn)
                continue
            for document in documents:
                self._add_document(document, source, number, state, same)

    def _add_document(self, document: dict[str, Any], source: str, number: int, state: SpanState, same: Counter[str]) -> None:
        """Add what one document says; *same* counts what its file has said in the same words before."""
        decoder = self._decoder
        try:
            for found in itertools.chain(decoder.spans(document), signals.logs(decoder, document), signals.points(decoder, document)):
                match found:
                    case otlp.Malformed():
                        self._report.skip(source, number, str(found))
                    case SpanRecord():
                        self._add_span(found, source, number, state)
                    case LogRecord():
                        digest = _digest(found, same)
                        self._logs[LogId(found.trace_id or digest[:32], digest[32:])] = found
                    case MetricPoint():
                        self._points[_digest(found, same)] = found
        except RecursionError:
            self._report.skip(source, number, "values nested too deep")

    def _add_span(self, span: SpanRecord, source: str, number: int, state: SpanState) -> None:
        if otlp.is_pending(span):
            start = otlp.started(span)
            if start is None:
                self._report.skip(source, number, "a pending span that does not say which span has started")
            else:
                self._started[start.trace_id, start.span_id] = unfinished(start, state)
        elif span.end_ns is None:
            self._started[span.trace_id, span.span_id] = unfinished(span, state)
        else:
            self._ended[span.trace_id, span.span_id] = span

    def keys(self) -> set[_Key]:
        """Trace and span id of every span that was added."""
        return {*self._ended, *self._started}

    def recording(self) -> Recording:
        """Everything that was added."""
        unfinished = [span for key, span in self._started.items() if key not in self._ended]
        starts = [replace(span, state="ended", attributes=_plain(span)) for key, span in self._started.items() if key in self._ended]
        spans = sorted([*self._ended.values(), *unfinished], key=_order)
        report = self._report
        report.spans, report.logs, report.points = len(spans), len(self._logs), len(self._points)
        return Recording(tuple(spans), tuple(sorted(starts, key=_order)), report, dict(self._logs), tuple(self._points.values()))


def read(paths: Iterable[Path]) -> Recording:
    """Read recordings as one.

    Raises:
        RecordingError: if a file cannot be opened.
    """
    reader = Reader()
    for path in paths:
        reader.add_file(path)
    return reader.recording()


def unfinished(span: SpanRecord, state: SpanState) -> SpanRecord:
    """A span that has started and not ended; the one of a dead writer is marked."""
    if state == "interrupted":
        return replace(span, state=state, attributes={**span.attributes, semconv.INTERRUPTED: True})
    return replace(span, state=state)


def _plain(span: SpanRecord) -> dict[str, Any]:
    """The attributes that the span had when it started, without the mark that the reader has set."""
    return {key: value for key, value in span.attributes.items() if key != semconv.INTERRUPTED}


def _order(span: SpanRecord) -> tuple[int, str, str]:
    return (span.start_ns, span.trace_id, span.span_id)


def _digest(record: LogRecord | MetricPoint, same: Counter[str]) -> str:
    """48 hex digits that follow from what a record says and how often its file has said it before."""
    digest = hashlib.blake2b(repr(record).encode("utf-8", "replace"), digest_size=24)
    words = digest.hexdigest()
    if same[words]:
        digest.update(same[words].to_bytes(8, "big"))
    same[words] += 1
    return digest.hexdigest()


def _documents(content: bytes) -> list[dict[str, Any]]:
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


def _document(content: bytes) -> dict[str, Any] | None:
    text = content.decode("utf-8", "replace")
    try:
        value = json.loads(text)
        if "\\ud" in text or "\\uD" in text:
            # Half of a surrogate pair cannot be written as UTF-8; it would stop Arrow and every terminal later.
            whole = json.dumps(value, ensure_ascii=False).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            value = json.loads(whole)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and any(isinstance(value.get(signal), list) for signal in _SIGNALS) else None

"""Recordings as records: the total reader.

Whatever a file holds, reading it gives every span, log record and data point that can be read and a report of what could not: lines in any
order, a torn last line, garbage, NUL bytes, invalid UTF-8, missing starts, missing ends, the same span twice. Only a file that cannot be opened
is an error.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

from massgen_tracing import layout, semconv
from massgen_tracing.errors import RecordingError
from massgen_tracing.model import LogRecord, MetricPoint, SpanRecord, SpanState
from massgen_tracing.store import live, liveness
from massgen_tracing.store.lines import SpanKey
from massgen_tracing.store.live import LogId, Said
from massgen_tracing.store.report import Report

_order: Final = attrgetter("start_ns", "trace_id", "span_id")


@dataclass(frozen=True)
class Recording:
    """What one or several files say.

    Attributes:
        spans: every span once, by start time; a span without an end is `open` or `interrupted`.
        report: what was read and what was skipped.
        logs: OpenTelemetry's log records.
        points: data points of metrics.
        begin: gives `starts`.
    """

    spans: tuple[SpanRecord, ...]
    report: Report
    logs: Mapping[LogId, LogRecord] = field(default_factory=dict)
    points: tuple[MetricPoint, ...] = ()
    begin: Callable[[], tuple[SpanRecord, ...]] = tuple

    @cached_property
    def starts(self) -> tuple[SpanRecord, ...]:
        """How the spans that have ended looked when they started, where the files say so, by start time; their `end_ns` is None.

        Decoded when it is first asked for, which few do.
        """
        return self.begin()


class Reader:
    """Collects files and gives the spans of all of them, so that a run that several processes wrote is one recording.

    Args:
        named: the files that were asked for by name; of those, `surviving` lets errors pass. None: of all.
    """

    def __init__(self, named: Collection[Path] | None = None) -> None:
        self._named = named
        self._files: list[tuple[Said, SpanState]] = []
        self._ended: dict[SpanKey, SpanRecord] = {}
        self._unended: dict[SpanKey, SpanRecord] = {}
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
            self._add(live.read(path, alive=alive), alive=alive)
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
            spans = self._unended if span.end_ns is None else self._ended
            spans[span.trace_id, span.span_id] = span

    def add_lines(self, lines: Iterable[bytes], *, source: str, alive: bool = False) -> None:
        """Read lines; *alive* says whether their writer still runs, *source* names them in the report."""
        said = Said(source)
        said.add(lines, alive=alive)
        self._add(said, alive=alive)

    def _add(self, said: Said, *, alive: bool) -> None:
        self._files.append((said, "open" if alive else "interrupted"))
        self._report.files += 1
        self._report.add(said.report)

    def keys(self) -> set[SpanKey]:
        """Trace and span id of every span that was added."""
        return {*self._ended, *self._unended}.union(*((*said.ended, *said.starts) for said, _ in self._files))

    def recording(self) -> Recording:
        """Everything that was added."""
        ended = dict(self._ended)
        logs: dict[LogId, LogRecord] = {}
        points: dict[str, MetricPoint] = {}
        starts: dict[SpanKey, tuple[Said, SpanState]] = {}
        for said, state in self._files:
            ended |= said.ended
            logs |= said.logs
            points |= said.points
            starts |= dict.fromkeys(said.starts, (said, state))
        spans = list(ended.values())
        for key, (said, state) in starts.items():
            if key not in ended:
                start = said.start(key)
                if start is None:
                    self._report.skip(said.source, 0, "a damaged line that tells a start")
                else:
                    spans.append(unfinished(start, state))
        spans += (span for key, span in self._unended.items() if key not in ended and key not in starts)
        begun = [(said, key) for key, (said, _) in starts.items() if key in ended]

        def begin() -> tuple[SpanRecord, ...]:
            of_sealed = (replace(span, state="ended", attributes=_plain(span)) for key, span in self._unended.items() if key in ended)
            of_lines = (start for said, key in begun if (start := said.start(key)) is not None)
            return tuple(sorted((*of_sealed, *of_lines), key=_order))

        report = self._report
        report.spans, report.logs, report.points = len(spans), len(logs), len(points)
        return Recording(tuple(sorted(spans, key=_order)), report, logs, tuple(points.values()), begin)


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

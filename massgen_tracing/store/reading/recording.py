"""What files say, put together: every span once, whatever order and state its lines were in.

Missing starts, missing ends, the same span twice and lines of several files are all one recording.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from massgen_tracing import semconv
from massgen_tracing.model import LogRecord, MetricPoint, SpanRecord, SpanState
from massgen_tracing.store.reading.report import Report
from massgen_tracing.store.reading.spans import Ended, SpanKey

if TYPE_CHECKING:
    from massgen_tracing.store.reading.live import LogId, Said  # sealed files do not need it

_order: Final = attrgetter("start_ns", "trace_id", "span_id", "kind")


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


class Collector:
    """Collects what files say and gives the spans of all of them, so that a run that several processes wrote is one recording."""

    def __init__(self) -> None:
        self.report = Report()
        self._files: list[tuple[Said, SpanState]] = []
        self._ended = Ended()
        self._unended: dict[SpanKey, SpanRecord] = {}

    def add_lines(self, lines: Iterable[bytes], *, source: str, alive: bool = False) -> None:
        """Read lines; *alive* says whether their writer still runs, *source* names them in the report."""
        from massgen_tracing.store.reading.live import Said

        said = Said(source)
        said.add(lines, alive=alive)
        self.add_said(said, alive=alive)

    def add_spans(self, spans: Iterable[SpanRecord]) -> None:
        """Add spans as they are."""
        for span in spans:
            if span.end_ns is None:
                self._unended[span.trace_id, span.span_id] = span
            else:
                self._ended.add(span)

    def add_said(self, said: Said, *, alive: bool) -> None:
        """Add what the lines of a live file say."""
        self._files.append((said, "open" if alive else "interrupted"))
        self.report.files += 1
        self.report.add(said.report)

    def keys(self) -> set[SpanKey]:
        """Trace and span id of every span that was added."""
        return self._ended.keys().union(self._unended, *((*said.ended.keys(), *said.starts) for said, _ in self._files))

    def says_nothing(self) -> bool:
        """Whether no file says anything, or is still being written."""
        said_something = any(said.ended or said.starts or said.logs or said.points or state == "open" for said, state in self._files)
        return not (said_something or self._ended or self._unended)

    def recording(self) -> Recording:
        """Everything that was added."""
        ended = self._ended.copy()
        logs: dict[LogId, LogRecord] = {}
        points: dict[str, MetricPoint] = {}
        starts: dict[SpanKey, tuple[Said, SpanState]] = {}
        for said, state in self._files:
            ended.update(said.ended)
            logs |= said.logs
            points |= said.points
            starts |= dict.fromkeys(said.starts, (said, state))
        spans = list(ended)
        for key, (said, state) in starts.items():
            if key not in ended:
                start = said.start(key)
                if start is None:
                    self.report.skip(said.source, 0, "a damaged line that tells a start")
                else:
                    spans.append(unfinished(start, state))
        spans += (span for key, span in self._unended.items() if key not in ended and key not in starts)
        begun = [(said, key) for key, (said, _) in starts.items() if key in ended]

        def begin() -> tuple[SpanRecord, ...]:
            of_sealed = (replace(span, state="ended", attributes=_plain(span)) for key, span in self._unended.items() if key in ended)
            of_lines = (start for said, key in begun if (start := said.start(key)) is not None)
            return tuple(sorted((*of_sealed, *of_lines), key=_order))

        report = self.report
        report.spans, report.logs, report.points = len(spans), len(logs), len(points)
        return Recording(tuple(sorted(spans, key=_order)), report, logs, tuple(points.values()), begin)


def unfinished(span: SpanRecord, state: SpanState) -> SpanRecord:
    """A span that has started and not ended; the one of a dead writer is marked."""
    if state == "interrupted":
        return replace(span, state=state, attributes={**span.attributes, semconv.INTERRUPTED: True})
    return replace(span, state=state)


def _plain(span: SpanRecord) -> dict[str, Any]:
    """The attributes that the span had when it started, without the mark that the reader has set."""
    return {key: value for key, value in span.attributes.items() if key != semconv.INTERRUPTED}

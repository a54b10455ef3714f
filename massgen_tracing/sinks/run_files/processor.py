"""The files of runs as an OpenTelemetry span processor: what a span costs is a place in a queue, and a thread of its own does the rest."""

from __future__ import annotations

import time
import weakref
from collections import deque
from collections.abc import Mapping
from typing import Any, Final

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from massgen_tracing import conventions, finalization, guard, semconv
from massgen_tracing.layout import RunDirectory
from massgen_tracing.model import RUN_CONTEXT_KEY, SpanRecord
from massgen_tracing.projection.directory import RunFiles, is_ours
from massgen_tracing.projection.fold import PREFIXES
from massgen_tracing.sinks.run_files.worker import FileWorker
from massgen_tracing.trace.span import Span as OwnSpan
from massgen_tracing.worker import end_at_forks

INTERVAL: Final = 2.0
"""Seconds between two writes of `status.json`, at most."""

_UPDATE_SECONDS: Final = 0.04
"""How long a round writes files that a run has many of, at most, while the run goes on."""

_MOST_RUNS: Final = 1024
_CROWD: Final = 256
"""Spans that wait, from which on they are folded at once, though files are not to be written yet: they may hold much content."""

_FORK_SECONDS: Final = 0.5
_SHUTDOWN_SECONDS: Final = 1.5
_PART: Final = 0.9
"""How much of its time `shutdown_within` takes at most, so that whoever waits for it does not take it for one that hangs."""


class _Place:
    """A run whose files are written.

    Attributes:
        waiting: what was not folded yet: of spans that have started a record, for a span that is dropped must be gone; spans that have ended, or a
            record of those that say nothing of use.
        files: those of the coordination that goes on; None between two.
        written: when they were last written, in monotonic seconds.
    """

    __slots__ = ("files", "run", "waiting", "written")

    def __init__(self, run: RunDirectory) -> None:
        self.run = run
        self.waiting: deque[SpanRecord | ReadableSpan] = deque()
        self.files: RunFiles | None = None
        self.written = -INTERVAL

    def take(self) -> None:
        """Fold what waits; when the coordination has ended, its files are written for good."""
        while self.waiting:
            waiting = self.waiting.popleft()
            record = waiting if isinstance(waiting, SpanRecord) else _record(waiting, waiting.attributes or {}, ended=True)
            begun = record.end_ns is None
            is_session = record.name == semconv.SESSION
            files = self.files
            if files is None:
                if is_session and begun and is_ours(record):
                    self.files = files = RunFiles(self.run)
                    files.fold.started(record)
                continue
            if is_session and record.span_id != files.fold.state.span_id:
                continue  # one within the other; its directory is this one's
            if begun:
                files.fold.started(record)
                continue
            files.fold.ended(record)
            if is_session:
                self.files = None
                files.finish()

    def relieve(self) -> None:
        """Fold what waits, and have nothing of it stay in memory that is to be written."""
        self.take()
        if self.files is not None:
            self.files.relieve()

    def write(self, now: float) -> None:
        """Write what has changed, or what is to be written again because it is time."""
        files = self.files
        if files is not None and (files.fold.changed or files.behind or now - self.written >= INTERVAL):
            files.fold.changed = False
            self.written = now
            files.update(time.time_ns(), _UPDATE_SECONDS)


class LiveFiles(SpanProcessor):
    """Keeps the files of this process's runs up to date: at each change, `status.json` every two seconds too, and for good at a session's end.

    A run is one whose directory this package has made; not that of MassGen's own log, nor the one that this process belongs to, which is written by
    the process that it was started by. No span waits for a disk, and none is lost to the recording, of which all files can be made again.

    Args:
        run: the run that this process belongs to.
    """

    def __init__(self, run: RunDirectory | None = None) -> None:
        self._run = run
        self._places: dict[RunDirectory, _Place] = {}
        self._open: dict[int, _Place] = {}
        """Where spans that have not ended belong, by their ids."""
        self._worker: dict[None, FileWorker] = {}
        """One at most: `setdefault` is what decides where several begin at once."""
        self._stopped = False
        _all.add(self)

    # --- spans -----------------------------------------------------------------------------------------------------------------------
    #
    # No locks: the garbage collector, or a signal handler, may start and end spans in the middle of anything here.

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """A span has started."""
        if self._stopped or not (self._places or span.name == semconv.SESSION):
            return
        try:
            context = otel_context.get_current() if parent_context is None else parent_context
            run = context.get(RUN_CONTEXT_KEY)
            if run is not None:
                self._started(span, run)
        except Exception as error:  # noqa: BLE001 - telemetry never breaks the run
            guard.swallow("LiveFiles.on_start", error)

    def on_end(self, span: ReadableSpan) -> None:
        """A span has ended."""
        if not self._open:
            return
        try:
            place = self._open.pop(_id(span), None)
            if place is not None:
                place.waiting.append(span if _tells(span) else _record(span, {}, ended=True))
                worker = self._worker.get(None)
                if worker is not None:
                    self._wake(worker, place)
        except Exception as error:  # noqa: BLE001 - telemetry never breaks the run
            guard.swallow("LiveFiles.on_end", error)

    def _started(self, span: ReadableSpan, run: object) -> None:
        place = self._places.get(run)  # type: ignore[call-overload]  # any key may be asked for
        if place is None:
            if span.name != semconv.SESSION or not isinstance(run, RunDirectory) or run == self._run:
                return
            if len(self._places) >= _MOST_RUNS:
                self._forget_one()
            place = self._places.setdefault(run, _Place(run))
        self._open[_id(span)] = place
        place.waiting.append(_record(span, dict(span.attributes or {}) if _tells(span) else {}, ended=False))
        if self._worker or self._begin():
            self._wake(self._worker[None], place)

    @staticmethod
    def _wake(worker: FileWorker, place: _Place) -> None:
        worker.wake()
        if len(place.waiting) >= _CROWD:
            worker.crowd()

    def _forget_one(self) -> None:
        over = next((run for run, place in list(self._places.items()) if place.files is None and not place.waiting), None)
        if over is not None:
            self._places.pop(over, None)

    # --- writing ---------------------------------------------------------------------------------------------------------------------

    def _round(self) -> float | None:
        """Write what there is to write; returns in how many seconds there is to be another round, None for when a span has come."""
        live = behind = False
        for place in list(self._places.values()):
            with guard.guarded("run_files"):
                place.take()
                place.write(time.monotonic())
            live = live or place.files is not None
            behind = behind or (place.files is not None and place.files.behind)
        if not live and len(self._open) > _MOST_RUNS:  # of spans that nobody will end
            self._open.clear()
        return 0.0 if behind else INTERVAL if live else None

    def _relieve(self) -> None:
        for place in list(self._places.values()):
            with guard.guarded("run_files"):
                place.relieve()

    # --- the thread's life -----------------------------------------------------------------------------------------------------------

    def _begin(self) -> bool:
        if finalization.begun():
            return False
        worker = FileWorker(self._round, self._relieve)
        if self._worker.setdefault(None, worker) is worker and not worker.start():
            self._worker.clear()
        return bool(self._worker)

    def shutdown(self) -> None:
        """As `shutdown_within`, for at most one second and a half."""
        self.shutdown_within(_SHUTDOWN_SECONDS)

    def shutdown_within(self, seconds: float) -> bool:
        """Write what is left, for at most so long; whether all is written. Spans that come later are in the recording only."""
        self._stopped = True
        if finalization.begun():
            return True
        worker = self._worker.pop(None, None)
        if worker is not None:
            worker.end()
            return worker.wait(seconds * _PART)
        if any(place.waiting for place in self._places.values()):  # no thread could be started, or a fork has ended it
            self._round()
        return True

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Wait until what has come by now is written, at most so long; whether it is."""
        worker = self._worker.get(None)
        return worker is None or worker.caught_up(timeout_millis / 1000)

    def pause(self) -> FileWorker | None:
        """Have the thread end as soon as it can, and return it; it begins again with the next span."""
        worker = self._worker.pop(None, None)
        if worker is not None:
            worker.end()
        return worker

    def after_fork(self) -> None:
        """In a forked child: the runs that go on, and the thread, are the parent's."""
        self._places, self._open, self._worker = {}, {}, {}


def _id(span: ReadableSpan) -> int:
    if type(span) is OwnSpan:
        return span.span_id
    context = span.get_span_context()
    return 0 if context is None else context.span_id


def _tells(span: ReadableSpan) -> bool:
    """Whether what it says is of use here; of other spans, only what they are within, so that their content is not held."""
    return span.name.startswith(PREFIXES) or conventions.kind_of(span.name, span.attributes or {}) == "model"


def _record(span: ReadableSpan, attributes: Mapping[str, Any], *, ended: bool) -> SpanRecord:
    """A span as the recording has it when it has *ended*, or had it when it had started."""
    context = span if type(span) is OwnSpan else span.get_span_context()
    assert context is not None
    # Formatting a number costs three times as much as its bytes' hex digits.
    return SpanRecord(
        context.trace_id.to_bytes(16, "big").hex(),
        context.span_id.to_bytes(8, "big").hex(),
        "" if span.parent is None else span.parent.span_id.to_bytes(8, "big").hex(),
        span.name,
        span.start_time or 0,
        span.end_time if ended else None,
        attributes=attributes,
        status_code=span.status.status_code.value if ended else 0,
        status_message=(span.status.description or "") if ended else "",
    )


_all: Final[weakref.WeakSet[LiveFiles]] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for each in list(_all):
        each.after_fork()


# They begin again with the next span.
end_at_forks(lambda: [each.pause() for each in list(_all)], _FORK_SECONDS, in_child=_after_fork_in_child)

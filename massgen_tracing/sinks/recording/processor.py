"""The recording as an OpenTelemetry span processor: each span to the file of its run, its start at once and its end at once."""

from __future__ import annotations

import os
import queue
import random
import threading
import weakref
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext

from massgen_tracing import guard, layout, semconv
from massgen_tracing.model import RUN_CONTEXT_KEY
from massgen_tracing.sinks.recording.file import AppendFile, close_all
from massgen_tracing.sinks.recording.lines import SpanLines, head

_MAX_HEADS: Final = 256
_MAX_TRACES: Final = 4096
"""Runs whose traces are remembered: what is written in them later, without saying so, is theirs."""

_NOTHING: Final[Mapping[str, Any]] = {}


class _RunFile:
    """One run's file, and how many of its spans are open: it is closed when the run is over."""

    __slots__ = ("file", "open_spans", "place")

    def __init__(self, file: AppendFile, place: layout.RunDirectory | None) -> None:
        self.file = file
        self.place = place
        self.open_spans = 0


class Recording(SpanProcessor):
    """Writes every span to `trace.otlp.jsonl` in its run's directory, and spans outside of any run to one file under `<root>/traces/`.

    A span belongs to the run that its Context names. When `on_end` returns, the kernel has the span: killing the process loses nothing of it.
    The disk is asked to have it (fsync) at the ends of rounds and sessions, on a thread of its own. Nothing here raises, for OpenTelemetry's own
    provider would hand it on to the traced program.

    Args:
        root: where recordings live.
        run: the run that this process belongs to: it takes everything that is in no other run, in a file of this process's own.
    """

    def __init__(self, root: Path | str, run: layout.RunDirectory | None = None) -> None:
        self.clean: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None
        """Bounds and scrubs attributes, where the spans do not do that themselves."""
        self._traces = Path(os.path.abspath(root)) / layout.TRACES_DIR
        self._run = run
        self._owner = os.getpid()
        self._ids = random.Random()  # noqa: S311 - ids, not secrets
        self._files: dict[layout.RunDirectory | None, _RunFile] = {}
        self._open: dict[int, tuple[_RunFile, SpanLines]] = {}
        self._traces_of: dict[int, tuple[layout.RunDirectory | None, int | None]] = {}
        self._heads: dict[int, tuple[InstrumentationScope | None, Resource, str]] = {}
        # Re-entrant, because the garbage collector may end an abandoned stream's span in the middle of anything.
        self._lock = threading.RLock()
        self._syncer = _Syncer()
        self._stopped = False
        _live.add(self)

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Record that a span has started; a point record has no start of its own."""
        if self._stopped:  # a caller's own provider goes on, and cannot be rid of a processor
            return
        try:
            self._started(span, otel_context.get_current() if parent_context is None else parent_context)
        except Exception as error:  # noqa: BLE001 - telemetry never breaks the run
            guard.swallow("Recording.on_start", error)

    def on_end(self, span: ReadableSpan) -> None:
        """Record an ended span."""
        try:
            identity = span.get_span_context()
            # Unknown is a span that started before this recording was, or in the process that this one was forked from.
            known = None if identity is None else self._open.pop(identity.span_id, None)
            if known is None or identity is None:
                return
            target, lines = known
            try:
                target.file.write(lines.end(span, identity).encode())
            finally:
                self._release(span, target)
        except Exception as error:  # noqa: BLE001 - telemetry never breaks the run
            guard.swallow("Recording.on_end", error)

    def _started(self, span: ReadableSpan, context: Context) -> None:
        identity = span.get_span_context()
        assert identity is not None
        run = context.get(RUN_CONTEXT_KEY)
        place = run if isinstance(run, layout.RunDirectory) else self._place_below(span.parent)
        lines = SpanLines(self._head(span), span, identity, self.clean)
        with self._lock:
            target = self._files.get(place)
            if target is None:
                target = self._files[place] = _RunFile(AppendFile(partial(self._path, place)), place)
                self._remember(span, identity.trace_id, place)
            target.open_spans += 1
        self._open[identity.span_id] = target, lines
        if (span.attributes or _NOTHING).get(semconv.LOGFIRE_SPAN_TYPE) != semconv.SPAN_TYPE_LOG:
            target.file.write(lines.start(span, self._ids.getrandbits(64) or 1).encode())

    def _place_below(self, parent: SpanContext | None) -> layout.RunDirectory | None:
        """The run of a span whose Context names none: some libraries keep of a Context only the parent's ids, as in a header."""
        if parent is None:
            return self._run
        above = self._open.get(parent.span_id)
        if above is not None:
            return above[0].place
        place, outside = self._traces_of.get(parent.trace_id, (self._run, None))
        return self._run if parent.span_id == outside else place

    def _remember(self, first: ReadableSpan, trace_id: int, place: layout.RunDirectory | None) -> None:
        """A run whose trace may go on when it is over; what is beside its first span is not in it."""
        if place is not None:
            if len(self._traces_of) >= _MAX_TRACES:
                del self._traces_of[next(iter(self._traces_of))]
            self._traces_of[trace_id] = place, None if first.parent is None else first.parent.span_id

    def _release(self, span: ReadableSpan, target: _RunFile) -> None:
        with self._lock:
            target.open_spans -= 1
            finished = target.place is not None and target.open_spans == 0
            if finished and self._files.get(target.place) is target:
                del self._files[target.place]
        if finished or span.name == semconv.SESSION or span.name.startswith("agent."):
            self._syncer.sync(target.file, close=finished)

    def shutdown(self) -> None:
        """Have the disk take everything, and release the files of finished runs. Spans that are still open can still be ended, but none begins."""
        self._stopped = True
        with self._lock:
            idle = [(place, target) for place, target in self._files.items() if target.open_spans == 0]
            for place, target in idle:
                self._files.pop(place, None)
                self._syncer.sync(target.file, close=True)
            for target in self._files.values():
                self._syncer.sync(target.file, close=False)
        self._syncer.stop()

    def resume(self) -> None:
        """Take spans that begin after a `shutdown` too: at the end of the process, where there is no other recording to come."""
        self._stopped = False

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - the processor protocol
        """Nothing is ever held back."""
        return True

    def after_fork(self) -> None:
        """In a forked child: write to files of its own, and leave the parent's open spans to the parent."""
        self._lock = threading.RLock()
        self._syncer = _Syncer()
        self._ids.seed()
        for target in self._files.values():
            target.file.abandon()
        self._files = {}
        self._open = {}
        self._heads = {}

    def _path(self, place: layout.RunDirectory | None) -> Path:
        pid = os.getpid()
        if place is not None:
            own = pid == self._owner and place != self._run
            return place.attempt_dir / layout.recording_name(None if own else pid)
        return self._traces / f"{_PROCESS_START}_{pid}{layout.RECORDING_SUFFIX}"

    def _head(self, span: ReadableSpan) -> str:
        # By identity: hashing a resource and a scope costs more than a line. Each entry holds what it was made from, so that its id is not used
        # again meanwhile.
        resource, scope = span.resource, span.instrumentation_scope
        known = self._heads.get(id(scope))
        if known is None or known[0] is not scope or known[1] is not resource:
            if len(self._heads) >= _MAX_HEADS:  # a provider that makes a scope for every tracer it gives
                self._heads.clear()
            known = self._heads[id(scope)] = scope, resource, head(resource, scope)
        return known[2]


class _Syncer:
    """A thread that waits for the disk, so that no run has to."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[tuple[AppendFile, bool] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._starting = threading.RLock()

    def sync(self, file: AppendFile, *, close: bool) -> None:
        with self._starting:
            if self._thread is None:
                thread = threading.Thread(target=self._work, name="massgen-tracing-fsync", daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # the interpreter is on its way out, or the system has no more threads
                    self._do(file, close=close)
                    return
                self._thread = thread
        self._jobs.put((file, close))

    def stop(self) -> None:
        """Return when all that was asked for is done; the caller bounds the wait."""
        with self._starting:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._jobs.put(None)
            thread.join()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            file, close = job
            self._do(file, close=close)
            del file, job  # while it waits for the next one it must not hold this one open

    @staticmethod
    def _do(file: AppendFile, *, close: bool) -> None:
        try:
            file.sync()
            if close:
                file.close()
        except Exception as error:  # noqa: BLE001 - the next file still wants its turn
            guard.swallow("recording.sync", error)


_PROCESS_START: Final = datetime.now().astimezone().strftime("trace_%Y%m%d_%H%M%S_%f")

_live: Final[weakref.WeakSet[Recording]] = weakref.WeakSet()


def _after_fork() -> None:
    for recording in list(_live):
        recording.after_fork()
    close_all()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

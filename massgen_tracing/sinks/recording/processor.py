"""The recording as an OpenTelemetry span processor: each span to the file of its run, its start at once and its end at once."""

from __future__ import annotations

import os
import random
import weakref
from collections.abc import Mapping
from datetime import datetime
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
from massgen_tracing.sinks.recording import vouchers
from massgen_tracing.sinks.recording.descriptor import close_all
from massgen_tracing.sinks.recording.file import AppendFile
from massgen_tracing.sinks.recording.lines import SpanLines, head
from massgen_tracing.sinks.recording.sync import Syncer
from massgen_tracing.trace.span import Span as OwnSpan

_MAX_HEADS: Final = 256
_MAX_TRACES: Final = 4096
"""Runs whose traces are remembered: what is written in them later, without saying so, is theirs."""

_Head = tuple[InstrumentationScope | None, Resource | None, str]
"""The beginning of the lines of one scope and resource."""

_NO_HEAD: Final[_Head] = None, None, ""
_NOTHING: Final[Mapping[str, Any]] = {}
_SHUTDOWN_SECONDS: Final = 1.5
_PART: Final = 0.9
"""How much of its time `shutdown_within` takes at most, so that whoever waits for it does not take it for one that hangs."""


class _RunFile:
    """One run's file, and what keeps it open.

    A run is over when its last session is, whoever has left spans open in it: what comes later is written, and the file let go again. Where no
    session begins that has the run to itself (in a process that belongs to the run, in a forked child), it is over when no span is open.

    Attributes:
        spans, sessions: what is open of it, by identity; of its sessions only the identities.
        bounded: whether sessions are its bounds.
        kept: whether the file stays open whatever is open of it: that of spans outside of runs, until the end.
    """

    __slots__ = ("bounded", "file", "kept", "place", "sessions", "spans")

    def __init__(self, file: AppendFile, place: layout.RunDirectory | None) -> None:
        self.file = file
        self.place = place
        self.kept = place is None
        self.bounded = False
        self.sessions: set[int] = set()
        self.spans: dict[int, _OpenSpan] = {}

    def goes_on(self) -> bool:
        """Whether it is not over yet."""
        return bool(self.sessions) if self.bounded else self.kept or bool(self.spans)


class _OpenSpan(weakref.ref[ReadableSpan]):
    """A span that has begun and not ended, as long as somebody can end it: of one that is dropped nothing is left when the next one starts.

    Nothing of ours runs when a span is freed, but for a method of a list: what a signal handler of the program's raises then would be lost.
    """

    __slots__ = ("identity", "lines", "recording", "target")

    recording: Recording
    target: _RunFile
    lines: SpanLines
    identity: int


class Recording(SpanProcessor):
    """Writes every span to `trace.otlp.jsonl` in its run's directory, and spans outside of any run to one file under `<root>/traces/`.

    A span belongs to the run that its Context names. When `on_end` returns, the kernel has the span: killing the process loses nothing of it.
    The disk is asked to have it (fsync) at the ends of rounds and sessions, on a thread of its own. Nothing here raises of its own accord, for
    OpenTelemetry's own provider would hand it on to the traced program; nothing waits, and no thread is started at a span's end.

    Args:
        root: where recordings live.
        run: the run that this process belongs to: it takes everything that is in no other run, in a file of this process's own.
        outside: begins the name of the file of spans outside of runs, where this process was started by one that has such spans too; None: a name of
            its own.

    Attributes:
        outside: what begins that name.
    """

    def __init__(self, root: Path | str, run: layout.RunDirectory | None = None, outside: str | None = None) -> None:
        self.outside = outside or _PROCESS
        self._root = Path(os.path.abspath(root))
        self._run = run
        self._owner = os.getpid()
        self._ids = random.Random()  # noqa: S311 - ids, not secrets
        self._files: dict[layout.RunDirectory | None, _RunFile] = {}
        self._traces_of: dict[int, tuple[layout.RunDirectory | None, int | None]] = {}
        self._strangers: dict[int, _OpenSpan] = {}
        """Open spans that are not our own, by id: at their ends others stand for them."""
        self._dropped: list[weakref.ref[ReadableSpan]] = []
        self._heads: dict[int, _Head] = {}
        self._last_head = _NO_HEAD
        self._syncer = Syncer()
        self._stopped = False
        _live.add(self)

    # --- a span's start and end ------------------------------------------------------------------------------------------------------
    #
    # No locks: the garbage collector, or a signal handler, may start and end spans in the middle of anything here. Sets and dicts change in one
    # step, and a file that is let go too early is opened again.

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
            try:
                self._ended(span)
            except Exception as error:  # noqa: BLE001 - telemetry never breaks the run
                guard.swallow("Recording.on_end", error)
        except BaseException:
            # A signal handler of the program's raised this; perhaps the line was not written yet. Readers count a span that is there twice once.
            with guard.guarded("Recording.on_end"):
                self._ended(span)
            raise

    def _started(self, span: ReadableSpan, context: Context) -> None:
        if self._dropped:
            self._forget_dropped()
        own = span if type(span) is OwnSpan else None
        identity = own or span.get_span_context()
        assert identity is not None
        run = context.get(RUN_CONTEXT_KEY)
        place = run if isinstance(run, layout.RunDirectory) else self._place_below(span.parent) if self._traces_of else self._run
        name = span.name
        is_session = name == semconv.SESSION
        target = self._files.get(place)
        if target is None:
            target = self._files.setdefault(place, _RunFile(AppendFile(self.path_of(place), self._root), place))
            if place is not None:
                self._remember(span, identity.trace_id, place)
                self._syncer.begin()
        known = _OpenSpan(span, self._dropped.append)
        known.recording = self
        known.target = target
        known.identity = identity.span_id
        known.lines = lines = SpanLines(self._head(span.instrumentation_scope, span.resource), span, identity)
        target.spans[id(known)] = known
        if is_session and place is not None and place != self._run:
            target.sessions.add(id(known))
            target.bounded = True
        if own is not None and own.recorded is None:
            own.recorded = known
        else:
            self._strangers[identity.span_id] = known
        if is_session or name.startswith(semconv.AGENT_PREFIX):
            self._syncer.begin()
        if (span.attributes or _NOTHING).get(semconv.LOGFIRE_SPAN_TYPE) != semconv.SPAN_TYPE_LOG:
            target.file.write(lines.start(span, self._ids.getrandbits(64) or 1).encode())

    def _place_below(self, parent: SpanContext | None) -> layout.RunDirectory | None:
        """The run of a span whose Context names none: some libraries keep of a Context only the parent's ids, as in a header."""
        found = None if parent is None else self._traces_of.get(parent.trace_id)
        if parent is None or found is None:
            return self._run
        for target in list(self._files.values()):
            if any(known.identity == parent.span_id for known in list(target.spans.values())):
                return target.place
        place, outside = found
        return self._run if parent.span_id == outside else place

    def _remember(self, first: ReadableSpan, trace_id: int, place: layout.RunDirectory) -> None:
        """A run whose trace may go on when it is over; what is beside its first span is not in it."""
        if len(self._traces_of) >= _MAX_TRACES:
            self._traces_of.pop(next(iter(self._traces_of)), None)
        self._traces_of[trace_id] = place, None if first.parent is None else first.parent.span_id

    def _ended(self, span: ReadableSpan) -> None:
        own = span if type(span) is OwnSpan else None
        identity = own or span.get_span_context()
        if identity is None:
            return
        known = None if own is None else own.recorded
        if type(known) is not _OpenSpan or known.recording is not self:
            own, known = None, self._strangers.get(identity.span_id)
        # Unknown is a span that started before this recording was, or in the process that this one was forked from.
        if known is None:
            return
        file = known.target.file
        file.write(known.lines.end(span, identity).encode())
        over = self._forget(known)
        if own is not None:
            own.recorded = None
        if over or (name := span.name) == semconv.SESSION or name.startswith(semconv.AGENT_PREFIX):
            self._syncer.want(file.path)

    def _forget(self, known: _OpenSpan) -> bool:
        """Count a span no longer among the open ones; returns whether its run is over, and then its file is released."""
        target = known.target
        target.spans.pop(id(known), None)
        if target.bounded:
            target.sessions.discard(id(known))
        if self._strangers and self._strangers.get(known.identity) is known:
            del self._strangers[known.identity]
        return not target.goes_on() and self._release(target)

    def _forget_dropped(self) -> None:
        while self._dropped:
            known = self._dropped[-1]
            assert isinstance(known, _OpenSpan)
            self._forget(known)
            with guard.ignored(ValueError):  # another thread was faster
                self._dropped.remove(known)

    def _release(self, target: _RunFile) -> bool:
        if self._files.get(target.place) is target:
            self._files.pop(target.place, None)
        target.file.close()
        return True

    # --- the recording's end -----------------------------------------------------------------------------------------------------------

    def shutdown(self) -> None:
        """As `shutdown_within`, for at most one second and a half."""
        self.shutdown_within(_SHUTDOWN_SECONDS)

    def shutdown_within(self, seconds: float) -> None:
        """Have the disk take everything, for at most so long, and release the files of finished runs.

        Spans that are still open can still be ended, but none begins. A disk that has not taken everything by then holds nothing up: the kernel has
        it all.
        """
        self._stopped = True
        self._forget_dropped()
        for target in list(self._files.values()):
            target.kept = False
            self._syncer.want(target.file.path)
            if not target.goes_on():
                self._release(target)
        self._syncer.stop(seconds * _PART)

    def release(self) -> None:
        """Let go of all files, whatever is open; a later line opens its file again."""
        for target in list(self._files.values()):
            self._release(target)

    def resume(self) -> None:
        """Take spans that begin after a `shutdown` too: at the end of the process, where there is no other recording to come."""
        self._stopped = False

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - the processor protocol
        """Nothing is ever held back."""
        return True

    def after_fork(self) -> None:
        """In a forked child: write to files of its own, and leave the parent's open spans to the parent."""
        self._syncer = Syncer()
        self._ids.seed()
        for target in self._files.values():
            target.file.abandon()
        self._files = {}
        self._strangers = {}
        self._dropped = []
        self._heads = {}
        self._last_head = _NO_HEAD

    def path_of(self, place: layout.RunDirectory | None) -> Path:
        """The file of a run, of this process's spans in it; of None: of spans outside of runs."""
        pid = os.getpid()
        if place is not None:
            own = pid == self._owner and place != self._run
            return place.attempt_dir / layout.recording_name(None if own else pid)
        is_first = self.outside == _PROCESS and pid == _FIRST_PID
        return self._root / layout.TRACES_DIR / layout.recording_outside(self.outside, None if is_first else pid)

    def _head(self, scope: InstrumentationScope | None, resource: Resource) -> str:
        # By identity: hashing a resource and a scope costs more than a line. Each entry holds what it was made from, so that its id is not used
        # again meanwhile.
        known = self._last_head
        if known[0] is scope and known[1] is resource:
            return known[2]
        known = self._heads.get(id(scope), _NO_HEAD)
        if known[0] is not scope or known[1] is not resource:
            if len(self._heads) >= _MAX_HEADS:  # a provider that makes a scope for every tracer it gives
                self._heads.clear()
            known = self._heads[id(scope)] = scope, resource, head(resource, scope)
        self._last_head = known
        return known[2]


_FIRST_PID: Final = os.getpid()
_PROCESS: Final = f"{datetime.now().astimezone().strftime(layout.TRACE_TIME_FORMAT)}_{_FIRST_PID}"
"""This process and what is forked from it."""

_live: Final[weakref.WeakSet[Recording]] = weakref.WeakSet()


def _after_fork() -> None:
    close_all()  # first: it makes anew the lock that letting go of a file takes
    vouchers.after_fork()
    for recording in list(_live):
        recording.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

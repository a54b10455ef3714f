"""What every opener returns: a handle that starts a span, makes it current, and ends it on every way out.

Nesting does not rest on ambient state alone: a handle keeps the Context that its children start from, so its explicit openers nest right
from wherever they are called.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from enum import Enum
from typing import Any, ClassVar, Final, Self

from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, SpanKind, Status, StatusCode, get_current_span
from opentelemetry.trace import Span as ApiSpan

from massgen_tracing import finalization, guard, semconv
from massgen_tracing.trace import arguments, factory
from massgen_tracing.trace.belonging import ROUND_KEY, SESSION_KEY, InRound, InSession
from massgen_tracing.trace.carriers import extract, inject
from massgen_tracing.trace.clock import CLOCK
from massgen_tracing.trace.current import SPAN_KEY, Blocks, current
from massgen_tracing.trace.exceptions import exception_attributes, is_failure, summary, type_name
from massgen_tracing.trace.factory import SpanFactory
from massgen_tracing.trace.lenient import takes_anything
from massgen_tracing.trace.single import Single
from massgen_tracing.trace.usage import count

_NOTHING: Final[dict[str, Any]] = {}

_PATIENCE: Final = 0.1
"""Seconds that a thread waits for another one that starts or ends the same handle just now."""


class _Life(Enum):
    NEW = "not started"
    OPEN = "started"
    OVER = "ended"
    ELSEWHERE = "of another process"


class Handle(Single):
    """One span of the facade, as a context manager (`with` and `async with`).

    It may be used in any order, by any tasks and threads:

    - Entered while it is entered, it is the same span, made current once more; it ends when the last of its blocks is left, or by `end()`.
    - `start()` of a handle that is open and `end()` of one that is not change nothing.
    - Used again after its end, it is a new span of the same name and attributes.
    - A copy is the handle itself. A pickled one, in another process, opens work below the span and makes it current there; what it sets, or ends, has
      no effect.

    Args:
        spans: starts its span.
        name: the span's name.
        attributes: set at the start; values of any type.
        base: the Context that the span starts in; None: the one that is current at the start.

    Attributes:
        span: the OpenTelemetry span; before the start an invalid one.
        session: the session it belongs to, if any.
        round: the agent's round it belongs to, if any.
    """

    kind: ClassVar[SpanKind] = SpanKind.INTERNAL
    _has_own_scope: ClassVar[bool] = False
    """Whether what is below it starts in a Context of its own, which `_within` makes, and its span opens spans, as `_opened` has it."""

    # Before it starts; what most handles never get to have is not set on them.
    _over: str = "has ended"
    """What is said of it after its end."""
    span: ApiSpan = INVALID_SPAN
    session: InSession | None = None
    round: InRound | None = None
    _around: Context | None = None
    _context: Context | None = None
    _life: _Life = _Life.NEW
    _noted: int | None = None
    _measure: int | None = None

    def __init__(self, spans: SpanFactory, name: str, attributes: Mapping[str, Any] | None = None, base: Context | None = None) -> None:
        self._spans = spans
        self.name = name
        self._given: Mapping[str, Any] = _NOTHING if attributes is None else attributes
        self._base = base
        self._blocks: Blocks[None] = Blocks()
        self._startable = [True]
        """Emptied by whoever starts the span, so that of several threads one does; and so the other, by whoever ends it."""
        self._unended: list[bool] = []

    # --- identity ----------------------------------------------------------------------------------------------------------------

    @property
    def trace_id(self) -> str:
        """32 lower-case hex digits."""
        return f"{self.span.get_span_context().trace_id:032x}"

    @property
    def span_id(self) -> str:
        """16 lower-case hex digits."""
        return f"{self.span.get_span_context().span_id:016x}"

    @property
    def context(self) -> Context | None:
        """The OpenTelemetry Context in which this span is current, for children and propagators; None before the start."""
        context = self._context
        if context is None and self._around is not None:
            context = self._context = Context({**self._around, SPAN_KEY: self.span})
        return context

    @property
    def is_open(self) -> bool:
        """Whether the span has started and not ended; of another process's it is not known, and taken for granted."""
        return self._life is _Life.OPEN or self._life is _Life.ELSEWHERE

    @takes_anything
    def set(self, key: str, value: object) -> None:
        """Set one attribute, of any type: it is bounded, scrubbed and made JSON-safe. None sets nothing."""
        if self._life is not _Life.OPEN:
            self._check_open("set()")
        self._put(key, value)

    def _put(self, key: str, value: object) -> None:
        self._spans.set_attribute(self.span, key, value)

    def _check_open(self, what: str) -> bool:
        """Whether *what* can be recorded: not before the start, after the end only where spans go below this one. The caller is told of both."""
        if self.is_open:
            return True
        state = "has not started" if self._life is _Life.NEW else self._over
        hint = "Call it inside the handle's with block, or between its start() and its end()"
        self._spans.misuse("handle", f"{what} came outside of its handle: {self.name} {state}", hint=hint)
        return self.context is not None

    # --- life --------------------------------------------------------------------------------------------------------------------

    @takes_anything
    def start(self) -> Self:
        """Start the span without making it current, where no `with` block can be held open; `end` is its counterpart."""
        self._open(current())
        return self

    def _open(self, ambient: Context) -> None:
        """Start the span, unless it is open; *ambient* is the current Context."""
        if self._life is _Life.OPEN:
            return
        try:
            self._startable.pop()
        except IndexError:  # it is another process's, or another thread starts or ends it
            if self._await_turn():
                self._open(ambient)
            return
        started = False
        try:
            if self._life is _Life.OVER:
                self._renew()
            self._start(ambient)
            started = True
        except Exception as error:  # noqa: BLE001 - telemetry never breaks the run
            guard.swallow("handle.start", error)
        finally:
            if not started and not self.is_open:
                self._startable.append(True)

    def _await_turn(self) -> bool:
        """Wait for another thread to have started the span, or ended it; not for one that has been stopped meanwhile. Whether it can be started."""
        until = time.monotonic() + _PATIENCE
        while self._life in {_Life.NEW, _Life.OVER} and not finalization.begun() and time.monotonic() < until:
            if self._startable:
                return True
            time.sleep(0.0002)
        return False

    @takes_anything
    def end(self, error: BaseException | None = None, at: int | None = None) -> None:
        """End the span, as failed or cancelled where *error* says so. A second call changes nothing.

        Args:
            error: what the work was left with.
            at: when it ended, in nanoseconds since the epoch; None: now.
        """
        error = None if error is None else self._spans.take("error", error, arguments.exception, None)
        at = None if at is None else self._spans.take("at", at, count, None)
        self._end(error, at)

    def _end(self, error: BaseException | None = None, at: int | None = None) -> None:
        try:
            try:
                self._unended.pop()
            except IndexError:  # not open, or another thread ends it
                return
            self._life = _Life.OVER
            try:
                try:
                    if error is not None:
                        self._note(error)
                finally:
                    try:
                        self._finish()
                    finally:
                        if at is None and self._measure is not None:
                            at = CLOCK.since(self._measure)
                        self.span.end(at)
            except Exception as failure:  # noqa: BLE001 - telemetry never breaks the run
                guard.swallow("handle.end", failure)
            finally:
                self._startable.append(True)
        except BaseException:  # a signal handler's, wherever it came in between
            if not self._unended:
                self._life = _Life.OVER
                self.span.end(at)
                if not self._startable:
                    self._startable.append(True)
            raise

    def __enter__(self) -> Self:
        try:
            outer = current()
            self._open(outer)
            if self._around is not None:
                self._blocks.enter(self._around, self.span, None, outer)
        except BaseException as error:  # what a signal handler raises here leaves the block before it has begun
            self._left(error)
            raise
        return self

    def __exit__(self, exc_type: object, exc: BaseException | None, tb: object) -> None:
        entered = len(self._blocks)
        try:
            try:
                self._blocks.leave()
            except Exception as failure:  # noqa: BLE001 - telemetry never breaks the run
                meant_for_program = guard.sort("handle.leave", failure)
                self._left(exc)
                if meant_for_program is not None:
                    raise meant_for_program from None
            else:
                if exc is None and not self._blocks:
                    self._end()
                else:
                    self._left(exc)
        except BaseException:  # a signal handler's: what it interrupted is done all the same
            if len(self._blocks) == entered:
                self._blocks.leave()
            if not self._blocks:
                self._end(exc)
            raise

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, exc_type: object, exc: BaseException | None, tb: object) -> None:
        self.__exit__(exc_type, exc, tb)

    # --- copies ------------------------------------------------------------------------------------------------------------------

    def __reduce__(self) -> tuple[Any, ...]:
        carrier: dict[str, str] = {}
        if self.context is not None:
            inject(carrier, self.context)
        return _elsewhere, (type(self), carrier, self._portable())

    def _portable(self) -> dict[str, Any]:
        """What a handle in another process knows of this one: attributes by name."""
        return {"name": self.name, "session": self.session, "round": self.round}

    @classmethod
    def _received(cls, carrier: Mapping[str, str], known: Mapping[str, Any]) -> Self:
        handle = cls.__new__(cls)
        Handle.__init__(handle, factory.here(), "")
        for name, value in known.items():
            setattr(handle, name, value)
        base = extract(carrier)
        if SPAN_KEY in base:
            handle.span = handle._opened(get_current_span(base))  # noqa: SLF001 - of this class
            handle._around = handle._within(base)  # noqa: SLF001
        handle._life = _Life.ELSEWHERE  # noqa: SLF001
        handle._startable.clear()  # noqa: SLF001
        return handle

    # --- for the kinds of handle -------------------------------------------------------------------------------------------------

    def _start(self, ambient: Context) -> None:
        base = self._spans.below_remote(ambient) if self._base is None else self._base
        self.session = base.get(SESSION_KEY)  # type: ignore[assignment]
        self.round = base.get(ROUND_KEY)  # type: ignore[assignment]
        attributes = self._begin()
        if self._has_own_scope:
            base = self._within(base)
        spans = self._spans
        if spans.cleans:
            span = spans.start_span(self.name, base, self.kind, attributes)
        else:
            span, self._measure = spans.start_elsewhere(self.name, base, self.kind, attributes)
        self.span = self._opened(span) if self._has_own_scope else span
        self._around, self._context, self._noted = base, None, None
        self._life = _Life.OPEN
        self._unended.append(True)

    def _begin(self) -> Mapping[str, Any]:
        """The attributes that the span starts with, now that session and round are known."""
        return self._given

    def _within(self, base: Context) -> Context:
        """*base*, or what of it the span and its children start in."""
        return base

    def _renew(self) -> None:
        """Forget the span that has ended, before another one is started."""

    def _opened(self, span: ApiSpan) -> ApiSpan:
        """The span as callers see it."""
        return span

    def _finish(self) -> None:
        """Set what is known only at the end."""

    def _left(self, error: BaseException | None) -> None:
        """A block was left: the last one ends the span; an error that leaves another one is on the span all the same."""
        if not self._blocks:
            self._end(error)
        elif error is not None and is_failure(error):
            with guard.guarded("handle.note"):
                self._note(error)

    def _note(self, error: BaseException | None) -> None:
        """Put on the span how a block of it was left."""
        if error is None or id(error) == self._noted:  # on its way through an outer block
            return
        if not is_failure(error):
            self._cancelled()
            return
        self._noted = id(error)
        self.span.add_event(semconv.EXCEPTION_EVENT, self._spans.clean_all(exception_attributes(error, escaped=True)))
        self.span.set_status(Status(StatusCode.ERROR, self._spans.clean_text(summary(error))))
        self._failed(error)

    def _cancelled(self) -> None:
        self._put(semconv.OUTCOME, "cancelled")

    def _failed(self, error: BaseException) -> None:
        self._put(semconv.ERROR_TYPE, type_name(error))


def _elsewhere(kind: type[Handle], carrier: Mapping[str, str], known: Mapping[str, Any]) -> Handle:
    return kind._received(carrier, known)  # noqa: SLF001 - for pickle, which takes functions of modules only

"""What every opener returns: a handle that starts a span, makes it current, and ends it on every way out.

Nesting does not rest on ambient state alone: a handle keeps the Context that its children start from, so its explicit openers nest right
from wherever they are called.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, SpanKind, Status, StatusCode
from opentelemetry.trace import Span as ApiSpan

from massgen_tracing import guard, semconv
from massgen_tracing.trace.current import Block
from massgen_tracing.trace.exceptions import describe, exception_attributes, type_name

if TYPE_CHECKING:
    from massgen_tracing.trace.round import Round
    from massgen_tracing.trace.session import Session
    from massgen_tracing.trace.tracer import Tracer

SESSION_KEY: Final = "massgen_tracing.session"
ROUND_KEY: Final = "massgen_tracing.round"
"""Keys in the OpenTelemetry Context whose values are the session and the agent's round that work belongs to."""

_NOTHING: Final[dict[str, Any]] = {}


class Handle:
    """One span of the facade, as a context manager (`with` and `async with`).

    Args:
        tracer: the tracer that opened it.
        name: the span's name.
        attributes: set at the start; values of any type.
        base: the Context that the span starts in; None: the one that is current at the start.

    Attributes:
        span: the OpenTelemetry span; before the start an invalid one.
        session: the session it belongs to, if any.
        round: the agent's round it belongs to, if any.
    """

    kind: ClassVar[SpanKind] = SpanKind.INTERNAL

    __slots__ = ("_attributes", "_base", "_block", "_context", "_tracer", "name", "round", "session", "span")

    def __init__(self, tracer: Tracer, name: str, attributes: Mapping[str, Any] | None = None, base: Context | None = None) -> None:
        self._tracer = tracer
        self.name = name
        self._attributes: Mapping[str, Any] = _NOTHING if attributes is None else attributes
        self._base = base
        self._context: Context | None = None
        self._block = Block()
        self.span: ApiSpan = INVALID_SPAN
        self.session: Session | None = None
        self.round: Round | None = None

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
        return self._context

    def set(self, key: str, value: object) -> None:
        """Set one attribute, of any type: it is bounded, scrubbed and made JSON-safe. None sets nothing."""
        self._tracer.set_attribute(self.span, key, value)

    # --- life --------------------------------------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Start the span without making it current, where no `with` block can be held open; `end` is its counterpart."""
        try:
            self._start()
        except Exception as error:  # noqa: BLE001 - telemetry never breaks the run
            guard.swallow("handle.start", error)
        return self

    def end(self, error: BaseException | None = None, at: int | None = None) -> None:
        """End the span, as failed or cancelled where *error* says so. A second call changes nothing.

        Args:
            error: what the work was left with.
            at: when it ended, in nanoseconds since the epoch; None: now.
        """
        try:
            if error is not None:
                self._note(error)
            self._finish()
            self.span.end(at)
        except Exception as failure:  # noqa: BLE001 - telemetry never breaks the run
            guard.swallow("handle.end", failure)

    def __enter__(self) -> Self:
        self.start()
        if self._context is not None:
            self._block.enter(self._context)
        return self

    def __exit__(self, exc_type: object, exc: BaseException | None, tb: object) -> None:
        if self._context is not None:
            self._block.leave(self._context)
        self.end(exc)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, exc_type: object, exc: BaseException | None, tb: object) -> None:
        self.__exit__(exc_type, exc, tb)

    # --- for the kinds of handle -------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        base = self._tracer.ambient() if self._base is None else self._base
        self.session = base.get(SESSION_KEY)  # type: ignore[assignment]
        self.round = base.get(ROUND_KEY)  # type: ignore[assignment]
        base = self._prepare(base)
        self.span = self._opened(self._tracer.start_span(self.name, base, self.kind, self._attributes))
        self._context = self._block.context(base, self.span)
        self._attributes = _NOTHING

    def _prepare(self, base: Context) -> Context:
        """Complete name and attributes now that session and round are known; returns the Context that the span starts in."""
        return base

    def _opened(self, span: ApiSpan) -> ApiSpan:
        """The span as callers see it."""
        return span

    def _finish(self) -> None:
        """Set what is known only at the end."""

    def _note(self, error: BaseException) -> None:
        """Put on the span how its block was left. Anything but an `Exception` (a cancelled task, a generator closed early, Ctrl-C) is no error."""
        if not isinstance(error, Exception):
            self._cancelled()
            return
        self.span.add_event(semconv.EXCEPTION_EVENT, self._tracer.clean_all(exception_attributes(error, escaped=True)))
        self.span.set_status(Status(StatusCode.ERROR, self._tracer.clean_text(f"{type(error).__name__}: {describe(error)}")))
        self._failed(error)

    def _cancelled(self) -> None:
        self.set(semconv.OUTCOME, "cancelled")

    def _failed(self, error: Exception) -> None:
        self.set(semconv.ERROR_TYPE, type_name(error))

"""What a handle needs of the tracer that opened it: something that starts spans, and cleans what is put on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, TypeVar

from opentelemetry.context import Context
from opentelemetry.trace import NoOpTracer, SpanKind
from opentelemetry.trace import Span as ApiSpan
from opentelemetry.trace import Tracer as OtelTracer

from massgen_tracing import guard, semconv
from massgen_tracing.errors import UsageError, compose
from massgen_tracing.layout import RunDirectory
from massgen_tracing.trace import arguments
from massgen_tracing.trace.bounds import cut_clean
from massgen_tracing.trace.clock import CLOCK
from massgen_tracing.trace.current import adopted, current
from massgen_tracing.trace.payload import attribute_key, clean, clean_all, clean_name
from massgen_tracing.trace.usage import Unfit

T = TypeVar("T")
U = TypeVar("U")

_TAGS: Final = "tags"
_SAID: Final = 300
"""Characters of what a caller passed, in a message about it."""

Price = Callable[..., float | None]
"""Estimates what a model call costs, with the arguments of `massgen_tracing.prices.estimate`."""


class SpanFactory:
    """Starts spans, and cleans what is put on them, as `configure()` decided.

    Args:
        spans: OpenTelemetry's tracer, which makes the spans.
        service_name: who is running.
        open_run: makes what a run needs; its arguments are the directory it has already and that of the run it is in, and the result the directory it
            has then.
        place: tells the root of a child process, and what it was started in, by the current span; None where nothing is recorded.
        price: estimates what a model call costs.
        remote: the Context of the process that started this one; spans without a parent here are its children.
        strict: raise `UsageError` where the caller is wrong, instead of a counted warning.
        full_content: record messages, tool arguments and results in full, not as previews.
        cleans: whether the spans clean their own values and keep their own time, as the package's own do.
    """

    def __init__(
        self,
        spans: OtelTracer,
        *,
        service_name: str = "",
        open_run: Callable[[RunDirectory | None, RunDirectory | None], RunDirectory | None] | None = None,
        place: Callable[[], tuple[str, str] | None] | None = None,
        price: Price | None = None,
        remote: Context | None = None,
        strict: bool = False,
        full_content: bool = False,
        cleans: bool = True,
    ) -> None:
        self.start_span = spans.start_span
        self.service_name = service_name
        self._open_run = open_run
        self._place = place
        self.price = price
        self.remote = remote or None
        self.strict = strict
        self.full_content = full_content
        self.cleans = cleans

    def below_remote(self, context: Context) -> Context:
        """*context*, or, where no span is current in it, the same below the span of the process that started this one."""
        return context if self.remote is None else adopted(context, self.remote)

    def start_elsewhere(self, name: str, context: Context, kind: SpanKind, attributes: Mapping[str, Any]) -> tuple[ApiSpan, int]:
        """As `start_span`, where spans neither clean their values nor keep their own time; also what `CLOCK.since` takes to tell when it ends."""
        now, measure = CLOCK.start()
        return self.start_span(clean_name(name), context, kind, clean_all(attributes), start_time=now), measure

    def set_attribute(self, span: ApiSpan, key: str, value: object) -> None:
        """Set an attribute of any type; never raises."""
        try:
            if not self.cleans:
                key = attribute_key(key)
                value = clean(key, value)
            if value is not None:
                span.set_attribute(key, value)  # type: ignore[arg-type]
        except Exception as error:  # noqa: BLE001 - telemetry never breaks the run
            guard.swallow("set_attribute", error)

    def point(self, name: str, attributes: Mapping[str, Any], base: Context | None = None) -> None:
        """A point record: a span without duration, as Logfire writes a log.

        Args:
            name: the record's name.
            attributes: of any type.
            base: the Context that it stands in; None: the current one.
        """
        try:
            if base is None:
                base = self.below_remote(current())
            marked = {semconv.LOGFIRE_SPAN_TYPE: semconv.SPAN_TYPE_LOG, semconv.LOGFIRE_LEVEL: semconv.LEVELS["info"], **attributes}
            kind = SpanKind.INTERNAL
            span = self.start_span(name, base, kind, marked) if self.cleans else self.start_elsewhere(name, base, kind, marked)[0]
            span.end(getattr(span, "start_time", None))
        except Exception as error:  # noqa: BLE001 - telemetry never breaks the run
            guard.swallow("point", error)

    def clean_all(self, attributes: Mapping[str, Any]) -> Mapping[str, Any]:
        """Attributes of an event, cleaned where the span does not do it."""
        return attributes if self.cleans else clean_all(attributes)

    @staticmethod
    def clean_text(text: str) -> str:
        """A text that is no attribute (a status description), bounded and scrubbed."""
        return str(clean("", text))

    def open_run(self, run: RunDirectory | None, outer: RunDirectory | None) -> RunDirectory | None:
        """Make what a run needs; returns its directory, which is *run* where that is given, and None where nothing is recorded.

        Args:
            run: the directory that it has already.
            outer: that of the run that it is in.
        """
        try:
            return run if self._open_run is None else self._open_run(run, outer)
        except Exception as error:  # noqa: BLE001 - telemetry never breaks the run
            guard.swallow("open_run", error)
            return run

    def place(self) -> tuple[str, str] | None:
        """The root of a child process, and what it was started in, by the current span; None where nothing is recorded."""
        return None if self._place is None else self._place()

    def misuse(
        self,
        kind: str,
        problem: str,
        expected: str | None = None,
        *,
        got: object | None = None,
        hint: str | None = None,
        instead: str = "",
        about: str = "",
    ) -> None:
        """The caller is wrong: an error in strict mode, else a counted warning.

        Args:
            kind: short stable name.
            problem: what is wrong.
            expected: what would have been right.
            got: what was passed.
            hint: the next step.
            instead: what is done where it is no error, as the end of *problem*'s sentence.
            about: what of its kind it is about, as `guard.report` has it.

        Raises:
            UsageError: in strict mode.
        """
        problem, got = cut_clean(problem, _SAID), clean("", got, _SAID)
        if self.strict:
            raise UsageError(problem, expected=expected, got=got, hint=hint)
        guard.report(f"usage.{kind}", compose(problem + instead, expected, got, hint), about=about)

    def take(self, name: str, value: object, read: Callable[[object], T], otherwise: U) -> T | U:
        """An argument as what it stands for; *otherwise* where it stands for nothing of the kind, which is a mistake of the caller's.

        Args:
            name: the argument's.
            value: what was passed.
            read: tells what it stands for; raises `Unfit`.
            otherwise: what holds then.

        Raises:
            UsageError: in strict mode.
        """
        try:
            return read(value)
        except Exception as error:  # noqa: BLE001 - a stranger's object may raise anything
            guard.passing(error)
            expected = str(error) if isinstance(error, Unfit) else None
        self.misuse(f"argument.{name}", f"The argument {name} is not what it can be", expected=expected, got=value)
        return otherwise

    def attributes(self, given: object, more: Mapping[str, Any]) -> Mapping[Any, Any]:
        """The caller's own attributes: those given as such, in any form, and the keyword arguments that have no other meaning.

        The keyword `tags` stands for Logfire's.
        """
        if _TAGS in more:
            tags = arguments.identifiers(more[_TAGS])
            more = {name: value for name, value in more.items() if name != _TAGS} | (
                {semconv.LOGFIRE_TAGS: list(dict.fromkeys(tags))} if tags else {}
            )
        if given is None:
            return more
        if type(given) is dict:
            return {**given, **more} if more else given
        return {**self.take("attributes", given, arguments.attributes, {"attributes": given}), **more}

    def base(self, given: object, place: Context | None) -> Context | None:
        """The Context that something starts in: the one given, else that of its place."""
        if given is None or given is place:
            return place
        return self.take("base", given, arguments.context, place)


_configured: Callable[[], SpanFactory] = partial(SpanFactory, NoOpTracer())


def here() -> SpanFactory:
    """What this process is configured with; before that, one whose spans record nothing."""
    return _configured()


def configured_by(configured: Callable[[], SpanFactory]) -> None:
    """Have `here` ask *configured*."""
    global _configured
    _configured = configured

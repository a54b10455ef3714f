"""Tracer providers that are not this package's: what goes through them belongs into the same tree.

Such a provider is given one processor, for good, since OpenTelemetry takes none back. It shows each span, bounded and scrubbed as the package's own
spans are, to the sinks that are configured at the moment. Nothing else of the provider changes: its processors, its sampling, its exports.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.sdk.trace import Event, ReadableSpan, Span, SpanProcessor
from opentelemetry.trace import Link, NonRecordingSpan, Status
from opentelemetry.trace import Span as ApiSpan
from opentelemetry.trace import TracerProvider as ApiTracerProvider

from massgen_tracing import guard, semconv
from massgen_tracing.conventions import OPENINFERENCE_KIND, in_otel_terms
from massgen_tracing.errors import compose
from massgen_tracing.trace.belonging import of_round
from massgen_tracing.trace.bounds import cut_clean
from massgen_tracing.trace.exceptions import MAX_CHARS
from massgen_tracing.trace.origin import clean_resource, clean_scope
from massgen_tracing.trace.payload import clean_all, clean_name

if TYPE_CHECKING:
    from massgen_tracing.trace.pipeline import Pipeline

_SHOWN_NAME: Final = 80
"""Characters of a span's name in a message."""


class Others:
    """The providers that are followed, and where their spans are shown.

    Attributes:
        shown: what is shown their spans, cleaned; None: nothing is configured.
        added: processors that see the spans as they are, because somebody has added them to the global provider.
    """

    def __init__(self) -> None:
        self.shown: Pipeline | None = None
        self.added: tuple[Added, ...] = ()
        self._followed: list[weakref.ref[ApiTracerProvider]] = []
        self._begun: weakref.WeakKeyDictionary[ReadableSpan, _Begun] = weakref.WeakKeyDictionary()
        """As long as there are the spans: of one that is dropped without its end nothing is left."""
        self._open: weakref.WeakValueDictionary[int, _Begun] = weakref.WeakValueDictionary()
        """By id, for at their ends others stand for them."""

    def follow(self, provider: ApiTracerProvider) -> bool:
        """Show every later span of *provider*, from now on; whether it can be followed. Doing so twice changes nothing."""
        add = getattr(provider, "add_span_processor", None)
        if add is None:
            return False
        self._followed = [known for known in self._followed if known() is not None]
        if not any(known() is provider for known in self._followed):
            self._followed.append(weakref.ref(provider))
            add(Following(self))
        return True

    def started(self, span: ReadableSpan, described: dict[str, Any], context: Context) -> None:
        """A span of a followed provider has started.

        Args:
            span: the span.
            described: what `describe` says of it.
            context: the Context that it started in.
        """
        identity = span.get_span_context()
        if self.shown is not None and identity is not None:
            of_whom = of_round(context) if _is_others(span) else {}
            begun = self._begun[span] = self._open[identity.span_id] = _Begun(self.shown, Shown(span, described, of_whom), of_whom)
            begun.pipeline.on_start(begun.span, context)

    def ended(self, span: ReadableSpan, described: dict[str, Any]) -> None:
        """A span of a followed provider has ended; it is shown where its start was."""
        identity = span.get_span_context()
        begun = None if identity is None else self._open.pop(identity.span_id, None)
        if begun is not None:
            begun.pipeline.on_end(Shown(span, described, begun.of_whom))

    def look(self, above: ApiSpan) -> None:
        """Say it where a span of another provider has one of this package's below it and is itself not recorded."""
        if self.shown is None or not self.shown.processors:
            return
        identity = above.get_span_context()
        if isinstance(above, NonRecordingSpan):
            if not identity.trace_flags.sampled:
                problem = "Spans of this package lie below a span that its own provider's sampling has left out, so the recorded tree lacks it"
                guard.report("others.sampled", compose(problem, hint="Have that provider sample everything, or this part"))
        elif above.is_recording() and identity.span_id not in self._open:
            problem = f"Spans of this package lie below one ({_name(above)}) whose provider it does not know, so the recorded tree lacks that one"
            hint = "Make that provider the global one before configure(), or give it: configure(tracer_provider=…, record=True)"
            guard.report("others.unknown", compose(problem, hint=hint))

    def report_unfollowed(self, provider: ApiTracerProvider) -> None:
        """Say that the spans of a global provider cannot be recorded."""
        problem = f"The process's global tracer provider ({type(provider).__name__}) takes no span processors, so its spans are not recorded"
        guard.report("others.provider", compose(problem, hint="Have it export to this package's collector, or use OpenTelemetry's SDK provider"))


class Following(SpanProcessor):
    """The one processor that a followed provider is given.

    It goes on when its provider is shut down, for that is not the end of a recording: Logfire shuts its provider down to make a new one.
    """

    def __init__(self, others: Others) -> None:
        self._others = others

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Show a span that has started."""
        for added in self._others.added:
            added.on_start(span, parent_context)
        if self._others.shown is not None:
            with guard.guarded("others.on_start"):
                self._others.started(span, self.describe(span), otel_context.get_current() if parent_context is None else parent_context)

    def on_end(self, span: ReadableSpan) -> None:
        """Show a span that has ended."""
        for added in self._others.added:
            added.on_end(span)
        with guard.guarded("others.on_end"):
            self._others.ended(span, self.describe(span))

    def describe(self, span: ReadableSpan) -> dict[str, Any]:
        """What a span says, as the arguments of a `ReadableSpan`, bounded and scrubbed."""
        return cleaned(described(span))


class Shown(ReadableSpan):
    """Another provider's span as the sinks see it.

    Args:
        span: the span itself.
        described: what it says.
        of_whom: the attributes of the agent's round that it is in.
    """

    def __init__(self, span: ReadableSpan, described: dict[str, Any], of_whom: Mapping[str, Any]) -> None:
        super().__init__(**{**described, "attributes": {**of_whom, **described["attributes"]}} if of_whom else described)
        self._dropped = span.dropped_attributes, span.dropped_events, span.dropped_links

    @property
    def dropped_attributes(self) -> int:
        return self._dropped[0]

    @property
    def dropped_events(self) -> int:
        return self._dropped[1]

    @property
    def dropped_links(self) -> int:
        return self._dropped[2]


class _Begun:
    """Where a span's start was shown, and as what."""

    def __init__(self, pipeline: Pipeline, span: Shown, of_whom: Mapping[str, Any]) -> None:
        self.pipeline = pipeline
        self.span = span
        self.of_whom = of_whom


class _Event(Event):
    """A span's event, cleaned."""

    def __init__(self, event: Event) -> None:
        super().__init__(clean_name(event.name), clean_all(event.attributes or {}), event.timestamp)
        self._dropped = event.dropped_attributes

    @property
    def dropped_attributes(self) -> int:
        return self._dropped


class Added(SpanProcessor):
    """A processor that somebody has added to the package's own provider: it stays when what is configured is replaced.

    What it raises costs its own work only.
    """

    ending = False
    """Whether the process ends: then it is shut down as well."""

    def __init__(self, processor: SpanProcessor) -> None:
        self._processor = processor
        self._name = type(processor).__name__

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        try:
            self._processor.on_start(span, parent_context)
        except Exception as error:  # noqa: BLE001 - telemetry never breaks the run
            guard.swallow(f"{self._name}.on_start", error)

    def on_end(self, span: ReadableSpan) -> None:
        try:
            self._processor.on_end(span)
        except Exception as error:  # noqa: BLE001 - telemetry never breaks the run
            guard.swallow(f"{self._name}.on_end", error)

    def shutdown(self) -> None:
        """Hand on what it holds back; for good only at the process's end."""
        self._processor.force_flush()
        if Added.ending:
            self._processor.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._processor.force_flush(timeout_millis)


def _is_others(span: ReadableSpan) -> bool:
    """Whether it is not the facade's, which says itself whose its work is."""
    scope = span.instrumentation_scope
    return scope is None or scope.name != semconv.SCOPE


def described(span: ReadableSpan) -> dict[str, Any]:
    """What a span says, as the arguments of a `ReadableSpan`."""
    return {
        "name": span.name,
        "context": span.get_span_context(),
        "parent": span.parent,
        "resource": span.resource,
        "attributes": {**(attributes := span.attributes or {}), **(in_otel_terms(attributes) if OPENINFERENCE_KIND in attributes else {})},
        "events": list(span.events),
        "links": list(span.links),
        "kind": span.kind,
        "status": span.status,
        "start_time": span.start_time,
        "end_time": span.end_time,
        "instrumentation_scope": span.instrumentation_scope,
    }


def cleaned(described: dict[str, Any]) -> dict[str, Any]:
    """The same, bounded and scrubbed as the package's own spans are."""
    status: Status = described["status"]
    events: Sequence[Event] = described["events"]
    links: Sequence[Link] = described["links"]
    return {
        **described,
        "name": clean_name(described["name"]),
        "attributes": clean_all(described["attributes"] or {}),
        "events": [_Event(event) for event in events],
        "links": [Link(link.context, clean_all(link.attributes or {})) for link in links],
        "status": status if status.description is None else Status(status.status_code, cut_clean(status.description, MAX_CHARS)),
        "resource": clean_resource(described["resource"]),
        "instrumentation_scope": clean_scope(described["instrumentation_scope"]),
    }


def report_left_out(provider: ApiTracerProvider) -> None:
    """Say that the provider that makes the facade's spans has left one out."""
    problem = f"The sampling of {type(provider).__module__.partition('.')[0]}'s tracer provider leaves spans out, so they are not recorded either"
    hint = "Sample everything there (also OTEL_TRACES_SAMPLER and OTEL_SDK_DISABLED), or record without it: configure(logfire=False)"
    guard.report("others.left_out", compose(problem, hint=hint), lost=1)


def _name(span: ApiSpan) -> str:
    return str(getattr(span, "name", type(span).__name__))[:_SHOWN_NAME]

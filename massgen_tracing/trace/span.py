"""The package's own OpenTelemetry span: what the SDK's is to its reader, at a fraction of the cost.

The SDK's span takes a lock for every attribute, checks every value through a bounded mapping and builds a `SpanContext` for every leaf.
This one holds a plain dict of cleaned values and builds what is asked for when it is asked for. To processors and exporters it is a
`ReadableSpan`; to instrumentations it is an API `Span`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import monotonic_ns
from typing import Any, Final

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState
from opentelemetry.trace import Span as ApiSpan

from massgen_tracing import semconv
from massgen_tracing.conventions import OPENINFERENCE_KIND, in_otel_terms
from massgen_tracing.trace.bounds import cut_clean
from massgen_tracing.trace.exceptions import MAX_CHARS, exception_attributes, is_failure, summary
from massgen_tracing.trace.payload import MAX_ATTRIBUTES, attribute_key, clean, clean_all, clean_name
from massgen_tracing.trace.pipeline import Pipeline
from massgen_tracing.trace.single import Single

MAX_EVENTS: Final = 256
MAX_LINKS: Final = 128
SAMPLED_RANDOM: Final = TraceFlags(TraceFlags.SAMPLED | 0x02)
"""Flags of a trace that begins here: recorded, with a random id (W3C Trace Context Level 2)."""

_UNSET: Final = Status(StatusCode.UNSET)


class Span(Single, ReadableSpan, ApiSpan):
    """One live span; made by `massgen_tracing.trace.provider.Tracer`, never directly.

    Times are Unix nanoseconds. Names, texts and attribute values are cleaned when they are set (`massgen_tracing.trace.payload`); setting anything
    after the end changes nothing, as OpenTelemetry asks.
    """

    # What processors and exporters read are plain attributes, for a property costs a call; what few spans have is set on those few.
    __slots__ = (
        "_measure",
        "_own_context",
        "_pipeline",
        "_process",
        "_unended",
        "attributes",
        "end_time",
        "events",
        "instrumentation_scope",
        "kind",
        "name",
        "parent",
        "recorded",
        "span_id",
        "start_time",
        "trace_flags",
        "trace_id",
        "trace_state",
    )

    attributes: dict[str, Any]
    end_time: int | None
    events: list[Event]
    instrumentation_scope: InstrumentationScope
    kind: SpanKind
    name: str
    parent: SpanContext | None
    start_time: int

    status: Status = _UNSET
    links: Sequence[Link] = ()
    dropped_attributes: int = 0
    dropped_events: int = 0
    dropped_links: int = 0
    rewritten: bool = False
    """Whether an attribute was set again: if not, those of the start still stand, in their order."""

    def __init__(
        self,
        pipeline: Pipeline,
        scope: InstrumentationScope,
        name: str,
        kind: SpanKind,
        trace_id: int,
        span_id: int,
        parent: SpanContext | None,
        attributes: dict[str, Any],
        start_time: int | None,
    ) -> None:
        self._pipeline = pipeline
        self._process = pipeline.process
        self.instrumentation_scope = scope
        self.name = name
        self.kind = kind
        self.trace_id = trace_id
        self.span_id = span_id
        self.parent = parent
        self.trace_flags: TraceFlags = SAMPLED_RANDOM
        self.trace_state: TraceState | None = None
        if parent is not None:
            flags = parent.trace_flags
            self.trace_flags = flags if flags & TraceFlags.SAMPLED else TraceFlags(flags | TraceFlags.SAMPLED)
            self.trace_state = parent.trace_state
        self._own_context: SpanContext | None = None
        self.attributes = attributes
        self.events = []
        self.start_time, self._measure = pipeline.start() if start_time is None else (start_time, None)
        self.end_time = None
        self._unended = [True]
        """Emptied by whoever ends the span, so that of several threads one does."""
        self.recorded: object = None
        """What the recording keeps of the span until it ends; whoever drops the span drops that too."""

    # --- what instrumentations call -------------------------------------------------------------------------------------------

    def get_span_context(self) -> SpanContext:
        """The span's identity, built when first asked for."""
        context = self._own_context
        if context is None:
            context = self._own_context = SpanContext(self.trace_id, self.span_id, False, self.trace_flags, self.trace_state)
        return context

    def is_recording(self) -> bool:
        """Whether the span has not ended yet."""
        return self.end_time is None

    def set_attribute(self, key: str, value: Any) -> None:
        """Set one attribute to any value; None sets nothing."""
        if self.end_time is not None:
            return
        key = attribute_key(key)
        cleaned = clean(key, value)
        if cleaned is None:
            return
        if key in self.attributes:
            self.rewritten = True
        elif len(self.attributes) >= MAX_ATTRIBUTES:
            self.dropped_attributes += 1
            return
        self.attributes[key] = cleaned

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Set several attributes."""
        for key, value in attributes.items():
            self.set_attribute(key, value)

    def add_event(self, name: str, attributes: Mapping[str, Any] | None = None, timestamp: int | None = None) -> None:
        """Add an event; past `MAX_EVENTS` it is only counted."""
        if self.end_time is not None:
            return
        if len(self.events) >= MAX_EVENTS:
            self.dropped_events += 1
            return
        self.events.append(Event(clean_name(name), clean_all(attributes or {}), timestamp or self._pipeline.until(self._measure)))

    def add_link(self, context: SpanContext, attributes: Mapping[str, Any] | None = None) -> None:
        """Link to another span; past `MAX_LINKS` it is only counted."""
        if self.end_time is not None:
            return
        if len(self.links) >= MAX_LINKS:
            self.dropped_links += 1
            return
        self.links = [*self.links, Link(context, clean_all(attributes or {}))]

    def update_name(self, name: str) -> None:
        """Rename the span."""
        if self.end_time is None:
            self.name = clean_name(name)

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Set the status; OK is final and UNSET changes nothing, as OpenTelemetry asks."""
        if self.end_time is not None or self.status.status_code is StatusCode.OK:
            return
        if not isinstance(status, Status):
            status = Status(status, description)
        if status.status_code is StatusCode.UNSET:
            return
        if status.description is not None:
            status = Status(status.status_code, cut_clean(status.description, MAX_CHARS))
        self.status = status

    def record_exception(
        self,
        exception: BaseException,
        attributes: Mapping[str, Any] | None = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        """Add an `exception` event with type, message and stack trace, bounded and scrubbed."""
        self.add_event(semconv.EXCEPTION_EVENT, {**exception_attributes(exception, escaped=escaped), **(attributes or {})}, timestamp)

    def end(self, end_time: int | None = None) -> None:
        """End the span and hand it to the sinks; when this returns, the recording has it. A second call changes nothing.

        In a forked child the parent's spans end for the child's own code only: they are the parent's to report.
        """
        begun = False
        try:
            try:
                self._unended.pop()
            except IndexError:
                return
            begun = True
            self._over(end_time)
        except BaseException:  # a signal handler's of the program: the span has ended all the same, and is shown once more to be shown at all
            if begun or self.end_time is None:
                self._over(end_time)
            raise

    def _over(self, end_time: int | None) -> None:
        pipeline = self._pipeline
        if self.end_time is None:
            if end_time is None:
                measure = self._measure
                end_time = pipeline.until(None) if measure is None else monotonic_ns() + measure
            if OPENINFERENCE_KIND in self.attributes:
                self.attributes.update(in_otel_terms(self.attributes))
            self.end_time = end_time if type(end_time) is int else int(end_time)
        if self._process == pipeline.process:
            pipeline.on_end(self)

    def __exit__(self, exc_type: object, exc: BaseException | None, tb: object) -> None:
        """Leave `with span:`; an error that leaves the block is recorded, a cancellation is not an error."""
        if exc is not None and is_failure(exc) and self.is_recording():
            self.record_exception(exc, escaped=True)
            self.set_status(StatusCode.ERROR, summary(exc))
        self.end()

    # --- copies ------------------------------------------------------------------------------------------------------------------

    def __reduce__(self) -> tuple[Any, ...]:
        """In another process: a span of the same identity that records nothing."""
        return _elsewhere, (self.trace_id, self.span_id, int(self.get_span_context().trace_flags))

    # --- what processors and exporters read ------------------------------------------------------------------------------------

    @property
    def context(self) -> SpanContext:
        return self.get_span_context()

    @property
    def resource(self) -> Resource:
        return self._pipeline.resource

    def to_json(self, indent: int | None = 4) -> str:
        """The span as OpenTelemetry's console exporter prints it."""
        plain = ReadableSpan(
            name=self.name,
            context=self.context,
            parent=self.parent,
            resource=self.resource,
            attributes=self.attributes,
            events=self.events,
            links=self.links,
            kind=self.kind,
            status=self.status,
            start_time=self.start_time,
            end_time=self.end_time,
            instrumentation_scope=self.instrumentation_scope,
        )
        return str(plain.to_json(indent))


def _elsewhere(trace_id: int, span_id: int, flags: int) -> NonRecordingSpan:
    return NonRecordingSpan(SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags)))

"""The package's own OpenTelemetry tracer provider: spans of the facade and of any third-party instrumentation go through it.

It stays the process's global provider for good (OpenTelemetry allows a global provider to be set once), while `configure()` exchanges
the pipeline behind it.
"""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, ParamSpec, TypeVar, cast

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import INVALID_SPAN_CONTEXT, NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode
from opentelemetry.trace import Link as ApiLink
from opentelemetry.trace import Span as ApiSpan
from opentelemetry.trace import Tracer as ApiTracer
from opentelemetry.trace import TracerProvider as ApiTracerProvider

from massgen_tracing import semconv
from massgen_tracing.trace import outside
from massgen_tracing.trace.belonging import of_round
from massgen_tracing.trace.current import SPAN_KEY, Blocks, adopted, current
from massgen_tracing.trace.exceptions import is_failure, summary
from massgen_tracing.trace.origin import clean_scope
from massgen_tracing.trace.others import Added, Others, report_left_out
from massgen_tracing.trace.payload import MAX_ATTRIBUTES, clean_all, clean_name
from massgen_tracing.trace.pipeline import Pipeline, RandomIds
from massgen_tracing.trace.span import MAX_LINKS, Span

P = ParamSpec("P")
T = TypeVar("T")


class Tracer(ApiTracer):
    """Makes `Span`s for one instrumentation scope.

    Args:
        provider: knows where spans go at the moment.
        scope: who makes them.
        facade: whether it is this package's facade that does.
    """

    def __init__(self, provider: TracerProvider, scope: InstrumentationScope, *, facade: bool = False) -> None:
        self._provider = provider
        self._scope = scope
        self._facade = facade
        self._is_others = scope.name != semconv.SCOPE
        self._elsewhere: tuple[ApiTracerProvider, ApiTracer] | None = None

    def start_span(
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Mapping[str, Any] | None = None,
        links: Sequence[ApiLink] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
    ) -> ApiSpan:
        """Start a span whose parent is the current span of *context* (default: the current context)."""
        provider = self._provider
        pipeline = provider.pipeline
        if context is None:
            remote = pipeline or provider.others.shown
            context = adopted(current(), None if remote is None else remote.remote)
        elsewhere = provider.delegate if self._facade else provider.announced or provider.delegate
        if elsewhere is not None:
            return self._start_elsewhere(elsewhere, name, context, kind, attributes, links, start_time, record_exception, set_status_on_exception)
        above = context.get(SPAN_KEY)
        if type(above) is Span:
            parent: SpanContext | None = above.get_span_context()
        elif above is None:
            parent = None
        else:
            parent = self._strange_parent(above)
        if pipeline is None:
            return NonRecordingSpan(parent or INVALID_SPAN_CONTEXT)
        if self._is_others:
            outside.span(name, attributes, context)
            if of_whom := of_round(context):
                attributes = {**of_whom, **(attributes or {})}
        ids = pipeline.ids
        span = Span(
            pipeline,
            self._scope,
            clean_name(name),
            kind,
            ids.generate_trace_id() if parent is None else parent.trace_id,
            ids.generate_span_id(),
            parent,
            clean_all(attributes) if attributes else {},
            start_time,
        )
        if attributes and len(attributes) > MAX_ATTRIBUTES:
            span.dropped_attributes = max(0, sum(value is not None for value in attributes.values()) - MAX_ATTRIBUTES)
        if links:
            span.links = [ApiLink(link.context, clean_all(link.attributes or {})) for link in links[:MAX_LINKS]]
            span.dropped_links = max(0, len(links) - MAX_LINKS)
        pipeline.on_start(span, context)
        return span

    def _strange_parent(self, above: object) -> SpanContext | None:
        """The identity of another library's span, or of another process's, which is current."""
        if not isinstance(above, ApiSpan):
            return None
        parent = above.get_span_context()
        if parent is None or not parent.is_valid:
            return None
        if isinstance(above, Span):  # one of this provider's in an instrumentation's wrapper, which passes for what it holds
            return parent
        if (type(above) is NonRecordingSpan or isinstance(above, ReadableSpan)) and not parent.is_remote:
            self._provider.others.look(above)
        return parent

    def _start_elsewhere(
        self, elsewhere: ApiTracerProvider, name: str, context: Context, kind: SpanKind, attributes: Mapping[str, Any] | None, *options: Any
    ) -> ApiSpan:
        """Have another provider make the span."""
        known = self._elsewhere
        if known is None or known[0] is not elsewhere:
            scope = self._scope
            known = self._elsewhere = elsewhere, elsewhere.get_tracer(scope.name, scope.version, scope.schema_url)
        if self._facade and attributes and self._provider.masked is not None:
            attributes = self._provider.masked(attributes)
        span = known[1].start_span(name, context, kind, attributes, *options)
        if self._facade and not span.is_recording():
            report_left_out(elsewhere)
        return span

    def start_as_current_span(  # type: ignore[override]  # the API's return type is a private class of its own
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Mapping[str, Any] | None = None,
        links: Sequence[ApiLink] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
        end_on_exit: bool = True,
    ) -> CurrentSpan:
        """A context manager, and a decorator of plain and coroutine functions, that starts a span and makes it current for the block."""
        return CurrentSpan(
            partial(self.start_span, name, context, kind, attributes, links, start_time),
            record_exception=record_exception,
            set_status_on_exception=set_status_on_exception,
            end_on_exit=end_on_exit,
        )


class CurrentSpan:
    """What `Tracer.start_as_current_span` returns; each use starts a span of its own."""

    def __init__(self, start: Callable[[], ApiSpan], *, record_exception: bool, set_status_on_exception: bool, end_on_exit: bool) -> None:
        self._start = start
        self._record_exception = record_exception
        self._set_status = set_status_on_exception
        self._end = end_on_exit
        self._blocks: Blocks[ApiSpan] = Blocks()

    def __enter__(self) -> ApiSpan:
        span = self._start()
        outer = current()
        self._blocks.enter(outer, span, span, outer)
        return span

    def __exit__(self, exc_type: object, exc: BaseException | None, tb: object) -> None:
        span = self._blocks.leave()
        if span is None:
            return
        if exc is not None and is_failure(exc) and span.is_recording():
            if self._record_exception:
                span.record_exception(exc, escaped=True)
            if self._set_status:
                span.set_status(Status(StatusCode.ERROR, summary(exc)))
        if self._end:
            span.end()

    def _again(self) -> CurrentSpan:
        return CurrentSpan(self._start, record_exception=self._record_exception, set_status_on_exception=self._set_status, end_on_exit=self._end)

    def __call__(self, function: Callable[P, T]) -> Callable[P, T]:
        """Run each call of *function* in a span of its own."""
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def traced_coroutine(*args: P.args, **kwargs: P.kwargs) -> Any:
                with self._again():
                    return await function(*args, **kwargs)

            return cast("Callable[P, T]", traced_coroutine)

        @functools.wraps(function)
        def traced(*args: P.args, **kwargs: P.kwargs) -> T:
            with self._again():
                return function(*args, **kwargs)

        return traced


class TracerProvider(ApiTracerProvider):
    """Gives tracers that follow what is configured at the moment: the pipeline, another provider, or nothing, and then spans record nothing."""

    def __init__(self) -> None:
        self.pipeline: Pipeline | None = None
        self.delegate: ApiTracerProvider | None = None
        """Whose the facade's spans are where they are not the pipeline's: Logfire's provider, or one of the caller's own."""
        self.announced: ApiTracerProvider | None = None
        """Who was to be the process's global provider when this one was already: everybody's spans but the facade's are its."""
        self.masked: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None
        """Takes out of a facade's record what the delegate's own scrubbing would not see."""
        self.others = Others()

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> Tracer:
        """A tracer for one instrumentation scope."""
        return Tracer(self, clean_scope(InstrumentationScope(instrumenting_module_name, instrumenting_library_version, schema_url, attributes)))

    def facade_tracer(self, name: str, version: str) -> Tracer:
        """The tracer of this package's facade."""
        return Tracer(self, InstrumentationScope(name, version), facade=True)

    def install(self, own: Pipeline, shown: Pipeline, delegate: ApiTracerProvider | None) -> None:
        """Put another configuration in force; what was added by `add_span_processor` stays.

        Args:
            own: where this package's own spans go; with a *delegate* there are none.
            shown: where the spans of other providers are shown.
            delegate: who makes the facade's spans instead.
        """
        own.processors += self.others.added
        self.pipeline = own if delegate is None else None
        self.delegate = delegate
        self.others.shown = shown

    def clear(self) -> None:
        """Nothing is configured any more."""
        self.pipeline = self.delegate = self.masked = self.others.shown = None

    @property
    def resource(self) -> Resource:
        """The resource of the spans, as instrumentations ask for it."""
        announced: Resource | None = getattr(self.announced, "resource", None)
        return announced or (Resource.get_empty() if self.pipeline is None else self.pipeline.resource)

    def add_span_processor(self, processor: SpanProcessor) -> None:
        """Show every later span to *processor* too, whatever is configured later."""
        added = Added(processor)
        self.others.added += (added,)
        if self.pipeline is not None:
            self.pipeline.processors += (added,)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Hand on what processors hold back; each may take *timeout_millis* milliseconds."""
        waiting: list[Any] = [*(self.others.added if self.pipeline is None else self.pipeline.processors), self.announced, self.delegate]
        done = [flush(timeout_millis) is not False for each in waiting if (flush := getattr(each, "force_flush", None)) is not None]
        return all(done)


SHARED: Final = TracerProvider()
"""The provider that `configure()` makes the process's global one and whose pipeline it exchanges."""


def _after_fork() -> None:
    Pipeline.process += 1
    pipeline = SHARED.pipeline
    if pipeline is not None:
        if isinstance(pipeline.ids, RandomIds):
            pipeline.ids = RandomIds()  # parent and child would go on with the same ids
        pipeline.resource = pipeline.resource.merge(Resource({semconv.PROCESS_PID: os.getpid()}))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

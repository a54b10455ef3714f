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
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link as ApiLink
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    get_current_span,
)
from opentelemetry.trace import Span as ApiSpan
from opentelemetry.trace import Tracer as ApiTracer
from opentelemetry.trace import TracerProvider as ApiTracerProvider

from massgen_tracing import semconv
from massgen_tracing.trace.current import Blocks, adopted, current
from massgen_tracing.trace.exceptions import is_failure, summary
from massgen_tracing.trace.payload import MAX_ATTRIBUTES, clean_all, encodable
from massgen_tracing.trace.pipeline import Pipeline, RandomIds
from massgen_tracing.trace.span import MAX_LINKS, Span

P = ParamSpec("P")
T = TypeVar("T")


class Tracer(ApiTracer):
    """Makes `Span`s for one instrumentation scope."""

    def __init__(self, provider: TracerProvider, scope: InstrumentationScope) -> None:
        self._provider = provider
        self._scope = scope

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
        pipeline = self._provider.pipeline
        if context is None:
            context = adopted(current(), None if pipeline is None else pipeline.remote)
        above = get_current_span(context)
        parent: SpanContext | None = above.get_span_context()
        if pipeline is None:
            if self._provider.delegate is None:
                return NonRecordingSpan(above.get_span_context())
            scope = self._scope
            return self._provider.delegate.get_tracer(scope.name, scope.version, scope.schema_url).start_span(
                name, context, kind, attributes, links, start_time, record_exception, set_status_on_exception
            )
        if parent is not None and parent.is_valid:
            trace_id = parent.trace_id
        else:
            parent = None
            trace_id = pipeline.ids.generate_trace_id()
        span = Span(
            pipeline,
            self._scope,
            name if type(name) is str and name.isascii() else encodable(str(name)),
            kind,
            trace_id,
            pipeline.ids.generate_span_id(),
            parent,
            clean_all(attributes) if attributes else {},
            [ApiLink(link.context, clean_all(link.attributes or {})) for link in links[:MAX_LINKS]] if links else (),
            start_time,
            max(0, len(attributes) - MAX_ATTRIBUTES) if attributes else 0,
            max(0, len(links) - MAX_LINKS) if links else 0,
        )
        pipeline.on_start(span, context)
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
        self._blocks.enter(current(), span, span)
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
        """Whose spans these are where it is not the pipeline: Logfire's provider."""

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> Tracer:
        """A tracer for one instrumentation scope."""
        return Tracer(self, InstrumentationScope(instrumenting_module_name, instrumenting_library_version, schema_url, attributes))

    @property
    def resource(self) -> Resource:
        """The resource of the spans, as instrumentations ask for it."""
        return Resource.get_empty() if self.pipeline is None else self.pipeline.resource

    def add_span_processor(self, processor: SpanProcessor) -> None:
        """Show every later span to *processor* too; it goes when the configuration is replaced."""
        if self.pipeline is not None:
            self.pipeline.processors += (processor,)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Hand on what processors hold back; each may take *timeout_millis* milliseconds."""
        return self.pipeline is None or all(processor.force_flush(timeout_millis) for processor in self.pipeline.processors)


SHARED: Final = TracerProvider()
"""The provider that `configure()` makes the process's global one and whose pipeline it exchanges."""


def _after_fork() -> None:
    pipeline = SHARED.pipeline
    if pipeline is not None:
        pipeline.process += 1
        if isinstance(pipeline.ids, RandomIds):
            pipeline.ids = RandomIds()  # parent and child would go on with the same ids
        pipeline.resource = pipeline.resource.merge(Resource({semconv.PROCESS_PID: os.getpid()}))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

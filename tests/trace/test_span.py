"""The package's own span and provider, held against what OpenTelemetry asks of them and against its SDK."""

from __future__ import annotations

import asyncio
import gc
import os
import pickle
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import wrapt
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import context as otel_context
from opentelemetry import trace as otel_trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace import TracerProvider as SdkProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState, set_span_in_context

import massgen_tracing
from massgen_tracing import guard
from massgen_tracing.conventions import in_otel_terms
from massgen_tracing.testing import CountingIds, TickingClock, capture
from massgen_tracing.trace.pipeline import Pipeline, RandomIds
from massgen_tracing.trace.provider import Tracer, TracerProvider
from massgen_tracing.trace.span import MAX_EVENTS, MAX_LINKS, Span
from tests.objects import alive, come_since

PARENT = SpanContext(7, 9, is_remote=True, trace_flags=TraceFlags(1), trace_state=TraceState([("a", "b")]))


class Kept(SpanProcessor):
    """Keeps what it is shown."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []
        self.ended: list[ReadableSpan] = []

    def on_start(self, span: Any, parent_context: object = None) -> None:
        self.seen.append(("start", span.name))

    def on_end(self, span: ReadableSpan) -> None:
        self.seen.append(("end", span.name))
        self.ended.append(span)


@pytest.fixture
def kept() -> Kept:
    """What the spans were shown to."""
    return Kept()


@pytest.fixture
def provider(kept: Kept) -> Iterator[TracerProvider]:
    """A provider of the package's kind that nobody else uses."""
    made = TracerProvider()
    made.pipeline = Pipeline(Resource({"service.name": "s"}), [kept], CountingIds(), TickingClock())
    yield made
    made.pipeline = None


@pytest.fixture
def tracer(provider: TracerProvider) -> Tracer:
    """A tracer of it."""
    return provider.get_tracer("scope", "1", "https://schema", {"a": 1})


def test_what_others_do_in_a_round_says_whose_it_is() -> None:
    """A span that anybody starts in an agent's round carries the agent's id, the round and its type; what it says itself stands."""
    with capture() as captured:
        tracer, others = massgen_tracing.get_tracer(), otel_trace.get_tracer("httpx")
        with (
            others.start_as_current_span("before"),
            tracer.session("q", agents=["a"]) as session,
            session.agent_round("a", number=2, round_type="voting"),
        ):
            with others.start_as_current_span("in it"), others.start_as_current_span("below", attributes={"massgen.agent_id": "b", "x": 1}):
                pass
            with tracer.span("the caller's own"):
                pass
        assert dict(captured.find("in it").attributes or {}) == {"massgen.agent_id": "a", "massgen.round": 2, "massgen.round_type": "voting"}
        assert dict(captured.find("below").attributes or {}) == {"massgen.agent_id": "b", "massgen.round": 2, "massgen.round_type": "voting", "x": 1}
        assert not captured.find("before").attributes
        assert not captured.find("the caller's own").attributes


def test_a_span_of_openinference_speaks_opentelemetrys_terms_too() -> None:
    """At its end it has the GenAI conventions' keys beside its own, which stay as they are; what it says itself by those keys stands."""
    said: dict[str, Any] = {
        "openinference.span.kind": "LLM", "llm.model_name": "gpt-5-mini", "llm.provider": "openai", "llm.system": "azure",
        "llm.token_count.prompt": 3, "llm.token_count.prompt_details.cache_read": 1, "llm.token_count.completion": 4, "gen_ai.usage.output_tokens": 5,
    }  # fmt: skip
    with capture() as captured:
        with otel_trace.get_tracer("openinference").start_as_current_span("ChatCompletion") as span:
            span.set_attributes(said)
        assert dict(captured.find("ChatCompletion").attributes or {}) == said | {
            "gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-5-mini", "gen_ai.provider.name": "openai",
            "gen_ai.usage.input_tokens": 3, "gen_ai.usage.cache_read.input_tokens": 1,
        }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "operation"), [("TOOL", "execute_tool"), ("AGENT", "invoke_agent"), ("EMBEDDING", "embeddings"), ("CHAIN", None), (7, None)]
)
def test_what_openinference_calls_a_span_is_told_in_opentelemetrys_terms(kind: Any, operation: str | None) -> None:
    """Tools, agents and embeddings by their operations; what the conventions have no operation for has none."""
    assert in_otel_terms({"openinference.span.kind": kind}).get("gen_ai.operation.name") == operation


def test_a_span_of_ours_in_an_instrumentations_wrapper_is_known(tmp_path: Path) -> None:
    """An object that passes for the span it holds, as OpenInference makes current, is a parent like the span itself, and nothing is said of it."""
    tracer = massgen_tracing.configure(root=tmp_path, enabled=True, record=True)
    outer = otel_trace.get_tracer("openinference").start_span("outer")
    wrapped: Any = wrapt.ObjectProxy(outer)
    with tracer.span("inner", base=set_span_in_context(wrapped)) as inner:
        assert getattr(inner.span, "parent", None) == outer.get_span_context()
    outer.end()
    massgen_tracing.shutdown()
    assert not guard.problems()


# --- a span ------------------------------------------------------------------------------------------------------------------------


def test_a_span_is_what_the_sdks_is_to_a_reader(tracer: Tracer, kept: Kept) -> None:
    """Exporters of OpenTelemetry find on it everything that they find on the SDK's own."""
    sdk = SdkProvider(resource=Resource({"service.name": "s"}), shutdown_on_exit=False, id_generator=CountingIds())
    exporter = InMemorySpanExporter()
    sdk.add_span_processor(SimpleSpanProcessor(exporter))
    for one in (tracer, sdk.get_tracer("scope", "1", "https://schema", {"a": 1})):
        span = one.start_span("name", set_span_in_context(NonRecordingSpan(PARENT)), SpanKind.CLIENT, {"k": "v"}, [Link(PARENT, {"l": 1})], 100)
        span.set_attribute("n", 1)
        span.add_event("event", {"e": 1}, 150)
        span.set_status(StatusCode.ERROR, "bad")
        span.update_name("renamed")
        span.end(200)
    (ours,), (theirs,) = kept.ended, exporter.get_finished_spans()
    assert isinstance(ours, ReadableSpan)
    assert ours.to_json() == theirs.to_json()
    for name in ("name", "parent", "kind", "start_time", "end_time", "resource", "dropped_attributes", "dropped_events", "dropped_links"):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert ours.instrumentation_scope == theirs.instrumentation_scope
    assert ours.context.trace_state == theirs.context.trace_state


def test_what_is_set_after_the_end_changes_nothing(tracer: Tracer, kept: Kept) -> None:
    """As OpenTelemetry asks, an ended span stays as it is, and is handed on once."""
    span = tracer.start_span("name", attributes={"a": 1})
    assert span.is_recording()
    span.end(5)
    span.set_attribute("b", 1)
    span.set_attributes({"c": 1})
    span.add_event("late")
    span.add_link(PARENT)
    span.update_name("late")
    span.set_status(StatusCode.ERROR)
    span.record_exception(ValueError())
    span.end(6)
    assert not span.is_recording()
    (ended,) = kept.ended
    assert (ended.name, dict(ended.attributes or {}), ended.events, list(ended.links), ended.end_time) == ("name", {"a": 1}, [], [], 5)
    assert ended.status.status_code is StatusCode.UNSET


def test_the_status_follows_opentelemetrys_rules(tracer: Tracer) -> None:
    """OK is final, UNSET changes nothing, a later error replaces an earlier one, and a description belongs to errors."""
    span = tracer.start_span("name")
    assert isinstance(span, Span)
    span.set_status(StatusCode.ERROR, "one")
    span.set_status(StatusCode.UNSET)
    assert span.status.description == "one"
    span.set_status(Status(StatusCode.ERROR, "two"))
    assert span.status.description == "two"
    span.set_status(StatusCode.OK)
    span.set_status(StatusCode.ERROR, "three")
    assert span.status.status_code is StatusCode.OK
    assert span.status.description is None


def test_limits_are_counted(tracer: Tracer) -> None:
    """Past its limits a span only counts; what replaces an attribute is no new one."""
    span = tracer.start_span("name", attributes={f"k{n}": n for n in range(256)})
    assert isinstance(span, Span)
    span.set_attribute("k0", "replaced")
    span.set_attribute("one more", 1)
    span.set_attribute("nothing", None)
    for number in range(MAX_EVENTS + 3):
        span.add_event(str(number))
    for _ in range(MAX_LINKS + 2):
        span.add_link(PARENT)
    assert span.attributes["k0"] == "replaced"
    assert (len(span.attributes), len(span.events), len(span.links)) == (256, MAX_EVENTS, MAX_LINKS)
    assert (span.dropped_attributes, span.dropped_events, span.dropped_links) == (1, 3, 2)


def test_keys_and_names_of_any_type(tracer: Tracer) -> None:
    """Whatever is given as a key or a name becomes a text that can be written."""
    span: Any = tracer.start_span("\ud800", attributes={1: "one", "\udfff": 2})  # type: ignore[dict-item]
    span.set_attribute(3, "three")
    span.add_event(4, {5: 6})
    span.update_name(7)
    assert dict(span.attributes) == {"1": "one", "\ufffd": 2, "3": "three"}
    assert (span.name, span.events[0].name, dict(span.events[0].attributes)) == ("7", "4", {"5": 6})
    other: Any = tracer.start_span(8)  # type: ignore[arg-type]
    assert other.name == "8"


def test_an_exception_is_an_event_with_its_stack(tracer: Tracer) -> None:
    """Type, message, stack trace and whether it left the span, in OpenTelemetry's words."""
    span = tracer.start_span("name")
    assert isinstance(span, Span)
    try:
        raise ExceptionGroup("both", [ValueError("one"), KeyError("two")])
    except ExceptionGroup as error:
        span.record_exception(error, {"more": 1})
    (event,) = span.events
    assert event.attributes is not None
    assert event.attributes["exception.type"] == "ExceptionGroup"
    assert event.attributes["exception.message"] == "both (2 sub-exceptions)"
    assert "ValueError: one" in str(event.attributes["exception.stacktrace"])
    assert event.attributes["exception.escaped"] == "False"
    assert event.attributes["more"] == 1


def test_exceptions_whose_own_text_raises(tracer: Tracer, kept: Kept) -> None:
    """An exception that cannot be printed is recorded by its type, and a long one is cut from the front of its stack, whose end names it."""

    class Unprintable(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no")

    for error in (Unprintable(), ValueError("x" * 100_000 + "\ud800")):
        with pytest.raises(type(error)), tracer.start_as_current_span("name"):
            raise error
    first, second = kept.ended
    assert first.events[0].attributes["exception.message"] == "<unreadable Unprintable>"  # type: ignore[index]
    assert first.status.description == "Unprintable: <unreadable Unprintable>"
    attributes = second.events[0].attributes
    assert attributes is not None
    assert len(str(attributes["exception.message"])) < 32_100
    assert str(attributes["exception.message"]).endswith("… [cut, 100001 characters]")
    assert str(attributes["exception.stacktrace"]).startswith("[cut, ")
    assert len(str(second.status.description)) < 32_100


@given(st.text(), st.text())
def test_any_status_and_event_can_be_encoded(description: str, name: str) -> None:
    """No text that is put on a span keeps an exporter from writing it."""
    provider = TracerProvider()
    provider.pipeline = Pipeline(Resource({}), [])
    span: Any = provider.get_tracer("t").start_span(name)
    span.set_status(StatusCode.ERROR, description)
    span.add_event(name)
    for text in (span.name, span.status.description or "", span.events[0].name):
        text.encode()


# --- parents, flags, ids -----------------------------------------------------------------------------------------------------------


def test_a_span_without_a_parent_begins_a_trace_with_a_random_id(tracer: Tracer) -> None:
    """Its flags say that it is recorded and that its id is random (W3C Trace Context Level 2)."""
    span = tracer.start_span("root", otel_context.Context())
    assert span.get_span_context().trace_flags == 3
    assert isinstance(span, Span)
    assert span.parent is None


def test_a_child_takes_over_trace_state_and_flags(tracer: Tracer) -> None:
    """A remote parent's trace state goes on, and its flags are never widened to say that its id was random."""
    child = tracer.start_span("child", set_span_in_context(NonRecordingSpan(PARENT)))
    context = child.get_span_context()
    assert (context.trace_id, context.trace_flags, context.trace_state.to_header()) == (7, 1, "a=b")
    assert not context.is_remote
    grandchild = tracer.start_span("grandchild", set_span_in_context(child))
    assert isinstance(grandchild, Span)
    assert grandchild.parent == context


def test_ids_do_not_depend_on_the_programs_seed() -> None:
    """A program that seeds `random` for itself does not give two runs the same ids, and ids are never zero."""

    def ids() -> list[int]:
        random.seed(0)
        made = RandomIds()
        return [made.generate_span_id(), made.generate_trace_id()]

    first, second = ids(), ids()
    assert len({*first, *second}) == 4
    random.seed(0)
    untouched = random.random()
    random.seed(0)
    RandomIds().generate_trace_id()
    assert random.random() == untouched
    assert all(first)


# --- processors --------------------------------------------------------------------------------------------------------------------


def test_a_processor_that_raises_costs_only_its_own_work(kept: Kept, swallowed: list[str]) -> None:
    """The others are shown every span, the program goes on, and each kind of failure is counted."""

    class Broken(SpanProcessor):
        def on_start(self, span: Any, parent_context: object = None) -> None:
            raise ValueError("start")

        def on_end(self, span: ReadableSpan) -> None:
            raise ValueError("end")

        def shutdown(self) -> None:
            raise ValueError("shutdown")

    provider = TracerProvider()
    provider.pipeline = Pipeline(Resource({}), [Broken(), kept, Broken()])
    for _ in range(2):
        provider.get_tracer("t").start_span("name").end()
    assert kept.seen == [("start", "name"), ("end", "name")] * 2
    assert provider.pipeline.shutdown(5.0)
    assert {problem.kind: problem.count for problem in guard.problems()} == {"Broken.on_start": 4, "Broken.on_end": 4, "Broken.shutdown": 2}
    swallowed.clear()


def test_what_is_no_exception_passes(kept: Kept) -> None:
    """Ctrl-C inside a processor stops the program."""

    class Interrupted(SpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:
            raise KeyboardInterrupt

    provider = TracerProvider()
    provider.pipeline = Pipeline(Resource({}), [Interrupted()])
    with pytest.raises(KeyboardInterrupt):
        provider.get_tracer("t").start_span("name").end()


def test_shutting_down_takes_a_bounded_time(kept: Kept) -> None:
    """A processor that never returns does not keep the others from stopping, nor the program from ending."""
    release, stopped = threading.Event(), threading.Event()

    class Stuck(SpanProcessor):
        def shutdown(self) -> None:
            release.wait()

    class Quick(SpanProcessor):
        def shutdown(self) -> None:
            stopped.set()

    assert not Pipeline(Resource({}), [Stuck(), Quick()]).shutdown(0.05)
    stopped.wait()
    release.set()


def test_a_processor_may_be_added_later(provider: TracerProvider, tracer: Tracer, kept: Kept) -> None:
    """`add_span_processor`, as instrumentations call it, shows later spans to the new one too."""
    more = Kept()
    tracer.start_span("before").end()
    provider.add_span_processor(more)
    tracer.start_span("after").end()
    assert [span.name for span in more.ended] == ["after"]
    assert [span.name for span in kept.ended] == ["before", "after"]
    assert provider.force_flush()


# --- current spans -----------------------------------------------------------------------------------------------------------------


def test_start_as_current_span_is_a_block_and_a_decorator(tracer: Tracer, kept: Kept) -> None:
    """As a block, on plain functions and on coroutine functions; each call has a span of its own."""

    @tracer.start_as_current_span("function")
    def function(number: int) -> str:
        return f"{number} {otel_trace.get_current_span().name}"  # type: ignore[attr-defined]

    @tracer.start_as_current_span("coroutine")
    async def coroutine() -> str:
        await asyncio.sleep(0)
        return str(otel_trace.get_current_span().name)  # type: ignore[attr-defined]

    with tracer.start_as_current_span("block") as span:
        assert otel_trace.get_current_span() is span
        assert (function(1), function(2)) == ("1 function", "2 function")
    assert asyncio.run(coroutine()) == "coroutine"
    assert function.__name__ == "function"
    assert [span.name for span in kept.ended] == ["function", "function", "block", "coroutine"]
    assert {span.parent.span_id for span in kept.ended[:2] if span.parent} == {span.get_span_context().span_id}


def test_an_error_that_leaves_the_block_is_on_the_span_and_a_cancellation_is_not(tracer: Tracer, kept: Kept) -> None:
    """An `Exception` is recorded and the status is an error; what merely ends the work (cancelled, closed) leaves no error."""
    with pytest.raises(ValueError, match="bad"), tracer.start_as_current_span("failed"):
        raise ValueError("bad")
    with pytest.raises(asyncio.CancelledError), tracer.start_as_current_span("cancelled"):
        raise asyncio.CancelledError
    with pytest.raises(ValueError, match="quiet"), tracer.start_as_current_span("quiet", record_exception=False, set_status_on_exception=False):
        raise ValueError("quiet")
    failed, cancelled, quiet = kept.ended
    assert (failed.status.status_code, failed.status.description, len(failed.events)) == (StatusCode.ERROR, "ValueError: bad", 1)
    for span in (cancelled, quiet):
        assert (span.status.status_code, list(span.events)) == (StatusCode.UNSET, [])


def test_a_span_may_outlive_its_block(tracer: Tracer, kept: Kept) -> None:
    """With `end_on_exit=False` the caller ends it."""
    with tracer.start_as_current_span("longer", end_on_exit=False) as span:
        pass
    assert span.is_recording()
    span.end()
    assert [span.name for span in kept.ended] == ["longer"]


def test_without_a_pipeline_nothing_is_recorded_and_the_trace_goes_on() -> None:
    """Before `configure()` and after `shutdown()` an instrumentation's spans record nothing and hand on what is current."""
    span = TracerProvider().get_tracer("t").start_span("name", set_span_in_context(NonRecordingSpan(PARENT)))
    assert not span.is_recording()
    assert span.get_span_context() == PARENT


# --- forks -------------------------------------------------------------------------------------------------------------------------


def test_a_forked_child_reports_its_own_spans_only(provider: TracerProvider) -> None:
    """The child ends its copies of the parent's open spans for itself alone, so that no sink is given a span twice."""
    from massgen_tracing.trace import provider as module

    read, write = os.pipe()
    seen = Kept()
    shared = module.SHARED.pipeline
    module.SHARED.pipeline = provider.pipeline = Pipeline(Resource({}), [seen])
    try:
        tracer = provider.get_tracer("t")
        open_span = tracer.start_span("parent's")
        child = os.fork()
        if child == 0:
            try:
                open_span.end()
                tracer.start_span("child's").end()
                os.write(write, pickle.dumps([(span.name, span.resource.attributes.get("process.pid") == os.getpid()) for span in seen.ended]))
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        assert pickle.loads(os.read(read, 65536)) == [("child's", True)]
        open_span.end()
        assert [span.name for span in seen.ended] == ["parent's"]
    finally:
        module.SHARED.pipeline = shared
        os.close(read)
        os.close(write)


# --- what it leaves ----------------------------------------------------------------------------------------------------------------


def test_a_span_is_freed_at_once(provider: TracerProvider, tracer: Tracer) -> None:
    """Without a processor that keeps it, an ended span is freed by reference counting."""
    assert provider.pipeline is not None
    provider.pipeline.processors = ()
    gc.collect()
    before = alive(Span)
    gc.disable()
    try:
        for number in range(100):
            with tracer.start_as_current_span("name", attributes={"n": number}) as span:
                span.add_event("e")
                tracer.start_span("inner").end()
            del span
        assert not come_since(before, Span)
    finally:
        gc.enable()

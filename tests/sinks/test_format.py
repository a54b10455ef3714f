"""The recording's lines are OTLP/JSON, and say what OpenTelemetry's own encoder says."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Message
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace import TracerProvider as SdkProvider
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState, set_span_in_context
from opentelemetry.trace import Span as ApiSpan

from massgen_tracing.sinks.recording import Recording, encode
from massgen_tracing.trace.others import Others
from massgen_tracing.trace.pipeline import Pipeline
from massgen_tracing.trace.provider import Tracer, TracerProvider
from tests.sinks import lines

HAS_IS_REMOTE = 0x100
TRACE_FLAGS = 0xFF

texts = st.text(max_size=60) | st.text(alphabet=st.characters(codec=None, categories=("Cs", "Cc", "Lo", "So")), max_size=20)
scalars = texts | st.booleans() | st.integers() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.binary(max_size=40) | st.none()
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=12)
attribute_maps = st.dictionaries(texts | st.sampled_from(["massgen.agent_id", "traceId", "spanId"]), values, max_size=6)
contexts = st.builds(
    lambda trace_id, span_id, remote, state: SpanContext(trace_id, span_id, remote, TraceFlags(1), TraceState(state)),
    st.integers(1, 2**128 - 1),
    st.integers(1, 2**64 - 1),
    st.booleans(),
    st.lists(
        st.tuples(st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True), st.from_regex(r"[a-zA-Z0-9:;]{1,8}", fullmatch=True)),
        max_size=3,
        unique_by=lambda pair: pair[0],
    ),
)


class Kept(SpanProcessor):
    """Keeps what has ended."""

    def __init__(self) -> None:
        self.ended: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.ended.append(span)


def recorded(build: Callable[[Tracer], None]) -> tuple[list[bytes], list[ReadableSpan]]:
    """The lines and the spans of what *build* does with the package's own tracer."""
    with tempfile.TemporaryDirectory() as root:
        recording, kept = Recording(root), Kept()
        provider = TracerProvider()
        provider.pipeline = Pipeline(Resource({"service.name": "massgen", "n": 1}, "https://schema/resource"), [recording, kept])
        build(Tracer(provider, InstrumentationScope("scope", "1.0", "https://schema/scope", {"of": "scope"})))
        (path,) = lines.recordings(Path(root))
        return path.read_bytes().splitlines(keepends=True), kept.ended


def end_and_start(build: Callable[[Tracer], None]) -> tuple[TracesData, TracesData, ReadableSpan]:
    """The one span's end line and start line as messages, and the span."""
    written, (span,) = recorded(build)
    start, end = written
    return lines.message(end), lines.message(start), span


def only(data: TracesData) -> Message:
    """The one span of a line."""
    found: list[Message] = [span for group in data.resource_spans for scope in group.scope_spans for span in scope.spans]
    (span,) = found
    return span


def normal(data: TracesData) -> TracesData:
    """Without what OpenTelemetry's encoder leaves out (W3C trace flags, a link's trace state), with what it says for nothing (a status)."""
    for group in data.resource_spans:
        for scope in group.scope_spans:
            for span in scope.spans:
                span.flags &= ~TRACE_FLAGS
                span.status.SetInParent()
                for link in span.links:
                    link.flags &= ~TRACE_FLAGS
                    link.trace_state = ""
    return data


def as_text(data: TracesData) -> str:
    """A message in protobuf's text form, where one NaN is like another."""
    return str(normal(data))


def said_by_opentelemetry(span: ReadableSpan) -> str:
    """The encoder's message of a span."""
    return as_text(TracesData.FromString(encode_spans([span]).SerializeToString()))


# --- the same as OpenTelemetry's encoder --------------------------------------------------------------------------------------------


@given(attribute_maps)
@settings(max_examples=150)
def test_any_attributes_say_what_the_protobuf_encoder_says(attributes: Mapping[str, Any]) -> None:
    """Whatever the attributes are, the line parsed by protobuf is OpenTelemetry's own message of the span."""
    end, _, span = end_and_start(lambda tracer: tracer.start_span("name", attributes=attributes).end())
    assert as_text(end) == said_by_opentelemetry(span)


@pytest.mark.parametrize(
    "odd",
    ["\x1f", "\\u001f", "\\", '"},{"stringValue":"', "é\u2028", "", "\U0001f600"],
    ids=["between", "escaped", "backslash", "syntax", "wide", "empty", "beyond"],
)
def test_texts_of_a_list_are_encoded_together_whatever_stands_in_them(odd: str) -> None:
    """What is put between the texts of a list to encode them at one go may stand in them too."""
    for texts in ([odd], ["a", odd, "b"], [odd, odd], ["", odd]):
        said = encode.any_value(texts)
        assert json.loads(said) == {"arrayValue": {"values": [{"stringValue": text} for text in texts]}}


@given(attribute_maps, attribute_maps)
@settings(max_examples=80)
def test_what_is_set_after_the_start_is_in_the_end_line_and_not_in_the_start_line(first: Mapping[str, Any], later: Mapping[str, Any]) -> None:
    """Attributes that are added or replaced while the span is open: the end line has the last of them, the start line the first."""
    at_start: dict[str, Any] = {}

    def build(tracer: Tracer) -> None:
        span = tracer.start_span("name", attributes=first)
        at_start.update(span.attributes)  # type: ignore[attr-defined]
        span.set_attributes(later)
        span.end()

    end, start, span = end_and_start(build)
    assert as_text(end) == said_by_opentelemetry(span)
    known = [pair.key for pair in only(start).attributes]
    assert known == [*at_start, "logfire.span_type", "logfire.pending_parent_id"]


@given(
    name=texts,
    kind=st.sampled_from(SpanKind),
    status=st.sampled_from(StatusCode),
    description=texts,
    parent=st.none() | contexts,
    links=st.lists(st.tuples(contexts, attribute_maps), max_size=3),
    events=st.lists(st.tuples(texts, attribute_maps, st.none() | st.integers(1, 2**63 - 1)), max_size=3),
)
@settings(max_examples=80)
def test_any_span_says_what_the_protobuf_encoder_says(
    name: str,
    kind: SpanKind,
    status: StatusCode,
    description: str,
    parent: SpanContext | None,
    links: list[tuple[SpanContext, Mapping[str, Any]]],
    events: list[tuple[str, Mapping[str, Any], int | None]],
) -> None:
    """Names, kinds, status, events, links, trace state and parents, local or remote, are OpenTelemetry's own message of the span."""

    def build(tracer: Tracer) -> None:
        context = None if parent is None else set_span_in_context(NonRecordingSpan(parent))
        span = tracer.start_span(name, context, kind, links=[Link(*link) for link in links])
        for event in events:
            span.add_event(*event)
        span.set_status(Status(status, description if status is StatusCode.ERROR else None))
        span.end()

    end, _, span = end_and_start(build)
    flags = only(end).flags
    assert flags & HAS_IS_REMOTE
    assert flags & TraceFlags.SAMPLED
    assert as_text(end) == said_by_opentelemetry(span)


def test_what_was_dropped_is_counted_as_the_encoder_counts_it() -> None:
    """Attributes, events and links past their limits are counted in the line."""

    def build(tracer: Tracer) -> None:
        link = Link(SpanContext(1, 2, is_remote=False))
        span = tracer.start_span("name", attributes={f"k{n}": n for n in range(300)}, links=[link] * 130)
        for number in range(260):
            span.add_event(str(number))
            span.set_attribute(f"late{number}", number)
        span.end()

    end, _, span = end_and_start(build)
    message = only(end)
    assert (message.dropped_attributes_count, message.dropped_events_count, message.dropped_links_count) == (44 + 260, 4, 2)
    assert (len(message.attributes), len(message.events), len(message.links)) == (256, 256, 128)
    assert as_text(end) == said_by_opentelemetry(span)


# --- the start of a span -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parent", [None, SpanContext(7, 9, is_remote=True, trace_flags=TraceFlags(1), trace_state=TraceState([("a", "b")]))])
def test_a_start_is_logfires_pending_span(parent: SpanContext | None) -> None:
    """A start has an id of its own, the real span as its parent, no duration, and names the real span's parent in an attribute."""
    link = Link(SpanContext(3, 4, is_remote=False, trace_state=TraceState([("c", "d")])), {"why": "because"})

    def build(tracer: Tracer) -> None:
        context = None if parent is None else set_span_in_context(NonRecordingSpan(parent))
        tracer.start_span("work", context, SpanKind.CLIENT, {"key": "value"}, [link]).end()

    end_line, start_line, _ = end_and_start(build)
    start, end = only(start_line), only(end_line)
    assert end.links[0].trace_state == "c=d"
    assert start.parent_span_id == end.span_id
    assert start.span_id not in (end.span_id, end.parent_span_id)
    assert start.trace_id == end.trace_id
    assert (start.name, start.kind, start.trace_state, list(start.links)) == (end.name, end.kind, end.trace_state, list(end.links))
    assert start.start_time_unix_nano == start.end_time_unix_nano == end.start_time_unix_nano
    assert {pair.key: pair.value.string_value for pair in start.attributes} == {
        "key": "value",
        "logfire.span_type": "pending_span",
        "logfire.pending_parent_id": "0" * 16 if parent is None else f"{parent.span_id:016x}",
    }
    assert start_line.resource_spans[0].resource == end_line.resource_spans[0].resource


def test_a_point_record_has_one_line() -> None:
    """A span that is a log record is recorded at its end only."""
    written, _ = recorded(lambda tracer: tracer.start_span("point", attributes={"logfire.span_type": "log"}).end())
    (line,) = written
    assert only(lines.message(line)).name == "point"


def test_lines_are_ascii() -> None:
    """A line torn at any byte is still text, because no character takes more than one byte."""
    written, _ = recorded(lambda tracer: tracer.start_span("名前 🌍", attributes={"ключ": "é\x00\u2028", "nest": {"é": ["ü"]}}).end())
    assert all(line.isascii() for line in written)
    assert all(b"\n" not in line[:-1] for line in written)


# --- spans of OpenTelemetry's own SDK ----------------------------------------------------------------------------------------------


def sdk_lines(root: Path, use: Callable[[ApiSpan], None], *, cleaned: bool = True, **options: Any) -> tuple[Message, ReadableSpan, TracesData]:
    """A span of the SDK's provider, recorded as others' are: cleaned first."""
    recording, kept, others = Recording(root), Kept(), Others()
    provider = SdkProvider(shutdown_on_exit=False)
    if cleaned:
        others.shown = Pipeline(provider.resource, [recording])
        others.follow(provider)
    else:
        provider.add_span_processor(recording)
    provider.add_span_processor(kept)
    span = provider.get_tracer("sdk").start_span("sdk span", **options)
    use(span)
    span.end()
    recording.shutdown()
    (path,) = lines.recordings(root)
    start, end = path.read_bytes().splitlines()
    assert only(lines.message(start)).parent_span_id == only(lines.message(end)).span_id
    return only(lines.message(end)), kept.ended[0], lines.message(end)


def test_a_span_of_the_sdk_is_recorded_as_the_encoder_would(tmp_path: Path) -> None:
    """A provider of the caller's own can have the recording as a processor; what needs no cleaning is recorded as it is."""

    def use(span: ApiSpan) -> None:
        span.set_attribute("later", (1, 2, 3))
        span.add_event("event", {"n": 1.5})
        span.set_status(StatusCode.ERROR, "it failed")

    _, span, data = sdk_lines(tmp_path, use, attributes={"first": "text"}, links=[Link(SpanContext(1, 2, is_remote=True), {"a": True})])
    assert as_text(data) == said_by_opentelemetry(span)


def test_what_strangers_put_on_the_sdks_spans_is_scrubbed_and_bounded(tmp_path: Path) -> None:
    """Attributes, events, links and the status of an SDK span are cleaned on the way into the file, because the SDK does not do it."""
    secret = "sk-proj-abcdefghijklmnop1234"

    def use(span: ApiSpan) -> None:
        span.set_attribute("later", f"key {secret}")
        span.set_attribute("long", "x" * 200_000)
        span.add_event("event", {"n": secret})
        span.record_exception(ValueError(secret))
        span.set_status(StatusCode.ERROR, f"failed with {secret}")

    link = Link(SpanContext(1, 2, is_remote=True), {"a": secret})
    message, _, data = sdk_lines(tmp_path, use, attributes={"first": secret, "password": "hunter2"}, links=[link])
    assert secret not in str(data)
    assert "hunter2" not in str(data)
    assert message.status.message == "failed with [scrubbed]"
    assert max(len(pair.value.string_value) for pair in message.attributes) <= 65536
    (path,) = lines.recordings(tmp_path)
    assert secret.encode() not in path.read_bytes()


def test_an_integer_of_more_than_64_bits_does_not_spoil_the_line(tmp_path: Path) -> None:
    """OTLP's integers have 64 bits; a bigger one that nobody has cleaned is recorded as text."""
    message, _, _ = sdk_lines(tmp_path, lambda span: span.set_attribute("big", 2**70), cleaned=False, attributes={"small": -(2**63)})
    assert {pair.key: pair.value.int_value or pair.value.string_value for pair in message.attributes} == {"small": -(2**63), "big": str(2**70)}


def test_a_span_without_a_scope_is_recorded(tmp_path: Path) -> None:
    """OpenTelemetry allows a span to have no instrumentation scope."""
    recording = Recording(tmp_path)
    span = SdkProvider(shutdown_on_exit=False).get_tracer("x").start_span("bare")
    span._instrumentation_scope = None  # type: ignore[attr-defined]
    recording.on_start(span)  # type: ignore[arg-type]
    span.end()
    recording.on_end(span)  # type: ignore[arg-type]
    recording.shutdown()
    assert lines.names(*lines.recordings(tmp_path)) == ["bare"]

"""Lines in protobuf: what goes out is what the recording says, whichever way it is encoded."""

from __future__ import annotations

import contextlib
import functools
import io
import math
import re
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as searching
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

import massgen_tracing as mt
from massgen_tracing.delivery import spool as spool_module
from massgen_tracing.delivery.encode import EncodedSpan, Form, Json, Protobuf, block, wire
from massgen_tracing.delivery.spool import Spool
from massgen_tracing.store.reading import otlp
from massgen_tracing.store.reading.lines import PENDING, PENDING_END, PENDING_START, SPANS, LineDecoder
from massgen_tracing.store.reading.live import Said
from tests.delivery.recordings import record
from tests.sinks import lines

VALUES = st.one_of(
    st.text(max_size=30),
    st.text('"\\{}[],:key valu', max_size=30),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-300, 300),
    st.floats(),
    st.booleans(),
    st.binary(max_size=8),
    st.lists(st.integers(0, 9), max_size=3),
    st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=2),
)
ATTRIBUTES = st.dictionaries(st.text(min_size=1, max_size=12), VALUES, max_size=6)


def message(*spans: EncodedSpan) -> TracesData:
    """What a backend decodes; its messages and those of a file have the same fields."""
    found: TracesData = TracesData.FromString(Protobuf().request(spans))
    return found


@searching(max_examples=60)
@given(st.lists(st.tuples(st.text(max_size=10), ATTRIBUTES), min_size=1, max_size=6))
def test_a_line_says_the_same_by_both_ways(tmp_path_factory: Any, spans: list[tuple[str, dict[str, Any]]]) -> None:
    """The fast way agrees with OpenTelemetry's messages for every line that it takes, and both with protobuf's own reading of the line."""
    root = tmp_path_factory.mktemp("root")
    tracer = mt.configure(root=root, enabled=True)
    for name, attributes in spans:
        with tracer.span(name or "empty", attributes=attributes):
            pass
    mt.shutdown()
    (path,) = lines.recordings(root)
    plain, decoder = Protobuf(), LineDecoder(otlp.Decoder())
    content = path.read_bytes()
    at_once = {end: span for run in block.runs(memoryview(content), 0, Protobuf(), lambda _: True) for span, end in run.spans}
    end = 0
    for line in content.splitlines(keepends=True):
        end += len(line)
        record = decoder.span(line)
        assert record is not None
        slow = message(Protobuf().record(record))
        fast = plain.span(line)
        assert fast is None or same(message(fast), slow)
        if end in at_once:
            assert fast is not None
            assert at_once[end]._replace(content=b"") == fast._replace(content=b"")
            assert same(message(at_once[end]), slow)
        assert same(slow, lines.message(line))
        taken, made = Json().span(line), Json().record(record)
        for span in (made, taken or made):
            assert same(lines.message(Json().request([span])), slow)
            assert (span.key, span.parent, span.start_ns) == (made.key, made.parent, made.start_ns)


def same(one: Any, other: Any) -> bool:
    """Whether two messages are equal, where NaN is."""
    return bool(one == other) or str(one) == str(other)


def test_lines_of_our_own_writer_go_the_fast_way(tmp_path: Path) -> None:
    """All that a usual run records, starts and ends, is plain."""
    path = record(tmp_path, calls=3)
    plain, content = Protobuf(), path.read_bytes()
    assert all(plain.span(line) is not None for line in content.splitlines(keepends=True))
    (run,) = block.runs(memoryview(content), 0, plain, lambda _: True)
    assert len(run.spans) == 5


KINDS: dict[str, Any] = {
    "text": "plain", "escaped": 'a "b" \\ \n é', "looks like an attribute": ',{"key":"a","value":{"intValue":"1"}}', "empty": "", "long": "x" * 500,
    "integer": 7, "negative": -1, "largest": 2**63 - 1, "smallest": -(2**63), "double": 1.5, "tiny": 1e-300, "no number": math.nan, "true": True,
    "bytes": b"\0", "list": ["a", 1], "mapping": {"a": {"b": 1}}, 'key "quoted"': 1,
}  # fmt: skip


def test_many_lines_at_once_say_what_each_says_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values of every kind, errors, events, another scope and lines of other writers: the same spans at the same positions, in blocks of any size."""
    tracer = mt.configure(root=tmp_path, enabled=True)
    for number in range(3):
        with contextlib.suppress(ValueError), tracer.span(f"outer {number}", attributes=KINDS):
            for key, value in KINDS.items():
                with tracer.span("inner", attributes={key: value, "number": number}):
                    pass
            raise ValueError(number)
    mt.shutdown()
    (path,) = lines.recordings(tmp_path)
    written = path.read_bytes().splitlines(keepends=True)
    foreign = written[-1].replace(b'"traceId":', b' "traceId" : ')
    schemas = (b'},"scopeSpans"', b'},"schemaUrl":"https://one/1","scopeSpans"'), (b'},"spans"', b'},"schemaUrl":"https://two/2","spans"')
    other = [functools.reduce(lambda line, each: line.replace(*each), schemas, line) for line in written[3:6]]
    plain = [(span, line) for line in other if (span := Protobuf().span(line)) is not None]
    assert plain
    assert all(same(message(span), lines.message(line)) for span, line in plain)
    path.write_bytes(b"".join([*written[:9], foreign, b"no line of a recording\n", *other, *written[9:], foreign]))

    def found(**options: Any) -> list[tuple[Any, ...]]:
        with closing(Spool(path, **options)) as spool:
            batches = list(spool.batches(0))
        placed = [(str(message(span)), end, span.key, span.parent, span.start_ns) for batch in batches for span, end in batch.spans]
        return [*placed, (batches[-1].end, sum(batch.unreadable for batch in batches))]

    alone = found()
    assert len(alone) > 3 * len(KINDS)
    monkeypatch.setattr(spool_module, "_MANY", 0)
    assert found(at_once=True) == alone
    monkeypatch.setattr(spool_module, "_BLOCK", 20_000)
    assert found(at_once=True) == alone


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """The lines of a recording."""
    return record(tmp_path_factory.mktemp("recorded"), calls=4, content=20).read_bytes().splitlines(keepends=True)


TOKENS = (
    b"",
    b"x",
    b'"',
    b"\\",
    b"}",
    b"\n",
    b"\xff",
    b'"}}',
    b"0",
    b',{"key":"',
    b'","value":{"',
    b'{"resourceSpans":[',
    b'"startTimeUnixNano":"',
    b'"stringValue":"',
)


@searching(max_examples=80)
@given(st.lists(st.tuples(st.integers(0, 11), st.floats(0, 1), st.integers(0, 40), st.sampled_from(TOKENS)), min_size=1, max_size=4))
def test_damaged_lines_are_taken_at_once_as_they_are_alone(recorded: list[bytes], damage: list[tuple[int, float, int, bytes]]) -> None:
    """Whatever stands in them: what is taken at once is what a line at a time gives, and every other line is left to that."""
    found = list(recorded)
    for number, place, removed, added in damage:
        line = found[number % len(found)]
        at = int(place * len(line))
        found[number % len(found)] = line[:at] + added + line[at + removed :]
    content = b"".join(found)
    content = content[: content.rfind(b"\n") + 1]
    for form in (Protobuf, Json):
        begin, seen = 0, []
        for run in block.runs(memoryview(content), 0, form(), lambda _: True):
            seen += [end for _, end in run.spans] + [run.end] * bool(run.line)
            for span, end in run.spans:
                alone = form().span(content[content.rfind(b"\n", 0, end - 1) + 1 : end])
                assert alone is not None
                assert alone._replace(content=b"") == span._replace(content=b"")
                assert alone.content == span.content or same(message(alone), message(span))
            assert content[: run.end].endswith(run.line)
            begin = run.end
        assert begin == len(content)
        assert seen == sorted(seen)


def said_of(found: list[bytes]) -> list[str]:
    """The spans that have ended which the total reader finds on each line."""
    decoded = []
    for line in found:
        said = Said("")
        said.add((line,))
        decoded += [str(message(Protobuf().record(each))) for each in said.ended]
    return sorted(decoded)


def sent(path: Path, form: Form, *, at_once: bool) -> tuple[list[str], int]:
    """The spans of a file, as a backend gets them; and how much could not be read."""
    with closing(Spool(path, form=form, at_once=at_once)) as spool:
        batches = list(spool.batches(0))
    assert batches[-1].end == path.stat().st_size
    requests = [form.request([span]) for batch in batches for span, _ in batch.spans]
    found = [lines.message(each) if isinstance(form, Json) else TracesData.FromString(each) for each in requests]
    return sorted(map(str, found)), sum(batch.unreadable for batch in batches)


FORMS = pytest.mark.parametrize("form", [Protobuf, Json])
WAYS = pytest.mark.parametrize("at_once", [True, False], ids=["at once", "alone"])
ODD: dict[str, tuple[bytes, bytes]] = {
    "the name of a status": (b'"name":', b'"status":{"code":"STATUS_CODE_ERROR"},"name":'),
    "a negative status": (b'"name":', b'"status":{"code":-1},"name":'),
    "no known status": (b'"name":', b'"status":{"code":7},"name":'),
    "a list as status": (b'"name":', b'"status":{"code":[2]},"name":'),
    "a truth value as status": (b'"name":', b'"status":{"code":true},"name":'),
    "a number as message": (b'"name":', b'"status":{"code":2,"message":5},"name":'),
    "nothing as status": (b'"name":', b'"status":{"code":null},"name":'),
    "large flags": (b'"name":', b'"flags":99999999999,"name":'),
    "the name of a kind": (b'"kind":3', b'"kind":"SPAN_KIND_CLIENT"'),
    "a time of 0": (b'"startTimeUnixNano":"1', b'"startTimeUnixNano":"0","was":"'),
    "no parent": (b'"parentSpanId":"', b'"parentSpanId":"0000000000000000","was":"'),
    "a large integer": (b'"intValue":"0"', b'"intValue":"9999999999999999999"'),
    "a larger integer": (b'"intValue":"0"', b'"intValue":"99999999999999999999"'),
    "an integer as a number": (b'"intValue":"0"', b'"intValue":5'),
    "a number without digits": (b'"intValue":"0"', b'"doubleValue":1.'),
    "a number with a leading zero": (b'"intValue":"0"', b'"doubleValue":01'),
    "a number that is too large": (b'"intValue":"0"', b'"doubleValue":1e999'),
    "half of a surrogate pair": (b'"stringValue":"xx', b'"stringValue":"\\ud800'),
    "a control byte": (b'"stringValue":"xx', b'"stringValue":"x\t'),
    "a byte that is no UTF-8": (b'"stringValue":"xx', b'"stringValue":"x\xff'),
    "deep lists": (b'{"intValue":"0"}', b'{"arrayValue":{"values":[' * 20 + b"]}}" * 20),
}


@FORMS
@WAYS
def test_no_odd_line_stops_the_others(
    recorded: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: type[Protobuf | Json], at_once: bool
) -> None:
    """Each is understood as the total reader does."""
    monkeypatch.setattr(spool_module, "_MANY", 0)
    path, call = tmp_path / "odd.jsonl", next(line for line in recorded if b'"intValue":"0"' in line and b"xxxx" in line)
    for number, odd in enumerate(ODD.values()):
        head, begins, span = call.partition(SPANS)
        assert odd[0] in span, odd
        span = re.sub(rb'"spanId":"\w{12}', b'"spanId":"%012x' % (number + 1), span.replace(*odd, 1))
        found = [*recorded, head + begins + span]
        path.write_bytes(b"".join(found))
        spans, _ = sent(path, form(), at_once=at_once)
        assert spans == said_of(found), odd
        assert len(spans) >= 6, odd
        assert sum("STATUS_CODE_ERROR" in span for span in spans) == (number in {0, 5})


@FORMS
@WAYS
def test_lines_that_cannot_be_sent_are_counted(
    recorded: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: type[Protobuf | Json], at_once: bool
) -> None:
    """Torn in the head with another line on it, or of a value with no end of lists in it: the others are sent."""
    monkeypatch.setattr(spool_module, "_MANY", 0)
    path, call = tmp_path / "odd.jsonl", next(line for line in recorded if b'"intValue":"0"' in line and b"xxxx" in line)
    deep = call.replace(b'{"intValue":"0"}', b'{"arrayValue":{"values":[' * 5000 + b"]}}" * 5000)
    path.write_bytes(b"".join([*recorded[:4], call[:100] + b"\n", deep, *recorded[4:]]))
    assert sent(path, form(), at_once=at_once) == (said_of(recorded), 2)


@pytest.mark.parametrize("form", [Protobuf, Json])
@searching(max_examples=40)
@given(
    damage=st.lists(
        st.tuples(st.integers(0, 11), st.floats(0, 1), st.integers(0, 40), st.sampled_from(TOKENS) | st.binary(max_size=2)), min_size=1, max_size=4
    )
)
def test_damaged_lines_are_sent_as_they_are_read(
    recorded: list[bytes],
    tmp_path_factory: pytest.TempPathFactory,
    form: type[Protobuf | Json],
    damage: list[tuple[int, float, int, bytes]],
) -> None:
    """Whatever stands in them: what is sent is what the total reader reads, and nothing fails."""
    found = [line for line in recorded if line[PENDING_START:PENDING_END] != PENDING]
    for number, place, removed, added in damage:
        line = found[number % len(found)]
        at = int(place * len(line))
        found[number % len(found)] = line[:at] + added + line[at + removed :]
    path = tmp_path_factory.mktemp("damaged") / "damaged.jsonl"
    path.write_bytes(b"".join(found))
    expected = said_of(io.BytesIO(b"".join(found)).readlines())
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(spool_module, "_MANY", 0)
        for at_once in (True, False):
            assert sent(path, form(), at_once=at_once)[0] == expected


def test_spans_are_grouped_by_their_origin(tmp_path: Path) -> None:
    """Resource and scope are sent once a request, not once a span."""
    path = record(tmp_path, calls=3)
    with closing(Spool(path)) as spool:
        (batch,) = spool.batches(0)
    (group,) = message(*(span for span, _ in batch.spans)).resource_spans
    (scope,) = group.scope_spans
    assert len(scope.spans) == 5
    assert scope.scope.name == "massgen_tracing"
    assert {pair.key for pair in group.resource.attributes} >= {"service.name", "telemetry.sdk.name"}


def test_starts_are_known(tmp_path: Path) -> None:
    """A pending span stands for its parent, which is the span that has started."""
    path = record(tmp_path, calls=1)
    plain = Protobuf()
    found = path.read_bytes().splitlines(keepends=True)
    starts = [plain.span(line) for line in found if line[PENDING_START:PENDING_END] == PENDING]
    ends = {span.key for line in found if line[PENDING_START:PENDING_END] != PENDING and (span := plain.span(line)) is not None}
    assert {span.key[:16] + span.parent for span in starts if span is not None} == ends


@given(st.integers(0, 2**64 - 1))
def test_numbers_are_written_as_protobuf_writes_them(number: int) -> None:
    """Seven bits a byte, the lowest first."""
    written = wire.varint(number)
    assert sum((byte & 0x7F) << 7 * place for place, byte in enumerate(written)) == number
    assert [byte >= 0x80 for byte in written] == [True] * (len(written) - 1) + [False]
    assert len(written) == max(1, math.ceil(number.bit_length() / 7))

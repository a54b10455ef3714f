"""Spans with their places: columns are the same spans as objects, however they are cut, joined and sent."""

from __future__ import annotations

import re
from contextlib import closing
from itertools import accumulate
from pathlib import Path

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from massgen_tracing.delivery import spool as spool_module
from massgen_tracing.delivery.encode import Form, Json, Protobuf, block
from massgen_tracing.delivery.encode.placed import Joined, Listed, Spans
from massgen_tracing.delivery.spool import Spool
from massgen_tracing.store.reading.lines import PENDING, PENDING_END, PENDING_START, SPANS
from massgen_tracing.store.reading.live import Said
from tests.delivery.recordings import record
from tests.sinks import lines

FORMS = pytest.mark.parametrize("form", [Protobuf, Json])
WAYS = pytest.mark.parametrize("at_once", [True, False], ids=["at once", "alone"])


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Lines of spans that have ended, half of them of another program."""
    found = record(tmp_path_factory.mktemp("recorded"), calls=6).read_bytes().splitlines(keepends=True)
    found = [line for line in found if line[PENDING_START:PENDING_END] != PENDING]
    return [line.replace(b'"massgen"', b'"another"', 1) if number % 2 else line for number, line in enumerate(found)]


def columns(form: Form, written: list[bytes]) -> Spans:
    """All spans of these lines, of which each is plain."""
    (run,) = block.runs(memoryview(b"".join(written)), 100, form, lambda _: True)
    return run.spans


@FORMS
def test_columns_are_the_same_spans_as_objects(form: type[Form], ended: list[bytes]) -> None:
    """One by one, cut anywhere, joined with others, those of a time only; and in a request, each with what it is of."""
    made = form()
    found = columns(made, ended)
    objects = list(found)
    alone = [span for line in ended if (span := made.span(line)) is not None]
    assert [span._replace(content=b"") for span, _ in objects] == [span._replace(content=b"") for span in alone]
    assert said(made, made.request([span for span, _ in objects])) == said(made, made.request(alone))
    assert [place for _, place in objects] == [100 + place for place in accumulate(map(len, ended))]
    middle = sorted(span.start_ns for span, _ in objects)[3]
    both = Joined([found[:3], Listed(objects[3:5]), found[5:5], found[5:]])
    for spans in (found, Listed(objects), both):
        assert len(spans) == len(objects) == 8
        assert (spans[0], spans[4], spans[-1]) == (objects[0], objects[4], objects[-1])
        assert [list(spans[begin:end]) for begin in range(8) for end in range(9)] == [objects[begin:end] for begin in range(8) for end in range(9)]
        assert list(spans.ended()) == [span.key for span, _ in objects]
        assert list(spans.since(middle)) == [(span, place) for span, place in objects if span.start_ns >= middle]
        assert said(made, made.body(spans[1:].contents())) == said(made, made.request([span for span, _ in objects[1:]]))
        assert len({home for home, _ in spans.contents()}) == 2
    with pytest.raises(IndexError):
        found[8]


def said(form: Form, request: bytes) -> list[str]:
    """What a backend gets: each span with what it is of."""
    data = lines.message(request) if isinstance(form, Json) else TracesData.FromString(request)
    return [f"{group.resource}{scope.scope}{span}" for group in data.resource_spans for scope in group.scope_spans for span in scope.spans]


@FORMS
def test_a_batch_has_as_many_as_fit(form: type[Form], ended: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At most so many spans and so many bytes, but one at least; whichever way they were encoded, at the same places."""
    path = tmp_path / "recording.jsonl"
    path.write_bytes(b"".join([*ended[:4], ended[4].replace(b'"traceId"', b' "traceId"'), *ended[5:]]))
    monkeypatch.setattr(spool_module, "_MANY", 0)
    sizes = [len(span.content) for span, _ in columns(form(), ended)]
    for most_spans, most_bytes in ((3, 10**6), (100, sum(sizes[:3])), (100, sum(sizes[:3]) - 1), (100, 1)):
        monkeypatch.setattr(spool_module, "MOST_SPANS", most_spans)
        monkeypatch.setattr(spool_module, "MOST_BYTES", most_bytes)
        found = []
        for at_once in (True, False):
            with closing(Spool(path, form=form(), at_once=at_once)) as spool:
                found.append([([span.key for span, _ in batch.spans], batch.end) for batch in spool.batches(0)])
        assert found[0] == found[1]
        assert sum(len(keys) for keys, _ in found[0]) == 8
        assert len(found[0][0][0]) == {1: 1, sum(sizes[:3]) - 1: 2}.get(most_bytes, 3)


FIRST = b'{"key":"number","value":{"stringValue":"first"}}'
LAST = b'{"key":"number","value":{"stringValue":"last"}}'
EVENT = b'{"timeUnixNano":"1800000000000000000","name":"e","attributes":[%s]}'
LISTS = b'"attributes":['
TWICE: dict[str, tuple[bytes, bytes]] = {
    "a span's": (LISTS, LISTS + FIRST + b","),
    "a span's, written in another way": (LISTS, LISTS + FIRST.replace(b"num", b"\\u006eum") + b","),
    "an event's": (b'"flags":', b'"events":[%s],"flags":' % EVENT % (FIRST + b"," + LAST)),
}


def in_span(line: bytes, old: bytes, new: bytes) -> bytes:
    """A line with something else in its span."""
    head, begins, span = line.partition(SPANS)
    return head + begins + span.replace(old, new, 1)


@FORMS
@WAYS
def test_of_a_key_that_is_there_twice_the_last_one_is_sent(
    form: type[Form], at_once: bool, ended: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the reader reads it, of a span, of an event and of a resource; the same key in several events is no such one."""
    monkeypatch.setattr(spool_module, "_MANY", 0)
    call = next(line for line in ended if b'"number"' in line)
    several = in_span(call, b'"flags":', b'"events":[%s,%s],"flags":' % (EVENT % FIRST, EVENT % FIRST))
    found = [several, *(in_span(call, *each) for each in TWICE.values()), call.replace(LISTS, LISTS + FIRST + b"," + LAST + b",", 1)]
    found = [re.sub(rb'"spanId":"\w', b'"spanId":"%x' % (number + 1), line) for number, line in enumerate(found)]
    path = tmp_path / "recording.jsonl"
    path.write_bytes(b"".join(found))
    made = form()
    assert made.span(several) is not None
    with closing(Spool(path, form=made, at_once=at_once)) as spool:
        (batch,) = spool.batches(0)
    read = Said("")
    read.add(found)
    sent = said(made, made.body(batch.spans.contents()))
    assert sorted(sent) == sorted(said(made, made.request([made.record(each) for each in read.ended])))
    assert [span.count("first") for span in sent] == [2, 0, 0, 0, 0]


@WAYS
def test_a_damaged_attribute_is_no_other_one(at_once: bool, ended: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever byte of its beginning is missing, or the end of its text: what is sent is what is read."""
    monkeypatch.setattr(spool_module, "_MANY", 0)
    call, begin = ended[1], ended[1].rindex(LISTS)
    path, made = tmp_path / "recording.jsonl", Protobuf()
    damaged = [call[:at] + call[at + 1 :] for at in range(begin, begin + len(LISTS) + len(b'{"key":"'))]
    for each in (*damaged, call.replace(b'"openai"}},{"key":"gen_ai.system"', b'"}},{"key":"gen_ai.system"', 1)):
        path.write_bytes(ended[0] + each)
        read = Said("")
        read.add((ended[0], each))
        with closing(Spool(path, form=made, at_once=at_once)) as spool:
            (batch,) = spool.batches(0)
        assert sorted(said(made, made.body(batch.spans.contents()))) == sorted(said(made, made.request([made.record(each) for each in read.ended])))

"""Files of other programs: whatever shape they have, the same spans are the same rows; whatever is in them, it is read, counted, or named."""

from __future__ import annotations

import base64
import copy
import gzip
import json
import random
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from massgen_tracing import errors
from massgen_tracing.model import SpanRecord
from massgen_tracing.store.reading import live, nodes, sources, text, wire
from massgen_tracing.store.reading.foreign import Document
from massgen_tracing.store.reading.recording import Recording
from massgen_tracing.store.reading.sources import Foreign
from massgen_tracing.store.roots import reader
from massgen_tracing.store.tables import metrics, records
from tests.store import otlp, shapes

_FOUND = (Phase.explicit, Phase.reuse, Phase.generate)
"""What is found is shown as it is: making it smaller takes longer than all else."""

_IDS = st.integers(1, 2**16 - 1)
_TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
_VALUES = st.recursive(
    st.one_of(
        _TEXTS.map(lambda value: {"stringValue": value}),
        st.integers(-(2**63), 2**63 - 1).map(lambda value: {"intValue": str(value)}),
        st.floats(allow_nan=False, allow_infinity=False).map(lambda value: {"doubleValue": value}),
        st.booleans().map(lambda value: {"boolValue": value}),
        st.binary(max_size=4).map(lambda value: {"bytesValue": base64.b64encode(value).decode()}),
    ),
    lambda inner: (
        st.lists(inner, max_size=2).map(lambda values: {"arrayValue": {"values": values}})
        | st.dictionaries(_TEXTS, inner, max_size=2).map(lambda pairs: {"kvlistValue": {"values": _pairs(pairs)}})
    ),
    max_leaves=4,
)


def _pairs(values: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": value} for key, value in values.items()]


_ATTRIBUTES = st.dictionaries(_TEXTS, _VALUES, max_size=4).map(_pairs)


@st.composite
def _spans(draw: st.DrawFn) -> dict[str, Any]:
    span = otlp.span(draw(_IDS), draw(_TEXTS), parent=draw(st.integers(0, 9)), start_ms=draw(st.integers(0, 10**6)), kind=draw(st.integers(1, 5)))
    span["attributes"] = draw(_ATTRIBUTES)
    span["status"] = {"code": draw(st.integers(0, 2)), "message": draw(_TEXTS)}
    if draw(st.booleans()):
        span["events"] = [{"timeUnixNano": span["startTimeUnixNano"], "name": draw(_TEXTS), "attributes": draw(_ATTRIBUTES)}]
    if draw(st.booleans()):
        span["links"] = [{"traceId": otlp.TRACE, "spanId": otlp.span_id(draw(_IDS)), "attributes": draw(_ATTRIBUTES)}]
    return span


@st.composite
def _documents(draw: st.DrawFn) -> list[dict[str, Any]]:
    def part() -> dict[str, Any]:
        scopes = [
            {"scope": {"name": draw(_TEXTS), "attributes": draw(_ATTRIBUTES)}, "spans": draw(st.lists(_spans(), min_size=1, max_size=4))}
            for _ in range(draw(st.integers(1, 2)))
        ]
        return {"resource": {"attributes": _pairs({"service.name": {"stringValue": draw(_TEXTS)}})}, "scopeSpans": scopes}

    return [{"resourceSpans": [part() for _ in range(draw(st.integers(1, 2)))]} for _ in range(draw(st.integers(1, 2)))]


@pytest.fixture(autouse=True)
def _nothing_known() -> Iterator[None]:
    live._kept.clear()
    yield
    live._kept.clear()


@pytest.fixture(params=["whole", "in small blocks"])
def blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How much of a file is in memory at once: as a rule, or so little that everything is torn."""
    if request.param == "in small blocks":
        monkeypatch.setattr(sources, "_BLOCK", 97)
        monkeypatch.setattr(text, "_AT_ONCE", 1500)
        monkeypatch.setattr(text, "_LINE", 600)
        monkeypatch.setattr(text, "_AHEAD", 40)


def rows(found: Recording) -> list[dict[str, Any]]:
    """All rows of a recording, in an order of their own."""
    made = [*records.rows(found), *map(metrics.row, found.points)]
    return sorted(made, key=lambda row: json.dumps(row, sort_keys=True, default=str))


def read(path: Path, content: bytes) -> Recording:
    """What the reader makes of a file with this content."""
    path.write_bytes(content)
    return reader.read([path])


@settings(max_examples=6, phases=_FOUND)
@given(documents=_documents())
def test_the_same_spans_in_any_shape_are_the_same_rows(tmp_path: Path, blocks: None, documents: list[dict[str, Any]]) -> None:
    """And nothing is skipped, or said to be."""
    path = tmp_path / "spans"
    for name, shape in shapes.SHAPES.items():
        given = documents[:1] if name == "one message a signal" else documents
        expected = reader.Reader()
        expected.add_lines(shapes.lines(given).splitlines(keepends=True), source="lines")
        found = read(path, shape(copy.deepcopy(given)))
        assert rows(found) == rows(expected.recording()), name
        assert not found.report.skipped, (name, found.report.first_skips)


_LOG = {
    "resourceLogs": [
        {
            "resource": {"attributes": otlp.key_values({"service.name": "shop"})},
            "scopeLogs": [
                {
                    "scope": {"name": "lib", "version": "2"},
                    "logRecords": [
                        {
                            "timeUnixNano": str(otlp.BASE_NS + number),
                            "severityNumber": 13,
                            "severityText": "WARN",
                            "body": {"stringValue": f"word {number}"},
                            "attributes": otlp.key_values({"n": number}),
                            "traceId": otlp.TRACE,
                            "spanId": otlp.span_id(7),
                        }
                        for number in range(3)
                    ],
                }
            ],
        }
    ]
}
_POINT = {"timeUnixNano": str(otlp.BASE_NS), "startTimeUnixNano": str(otlp.BASE_NS - 5), "attributes": otlp.key_values({"k": "v"})}
_HISTOGRAM = {**_POINT, "count": "3", "sum": 1.5, "min": 0.25, "max": 1.0}
_METRICS = {
    "resourceMetrics": [
        {
            "resource": {"attributes": otlp.key_values({"service.name": "shop"})},
            "scopeMetrics": [
                {
                    "scope": {"name": "lib"},
                    "metrics": [
                        {"name": "gauge", "unit": "s", "gauge": {"dataPoints": [{**_POINT, "asDouble": 1.5}, {**_POINT, "asInt": "-7"}]}},
                        {"name": "sum", "sum": {"aggregationTemporality": 2, "isMonotonic": True, "dataPoints": [{**_POINT, "asInt": "7"}]}},
                        {
                            "name": "histogram",
                            "histogram": {
                                "aggregationTemporality": 1,
                                "dataPoints": [
                                    {
                                        **_HISTOGRAM,
                                        "bucketCounts": ["1", "2"],
                                        "explicitBounds": [0.5],
                                        "exemplars": [
                                            {"timeUnixNano": str(otlp.BASE_NS), "asDouble": 0.5, "spanId": otlp.span_id(7), "traceId": otlp.TRACE}
                                        ],
                                    }
                                ],
                            },
                        },
                        {
                            "name": "exponential",
                            "exponentialHistogram": {
                                "aggregationTemporality": 2,
                                "dataPoints": [
                                    {
                                        **_HISTOGRAM,
                                        "scale": -2,
                                        "zeroCount": "1",
                                        "zeroThreshold": 0.1,
                                        "positive": {"offset": -3, "bucketCounts": ["1", "300"]},
                                        "negative": {"offset": 2, "bucketCounts": ["4"]},
                                    }
                                ],
                            },
                        },
                        {
                            "name": "summary",
                            "summary": {"dataPoints": [{**_POINT, "count": "2", "sum": 3.0, "quantileValues": [{"quantile": 0.5, "value": 1.0}]}]},
                        },
                    ],
                }
            ],
        }
    ]
}


@pytest.mark.parametrize("documents", [[_LOG], [_METRICS], [_LOG, _METRICS]], ids=["logs", "metrics", "both"])
def test_logs_and_metrics_in_any_shape_are_the_same_rows(tmp_path: Path, blocks: None, documents: list[dict[str, Any]]) -> None:
    """As spans are."""
    expected = rows(read(tmp_path / "expected.jsonl", shapes.lines(documents)))
    assert len(expected) == 3 * (_LOG in documents) + 6 * (_METRICS in documents)
    for name, shape in shapes.SHAPES.items():
        if name == "one message a signal" and len(documents) > 1:
            continue
        found = read(tmp_path / "found", shape(copy.deepcopy(documents)))
        assert rows(found) == expected, name
        assert not found.report.skipped, (name, found.report.first_skips)


def test_the_decoder_of_protobuf_knows_otlps_messages() -> None:
    """Every field of its tables has the number, the type and the name that OpenTelemetry's own have, and none that can be in a row is left out."""
    seen: list[int] = []

    def compare(table: wire.Message, descriptor: Any) -> None:
        if id(table) in seen:
            return
        seen.append(id(table))
        fields = {field.number: field for field in descriptor.fields}
        for number, field in table.items():
            other = fields.pop(number)
            assert (field.name, field.repeated) == (other.json_name, other.is_repeated), other.full_name
            if isinstance(field.kind, dict):
                compare(field.kind, other.message_type)
            else:
                assert getattr(other, f"TYPE_{field.kind.upper()}") == other.type, other.full_name
        assert {name for field in fields.values() for name in [field.name]} <= _NOT_IN_ROWS, descriptor.full_name

    traces, logs, points = (message.DESCRIPTOR.fields[0].message_type for message in shapes.MESSAGES.values())
    compare(wire.RESOURCE, traces.fields_by_name["resource"].message_type)
    for of_resource, table in ((traces, wire.SPAN), (logs, wire.LOG_RECORD), (points, wire.METRIC)):
        of_scope = of_resource.fields[1].message_type
        compare(wire.SCOPE, of_scope.fields_by_name["scope"].message_type)
        compare(table, of_scope.fields[1].message_type)
    assert len(seen) > 15


_NOT_IN_ROWS = {"entity_refs", "metadata", "string_value_strindex", "key_strindex", "key_ref", "string_value_ref"}


# --- whatever is in a file ------------------------------------------------------------------------------------------------------------

_SAMPLE = [{"resourceSpans": [json.loads(line)["resourceSpans"][0] for line in otlp.sample_lines()[:6]]}, _LOG]


@settings(max_examples=40, phases=_FOUND)
@given(shape=st.sampled_from(sorted(shapes.SHAPES)), seed=st.integers(0, 2**32))
def test_a_mangled_file_is_read_or_refused_with_an_error_of_ours(tmp_path: Path, blocks: None, shape: str, seed: int) -> None:
    """Whatever is cut out of it, put into it or turned around."""
    chance = random.Random(seed)
    content = bytearray(shapes.SHAPES[shape](copy.deepcopy(_SAMPLE)))
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(content) + 1)
        match chance.randrange(5):
            case 0:
                del content[at:]
            case 1:
                del content[at : at + chance.randrange(40)]
            case 2:
                content[at:at] = chance.randbytes(chance.randrange(8))
            case 3:
                content[at:at] = chance.choice(
                    [b"{", b"}", b"[", b"]", b'"', b",", b"\\", b"\n", b"\0", b'{"resourceSpans":[', b"1e999", b'"\\ud800"']
                )
            case 4:
                content[at : at + 1] = bytes([chance.randrange(256)])
    path = tmp_path / "mangled"
    try:
        found = read(path, bytes(content))
    except errors.RecordingError:
        return
    records.table(found)
    metrics.table(found.points)


@settings(max_examples=25, phases=_FOUND)
@given(data=st.data())
def test_a_file_that_breaks_off_anywhere_has_what_came_before(tmp_path: Path, blocks: None, data: st.DataObject) -> None:
    """Each whole span before that place is read, and that it breaks off is counted."""
    shape = data.draw(st.sampled_from(["lines", "pretty", "an array", "on one line", "messages"]))
    spans = [otlp.span(number + 1, f"n{number}", attributes={"text": "x" * number}) for number in range(12)]
    documents = [json.loads(otlp.line(*spans[:6])), json.loads(otlp.line(*spans[6:]))]
    content = shapes.SHAPES[shape](documents)
    cut = data.draw(st.integers(1, len(content) - 2))
    path = tmp_path / "torn"
    path.write_bytes(content[:cut])
    document = Document(path)
    try:
        found = {record.name for record in document.records()}  # type: ignore[union-attr]
    except Foreign:
        found = set()
    if shape != "messages":
        marks = [content.find(f'"n{number}"'.encode()) for number in range(12)]
        ends = [*marks[1:], len(content)]
        whole = {f"n{number}" for number in range(11) if number != 5 and content.rfind(b'"traceId"', 0, ends[number]) < cut}
        assert whole <= found
    tail, padded = content[cut:].strip(), shape == "messages" and content[:cut].endswith(b"\0")  # as after a power loss
    assert document.report.skipped or not found or tail in {b"", b"]"} or padded or content[:cut].rstrip().endswith(b"}")


def test_a_broken_document_hurts_no_other(tmp_path: Path, blocks: None) -> None:
    """Torn lines, glued ones, rubbish: what is whole is read, each of the others is counted."""
    whole = [otlp.line(otlp.span(number, f"n{number}")) for number in range(1, 6)]
    content = b"".join([b"rubbish\n", whole[0], whole[1][:150], whole[2], whole[3][:200], b"\n", whole[4], b'{"a": 1}\n', b'{"half": \n', whole[1]])
    found = read(tmp_path / "lines.jsonl", content)
    assert [span.name for span in found.spans] == ["n1", "n2", "n3", "n5"]
    assert found.report.skipped == 5


@pytest.mark.parametrize(
    ("name", "content", "word"),
    [
        ("jaeger.json", b'{"data":[{"traceID":"1","spans":[{"traceID":"1","spanID":"2","operationName":"x"}],"processes":{}}]}', "Jaeger"),
        ("zipkin.json", b'[{"traceId":"0af7651916cd43dd8448eb211c80319c","id":"0000000000000001","name":"x","timestamp":1,"duration":1}]', "Zipkin"),
        ("zipkin.jsonl", b'{"traceId":"0af7651916cd43dd8448eb211c80319c","id":"0000000000000001","localEndpoint":{}}\n', "Zipkin"),
        ("console.json", b'{\n "name": "x",\n "context": {\n  "trace_id": "0x1"\n },\n "parent_id": null\n}\n', "console"),
        ("console.txt", b"{\n  resource: {\n  },\n  instrumentationScope: { name: 'x' },\n  traceId: '1'\n}\n", "console"),
        ("older.txt", b"{\n  traceId: '1',\n  parentId: undefined,\n  name: 'main',\n  kind: 0\n}\n", "console"),
        ("numbers.json", b"[1, 2, 3]", "another kind"),
        ("stdout.json", b'{"Name":"x","SpanContext":{"TraceID":"1"},"Parent":{}}', "console"),
        ("utf16.json", json.dumps({"resourceSpans": []}).encode("utf-16"), "UTF-16"),
        ("utf16le.json", json.dumps({"resourceSpans": []}).encode("utf-16-le"), "UTF-16"),
        ("text.gz", gzip.compress(b"hello\n", mtime=0), "gzip"),
        ("text.zst", shapes.zstd(b"hello\n"), "zstd"),
        ("chrome.json", b'{"traceEvents":[{"ph":"X"}]}', "Chrome"),
        ("words.txt", b"hello there\nmore\n", "no JSON"),
        ("other.json", b'{"name": "package", "version": "1"}', "another kind"),
        ("archive.zip", b"PK\x03\x04 and so on", "zip"),
        ("random.bin", bytes(range(128, 256)), "binary"),
        ("torn.json", b'{"resourceSpans":[{"resource":{"attributes":[', "breaks off"),
    ],
)
def test_what_is_no_otlp_is_one_error_that_says_what_it_is(tmp_path: Path, name: str, content: bytes, word: str) -> None:
    """By its keys, its first bytes, or its words."""
    with pytest.raises(errors.RecordingError, match=word) as raised:
        read(tmp_path / name, content)
    assert name in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_document_without_spans_is_no_error(tmp_path: Path) -> None:
    """An exporter that had nothing to export says so in OTLP."""
    assert not read(tmp_path / "empty.json", b'{"resourceSpans":[]}').spans
    assert not read(tmp_path / "nothing.json", b"").spans
    assert not read(tmp_path / "blank.json", b"\n \n").spans


# --- values ---------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "meaning"),
    [
        ({"intValue": 5.0}, 5),
        ({"intValue": "1e3"}, 1000),
        ({"int_value": "5"}, 5),
        ({"IntValue": 5}, 5),
        ({"doubleValue": "1.5"}, 1.5),
        ({"boolValue": "True"}, True),
        ({"boolValue": 0}, False),
        ({"stringValue": 7}, "7"),
        ({"stringValue": "", "intValue": "7"}, 7),
        ({"stringValue": "x", "intValue": 0}, "x"),
        ({"Value": {"StringValue": "x"}}, "x"),
        ({"value": {"intValue": "7"}}, 7),
        ({"bytesValue": "-__-"}, b"\xfb\xff\xfe"),
        ({"bytesValue": "+//+"}, b"\xfb\xff\xfe"),
        ({"bytesValue": "YQ"}, b"a"),
        ({"arrayValue": [{"intValue": 1}, "two", None]}, (1, "two", None)),
        ({"kvlistValue": {"a": {"intValue": 1}}}, {"a": 1}),
        ("plain", "plain"),
        (7, 7),
        ([1, "x"], (1, "x")),
        ({}, None),
        (None, None),
        ({"stringValue": None}, None),
    ],
)
def test_a_value_is_understood_where_its_meaning_is_plain(tmp_path: Path, value: Any, meaning: Any) -> None:
    """However it is written; and then nothing is said of it."""
    found = read(tmp_path / "v.json", shapes.pretty([json.loads(otlp.line(otlp.span(1, "n") | {"attributes": [{"key": "k", "value": value}]}))]))
    assert found.spans[0].attributes["k"] == meaning
    assert not found.report.skipped


@pytest.mark.parametrize(
    "fields",
    [
        {"attributes": [{"key": "k", "value": {"intValue": "many"}}]},
        {"attributes": [{"key": "k", "value": {"boolValue": "perhaps"}}]},
        {"attributes": [{"key": "k", "value": {"bytesValue": "?"}}]},
        {"attributes": [{"key": "k", "value": {"stringValue": [1]}}]},
        {"attributes": [{"key": "k", "value": {"someValue": 1}}]},
        {"attributes": [{"key": 7, "value": {"intValue": 1}}]},
        {"attributes": "none"},
        {"links": [{"traceId": otlp.TRACE, "spanId": "no"}]},
        {"parentSpanId": "no"},
        {"kind": "SOMETHING"},
        {"kind": 17},
        {"status": {"code": "FINE"}},
        {"startTimeUnixNano": "abc"},
        {"startTimeUnixNano": -1},
        {"endTimeUnixNano": "abc"},
        {"events": [{"name": "e", "timeUnixNano": "soon"}]},
    ],
    ids=repr,
)
def test_what_cannot_be_read_of_a_span_is_counted_and_the_span_is_read(tmp_path: Path, fields: dict[str, Any]) -> None:
    """In a file of another program as on a line of our own writer."""
    line = otlp.line({**otlp.span(1, "n"), **fields})
    for content in (line, shapes.pretty([json.loads(line)])):
        found = read(tmp_path / "odd.json", content)
        assert len(found.spans) == 1
        assert found.report.skipped == 1
        assert len(found.report.sentence) > 20


@pytest.mark.parametrize(
    "attributes", [{"a": "b", "n": 1, "deep": {"er": [True]}}, {"a": {"stringValue": "b"}, "n": {"intValue": "1"}, "deep": {"er": [True]}}]
)
def test_attributes_may_be_an_object(tmp_path: Path, attributes: dict[str, Any]) -> None:
    """Of plain values, or of typed ones."""
    found = read(tmp_path / "map.jsonl", otlp.line({**otlp.span(1, "n"), "attributes": attributes}))
    assert found.spans[0].attributes == {"a": "b", "n": 1, "deep": {"er": (True,)}}


@pytest.mark.parametrize(
    ("kind", "code"), [("SPAN_KIND_SERVER", "STATUS_CODE_ERROR"), ("SERVER", "ERROR"), ("Server", "Error"), ("2", "2"), (2.0, 2.0)]
)
def test_names_of_enums_may_have_no_prefix(tmp_path: Path, kind: Any, code: Any) -> None:
    """And any case."""
    (span,) = read(tmp_path / "enums.jsonl", otlp.line({**otlp.span(1, "n"), "kind": kind, "status": {"code": code}})).spans
    assert (span.kind, span.status_code) == (2, 2)


@pytest.mark.parametrize(
    "fields",
    [
        {"traceId": "0x" + otlp.TRACE, "spanId": "0x0000000000000001"},
        {"traceId": str(uuid.UUID(otlp.TRACE)), "spanId": "00000000-00000001"},
        {"startTimeUnixNano": "2027-01-15T09:00:00.000000001+01:00"},
    ],
    ids=repr,
)
def test_ids_and_times_may_be_written_for_people(tmp_path: Path, fields: dict[str, Any]) -> None:
    """Ids as 0x… and as UUIDs, times as dates."""
    plain = otlp.span(1, "n") | {"startTimeUnixNano": "1800000000000000001"}
    (span,) = read(tmp_path / "people.json", otlp.line(plain | fields)).spans
    assert (span.trace_id, span.span_id, span.start_ns) == (otlp.TRACE, f"{1:016x}", 1_800_000_000_000_000_001)


def test_client_and_server_may_have_one_id(tmp_path: Path) -> None:
    """As in tracers of Zipkin's kind: both are kept, whatever comes first, and the same span twice is one."""
    client, server = otlp.span(1, "call", kind=3), otlp.span(1, "serve", kind=2)
    for order in ((client, server), (server, client), (client, server, client, server)):
        found = read(tmp_path / "twins.jsonl", b"".join(map(otlp.line, order)))
        assert sorted(span.name for span in found.spans) == ["call", "serve"]
        assert read(tmp_path / "document.json", shapes.pretty([json.loads(otlp.line(*order))])).spans == found.spans


def test_a_span_may_be_a_document_by_itself(tmp_path: Path) -> None:
    """A line each."""
    content = b"".join(json.dumps(otlp.span(number, f"n{number}")).encode() + b"\n" for number in (1, 2))
    assert [span.name for span in read(tmp_path / "bare.jsonl", content).spans] == ["n1", "n2"]


def test_a_resource_that_comes_too_late_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many values wait for it, no more."""
    from massgen_tracing.store.reading import envelopes

    monkeypatch.setattr(envelopes, "_HELD", 3)
    monkeypatch.setattr(sources, "_BLOCK", 97)
    monkeypatch.setattr(text, "_LINE", 200)
    late = {
        "scopeSpans": [{"scope": {}, "spans": [otlp.span(number, "n") for number in range(1, 9)]}],
        "resource": {"attributes": {"service.name": "late"}},
    }
    found = read(tmp_path / "late.json", json.dumps({"resourceSpans": [late]}).encode())
    assert len(found.spans) == 8
    assert "comes after" in found.report.first_skips[0].reason


def _nested(levels: int, end: str = "") -> str:
    return '{"resourceLogs":' * levels + (f"{end}{'}' * levels}" if end else "")


@pytest.mark.parametrize("text", [_nested(levels, end) for levels in (300, 3000) for end in ("", "1")], ids=["300 open", "300", "3000 open", "3000"])
def test_a_document_that_is_nested_too_deep_is_refused_once(tmp_path: Path, blocks: None, text: str) -> None:
    """Not once for each level, each of which looks like a document: that would take time by the square of its length. The next line is read."""
    path = tmp_path / "a.otlp.jsonl"
    path.write_text(text)
    with pytest.raises(Foreign, match=nodes.TOO_DEEP):
        list(Document(path).records())
    path.write_bytes(text.encode() + b"\n" + otlp.line(otlp.span(1, "a")))
    document = Document(path)
    assert [record.name for record in document.records() if isinstance(record, SpanRecord)] == ["a"]
    assert document.report.skipped <= 2


@pytest.mark.parametrize("pretty", [False, True])
@pytest.mark.parametrize("levels", [nodes.DEEPEST - 50, nodes.DEEPEST + 1, 400])
def test_a_span_that_is_nested_too_deep_costs_no_other(tmp_path: Path, blocks: None, levels: int, pretty: bool) -> None:
    """It is counted."""
    spans = [otlp.span(number, f"span {number}") for number in range(1, 6)]
    deep: Any = 1
    for _ in range(levels):
        deep = [deep]
    spans[2]["attributes"] = [{"key": "deep", "value": deep}]
    path = tmp_path / "a.json"
    path.write_text(json.dumps(json.loads(otlp.line(*spans)), indent=1 if pretty else None))
    document = Document(path)
    read = {record.span_id for record in document.records() if isinstance(record, SpanRecord)}
    lost = levels > nodes.DEEPEST
    assert read == {otlp.span_id(number) for number in range(1, 6) if number != 3 or not lost}
    assert [skip.reason for skip in document.report.first_skips] == [nodes.TOO_DEEP] * lost


def test_lines_that_break_off_are_not_one_that_is_nested_deep(tmp_path: Path, blocks: None) -> None:
    """However many there are, of each what it has is read."""
    whole = json.dumps(json.loads(otlp.line(otlp.span(1, "a"), otlp.span(2, "b"))), separators=(",", ":"))
    path = tmp_path / "a.otlp.jsonl"
    path.write_text(f"{whole[: whole.index('b' + chr(34)) - 30]}\n" * 100)
    assert sum(isinstance(record, SpanRecord) for record in Document(path).records()) == 100


def test_protobuf_that_is_nested_too_deep_is_refused() -> None:
    """As JSON is."""
    deep = b""
    for _ in range(nodes.DEEPEST):
        deep = b"\x2a" + _length(b"\x0a" + _length(deep))
    with pytest.raises(nodes.Broken, match=nodes.TOO_DEEP):
        wire.decode(deep, wire.ANY_VALUE)


def _length(content: bytes) -> bytes:
    """Content behind its length."""
    size, head = len(content), bytearray()
    while size > 0x7F:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([*head, size]) + content

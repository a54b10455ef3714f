"""What is acknowledged can be recorded and read: whatever is sent, it is refused by itself, with a count, or it is there."""

from __future__ import annotations

import copy
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from massgen_tracing import layout
from massgen_tracing.serve.ingest.arrivals import framed
from massgen_tracing.serve.ingest.bodies import Refused
from massgen_tracing.serve.ingest.documents import from_json
from massgen_tracing.serve.ingest.requests import SIGNALS, Checked, answer, from_protobuf
from massgen_tracing.serve.ingest.sorting import Sorter
from massgen_tracing.store.roots import catalogue, reader
from tests.serve.client import JSON, REQUESTS, Client, protobuf, spans, trace_id
from tests.serve.test_ingest import logs, metrics
from tests.store import otlp

TRACE = "0af7651916cd43dd8448eb211c80319c"
DEEPEST = 47
"""Lists in each other that protobuf's own library reads in an attribute."""


def nested(times: int) -> dict[str, Any]:
    """A value in so many lists."""
    value: dict[str, Any] = {"stringValue": "inside"}
    for _ in range(times):
        value = {"arrayValue": {"values": [value]}}
    return value


def taken(*requests: Checked) -> None:
    """All that was acknowledged is read, before it is sorted and afterwards; without a word but for what the sender was told of."""
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        arrivals = root / layout.ARRIVALS_DIR
        arrivals.mkdir()
        (arrivals / f"{1:016d}{layout.ARRIVAL_SUFFIX}").write_bytes(b"".join(framed(each.content) for each in requests if each.content))

        def is_whole() -> bool:
            report = reader.read(catalogue.files(root)).report
            found, sentence = report.spans + report.logs + report.points, report.sentence
            told = not sentence or any(told in sentence for each in requests for told in each.warned)
            return told and found == sum(each.taken for each in requests)

        assert is_whole()
        Sorter(root).close()
        sorter = Sorter(root)
        sorter.sort()
        sorter.close()
        assert is_whole()
        assert not list(arrivals.glob(f"*{layout.BROKEN_SUFFIX}"))


odd: st.SearchStrategy[Any] = (
    st.sampled_from(
        [None, "", "12x", "0", 0, -5, True, [], {}, [[1]], float("nan"), float("-inf"), 2**63, 2**64, -(10**40), "9" * 5000, 1e300, "NaN", "\ud83d"]
    )
    | st.sampled_from([nested(DEEPEST), nested(81), nested(90), {"intValue": "12x"}, {"doubleValue": float("nan")}, {"bytesValue": "!"}])
    | st.text(max_size=3)
)
FIELDS = {
    "traces": (
        *("startTimeUnixNano", "endTimeUnixNano", "traceId", "spanId", "parentSpanId", "name", "kind", "status", "attributes", "events", "links"),
        *("flags", "traceState", "droppedAttributesCount"),
    ),
    "logs": ("timeUnixNano", "observedTimeUnixNano", "severityNumber", "severityText", "body", "attributes", "traceId", "spanId", "eventName"),
    "metrics": ("timeUnixNano", "startTimeUnixNano", "asInt", "asDouble", "flags"),
}


def of_signal(name: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A request with two of a signal, and these."""
    if name == "traces":
        document = spans(otlp.span(1, "good", trace=TRACE), otlp.span(2, "other", trace=TRACE, attributes={"a": 1}))
        return document, document["resourceSpans"][0]["scopeSpans"][0]["spans"]
    if name == "logs":
        document = logs(TRACE, "good", "other")
        return document, document["resourceLogs"][0]["scopeLogs"][0]["logRecords"]
    document = metrics("m", 1, 2)
    return document, document["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0]["sum"]["dataPoints"]


@settings(max_examples=60)
@given(st.sampled_from(list(SIGNALS)), st.data())
def test_what_is_acknowledged_as_json_is_recorded(name: str, data: st.DataObject) -> None:
    """Whatever stands in a field: the other span, log record or data point is taken in any case."""
    document, values = of_signal(name)
    values[1] |= data.draw(st.dictionaries(st.sampled_from(FIELDS[name]), odd, min_size=1, max_size=3))
    if name != "metrics":
        values[1].setdefault("attributes", data.draw(odd.map(lambda value: [{"key": "k", "value": value}])))
    checked = from_json(SIGNALS[name], json.dumps(document).encode())
    assert checked.taken + checked.rejected.total() == 2
    assert checked.taken
    taken(checked)


@settings(max_examples=40)
@given(
    st.binary(max_size=9),
    st.binary(max_size=17),
    st.integers(0, 2**64 - 1),
    st.integers(-3, 9),
    st.booleans(),
    st.sampled_from(["", "pending_span"]),
    st.integers(0, DEEPEST),
)
@example(b"", b"", 1, 0, True, "pending_span", DEEPEST)
def test_what_is_acknowledged_as_protobuf_is_recorded(
    an_id: bytes, a_trace: bytes, time: int, number: int, is_start: bool, kind: str, times: int
) -> None:
    """As it is with JSON."""
    sent = [REQUESTS[name].FromString(protobuf(of_signal(name)[0], name)) for name in SIGNALS]
    span = sent[0].resource_spans[0].scope_spans[0].spans[1]
    span.parent_span_id, span.kind, span.status.code = an_id, number, number
    setattr(span, "start_time_unix_nano" if is_start else "end_time_unix_nano", time)
    span.links.add(trace_id=a_trace, span_id=an_id)
    span.attributes.add(key="logfire.span_type").value.string_value = kind
    deep = protobuf(spans(otlp.span(3, "deep", trace=TRACE) | {"attributes": [{"key": "k", "value": nested(times)}]}))
    log = sent[1].resource_logs[0].scope_logs[0].log_records[1]
    log.time_unix_nano, log.trace_id, log.span_id, log.severity_number = time, a_trace, an_id, number
    scope = sent[2].resource_metrics[0].scope_metrics[0]
    scope.metrics[0].sum.data_points[1].time_unix_nano = time
    scope.metrics.add(name="of no kind")
    checked = [
        *(from_protobuf(signal, message.SerializeToString()) for signal, message in zip(SIGNALS.values(), sent, strict=True)),
        from_protobuf(SIGNALS["traces"], deep),
    ]
    assert [each.taken + each.rejected.total() for each in checked] == [2, 2, 3, 1]
    assert all(each.taken for each in checked)
    taken(*checked)


@pytest.mark.parametrize("as_json", [False, True], ids=["protobuf", "json"])
@pytest.mark.parametrize(
    ("change", "rejected", "says"),
    [
        ({"startTimeUnixNano": "0"}, 1, "without a start time"),
        ({"startTimeUnixNano": str(2**63)}, 1, "of no time that can be"),
        ({"endTimeUnixNano": str(2**63)}, 1, "of no time that can be"),
        ({"attributes": otlp.key_values({"logfire.span_type": "pending_span"})}, 1, "a pending span without a parent"),
        ({"parentSpanId": "abcd"}, 0, "not read: "),
        ({"links": [{"traceId": "ab", "spanId": "cd"}]}, 0, "a link whose ids"),
        ({"kind": 77}, 0, "77, which is no"),
        ({"status": {"code": 9}}, 0, "9, which is no"),
    ],
    ids=["no-start", "late-start", "late-end", "pending", "parent", "link", "kind", "status"],
)
def test_both_forms_are_judged_alike(as_json: bool, change: dict[str, Any], rejected: int, says: str) -> None:
    """What cannot be placed is not taken, what cannot be read is left out of what is; the sender is told either."""
    document, values = of_signal("traces")
    values[1] |= copy.deepcopy(change)
    signal = SIGNALS["traces"]
    checked = from_json(signal, json.dumps(document).encode()) if as_json else from_protobuf(signal, protobuf(document))
    said: Any = answer(signal, checked)
    assert said.partial_success.rejected_spans == checked.rejected.total() == rejected
    assert says in said.partial_success.error_message
    taken(checked)


@pytest.mark.parametrize("value", ['"abc"', '"-5"', "null"])
def test_a_time_that_is_none_is_no_time(value: str) -> None:
    """The end does not stand for the start."""
    document, values = of_signal("traces")
    values[1]["startTimeUnixNano"] = json.loads(value)
    checked = from_json(SIGNALS["traces"], json.dumps(document).encode())
    assert (checked.taken, checked.rejected.total()) == (1, 1)


def test_a_resource_that_is_nested_too_deep_costs_what_it_is_of() -> None:
    """And is counted by these."""
    document, _ = of_signal("logs")
    document["resourceLogs"][0]["resource"] = {"attributes": [{"key": "k", "value": nested(90)}]}
    document["resourceLogs"].append(of_signal("logs")[0]["resourceLogs"][0])
    checked = from_json(SIGNALS["logs"], json.dumps(document).encode())
    assert (checked.taken, checked.rejected.total()) == (2, 2)
    assert "resource or scope is nested too deep" in checked.why
    taken(checked)


def test_a_body_that_cannot_be_read_at_all_is_refused() -> None:
    """Bytes that are no text."""
    with pytest.raises(Refused):
        from_json(SIGNALS["traces"], b'{"a": "\xff"}')


def test_numbers_that_json_does_not_have_are_answered_and_found(server: Client) -> None:
    """What Python's `json.dumps` writes; and an attribute that is nested too deep costs its span alone."""
    trace = trace_id()
    deep = otlp.span(2, "deep", trace=trace) | {"attributes": [{"key": "k", "value": nested(90)}]}
    answer = server.send(spans(otlp.span(1, "nan", trace=trace, attributes={"a": float("nan"), "b": float("-inf")}), deep), form=JSON)
    assert answer.json()["partialSuccess"]["rejectedSpans"] == "1"
    assert "nested too deep" in answer.json()["partialSuccess"]["errorMessage"]
    asked = f"SELECT span_name, attributes->>'a' AS a, attributes->>'b' AS b FROM records WHERE trace_id = '{trace}'"
    assert server.ask(asked) == [{"span_name": "nan", "a": "NaN", "b": "-Infinity"}]

"""What is sent over OTLP/HTTP is taken, in every form that SDKs and collectors send; what cannot be read is counted and named."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from massgen_tracing.serve.ingest.bodies import Bodies, Refused
from tests.serve.client import ENCODINGS, JSON, PROTOBUF, Client, protobuf, spans, trace_id
from tests.serve.conftest import MOST_BODY, MOST_CONTENT
from tests.store import otlp


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("form", [PROTOBUF, JSON], ids=["protobuf", "json"])
def test_spans_are_asked_for_as_soon_as_they_are_acknowledged(server: Client, form: str, encoding: str) -> None:
    """Each once, with its attributes, events, links and status, whatever they were sent as."""
    trace = trace_id()
    link = {"traceId": "c" * 32, "spanId": otlp.span_id(9), "attributes": otlp.key_values({"why": "cause"})}
    values = {"text": "ü", "number": 2**62, "ratio": 0.5, "yes": True, "many": ["a", "b"], "object": {"inner": 1}}
    child = otlp.span(
        2, "child", parent=1, trace=trace, attributes=values, events=[otlp.exception("E", "m", 1)], links=[link], status={"code": 2, "message": "no"}
    )
    server.send(spans(otlp.span(1, "root", trace=trace), child), form=form, encoding=encoding)
    rows = server.ask(f"SELECT span_name, parent_span_id, attributes, otel_links, exception_type, level FROM records WHERE trace_id = '{trace}'")
    root, found = sorted(rows, key=lambda row: row["span_name"], reverse=True)
    assert (root["span_name"], root["parent_span_id"]) == ("root", None)
    assert found["attributes"] == values
    assert (found["span_name"], found["parent_span_id"], found["exception_type"], found["level"]) == ("child", otlp.span_id(1), "E", 17)
    assert found["otel_links"][0]["trace_id"] == "c" * 32


def test_compressed_data_in_several_parts_is_taken(server: Client) -> None:
    """Gzip of several members, as some proxies write it."""
    trace = trace_id()
    body = protobuf(spans(otlp.span(1, "whole", trace=trace)))
    parts = b"".join(map(ENCODINGS["gzip"], (body[:20], body[20:])))
    assert server.post("/v1/traces", parts, encoding="gzip").status_code == 200
    assert server.ask(f"SELECT span_name FROM records WHERE trace_id = '{trace}'") == [{"span_name": "whole"}]


def test_values_stand_in_sql_as_logfire_has_them(server: Client) -> None:
    """What Logfire's SDK has sent as JSON text is an object again."""
    trace = trace_id()
    schema = json.dumps({"type": "object", "properties": {"plan": {"type": "object"}, "nothing": {"type": "null"}}})
    server.send(spans(otlp.span(1, "s", trace=trace, attributes={"plan": '{"a":"b"}', "nothing": "null", "logfire.json_schema": schema})))
    asked = f"SELECT attributes->'plan'->>'a' AS a, attributes->'nothing' IS NULL AS nothing FROM records WHERE trace_id = '{trace}'"
    assert server.ask(asked) == [{"a": "b", "nothing": True}]


def logs(trace: str, *bodies: str) -> dict[str, Any]:
    records = [
        {"timeUnixNano": str(otlp.BASE_NS), "severityNumber": 13, "body": {"stringValue": body}, "traceId": trace, "spanId": otlp.span_id(1)}
        for body in bodies
    ]
    return {"resourceLogs": [{"resource": {"attributes": otlp.key_values(otlp.RESOURCE)}, "scopeLogs": [{"scope": {}, "logRecords": records}]}]}


def metrics(name: str, *values: int) -> dict[str, Any]:
    points = [{"timeUnixNano": str(otlp.BASE_NS + place), "asInt": str(value)} for place, value in enumerate(values)]
    metric = {"name": name, "unit": "1", "sum": {"dataPoints": points, "aggregationTemporality": 1, "isMonotonic": True}}
    return {"resourceMetrics": [{"resource": {"attributes": otlp.key_values(otlp.RESOURCE)}, "scopeMetrics": [{"scope": {}, "metrics": [metric]}]}]}


@pytest.mark.parametrize("form", [PROTOBUF, JSON], ids=["protobuf", "json"])
def test_logs_and_metrics_are_taken(server: Client, form: str) -> None:
    """Logs are records of their kind, also those that say the same twice; data points are metrics."""
    trace = trace_id()
    server.send(logs(trace, "once", "twice", "twice"), "logs", form)
    asked = "SELECT kind, log_body, level, parent_span_id, count(*) AS c FROM records"
    asked += f" WHERE trace_id = '{trace}' GROUP BY kind, log_body, level, parent_span_id ORDER BY log_body"
    same = {"kind": "log", "level": 13, "parent_span_id": otlp.span_id(1)}
    assert server.ask(asked) == [{**same, "log_body": "once", "c": 1}, {**same, "log_body": "twice", "c": 2}]
    server.send(metrics(f"m.{trace}", 2, 3), "metrics", form)
    asked = f"SELECT sum(scalar_value) AS s, min(aggregation_temporality) AS t FROM metrics WHERE metric_name = 'm.{trace}'"
    assert server.ask(asked) == [{"s": 5.0, "t": "delta"}]


@pytest.mark.parametrize("form", [PROTOBUF, JSON], ids=["protobuf", "json"])
def test_what_cannot_be_read_is_counted_and_named(server: Client, form: str) -> None:
    """The others are taken."""
    trace = trace_id()
    bad = [otlp.span(2, "no trace", trace="0" * 32), otlp.span(3, "no time", trace=trace, startTimeUnixNano="0", endTimeUnixNano="0")]
    answer = server.send(spans(otlp.span(1, "good", trace=trace), *bad), form=form)
    if form == JSON:
        said = answer.json()["partialSuccess"]
        rejected, why = int(said["rejectedSpans"]), said["errorMessage"]
    else:
        partial = ExportTraceServiceResponse.FromString(answer.content).partial_success
        rejected, why = partial.rejected_spans, partial.error_message
    assert rejected == 2
    assert "1 of 3: a span" in why
    assert server.ask(f"SELECT span_name FROM records WHERE trace_id = '{trace}'") == [{"span_name": "good"}]


def test_a_request_with_nothing_good_is_no_error(server: Client) -> None:
    """A sender would send it again and again."""
    answer = server.send(spans(otlp.span(1, "bad", trace="0" * 32)))
    assert ExportTraceServiceResponse.FromString(answer.content).partial_success.rejected_spans == 1
    assert server.post("/v1/traces", b"").status_code == 200


@pytest.mark.parametrize(
    ("body", "form", "encoding", "status", "says"),
    [
        (b"\x0a\xff", PROTOBUF, "identity", 400, "ExportTraceServiceRequest"),
        (b"{", JSON, "identity", 400, "no JSON"),
        (b"[]", JSON, "identity", 400, "no object"),
        (b'{"a":' * 400, JSON, "identity", 400, "JSON"),
        (b'{"spam":1}', JSON, "identity", 400, "resourceSpans"),
        (b"{}", "text/plain", "identity", 415, PROTOBUF),
        (b"{}", JSON, "br", 415, "gzip"),
        (b"not gzip", JSON, "gzip", 400, "gzip"),
        (ENCODINGS["gzip"](b"{}")[:-4], JSON, "gzip", 400, "breaks off"),
        (b"not zstd", JSON, "zstd", 400, "zstd"),
        (b" " * (MOST_BODY + 1), JSON, "identity", 413, f"{MOST_BODY:,}"),
        (ENCODINGS["gzip"](b" " * (MOST_CONTENT + 1)), JSON, "gzip", 413, f"{MOST_CONTENT:,}"),
        (ENCODINGS["zstd"](b" " * (MOST_CONTENT + 1)), JSON, "zstd", 413, f"{MOST_CONTENT:,}"),
    ],
    ids=["protobuf", "json", "array", "deep", "other", "type", "encoding", "gzip", "torn", "zstd", "large", "bomb", "zstd-bomb"],
)
def test_a_bad_request_is_told_what_was_expected(server: Client, body: bytes, form: str, encoding: str, status: int, says: str) -> None:
    """In the form that OTLP says, and nothing breaks."""
    answer = server.post("/v1/traces", body, form, encoding)
    assert answer.status_code == status
    said = Status.FromString(answer.content).message if form == PROTOBUF else answer.json()["message"]
    assert says in said


def test_a_bomb_is_not_unpacked() -> None:
    """Of sixteen megabytes no more than the bound is ever in memory."""
    import tracemalloc

    bodies, bomb = Bodies(2**20, 2**10), ENCODINGS["gzip"](bytes(2**24))
    tracemalloc.start()
    try:
        with pytest.raises(Refused):
            bodies.content(bomb, "gzip")
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_half_a_character_does_not_cost_the_others(server: Client) -> None:
    """JavaScript writes half of a surrogate pair where it has cut a text."""
    trace = trace_id()
    text = json.dumps(spans(otlp.span(1, "cut", trace=trace, attributes={"a": "X"}))).replace('"X"', '"\\ud83d"')
    assert server.post("/v1/traces", text.encode(), JSON).status_code == 200
    assert server.ask(f"SELECT attributes->>'a' AS a FROM records WHERE trace_id = '{trace}'") == [{"a": "\ufffd"}]


def test_an_open_span_is_pending_until_its_end_comes(server: Client) -> None:
    """It is open and not interrupted while the server runs; then it is there once."""
    trace = trace_id()
    asked = (
        f"SELECT kind, span_id, end_timestamp IS NULL AS open, attributes ? 'massgen.interrupted' AS lost FROM records_all WHERE trace_id = '{trace}'"
    )
    server.send(spans(otlp.pending(1, "long", trace=trace)))
    assert server.ask(asked) == [{"kind": "pending_span", "span_id": otlp.span_id(1), "open": True, "lost": False}]
    server.send(spans(otlp.span(1, "long", trace=trace)))
    assert server.ask(f"SELECT span_id FROM records WHERE trace_id = '{trace}'") == [{"span_id": otlp.span_id(1)}]


def test_an_exporter_of_opentelemetry_sends_here(server: Client) -> None:
    """OpenTelemetry's own exporter and SDK, as any program has them."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"{server.url}/v1/traces")))
    with provider.get_tracer("mine", "1.0").start_as_current_span("work") as span:
        trace = f"{span.get_span_context().trace_id:032x}"
    provider.shutdown()
    assert server.ask(f"SELECT span_name, otel_scope_name FROM records WHERE trace_id = '{trace}'") == [
        {"span_name": "work", "otel_scope_name": "mine"}
    ]

"""Logs and metrics of other writers: what the OpenTelemetry SDK's own encoders emit becomes rows of `records` and `metrics`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric, MetricsData
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import AlwaysOnExemplarFilter, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

from massgen_tracing import store
from massgen_tracing.store.sealing import seal
from massgen_tracing.store.tables import metrics
from tests.store import otlp

RESOURCE = Resource(
    {
        "service.name": "svc",
        "service.version": "2",
        "service.namespace": "ns",
        "service.instance.id": "i-1",
        "process.pid": 77,
        "deployment.environment.name": "prod",
    }
)
AT = "1800000000123456789"
MOMENT = datetime(2027, 1, 15, 8, 0, 0, 123456, tzinfo=UTC)


def line(message: Any) -> bytes:
    """A message of an encoder as one line, in protobuf's own JSON."""
    return json.dumps(MessageToDict(message)).encode() + b"\n"


@pytest.fixture(scope="module")
def logs() -> Iterator[dict[str, Any]]:
    """Log records of the real SDK, encoded by its encoder: the line, and the span that some were written in."""
    exporter = InMemoryLogRecordExporter()
    provider = LoggerProvider(resource=RESOURCE, shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    logger = provider.get_logger("scope", "1", attributes={"s": 1})
    at = int(AT)
    with TracerProvider(shutdown_on_exit=False).get_tracer("t").start_as_current_span("work") as span:
        logger.emit(LogRecord(timestamp=at, severity_number=SeverityNumber.WARN2, body="hello", attributes={"k": 1}))
        logger.emit(LogRecord(timestamp=at, severity_number=SeverityNumber.INFO, body={"a": [1, True]}, event_name="user.login"))
        inside = span.get_span_context()
    logger.emit(LogRecord(timestamp=at, severity_text="CRITICAL", body="down", attributes={"logfire.tags": ["x"], "logfire.msg": "it is down"}))
    logger.emit(LogRecord(observed_timestamp=at, body="seen", attributes={"logfire.level_num": 5}))
    logger.emit(LogRecord(timestamp=at, severity_number=SeverityNumber.ERROR, body="broke", exception=ValueError("oops")))
    logger.emit(LogRecord(timestamp=at, attributes={"http.method": "GET", "http.status_code": "500", "http.url": "http://h"}))
    yield {"line": line(encode_logs(exporter.get_finished_logs())), "trace": f"{inside.trace_id:032x}", "span": f"{inside.span_id:016x}"}
    provider.shutdown()


def rows(tmp_path: Path, sql: str, *lines: bytes) -> list[dict[str, Any]]:
    """The answer over a file of these lines."""
    return store.query(sql, otlp.write(tmp_path / "signals.jsonl", lines)).rows


def test_log_records_are_rows_of_kind_log(tmp_path: Path, logs: dict[str, Any]) -> None:
    """Body, level, message, name and time of each record; none has a duration, each ends when it starts."""
    sql = "SELECT log_body, level, message, span_name, kind, duration, start_timestamp, end_timestamp, day FROM records"
    found = rows(tmp_path, sql, logs["line"])
    assert [(row["log_body"], row["level"], row["message"], row["span_name"]) for row in found] == [
        ("hello", 14, "hello", "hello"),
        ('{"a":[1,true]}', 9, '{"a":[1,true]}', "user.login"),
        ("down", 21, "it is down", "down"),
        ("seen", 5, "seen", "seen"),
        ("broke", 17, "broke", "broke"),
        (None, 9, "", "scope"),
    ]
    for row in found:
        assert (row["kind"], row["duration"], row["start_timestamp"], row["end_timestamp"], row["day"]) == (
            "log",
            None,
            MOMENT,
            MOMENT,
            date(2027, 1, 15),
        )


def test_a_log_is_a_child_of_the_span_it_was_written_in(tmp_path: Path, logs: dict[str, Any]) -> None:
    """It has that span's trace and is its child; without a span it is a trace of its own; each has a span id of its own, the same at each reading."""
    sql = "SELECT trace_id, span_id, parent_span_id FROM records"
    found = rows(tmp_path, sql, logs["line"])
    assert [(row["trace_id"], row["parent_span_id"]) for row in found[:2]] == [(logs["trace"], logs["span"])] * 2
    assert [row["parent_span_id"] for row in found[2:]] == [None] * 4
    assert len({row["trace_id"] for row in found}) == 5
    assert len({row["span_id"] for row in found}) == 6
    assert all(len(row["trace_id"]) == 32 and len(row["span_id"]) == 16 for row in found)
    assert rows(tmp_path, sql, logs["line"]) == found


def test_a_log_has_the_columns_of_its_attributes_resource_and_scope(tmp_path: Path, logs: dict[str, Any]) -> None:
    """Tags, exception, HTTP, resource and scope stand in their columns; Logfire's own attributes are taken out."""
    found = rows(tmp_path, "SELECT * FROM records", logs["line"])
    down, broke, http = found[2], found[4], found[5]
    assert (down["tags"], down["attributes"], found[3]["attributes"], found[0]["attributes"]) == (["x"], "{}", "{}", '{"k":1}')
    assert (broke["is_exception"], broke["exception_type"], broke["exception_message"]) == (True, "ValueError", "oops")
    assert "ValueError: oops" in broke["exception_stacktrace"]
    assert (down["is_exception"], down["exception_type"]) == (False, None)
    assert (http["http_method"], http["http_response_status_code"], http["url_full"]) == ("GET", 500, "http://h")
    expected = {
        "service_name": "svc",
        "service_version": "2",
        "service_namespace": "ns",
        "service_instance_id": "i-1",
        "process_pid": 77,
        "deployment_environment": "prod",
        "otel_scope_name": "scope",
        "otel_scope_version": "1",
        "otel_scope_attributes": '{"s":1}',
        "otel_events": "[]",
    }
    assert expected == {key: down[key] for key in expected}


def test_the_body_can_be_asked_like_attributes(tmp_path: Path, logs: dict[str, Any]) -> None:
    """A structured body is JSON."""
    assert rows(tmp_path, "SELECT log_body->'a'->>0 AS a FROM records WHERE span_name = 'user.login'", logs["line"]) == [{"a": "1"}]


def test_a_log_in_two_files_is_one_and_the_same_words_twice_are_two(tmp_path: Path, logs: dict[str, Any]) -> None:
    """A copied file adds nothing; a log that was really written twice is there twice."""
    one, two = otlp.write(tmp_path / "a.jsonl", [logs["line"]] * 2), otlp.write(tmp_path / "b.jsonl", [logs["line"]])
    assert store.query("SELECT count(*) AS n FROM records", [one, two]).rows == [{"n": 12}]


METRIC_SQL = "SELECT * FROM metrics ORDER BY metric_name"


@pytest.fixture(scope="module")
def measured() -> Iterator[list[bytes]]:
    """A line of every kind of metric that the SDK makes, and one with a summary, which only other writers make."""
    reader = InMemoryMetricReader(preferred_temporality={})
    views = [
        View(instrument_name="exponential", aggregation=ExponentialBucketHistogramAggregation(max_scale=0)),
        View(instrument_name="histogram", aggregation=ExplicitBucketHistogramAggregation(boundaries=[1.0, 10.0])),
    ]
    provider = MeterProvider([reader], resource=RESOURCE, views=views, exemplar_filter=AlwaysOnExemplarFilter(), shutdown_on_exit=False)
    meter = provider.get_meter("scope", "1", attributes={"s": 1})
    with TracerProvider(shutdown_on_exit=False).get_tracer("t").start_as_current_span("work"):
        meter.create_counter("counter", unit="1", description="calls").add(3, {"model": "m"})
        meter.create_up_down_counter("updown").add(-2)
        meter.create_gauge("gauge", unit="Cel").set(21.5)
        for value in (0.5, 5, 50):
            meter.create_histogram("histogram", unit="s").record(value)
        for value in (0, 3, 4.5):
            meter.create_histogram("exponential").record(value)
    data = reader.get_metrics_data()
    assert data is not None
    summary = MetricsData()
    metric = summary.resource_metrics.add().scope_metrics.add().metrics.add()
    metric.CopyFrom(Metric(name="summary"))
    point = metric.summary.data_points.add(time_unix_nano=int(AT), count=4, sum=10.0)
    for quantile, value in ((0.0, 1.0), (0.5, 2.5), (1.0, 4.0)):
        point.quantile_values.add(quantile=quantile, value=value)
    yield [line(encode_metrics(data)), line(summary)]
    provider.shutdown()


def test_every_kind_of_metric_is_a_row(tmp_path: Path, measured: list[bytes]) -> None:
    """Scalars of gauges and sums, buckets of both kinds of histogram, count, sum and extremes of a summary; the rest is NULL."""
    found = {row["metric_name"]: row for row in rows(tmp_path, METRIC_SQL, *measured)}
    own = {
        "counter": {"metric_type": "sum", "scalar_value": 3.0, "is_monotonic": True, "aggregation_temporality": "cumulative", "unit": "1",
                    "metric_description": "calls", "attributes": '{"model":"m"}'},
        "updown": {"metric_type": "sum", "scalar_value": -2.0, "is_monotonic": False, "aggregation_temporality": "cumulative"},
        "gauge": {"metric_type": "gauge", "scalar_value": 21.5, "unit": "Cel"},
        "histogram": {"metric_type": "histogram", "histogram_count": 3, "histogram_sum": 55.5, "histogram_min": 0.5, "histogram_max": 50.0,
                      "histogram_bucket_counts": [1, 1, 1], "histogram_explicit_bounds": [1.0, 10.0], "unit": "s",
                      "aggregation_temporality": "cumulative"},
        "exponential": {"metric_type": "exponential_histogram", "histogram_count": 3, "histogram_sum": 7.5, "histogram_min": 0.0,
                        "histogram_max": 4.5, "exp_histogram_scale": 0, "exp_histogram_zero_count": 1, "exp_histogram_zero_threshold": 0.0,
                        "exp_histogram_positive_bucket_counts": [1, 1], "exp_histogram_positive_bucket_counts_offset": 1,
                        "aggregation_temporality": "cumulative"},
        "summary": {"metric_type": "summary", "histogram_count": 4, "histogram_sum": 10.0, "histogram_min": 1.0, "histogram_max": 4.0},
    }  # fmt: skip
    assert set(own) == set(found)
    values = ("scalar", "histogram", "exp_", "is_mono", "aggregation")
    for name, expected in own.items():
        row = found[name]
        assert expected == {key: row[key] for key in expected}, name
        others = {key for key, value in row.items() if key.startswith(values) and value is not None} - set(expected)
        assert others <= {"exp_histogram_negative_bucket_counts", "exp_histogram_negative_bucket_counts_offset"}, name


def test_a_point_has_its_time_resource_scope_and_exemplars(tmp_path: Path, measured: list[bytes]) -> None:
    """The columns that every point has; an exemplar says which span it was measured in."""
    found = {row["metric_name"]: row for row in rows(tmp_path, METRIC_SQL, *measured)}
    counter = found["counter"]
    expected = {
        "service_name": "svc",
        "process_pid": 77,
        "deployment_environment": "prod",
        "otel_scope_name": "scope",
        "otel_scope_attributes": '{"s":1}',
    }
    assert expected == {key: counter[key] for key in expected}
    assert counter["start_timestamp"] <= counter["recorded_timestamp"] == counter["created_at"]
    assert counter["day"] == counter["recorded_timestamp"].date()
    (exemplar,) = json.loads(counter["exemplars"])
    assert (exemplar["value"], len(exemplar["trace_id"]), len(exemplar["span_id"])) == (3.0, 32, 16)
    summary = found["summary"]
    assert (summary["recorded_timestamp"], summary["start_timestamp"], summary["service_name"], summary["unit"]) == (
        MOMENT,
        None,
        "unknown_service",
        "",
    )


def test_metrics_have_logfires_columns(tmp_path: Path) -> None:
    """Names and types are those of Logfire's schema, by name."""
    texts = """aggregation_temporality attributes attributes_json_schema deployment_environment exemplars metric_description metric_name metric_type
        otel_resource_attributes otel_scope_attributes otel_scope_name otel_scope_version project_id service_instance_id service_name
        service_namespace service_version telemetry_sdk_language telemetry_sdk_name telemetry_sdk_version unit"""
    types = {
        "string": texts.split(),
        "timestamp[us, tz=UTC]": ["created_at", "recorded_timestamp", "start_timestamp"],
        "date32[day]": ["day"],
        "list<item: int64>": ["exp_histogram_negative_bucket_counts", "exp_histogram_positive_bucket_counts", "histogram_bucket_counts"],
        "list<item: double>": ["histogram_explicit_bounds"],
        "int32": ["exp_histogram_negative_bucket_counts_offset", "exp_histogram_positive_bucket_counts_offset", "exp_histogram_scale", "process_pid"],
        "int64": ["exp_histogram_zero_count", "histogram_count"],
        "double": ["exp_histogram_zero_threshold", "histogram_max", "histogram_min", "histogram_sum", "scalar_value"],
        "bool": ["is_monotonic"],
        str(metrics.VALUE): ["value"],
    }
    expected = {name: kind for kind, names in types.items() for name in names}
    asked = store.query("SELECT * FROM metrics", otlp.write(tmp_path / "empty.jsonl", [])).table.schema
    assert {field.name: str(field.type) for field in asked} == expected
    assert list(asked.names) == sorted(expected)
    required = {"created_at", "day", "metric_name", "metric_type", "project_id", "service_name", "unit", "value"}
    assert {field.name for field in metrics.SCHEMA if not field.nullable} == required


def test_delta_temporality_and_a_time_window(tmp_path: Path) -> None:
    """A number for the temporality is as good as its name; the window is that of the recording."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    provider.get_meter("m").create_counter("c").add(1)
    document = MessageToDict(encode_metrics(reader.get_metrics_data()))  # type: ignore[arg-type]
    provider.shutdown()
    metric = document["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0]
    metric["sum"]["aggregationTemporality"] = AggregationTemporality.DELTA.value
    metric["sum"]["dataPoints"][0]["timeUnixNano"] = AT
    path = otlp.write(tmp_path / "m.jsonl", [json.dumps(document).encode()])
    sql = "SELECT aggregation_temporality AS t FROM metrics"
    assert store.query(sql, path, min_timestamp=MOMENT).rows == [{"t": "delta"}]
    assert store.query(sql, path, min_timestamp=MOMENT.replace(second=1)).rows == []
    assert store.query(sql, path, max_timestamp=MOMENT.replace(microsecond=0)).rows == []


def test_spans_logs_and_metrics_of_one_root_are_asked_together(tmp_path: Path, measured: list[bytes], logs: dict[str, Any]) -> None:
    """In a run's recording too; a condition on a trace does not hide the metrics."""
    otlp.write_run(tmp_path, lines=[*otlp.sample_lines(), *measured, logs["line"]])
    sql = f"SELECT (SELECT count(*) FROM records WHERE trace_id = '{otlp.TRACE}') AS spans, (SELECT count(*) FROM metrics) AS points"
    assert store.query(sql, tmp_path).rows == [{"spans": 17, "points": 6}]
    assert store.query("SELECT count(*) AS n FROM records", tmp_path).rows == [{"n": 23}]


def test_what_a_sealed_file_cannot_hold_is_not_sealed(tmp_path: Path, measured: list[bytes], logs: dict[str, Any]) -> None:
    """A recording with logs or metrics stays as it is, with the reason."""
    for signal in (measured[0], logs["line"]):
        run = otlp.write_run(tmp_path, lines=[*otlp.sample_lines(), signal])
        path = run / "turn_1" / "attempt_1" / "trace.otlp.jsonl"
        outcome = seal.seal(path)
        assert (outcome.sealed, path.exists()) == (None, True)
        assert "logs or metrics" in outcome.reason


@pytest.mark.parametrize(
    "said",
    [
        {"resourceLogs": [{"scopeLogs": [{"logRecords": [7, {"body": {"stringValue": "no time"}}]}]}]},
        {"resourceMetrics": [{"scopeMetrics": [{"metrics": [7, {"name": "x", "gauge": {"dataPoints": [{"asInt": "1"}]}}]}]}]},
    ],
)
def test_what_cannot_be_placed_is_counted(tmp_path: Path, said: dict[str, Any]) -> None:
    """A record that is none, or that has no time, is skipped and reported; the others are read."""
    path = otlp.write(tmp_path / "x.jsonl", [json.dumps(said).encode() + b"\n", otlp.line(otlp.span(1, "x"))])
    result = store.query("SELECT count(*) AS n FROM records", path)
    assert (result.rows, result.report.skipped) == ([{"n": 1}], 2)


@pytest.mark.parametrize("key", ["gauge", "sum", "histogram", "exponentialHistogram", "summary"])
def test_strange_values_are_rows_all_the_same(tmp_path: Path, key: str) -> None:
    """Numbers that fit no column, texts for numbers and lists for objects lose themselves, not the row."""
    point = {
        "timeUnixNano": AT, "asInt": "x", "count": str(2**64), "sum": [], "min": "NaN", "scale": 2**40, "positive": [],
        "negative": {"offset": "9" * 30},
        "bucketCounts": [-1, "7", None], "explicitBounds": ["1", {}], "zeroCount": -1, "quantileValues": [{}, 3], "exemplars": [{"traceId": "zz"}],
        "attributes": [{"key": "k", "value": {"bytesValue": "eA=="}}],
    }  # fmt: skip
    document = {"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": "m", key: {"dataPoints": [point]}}]}]}]}
    (row,) = rows(tmp_path, METRIC_SQL, json.dumps(document).encode())
    assert (row["metric_name"], row["recorded_timestamp"], row["attributes"]) == ("m", MOMENT, '{"k":"eA=="}')


def test_times_and_attributes_of_exemplars_that_cannot_be_read_are_counted(tmp_path: Path) -> None:
    """The exemplar has the time of its point then; one that says nothing of its time is none of them."""
    exemplars = [
        {"timeUnixNano": "yesterday", "asInt": 1},
        {"asInt": 2},
        {"timeUnixNano": AT, "filteredAttributes": [{"key": "k", "value": {"intValue": "x"}}]},
    ]
    point = {"timeUnixNano": AT, "startTimeUnixNano": AT, "asInt": 3, "exemplars": exemplars}
    document = {"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": "m", "gauge": {"dataPoints": [point]}}]}]}]}
    path = otlp.write(tmp_path / "x.json", [json.dumps(document).encode()])
    result = store.query("SELECT exemplars FROM metrics", path)
    assert len({each["timestamp"] for each in json.loads(result.rows[0]["exemplars"])}) == 1
    reasons = [skip.reason for skip in result.report.first_skips]
    assert result.report.skipped == 2
    assert reasons[0].startswith("the time of an exemplar, which is no time: ")

"""The real Collector in front of `massgen-tracing serve`: what it hands on, over HTTP and over gRPC, is recorded as it was sent, each once."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import httpx2
import pytest

from massgen_tracing import store
from massgen_tracing.store.roots import catalogue, reader
from tests.collector.conftest import eventually
from tests.serve.client import PROTOBUF, protobuf, spans, trace_id
from tests.serve.test_ingest import logs, metrics
from tests.store import otlp
from tools.backends import binaries, running
from tools.backends.running import Running

pytestmark = pytest.mark.binaries

PROTOCOLS = ("http", "grpc")

CONFIGURATION = Template("""
extensions:
  health_check: {endpoint: "127.0.0.1:$health"}
  file_storage: {directory: $queue, create_directory: true}
receivers:
  otlp/http: {protocols: {http: {endpoint: "127.0.0.1:$for_http"}}}
  otlp/grpc: {protocols: {http: {endpoint: "127.0.0.1:$for_grpc"}}}
exporters:
  otlp_http: {endpoint: "http://127.0.0.1:$serve_http", $queued}
  otlp_grpc: {endpoint: "127.0.0.1:$serve_grpc", tls: {insecure: true}, $queued}
service:
  extensions: [health_check, file_storage]
  pipelines:
    $pipelines
  telemetry: {metrics: {level: none}}
""")
"""What comes in at one of two ports goes out over one of two protocols."""

_QUEUED = "retry_on_failure: {initial_interval: 100ms, max_interval: 500ms}, sending_queue: {storage: file_storage}"
_PIPELINES = "\n    ".join(
    f"{signal}/{protocol}: {{receivers: [otlp/{protocol}], exporters: [otlp_{protocol}]}}"
    for signal in ("traces", "logs", "metrics")
    for protocol in PROTOCOLS
)


@dataclass
class Standing:
    """A Collector and the server behind it.

    Attributes:
        collector, server: both.
        ports: where the Collector takes what goes on over which protocol.
        root: what the server records into.
    """

    collector: Running
    server: Running
    ports: dict[str, int]
    root: Path

    def send(self, protocol: str, document: dict[str, Any], signal: str = "traces") -> None:
        """Send to the Collector, which has to take it."""
        url = f"http://127.0.0.1:{self.ports[protocol]}/v1/{signal}"
        answer = httpx2.post(url, content=protobuf(document, signal), headers={"content-type": PROTOBUF}, timeout=60)
        assert answer.status_code == 200, answer.text

    def rows(self, sql: str) -> list[dict[str, Any]]:
        return store.query(sql, self.root).rows


@contextmanager
def standing(place: Path) -> Iterator[Standing]:
    """Both, running."""
    health, for_http, for_grpc, serve_http, serve_grpc = running.free_ports(5)
    root, configuration = place / "root", place / "collector.yaml"
    named = {"health": health, "for_http": for_http, "for_grpc": for_grpc, "serve_http": serve_http, "serve_grpc": serve_grpc}
    text = CONFIGURATION.substitute(named, queue=place / "queue", queued=_QUEUED, pipelines=_PIPELINES)
    configuration.write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "massgen_tracing", "serve", "--root", str(root), "--port", str(serve_http), "--grpc-port", str(serve_grpc)]
    server = Running(command, {}, f"http://127.0.0.1:{serve_http}/v1/info", place / "serve.log")
    collector = Running([str(binaries.collector()), f"--config={configuration}"], {}, f"http://127.0.0.1:{health}/", place / "collector.log")
    try:
        server.start()
        collector.start()
        yield Standing(collector, server, {"http": for_http, "grpc": for_grpc}, root)
    finally:
        collector.stop()
        server.stop()


@pytest.fixture(scope="module")
def stood(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    """Both, for all tests that kill neither."""
    with standing(tmp_path_factory.mktemp("serve")) as here:
        yield here


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_the_collector_hands_on_is_recorded_as_it_was_sent(stood: Standing, tmp_path: Path, protocol: str) -> None:
    """Spans with ids, parents, attributes of every kind, events, links, resource and scope; logs, equal ones too; data points."""
    trace = trace_id()
    values = {"text": "ü", "number": 2**62, "ratio": 0.5, "yes": True, "many": ["a", "b"], "object": {"inner": [1, {"x": 2.5}]}, "empty": ""}
    link = {"traceId": "c" * 32, "spanId": otlp.span_id(9), "attributes": otlp.key_values({"why": "cause"})}
    children = [
        otlp.span(number, f"child {number}", parent=number - 1, trace=trace, attributes=values, events=[otlp.exception("E", "m", 1)], links=[link],
                  status={"code": 2, "message": "no"}, kind=number % 5 + 1)
        for number in range(2, 12)
    ]  # fmt: skip
    document = spans(otlp.span(1, "root", trace=trace), *children, resource={**otlp.RESOURCE, "process.pid": 2**40})
    stood.send(protocol, document)
    stood.send(protocol, logs(trace, "once", "twice", "twice"), "logs")
    stood.send(protocol, metrics(f"m.{trace}", 2, 3), "metrics")

    eventually(lambda: stood.rows(f"SELECT 1 FROM metrics WHERE metric_name = 'm.{trace}'"))
    eventually(lambda: len(stood.rows(f"SELECT 1 FROM records WHERE trace_id = '{trace}'")) >= len(children) + 4)
    (tmp_path / "sent.json").write_text(json.dumps(document), encoding="utf-8")
    sent = {span.span_id: span for span in reader.read([tmp_path / "sent.json"]).spans}
    found = [span for span in reader.read(catalogue.files(stood.root)).spans if span.trace_id == trace]
    assert len(found) == len(sent)
    assert {span.span_id: span for span in found} == sent
    kinds = "SELECT log_body, count(*) AS c FROM records WHERE kind = 'log' AND trace_id = '{}' GROUP BY 1 ORDER BY 1"
    assert stood.rows(kinds.format(trace)) == [{"log_body": "once", "c": 1}, {"log_body": "twice", "c": 2}]
    asked = f"SELECT sum(scalar_value) AS s, count(*) AS c FROM metrics WHERE metric_name = 'm.{trace}'"
    assert stood.rows(asked) == [{"s": 5.0, "c": 2}]


def test_what_waits_in_the_collector_while_the_server_is_killed_arrives_once(tmp_path: Path) -> None:
    """Some before the kill, some while there is no server, over both protocols: each span, log and data point is there, and none twice."""
    trace = trace_id()

    def send(standing: Standing, numbers: range) -> None:
        for number in numbers:
            protocol = PROTOCOLS[number % 2]
            standing.send(protocol, spans(otlp.span(number, f"span {number}", trace=trace)))
            standing.send(protocol, logs(trace, f"log {number}"), "logs")
            standing.send(protocol, metrics(f"m{number}.{trace}", 1), "metrics")

    with standing(tmp_path) as here:
        send(here, range(1, 9))
        eventually(lambda: len(here.rows(f"SELECT 1 FROM records WHERE trace_id = '{trace}'")) == 16)
        eventually(lambda: here.rows("SELECT count(*) AS c FROM metrics") == [{"c": 8}])
        here.server.kill()
        send(here, range(9, 17))
        eventually(lambda: "connection refused" in here.collector.said())
        here.server.start()
        eventually(lambda: len(here.rows(f"SELECT 1 FROM records WHERE trace_id = '{trace}'")) >= 32)
        eventually(lambda: here.rows("SELECT count(*) AS c FROM metrics")[0]["c"] >= 16)
        names = [row["message"] for row in here.rows(f"SELECT message FROM records WHERE trace_id = '{trace}' LIMIT 100")]
        assert sorted(names) == sorted(f"{kind} {number}" for kind in ("span", "log") for number in range(1, 17))
        assert here.rows("SELECT count(*) AS c, count(DISTINCT metric_name) AS d FROM metrics") == [{"c": 16, "d": 16}]

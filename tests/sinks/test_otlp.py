"""Export to a collector: the right tree arrives, and a collector that is not there costs one line and no time."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

import massgen_tracing
import massgen_tracing as mt
from massgen_tracing import finalization, guard
from massgen_tracing.trace.tracer import Tracer
from tests.sinks import lines
from tests.sinks.collector import Collector, collecting, texts


@pytest.fixture
def collector() -> Iterator[Collector]:
    """A collector on this machine."""
    with collecting() as server:
        yield server


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def nobody() -> Iterator[str]:
    """The URL of a port on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture
def silent() -> Iterator[str]:
    """The URL of a port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


TREE = {
    "coordination.session": "",
    "agent.a.round_0": "coordination.session",
    "llm.openai.stream": "agent.a.round_0",
    "Tool execution: t": "agent.a.round_0",
    "note": "Tool execution: t",
}


def a_run(tracer: Tracer) -> None:
    """One session with one round."""
    with tracer.session("What of the session?", agents=["a"]) as session, session.agent_round("a") as rnd:
        with rnd.llm_call("openai", model="m"):
            pass
        with rnd.tool_call("t"):
            tracer.info("note")


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Every line that was logged at warning level or above, whoever logged it."""
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_spans_arrive_with_the_right_tree_and_are_recorded_too(collector: Collector, tmp_path: Path) -> None:
    """The collector gets each span once, with its parent and its resource; the same spans are in the recording."""
    a_run(mt.configure(root=tmp_path, otlp_endpoint=collector.url, service_name="svc", enabled=True))
    assert mt.shutdown(timeout=600)
    assert collector.tree() == TREE
    assert texts(collector.ended()["coordination.session"])["massgen.task"] == "What of the session?"
    assert {resource["service.name"] for resource in collector.resources} == {"svc"}
    (path,) = lines.recordings(tmp_path)
    assert {span_id: span["name"] for span_id, span in lines.ended(path).items()} == {
        span.span_id.hex(): name for name, span in collector.ended().items()
    }


@pytest.mark.parametrize("path", ["", "/", "/v1/traces"])
def test_the_endpoint_may_be_written_in_any_way(collector: Collector, tmp_path: Path, path: str) -> None:
    """The base URL, with or without a slash, and the URL of traces itself mean the same."""
    a_run(mt.configure(root=tmp_path, otlp_endpoint=collector.url + path, record=False, enabled=True))
    assert mt.shutdown(timeout=600)
    assert {path for _, path, _ in collector.requests} == {"/v1/traces"}
    assert collector.tree() == TREE


def test_the_environment_is_honoured(collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Endpoint, headers and compression come from OpenTelemetry's own variables."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-team=agents")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    a_run(mt.configure(root=tmp_path, record=False, enabled=True))
    assert mt.shutdown(timeout=600)
    assert collector.tree() == TREE
    (_, path, headers) = collector.requests[0]
    assert path == "/v1/traces"
    assert headers["x-team"] == "agents"
    assert headers["content-encoding"] == "gzip"


def test_the_variable_of_traces_alone_is_taken_as_it_is(collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` wins over the common one, and no path is added to it."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"{collector.url}/custom/v1/traces")
    a_run(mt.configure(root=tmp_path, record=False, enabled=True))
    assert mt.shutdown(timeout=600)
    assert {path for _, path, _ in collector.requests} == {"/custom/v1/traces"}
    assert collector.tree() == TREE


def test_an_argument_wins_over_the_environment(collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `configure()` is told is where spans go."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:9/v1/traces")
    a_run(mt.configure(root=tmp_path, otlp_endpoint=collector.url, record=False, enabled=True))
    assert mt.shutdown(timeout=600)
    assert collector.tree() == TREE


def test_a_collector_that_is_not_there(nobody: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, swallowed: list[str]) -> None:
    """Exactly one line says so; shutting down gives up in time, and everything is in the recording."""
    tracer = mt.configure(root=tmp_path, otlp_endpoint=nobody, enabled=True)
    for _ in range(3):
        a_run(tracer)
    assert not mt.shutdown(timeout=1)
    (line,) = said(caplog)
    assert f"{nobody} has not taken {3 * len(TREE)} spans of this process (connection refused)" in line
    assert f"`massgen-tracing push --root {tmp_path}` sends it" in line
    assert sorted(lines.names(*lines.recordings(tmp_path))) == sorted([*TREE] * 3)
    assert {problem.kind for problem in guard.problems()} == {"otlp.owed"}
    swallowed.clear()


@pytest.mark.parametrize(("status", "what"), [(400, "refuses spans for good"), (401, "has not taken 5 spans"), (503, "has not taken 5 spans")])
def test_a_collector_that_refuses(
    collector: Collector, tmp_path: Path, caplog: pytest.LogCaptureFixture, swallowed: list[str], status: int, what: str
) -> None:
    """A refusal is one line with the reason; the run is recorded."""
    collector.status = status
    tracer = mt.configure(root=tmp_path, otlp_endpoint=collector.url, enabled=True)
    a_run(tracer)
    mt.shutdown(timeout=1)
    (line,) = [line for line in said(caplog) if collector.url in line]
    assert what in line
    assert f"it answers {status}" in line
    assert sorted(lines.names(*lines.recordings(tmp_path))) == sorted(TREE)
    swallowed.clear()


def test_a_collector_that_was_down_before_the_end_is_not_waited_for(
    nobody: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, swallowed: list[str]
) -> None:
    """Though its exporter is about to wait for long before it tries again; what it says of that is kept back."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
    failed = threading.Event()

    def seen(kind: str, _: BaseException | None) -> None:
        swallowed.append(kind)
        failed.set()

    guard.observe(seen)
    a_run(mt.configure(root=tmp_path, otlp_endpoint=nobody, enabled=True))
    failed.wait()
    assert not mt.shutdown(timeout=600)
    (line,) = said(caplog)
    assert nobody in line
    assert set(swallowed) == {"otlp.export", "otlp.owed"}
    swallowed.clear()


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_a_collector_that_does_not_answer(
    silent: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, swallowed: list[str], protocol: str
) -> None:
    """It is waited for as long as `shutdown` was told, and costs one line."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
    a_run(mt.configure(root=tmp_path, otlp_endpoint=silent, enabled=True))
    assert not mt.shutdown(timeout=0.5)
    assert len(said(caplog)) == 1
    assert sorted(lines.names(*lines.recordings(tmp_path))) == sorted(TREE)
    swallowed.clear()


def test_the_programs_own_exporter_speaks_for_itself(nobody: str, collector: Collector, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What it says of its own collector is said of nobody else's, and not kept back."""
    tracer = mt.configure(root=tmp_path, otlp_endpoint=collector.url, record=False, enabled=True)
    theirs = OTLPSpanExporter(endpoint=nobody, timeout=0)
    with tracer.span("work"):
        theirs.export([])
    assert mt.shutdown(timeout=600)
    assert {record.name for record in caplog.records} == {"opentelemetry.exporter.otlp.proto.http.trace_exporter"}
    assert [span.name for span in collector.spans] == ["work"]


def test_spans_are_sent_at_exit(collector: Collector, tmp_path: Path) -> None:
    """A program that ends without `shutdown()` has sent and recorded everything."""
    program = f"""
import massgen_tracing as mt
from tests.sinks.test_otlp import a_run
a_run(mt.configure(root={str(tmp_path)!r}, otlp_endpoint={collector.url!r}, enabled=True, logfire=False))
"""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=root)
    assert done.stderr == ""
    assert collector.tree() == TREE
    assert sorted(lines.names(*lines.recordings(tmp_path))) == sorted(TREE)


def test_a_dead_collector_does_not_hold_up_the_exit(nobody: str, tmp_path: Path) -> None:
    """The program ends by itself, with one line about what was not sent."""
    program = f"""
import massgen_tracing as mt
from tests.sinks.test_otlp import a_run
a_run(mt.configure(root={str(tmp_path)!r}, otlp_endpoint={nobody!r}, enabled=True, logfire=False))
"""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=root)
    assert len(done.stderr.splitlines()) == 1
    assert nobody in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(lines.names(*lines.recordings(tmp_path))) == sorted(TREE)


def test_a_forked_child_sends_its_own_spans(collector: Collector, tmp_path: Path) -> None:
    """Parent and child each send theirs; the parent's open spans are sent once."""
    program = f"""
import os
import massgen_tracing as mt
tracer = mt.configure(root={str(tmp_path)!r}, otlp_endpoint={collector.url!r}, enabled=True, logfire=False)
with tracer.span("open"):
    child = os.fork()
    with tracer.span("child" if child == 0 else "parent"):
        pass
if child:
    os.waitpid(child, 0)
"""
    subprocess.run([sys.executable, "-c", program], check=True)
    assert collector.tree() == {"open": "", "child": "open", "parent": "open"}


@pytest.mark.parametrize("there", [True, False])
def test_an_interpreter_that_starts_no_more_threads(
    collector: Collector, nobody: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, swallowed: list[str], there: bool
) -> None:
    """From Python 3.12 on no thread can be started at exit: what is left is sent all the same, and a collector that is not there is given up."""
    a_run(mt.configure(root=tmp_path, otlp_endpoint=collector.url if there else nobody, enabled=True))

    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if threading.current_thread() is threading.main_thread():
            raise RuntimeError("can't create new thread at interpreter shutdown")
        start(thread)  # the collector's own

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        mt.shutdown(timeout=1)
    assert sorted(lines.names(*lines.recordings(tmp_path))) == sorted(TREE)
    if there:
        collector.wait_for(*TREE)
        assert collector.tree() == TREE
    swallowed.clear()


def test_once_the_interpreter_ends_the_thread_that_sends_is_left_alone(
    nobody: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, swallowed: list[str]
) -> None:
    """It is stopped then, perhaps with its locks: it is not begun, nothing waits for it, and the span is recorded."""
    tracer = mt.configure(root=tmp_path, otlp_endpoint=nobody, enabled=True)
    with monkeypatch.context() as patch:
        patch.setattr(finalization, "begun", lambda: True)
        patch.setattr("massgen_tracing.worker.start_new_thread", lambda *_: pytest.fail("a thread was started"))
        patch.setattr("massgen_tracing.delivery.deliver.Delivery.deliver", lambda *_, **__: pytest.fail("it was sent"))
        a_run(tracer)
        mt.shutdown(timeout=600)
    assert sorted(lines.names(*lines.recordings(tmp_path))) == sorted(TREE)
    swallowed.clear()


@pytest.mark.parametrize(
    ("asked", "package", "says"),
    [
        ({"otlp_endpoint": "http://127.0.0.1:9"}, "opentelemetry.proto.trace.v1.trace_pb2", "pip install opentelemetry-exporter-otlp"),
        ({"logfire": True}, "logfire", "pip install logfire"),
    ],
)
def test_a_missing_package_is_one_line_and_the_run_is_recorded(
    asked: dict[str, object],
    package: str,
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    swallowed: list[str],
) -> None:
    """Where the package of an export is not installed, one line names the command that mends it; everything else works."""
    for name in [name for name in sys.modules if name.startswith("massgen_tracing.delivery")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(massgen_tracing, "delivery", raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setenv("LOGFIRE_TOKEN", "some-token")
    tracer = mt.configure(root=tmp_path, enabled=True, **asked)  # type: ignore[arg-type]
    with tracer.span("recorded"):
        pass
    mt.shutdown()
    [line] = [record.getMessage() for record in caplog.records]
    assert says in line
    assert lines.names(*lines.recordings(tmp_path)) == ["recorded"]
    assert [kind.rpartition(".")[2] for kind in swallowed] == ["package"]
    swallowed.clear()


@pytest.mark.parametrize(
    ("endpoint", "environment", "says"),
    [
        ("nonsense", {}, "Expected one such as http://localhost:4318, got 'nonsense'"),
        ("https://127.0.0.1:9", {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_CERTIFICATE": "/nowhere"}, "No such file or directory"),
    ],
)
def test_an_export_that_cannot_be_set_up_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    swallowed: list[str],
    endpoint: str,
    environment: dict[str, str],
    says: str,
) -> None:
    """What cannot be costs the export, not the run."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    tracer = mt.configure(root=tmp_path, enabled=True, otlp_endpoint=endpoint)
    with tracer.span("recorded"):
        pass
    mt.shutdown()
    (line,) = [record.getMessage() for record in caplog.records]
    assert "could not be set up" in line
    assert says in line
    assert lines.names(*lines.recordings(tmp_path)) == ["recorded"]
    assert swallowed == ["otlp.configure"]
    swallowed.clear()


def test_a_password_in_the_collectors_url_is_not_said(nobody: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, swallowed: list[str]) -> None:
    """Not in the line about a collector that is down, either."""
    tracer = mt.configure(root=tmp_path, enabled=True, otlp_endpoint=nobody.replace("//", "//user:hunter2secret@"))
    with tracer.span("recorded"):
        pass
    mt.shutdown(1)
    assert "hunter2secret" not in caplog.text
    assert "otlp.owed" in swallowed
    swallowed.clear()


def test_variables_that_cannot_be_are_passed_over_in_one_line(
    tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, swallowed: list[str]
) -> None:
    """Neither the run nor the export is lost to them."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "nonsense")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "nonsense")
    tracer = mt.configure(root=tmp_path, enabled=True, otlp_endpoint=collector.url)
    with tracer.span("recorded"):
        pass
    mt.shutdown()
    assert len([record for record in caplog.records if record.name == "massgen_tracing"]) == 1
    assert lines.names(*lines.recordings(tmp_path)) == ["recorded"]
    assert set(collector.tree()) == {"recorded"}
    assert swallowed == ["otlp.settings"]
    swallowed.clear()

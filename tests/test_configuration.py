"""`configure()` and `shutdown()`: what is set up, replaced, and left at the end."""

from __future__ import annotations

import gc
import json
import logging
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace as otel_trace
from opentelemetry.sdk.trace import TracerProvider as SdkProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import massgen_tracing as mt
from massgen_tracing import configuration, guard, layout
from massgen_tracing.trace.provider import SHARED
from massgen_tracing.trace.tracer import NoopTracer
from tests.objects import alive, come_since
from tests.sinks import lines

ROOT = Path(__file__).parents[1]


def test_before_configuring_everything_is_a_noop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`get_tracer()` is never an error; nothing is written."""
    monkeypatch.chdir(tmp_path)
    tracer = mt.get_tracer()
    assert isinstance(tracer, NoopTracer)
    with tracer.session("q", agents=["a"]) as session, session.agent_round("a") as rnd:
        rnd.vote("a", "agent1.1")
    assert list(tmp_path.iterdir()) == []


def test_get_tracer_gives_the_configured_one(tmp_path: Path) -> None:
    """Until the next `configure()` or `shutdown()`."""
    first = mt.configure(root=tmp_path, enabled=True)
    assert mt.get_tracer() is first
    second = mt.configure(root=tmp_path, enabled=True)
    assert mt.get_tracer() is second is not first
    assert mt.shutdown()
    assert isinstance(mt.get_tracer(), NoopTracer)


def test_the_last_configuration_holds_alone(tmp_path: Path) -> None:
    """Configured three times, a span is recorded once, where the last one says; nothing of the earlier ones is left."""
    for number in range(3):
        tracer = mt.configure(root=tmp_path / str(number), enabled=True, service_name=f"service {number}")
        assert tracer.spans.service_name == f"service {number}"
    with tracer.span("work"):
        pass
    assert [path.parent.parent.name for path in lines.recordings(tmp_path)] == ["2"]
    assert lines.names(*lines.recordings(tmp_path)) == ["work"]


def test_an_old_tracer_writes_where_the_new_configuration_says(tmp_path: Path) -> None:
    """A library that has kept its tracer from before is not left behind, and nothing is written twice."""
    old = mt.configure(root=tmp_path / "old", enabled=True)
    third_party = otel_trace.get_tracer("third")
    mt.configure(root=tmp_path / "new", enabled=True)
    with old.span("kept"), third_party.start_as_current_span("third party"):
        pass
    assert lines.names(*lines.recordings(tmp_path / "new")) == ["third party", "kept"]
    assert lines.recordings(tmp_path / "old") == []


def test_switched_off_nothing_is_set_up(tmp_path: Path) -> None:
    """`enabled=False`, or the variable, and every call does nothing."""
    tracer = mt.configure(root=tmp_path / "root", enabled=False)
    with tracer.session("q", agents=["a"]) as session, session.agent_round("a"):
        tracer.info("note")
    assert isinstance(tracer, NoopTracer)
    assert not (tmp_path / "root").exists()


def test_switching_off_ends_what_was_set_up(tmp_path: Path) -> None:
    """A configuration that switches off replaces the earlier one as any other does."""
    mt.configure(root=tmp_path, enabled=True)
    mt.configure(enabled=False)
    with otel_trace.get_tracer("third").start_as_current_span("third party"), mt.get_tracer().span("ours"):
        pass
    assert lines.recordings(tmp_path) == []


def test_the_variable_switches_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`MASSGEN_TRACING_ENABLED=false` without a change of the program."""
    monkeypatch.setenv("MASSGEN_TRACING_ENABLED", "false")
    assert isinstance(mt.configure(root=tmp_path), NoopTracer)


# --- providers ---------------------------------------------------------------------------------------------------------------------


def test_a_provider_of_the_callers_own_gets_the_spans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spans go there, cleaned, and nothing else is set up: no directory, no pipeline, no export."""
    monkeypatch.chdir(tmp_path)
    exporter = InMemorySpanExporter()
    provider = SdkProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = mt.configure(tracer_provider=provider, enabled=True, otlp_endpoint="http://127.0.0.1:9", root=tmp_path / "root")
    with tracer.session("q", agents=["a"], attributes={"key": {"password": "hunter2"}, "none": None}) as session:
        assert session.run is None
        with tracer.span("work", attributes={"any": object, 5: 6}):  # type: ignore[dict-item]
            pass
    work, session_span = exporter.get_finished_spans()
    assert (work.name, session_span.name) == ("work", "coordination.session")
    assert work.parent is not None
    assert work.parent.span_id == session_span.context.span_id
    assert "hunter2" not in str(session_span.attributes)
    assert SHARED.pipeline is None
    assert list(tmp_path.iterdir()) == []
    assert mt.shutdown()
    provider.get_tracer("still").start_span("theirs to stop").end()
    assert [span.name for span in exporter.get_finished_spans()][-1] == "theirs to stop"


def test_the_global_provider_is_ours_where_nobody_has_set_one(tmp_path: Path) -> None:
    """Third-party instrumentations record into the same run, under what is current."""
    tracer = mt.configure(root=tmp_path, enabled=True)
    assert otel_trace.get_tracer_provider() is SHARED
    with tracer.session("q", agents=["a"]) as session:
        with otel_trace.get_tracer("third").start_as_current_span("third party"):
            pass
        assert session.run is not None
        (path,) = lines.recordings(session.run.log_dir)
    spans = {span["name"]: span for span in lines.ended(path).values()}
    assert spans["third party"]["parentSpanId"] == spans["coordination.session"]["spanId"]


def test_a_global_provider_that_somebody_has_set_stays(tmp_path: Path) -> None:
    """The facade's own spans are recorded all the same, without a complaint of OpenTelemetry's."""
    program = f"""
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
import massgen_tracing as mt
theirs = TracerProvider()
trace.set_tracer_provider(theirs)
tracer = mt.configure(root={str(tmp_path)!r}, enabled=True, logfire=False)
with tracer.span("ours"):
    pass
assert trace.get_tracer_provider() is theirs
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stderr == ""
    assert lines.names(*lines.recordings(tmp_path)) == ["ours"]


def test_the_resource_says_who_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Service, process, host and an id of this configuration; OpenTelemetry's variable adds to it."""
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
    tracer = mt.configure(root=tmp_path, enabled=True, service_name="svc")
    with tracer.span("work"):
        pass
    (path,) = lines.recordings(tmp_path)
    resource: dict[str, Any] = lines.attributes(lines.parse(path.read_bytes().splitlines()[0])["resourceSpans"][0]["resource"])
    assert resource["service.name"] == "svc"
    assert resource["deployment.environment.name"] == "test"
    assert {"service.instance.id", "process.pid", "host.name", "telemetry.sdk.name"} <= set(resource)


# --- the end -----------------------------------------------------------------------------------------------------------------------


CHILD = """
import massgen_tracing as mt
with mt.configure().session("below", agents=["b"]) as session:
    print(session.run.attempt_dir)
with mt.get_tracer().span("beside"):
    pass
"""


def test_a_process_with_nothing_but_the_variables_belongs_to_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no environment of this one's else and another working directory: its spans lie in the run's directory, in a file of its own."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOGFIRE_TOKEN", "for the child too")
    monkeypatch.setenv("UNRELATED", "not for it")
    tracer = mt.configure(root="runs", service_name="team", full_content=True)
    with tracer.session("q", agents=["a"]) as session:
        variables = configuration.variables()
        env = {**mt.child_env({}), **variables, "PYTHONPATH": str(ROOT)}
        done = subprocess.run([sys.executable, "-c", CHILD], env=env, cwd=elsewhere, capture_output=True, text=True, check=True)
    mt.shutdown()
    assert session.run is not None
    assert done.stdout.strip() == str(session.run.attempt_dir)
    assert {name: variables[name] for name in ("MASSGEN_TRACING_ROOT", "OTEL_SERVICE_NAME", "MASSGEN_TRACING_FULL_CONTENT", "LOGFIRE_TOKEN")} == {
        "MASSGEN_TRACING_ROOT": str(tmp_path / "runs"),
        "OTEL_SERVICE_NAME": "team",
        "MASSGEN_TRACING_FULL_CONTENT": "true",
        "LOGFIRE_TOKEN": "for the child too",
    }
    assert "UNRELATED" not in variables
    assert list(elsewhere.iterdir()) == []
    files = sorted(session.run.attempt_dir.glob("*.otlp.jsonl"))
    assert len(files) == 2
    spans = {span["name"]: span for file in files for span in lines.spans(file)}
    assert spans["coordination.session"]["traceId"] == spans["beside"]["traceId"]


def test_shutting_down_twice_is_no_error(tmp_path: Path) -> None:
    """Also from several threads at once, and without ever having been configured."""
    assert mt.shutdown()
    mt.configure(root=tmp_path, enabled=True)
    results: list[bool] = []
    threads = [threading.Thread(target=lambda: results.append(mt.shutdown())) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 5


def test_a_span_that_outlives_the_shutdown_is_recorded(tmp_path: Path) -> None:
    """What began under a configuration is finished under it."""
    with mt.configure(root=tmp_path, enabled=True).span("work"):
        mt.shutdown()
    assert lines.names(*lines.recordings(tmp_path)) == ["work"]


def test_the_end_of_the_program_ends_it_too(tmp_path: Path) -> None:
    """Without `shutdown()` everything is recorded and the program ends quietly, however short it is."""
    program = f"""
import atexit
import massgen_tracing as mt
tracer = mt.configure(root={str(tmp_path)!r}, enabled=True, logfire=False)
late = tracer.span("late").start()
atexit.register(late.end)
with tracer.session("q", agents=["a"]) as session, session.agent_round("a"):
    pass
"""
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
        assert (done.stdout, done.stderr) == ("", "")
    names = [name for path in lines.recordings(tmp_path) for name in lines.names(path)]
    assert sorted(names) == sorted(["agent.a.round_0", "coordination.session", "late"] * 3)


def test_a_thread_that_shuts_down_does_not_hold_up_the_exit(tmp_path: Path) -> None:
    """However long it was told that a backend may take: the program does not wait for it, and its spans are recorded."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        program = f"""
import sys, threading, time
import massgen_tracing as mt
tracer = mt.configure(root={str(tmp_path)!r}, logfire=False, otlp_endpoint="http://127.0.0.1:{silent.getsockname()[1]}")
with tracer.span("work"):
    pass
shuts_down = threading.Event()
stopped = mt.configuration._stop
mt.configuration._stop = lambda *given: (shuts_down.set(), threading.Event().wait(), stopped(*given))
threading.Thread(target=mt.shutdown, args=(1000,), daemon=True).start()
shuts_down.wait()
"""
        done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stderr == ""
    assert lines.names(*lines.recordings(tmp_path)) == ["work"]


@pytest.mark.parametrize("before", ["", "import concurrent.futures.thread"])
@pytest.mark.parametrize("options", ["", "otlp_endpoint='http://127.0.0.1:9'", "logfire=True", "seal=True"])
def test_configuring_in_an_exit_handler(tmp_path: Path, before: str, options: str) -> None:
    """What is traced there is recorded, though no thread can be started any more; what cannot be is one line that names the reason."""
    program = f"""
import atexit
{before}
import massgen_tracing as mt

def late():
    tracer = mt.configure(root={str(tmp_path)!r}, {options})
    with tracer.session("q", agents=["a"]) as session, session.agent_round("a"):
        pass

atexit.register(late)
"""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("LOGFIRE_", "OTEL_", "MASSGEN_"))}
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=tmp_path, env={**env, "HOME": str(tmp_path)}
    )
    assert len(done.stderr.splitlines()) <= bool(options)
    assert "report it" not in done.stderr
    assert not done.stderr or "recorded locally" in done.stderr
    (path,) = lines.recordings(tmp_path)
    assert sorted(lines.names(path)) == ["agent.a.round_0", "coordination.session"]


def test_what_went_wrong_is_left_for_the_doctor(tmp_path: Path, swallowed: list[str], caplog: pytest.LogCaptureFixture) -> None:
    """Problems are written below the root when the configuration ends, without secrets; one JSON object a line."""
    caplog.set_level(logging.CRITICAL)
    mt.configure(root=tmp_path, enabled=True)
    try:
        raise ValueError("with password=hunter2 in it")
    except ValueError as error:
        guard.swallow("inside", error)
    mt.shutdown()
    text = (tmp_path / "tracing_problems.jsonl").read_text()
    (problem,) = map(json.loads, text.splitlines())
    assert (problem["kind"], problem["count"]) == ("inside", 1)
    assert "hunter2" not in text
    swallowed.clear()


def test_what_went_wrong_is_left_where_nothing_was_recorded_too(tmp_path: Path, swallowed: list[str]) -> None:
    """By a program whose every call went to handles that it never entered."""
    root = tmp_path / "runs" / "of today"
    tracer = mt.configure(root=root, enabled=True, strict=False)
    tracer.session("q").winner("agent_a")
    assert not root.exists()
    mt.shutdown()
    (problem,) = map(json.loads, (root / layout.PROBLEMS_FILE).read_text().splitlines())
    assert problem["kind"] == "usage.handle"
    assert swallowed == ["usage.handle"]
    swallowed.clear()


def test_a_root_that_cannot_be_written_does_not_stop_the_end(tmp_path: Path, swallowed: list[str]) -> None:
    """Problems that cannot be written down are not a problem of their own."""
    (tmp_path / "file").touch()
    mt.configure(root=tmp_path / "file" / "root", enabled=True)
    guard.report("one", "text")
    assert mt.shutdown()
    swallowed.clear()


def test_configurations_are_freed(tmp_path: Path) -> None:
    """Of fifty configurations nothing is left when the last has ended."""
    from massgen_tracing.trace.pipeline import Pipeline

    before = alive(Pipeline)
    for _ in range(50):
        mt.configure(root=tmp_path, enabled=True)
    mt.shutdown()
    gc.collect()
    assert come_since(before, Pipeline) == []
    assert configuration._now.pipeline is None


@pytest.mark.parametrize("timeout", [None, "soon", object(), 10**400], ids=lambda timeout: type(timeout).__name__)
def test_shutdown_takes_any_timeout(timeout: Any, tmp_path: Path, swallowed: list[str]) -> None:
    """One that is no number of seconds is a counted warning."""
    mt.configure(root=tmp_path)
    assert mt.shutdown(timeout)
    assert swallowed == ["usage.argument.timeout"]
    swallowed.clear()


@pytest.mark.parametrize("timeout", [float("inf"), 1e300, float("nan"), -1.0, True])
def test_shutdown_takes_any_number(timeout: float, tmp_path: Path) -> None:
    """For ever is as long as can be waited; no number, and one below 0, is no time."""
    mt.configure(root=tmp_path)
    assert mt.shutdown(timeout) in {True, False}


def test_a_root_that_no_file_system_can_name_costs_the_recording_only(swallowed: list[str]) -> None:
    """A lone surrogate cannot be encoded."""
    mt.configure(root="\ud800", record=False)
    guard.report("any", "A problem that would be written below the root.")
    assert mt.shutdown()
    assert "any" in swallowed
    swallowed.clear()


def test_what_is_neither_recorded_nor_sent_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, swallowed: list[str]) -> None:
    """No problems either, where a directory of runs happens to be: a test of the user's is no run, and `doctor` has nothing to say of it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / layout.DEFAULT_ROOT).mkdir()
    tracer = mt.configure(record=False, logfire=False, otlp_endpoint="", enabled=True, strict=False)
    tracer.session()  # type: ignore[call-arg]
    mt.shutdown()
    assert swallowed == ["usage.arguments.session"]
    swallowed.clear()
    assert list((tmp_path / layout.DEFAULT_ROOT).iterdir()) == []

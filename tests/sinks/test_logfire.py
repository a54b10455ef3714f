"""Export to Logfire, each time in a process of its own, because Logfire's configuration is the process's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import json_format

from massgen_tracing import ledger
from massgen_tracing.delivery import push
from massgen_tracing.views.cli import main
from tests.sinks import lines
from tests.sinks.collector import Collector, collecting, texts

ROOT = Path(__file__).parents[2]

RUN = """
import os, signal, sys
import massgen_tracing as mt
root = sys.argv[1]

def a_run(tracer, question="Explain the session, its auth and why the password is wrong"):
    with tracer.session(question, agents=["a"]) as session, session.agent_round("a") as rnd:
        with rnd.llm_call("openai", model="m", tags=["slow", "eu"]) as call:
            call.record_usage(input=1200, output=3, cost=0.1)
        with rnd.tool_call("t", arguments={"note": "the session's cookie jar"}):
            tracer.info("note {what}", what="auth session", tags="seen")
        rnd.vote("a", "agent1.1", reason="its session handling")
"""

TREE = {
    "coordination.session": "",
    "agent.a.round_0": "coordination.session",
    "llm.openai.stream": "agent.a.round_0",
    "Tool execution: t": "agent.a.round_0",
    "note {what}": "Tool execution: t",
    "Agent vote: a -> agent1.1": "agent.a.round_0",
}


def run(place: Path, program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program in an empty directory, without any credentials but those given."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LOGFIRE_", "OTEL_", "MASSGEN_"))}
    home = place / "home"
    home.mkdir(parents=True, exist_ok=True)
    return subprocess.run(
        [sys.executable, "-c", RUN + program, str(place / "root")],
        env={**kept, "HOME": str(home), "PYTHONPATH": str(ROOT), **environment},
        cwd=home,
        check=True,
        capture_output=True,
        text=True,
    )


def test_without_a_token_one_line_names_the_command(tmp_path: Path) -> None:
    """The run goes on and is recorded; nothing else is said."""
    done = run(tmp_path, "a_run(mt.configure(root=root, logfire=True, enabled=True))")
    (line,) = done.stderr.splitlines()
    assert "LOGFIRE_TOKEN" in line
    assert "logfire auth" in line
    assert done.stdout == ""
    (path,) = lines.recordings(tmp_path)
    assert sorted(lines.names(path)) == sorted(TREE)


def test_without_a_token_a_collector_still_gets_the_spans(tmp_path: Path, collector: Collector) -> None:
    """What Logfire cannot take does not keep OpenTelemetry's variable from being honoured."""
    run(tmp_path, "a_run(mt.configure(root=root, logfire=True, enabled=True))", OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
    assert collector.tree() == TREE


def test_spans_arrive_and_are_recorded_with_their_starts(tmp_path: Path, collector: Collector) -> None:
    """Logfire gets every span once, with the right tree, messages, levels and tags; the recording has the same spans, with their starts."""
    done = run(tmp_path, "a_run(mt.configure(root=root, logfire=True, enabled=True))", LOGFIRE_TOKEN="some-token", LOGFIRE_BASE_URL=collector.url)
    assert done.stderr == ""
    assert done.stdout == ""
    assert collector.tree() == TREE
    assert {headers.get("authorization") for method, path, headers in collector.requests if path == "/v1/traces"} == {"some-token"}
    (path,) = lines.recordings(tmp_path)
    assert {span_id: span["name"] for span_id, span in lines.ended(path).items()} == {
        span.span_id.hex(): name for name, span in collector.ended().items()
    }
    recorded = {span["name"]: lines.attributes(span) for span in lines.ended(path).values()}
    for name, span in collector.ended().items():
        sent = {pair.key: next(iter(json_format.MessageToDict(pair.value).values()), None) for pair in span.attributes}
        ours = {key: value for key, value in recorded[name].items() if key != "what"}  # the program's own keys are Logfire's to scrub
        assert sent == {**sent, **ours}, name  # and it derives some
    tags = {span["name"]: lines.attributes(span).get("logfire.tags") for span in lines.ended(path).values()}
    assert tags["llm.openai.stream"] == {"values": [{"stringValue": "slow"}, {"stringValue": "eu"}]}
    assert tags["note {what}"] == {"values": [{"stringValue": "seen"}]}
    assert lines.started(path) == {span_id for span_id, span in lines.ended(path).items() if lines.attributes(span).get("logfire.span_type") != "log"}
    assert {resource["service.name"] for resource in collector.resources} == {"massgen"}


def test_our_attributes_are_not_scrubbed_for_a_word(tmp_path: Path, collector: Collector) -> None:
    """Logfire's patterns would redact "session", "auth", "password", "cookie": our values pass, in Logfire and in the recording."""
    run(tmp_path, "a_run(mt.configure(root=root, logfire=True, enabled=True))", LOGFIRE_TOKEN="some-token", LOGFIRE_BASE_URL=collector.url)
    question = "Explain the session, its auth and why the password is wrong"
    sent = collector.ended()
    (path,) = lines.recordings(tmp_path)
    recorded = {span["name"]: lines.attributes(span) for span in lines.ended(path).values()}
    for found in ({name: texts(span) for name, span in sent.items()}, recorded):
        assert found["coordination.session"]["massgen.task"] == question
        assert found["agent.a.round_0"]["massgen.round_type"] == "initial_answer"
        assert "cookie jar" in found["Tool execution: t"]["gen_ai.tool.call.arguments"]
        assert found["note {what}"]["logfire.msg"] == "note auth session"
        assert "its session handling" in str(found["Agent vote: a -> agent1.1"])
    assert recorded["llm.openai.stream"]["gen_ai.usage.input_tokens"] == "1200"


def test_secrets_do_not_reach_logfire_nor_the_recording(tmp_path: Path, collector: Collector) -> None:
    """The facade's values are scrubbed before Logfire sees them; what another instrumentation sets is scrubbed by Logfire and in our file."""
    secret = "sk-proj-Ab1_Cd2-Ef3GhIjKlMnOpQrSt"
    program = f"""
import logfire
tracer = mt.configure(root=root, logfire=True, enabled=True)
a_run(tracer, "use {secret}")
with tracer.span("outer"):
    logfire.info("theirs", key="{secret}", detail={{"password": "hunter2"}})
    try:
        with tracer.span("failing"):
            raise ValueError("no {secret}")
    except ValueError:
        pass
"""
    run(tmp_path, program, LOGFIRE_TOKEN="some-token", LOGFIRE_BASE_URL=collector.url)
    assert "failing" in collector.ended()
    ours = [span for span in collector.spans if span.name != "theirs"]
    assert secret not in str(ours)
    for path in lines.recordings(tmp_path):
        assert secret not in path.read_text()
        assert "hunter2" not in path.read_text()


def test_spans_of_logfire_itself_are_in_the_runs_recording(tmp_path: Path, collector: Collector) -> None:
    """`logfire.span` and other instrumentations nest under the facade's spans, in Logfire and in the run's own file."""
    program = """
import logfire
from opentelemetry import trace
tracer = mt.configure(root=root, logfire=True, enabled=True)
with tracer.session("q", agents=["a"]) as session, session.agent_round("a"):
    with logfire.span("theirs"):
        with tracer.span("ours"):
            with trace.get_tracer("third").start_as_current_span("third party"):
                pass
"""
    run(tmp_path, program, LOGFIRE_TOKEN="some-token", LOGFIRE_BASE_URL=collector.url)
    tree = {
        "coordination.session": "",
        "agent.a.round_0": "coordination.session",
        "theirs": "agent.a.round_0",
        "ours": "theirs",
        "third party": "ours",
    }
    assert collector.tree() == tree
    (path,) = lines.recordings(tmp_path)
    assert sorted(lines.names(path)) == sorted(tree)


@pytest.mark.parametrize("how", ["argument", "variable"])
def test_logfire_and_a_collector_at_once(tmp_path: Path, collector: Collector, how: str) -> None:
    """Both get each span exactly once, whether the collector is named by an argument or by OpenTelemetry's variable."""
    with collecting() as other:
        named = f"otlp_endpoint={other.url!r}, " if how == "argument" else ""
        variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": other.url, "OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"}
        run(
            tmp_path,
            f"a_run(mt.configure(root=root, logfire=True, {named}enabled=True))",
            LOGFIRE_TOKEN="some-token",
            LOGFIRE_BASE_URL=collector.url,
            **({} if how == "argument" else variables),
        )
        assert collector.tree() == TREE
        assert other.tree() == TREE


def test_shutting_down_sends_what_is_left(tmp_path: Path, collector: Collector) -> None:
    """When `shutdown()` has returned True, Logfire has the spans."""
    program = """
tracer = mt.configure(root=root, logfire=True, enabled=True)
for number in range(100):
    with tracer.span(f"span {number}"):
        pass
assert mt.shutdown(timeout=20)
os.kill(os.getpid(), signal.SIGKILL)
"""
    with pytest.raises(subprocess.CalledProcessError, match="SIGKILL"):
        run(tmp_path, program, LOGFIRE_TOKEN="some-token", LOGFIRE_BASE_URL=collector.url)
    assert set(collector.tree()) == {f"span {number}" for number in range(100)}


def test_a_logfire_that_is_not_there_costs_a_bounded_time(tmp_path: Path) -> None:
    """The program ends within its few seconds, without a traceback, and everything is recorded."""
    program = """
import time
begin = time.monotonic()
a_run(mt.configure(root=root, logfire=True, enabled=True))
done = mt.shutdown(timeout=1)
print(done, time.monotonic() - begin < 15)
"""
    done = run(tmp_path, program, LOGFIRE_TOKEN="some-token", LOGFIRE_BASE_URL="http://127.0.0.1:9")
    assert done.stdout.split()[1] == "True"
    assert "Traceback" not in done.stderr
    (path,) = lines.recordings(tmp_path)
    assert sorted(lines.names(path)) == sorted(TREE)


def test_configured_twice_it_sends_once(tmp_path: Path, collector: Collector) -> None:
    """A second `configure()` replaces the first cleanly: each span arrives once and is recorded once, where the second says."""
    program = """
mt.configure(root=root + "1", logfire=True, enabled=True)
a_run(mt.configure(root=root + "2", logfire=True, enabled=True))
"""
    run(tmp_path, program, LOGFIRE_TOKEN="some-token", LOGFIRE_BASE_URL=collector.url)
    assert collector.tree() == TREE
    (path,) = lines.recordings(tmp_path)
    assert sorted(lines.names(path)) == sorted(TREE)
    assert "root2" in str(path)


def pushed(root: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch) -> int:
    """`massgen-tracing push` to Logfire; returns its exit code."""
    monkeypatch.setenv("LOGFIRE_TOKEN", "some-token")
    monkeypatch.setenv("LOGFIRE_BASE_URL", collector.url)
    return main(["push", "--root", str(root), "--to", "logfire"])


def test_what_its_sdk_has_sent_is_not_pushed_again(tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its answers are noted beside the recording: a push has nothing to send."""
    run(tmp_path, "a_run(mt.configure(root=root, logfire=True, enabled=True))", LOGFIRE_TOKEN="some-token", LOGFIRE_BASE_URL=collector.url)
    asked = len(collector.requests)
    assert pushed(tmp_path / "root", collector, monkeypatch) == 0
    assert len(collector.requests) == asked
    assert collector.tree() == TREE


BY_IDS = """
from opentelemetry import trace
from opentelemetry.context import Context
with tracer.session("q"):
    there = trace.get_current_span()
    with tracer.span("ours"):
        trace.get_tracer("x").start_span("by ids", trace.set_span_in_context(there, Context())).end()
"""


@pytest.mark.parametrize(
    "program",
    [
        "with tracer.span('before'):\n    pass\na_run(tracer)\nwith tracer.span('after'):\n    pass",
        "with tracer.session('outer'):\n    with tracer.session('inner'):\n        pass\n    with tracer.span('late'):\n        pass",
        BY_IDS,
    ],
    ids=["outside of runs", "one run in another", "by ids"],
)
def test_what_its_sdk_has_sent_is_noted_where_it_is_recorded(
    tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    """Each span beside its own recording: nothing is taken for owed, and nothing sent twice."""
    beginning = "tracer = mt.configure(root=root, logfire=True, enabled=True)\n"
    done = run(tmp_path, f"{beginning}{program}\nprint(mt.shutdown(timeout=20))", LOGFIRE_TOKEN="some-token", LOGFIRE_BASE_URL=collector.url)
    assert (done.stdout, done.stderr) == ("True\n", "")
    asked = len(collector.requests)
    assert pushed(tmp_path / "root", collector, monkeypatch) == 0
    assert len(collector.requests) == asked


def test_what_logfire_has_not_taken_is_said_and_pushed(tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever `force_flush` says: one line says how many spans are owed, and each is there once after a push."""
    collector.status = 400
    done = run(
        tmp_path,
        "a_run(mt.configure(root=root, logfire=True, enabled=True))\nprint(mt.shutdown(timeout=20))",
        LOGFIRE_TOKEN="some-token",
        LOGFIRE_BASE_URL=collector.url,
    )
    assert done.stdout == "False\n"
    (line,) = [line for line in done.stderr.splitlines() if "has not taken" in line]
    assert f"{len(TREE)} spans" in line
    assert f"massgen-tracing push --root {tmp_path / 'root'}" in line
    collector.status = 200
    assert [pushed(tmp_path / "root", collector, monkeypatch) for _ in range(2)] == [0, 0]
    assert collector.tree() == TREE


def test_a_killed_run_repeats_nothing_that_logfire_had_taken(tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a run that is killed, a push sends what had ended and was not taken."""
    program = """
import logfire
tracer = mt.configure(root=root, logfire=True, enabled=True)
with tracer.session("q", agents=["a"]):
    with tracer.span("taken"):
        pass
    logfire.force_flush()
    with tracer.span("not taken"):
        pass
    os.kill(os.getpid(), signal.SIGKILL)
"""
    with pytest.raises(subprocess.CalledProcessError, match="SIGKILL"):
        run(tmp_path, program, LOGFIRE_TOKEN="some-token", LOGFIRE_BASE_URL=collector.url)
    assert pushed(tmp_path / "root", collector, monkeypatch) == 0
    assert set(collector.ended()) == {"taken", "not taken"}
    (root,) = (span for span in collector.spans if texts(span).get("logfire.span_type") == "pending_span")
    assert root.name == "coordination.session"
    assert root.parent_span_id == collector.ended()["taken"].parent_span_id
    assert texts(root)["logfire.pending_parent_id"] == "0" * 16


def test_a_refused_token_is_one_line_and_the_next_run_sends_what_is_owed(tmp_path: Path, collector: Collector) -> None:
    """What is missing, why and what to do; as soon as Logfire takes spans, it gets them once each, but those that it would drop for their age."""
    collector.status = 401
    done = run(tmp_path, "a_run(mt.configure(root=root, logfire=True, enabled=True))", LOGFIRE_TOKEN="some-token", LOGFIRE_BASE_URL=collector.url)
    (line,) = done.stderr.splitlines()
    assert f"{len(TREE)} spans of this process (it answers 401" in line
    assert "The token is refused: set LOGFIRE_TOKEN" in line
    (path,) = lines.recordings(tmp_path)
    (late,) = (span["startTimeUnixNano"] for span in lines.ended(path).values() if span["name"] == "llm.openai.stream")
    path.write_text(path.read_text().replace(late, str(int(late) - 86_401 * 10**9)))
    collector.status = 200
    program = "with mt.configure(root=root, logfire=True, enabled=True).span('second'):\n    pass\nassert mt.shutdown(timeout=60)"
    done = run(tmp_path, program, LOGFIRE_TOKEN="some-token", LOGFIRE_BASE_URL=collector.url)
    (line,) = done.stderr.splitlines()
    assert "1 span of earlier runs began more than 24 hours ago" in line
    assert collector.tree() == {"second": "", **{name: parent for name, parent in TREE.items() if name != "llm.openai.stream"}}
    assert [(entry.sent, entry.late) for entry in ledger.entries(path)] == [(5, 1)]


def test_what_a_logfire_of_the_programs_own_has_sent_is_not_owed(tmp_path: Path, collector: Collector) -> None:
    """Its answers are noted, whether the program configures it before or after; where it sends nothing, nothing is owed to it."""
    program = """
import logfire
logfire.configure(console=False, send_to_logfire=True)
tracer = mt.configure(root=root, logfire=True, enabled=True)
with tracer.span("first"):
    pass
logfire.configure(console=False, send_to_logfire=True)
with tracer.span("second"):
    pass
assert mt.shutdown(timeout=60)
logfire.configure(console=False, send_to_logfire=False)
with mt.configure(root=root + "2", logfire=True, enabled=True).span("not meant for it"):
    pass
assert mt.shutdown(timeout=60)
"""
    done = run(tmp_path, program, LOGFIRE_TOKEN="some-token", LOGFIRE_BASE_URL=collector.url)
    (line,) = done.stderr.splitlines()
    assert "to send nothing, and so it stays" in line
    assert sorted(collector.ended()) == ["first", "second"]
    assert [debt.spans for debt in push.debts(tmp_path / "root")] == [0]
    assert push.debts(tmp_path / "root2") == []


def test_spans_that_logfire_rejects_are_counted(tmp_path: Path, collector: Collector) -> None:
    """A partial success: they count as refused, not as sent, and are said."""
    collector.rejects = 2
    done = run(tmp_path, "a_run(mt.configure(root=root, logfire=True, enabled=True))", LOGFIRE_TOKEN="some-token", LOGFIRE_BASE_URL=collector.url)
    (line,) = done.stderr.splitlines()
    assert "Logfire refuses 2 spans for good (no quota)" in line
    (path,) = lines.recordings(tmp_path)
    (entry,) = ledger.entries(path)
    assert (entry.refused, entry.why) == (2, "no quota")
    assert entry.sent >= len(TREE) - 2  # and the starts of spans, where Logfire's SDK has sent some before their ends

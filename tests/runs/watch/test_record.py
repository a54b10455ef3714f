"""What is watched, as spans: beside traced agents, in the tree, in SQL and in the report."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from massgen_tracing import store
from massgen_tracing.views.cli import main

AGENT = """#!{python} -S
import json, os, pathlib, sys, time
folder = pathlib.Path(os.environ["HOME"]) / ".claude" / "projects" / __import__("re").sub("[^A-Za-z0-9]", "-", os.getcwd())
folder.mkdir(parents=True)
def now():
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + f".{{time.time_ns() // 1000000 % 1000:03}}Z"
usage = {{"input_tokens": 1000, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 500, "output_tokens": 50}}
message = {{"id": "m1", "model": "claude-opus-4-8", "usage": usage}}
blocks = [{{"type": "tool_use", "id": "t1", "name": "Bash", "input": {{"command": "ls"}}}}], [{{"type": "text", "text": "x"}}]
entries = [{{"type": "user", "timestamp": now(), "message": {{"content": "hi"}}, "sessionId": "s1", "cwd": os.getcwd()}}]
entries += [{{"type": "assistant", "timestamp": now(), "message": {{**message, "content": content}}}} for content in blocks]
entries += [{{"type": "user", "timestamp": now(), "message": {{"content": [{{"type": "tool_result", "tool_use_id": "t1", "content": "a"}}]}}}}]
(folder / "s1.jsonl").write_text("".join(json.dumps(entry) + chr(10) for entry in entries))
(pathlib.Path(os.environ["HOME"]) / "traceparent").write_text(os.environ["TRACEPARENT"])
stamp = str(time.time_ns())
def attributes(said):
    return [{{"key": key, "value": {{"stringValue": value}}}} for key, value in said.items()]
if "OWN_RECORDING" in os.environ:
    own = {{"traceId": "a" * 32, "spanId": "b" * 16, "name": "claude_code.llm_request", "startTimeUnixNano": stamp, "endTimeUnixNano": stamp}}
    own["attributes"] = attributes({{"session.id": "s1", "gen_ai.request.model": "claude-opus-4-8"}})
    pathlib.Path(os.environ["OWN_RECORDING"]).write_text(json.dumps({{"resourceSpans": [{{"scopeSpans": [{{"spans": [own]}}]}}]}}))
elif "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT" in os.environ and "SILENT" not in os.environ:
    import urllib.request
    used = {{"event.name": "api_request", "session.id": "s1", "prompt.id": "p"}}
    used |= {{"input_tokens": "1000", "cache_read_tokens": "500", "output_tokens": "50"}}
    records = [{{"timeUnixNano": stamp, "attributes": attributes({{**used, "event.sequence": n, "duration_ms": "2000"}})}} for n in "12"]
    body = json.dumps({{"resourceLogs": [{{"scopeLogs": [{{"logRecords": records}}]}}]}}).encode()
    request = urllib.request.Request(os.environ["OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"], body, {{"Content-Type": "application/json"}})
    urllib.request.urlopen(request).read()
print(json.dumps({{"type": "result", "subtype": "success", "is_error": "{broken}" == "yes", "terminal_reason": "completed"}}))
sys.exit(int(os.environ.get("EXIT_CODE", 0)))
"""


def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *command: str, broken: bool = False) -> int:
    """Watch an agent that keeps a transcript, or have another command do so; the exit code."""
    agent = tmp_path / "claude"
    agent.write_text(AGENT.format(python=sys.executable, broken="yes" if broken else "no"))
    agent.chmod(0o755)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in [name for name in os.environ if name.startswith(("OTEL_", "CLAUDE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return main([*(command or ("watch", "--record")), "--root", str(tmp_path / "root"), "--", str(agent)])


def test_a_watched_agent_is_in_the_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """Its states with their evidence, and below it what its transcript tells, each response once, with its cost."""
    monkeypatch.setenv("SILENT", "1")
    assert recorded(tmp_path, monkeypatch) == 0
    rows = store.query(
        "SELECT span_name, trace_id, span_id, attributes->>'massgen.watch.state' AS state, (attributes->>'gen_ai.usage.input_tokens')::int AS sent, "
        "(attributes->>'operation.cost')::float AS cost, attributes->>'massgen.imported' AS imported FROM records",
        root=str(tmp_path / "root"),
    ).table.to_pylist()
    names = [row["span_name"] for row in rows]
    assert sorted(set(names)) == [
        "Tool execution: Bash",
        "coordination.session",
        "llm.anthropic.stream",
        "watch.agent.claude",
        "watch.completed",
        "watch.running",
    ]
    [agent] = [row for row in rows if row["span_name"] == "watch.agent.claude"]
    [call] = [row for row in rows if row["span_name"] == "llm.anthropic.stream"]
    assert agent["state"] == "completed"
    assert (tmp_path / "home" / "traceparent").read_text().split("-")[1:3] == [agent["trace_id"], agent["span_id"]]
    assert (call["sent"], call["imported"]) == (1500, "true")
    assert call["cost"] > 0
    capfd.readouterr()
    assert main(["trace", "--root", str(tmp_path / "root"), "--format", "json"]) == 0
    said = json.loads(capfd.readouterr().out)
    assert "watch.agent.claude" in json.dumps(said)


def test_one_that_failed_has_failed_and_is_no_incomplete_coordination(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """By its own word, though it ended with 0."""
    monkeypatch.setenv("SILENT", "1")
    assert recorded(tmp_path, monkeypatch, broken=True) == 2
    capfd.readouterr()
    assert main(["summary", "--root", str(tmp_path / "root")]) == 0
    said = capfd.readouterr().out
    assert "1 model call · 1 tool call" in said
    assert "is_error: True" in said
    assert "incomplete_coordination" not in said
    assert main(["logs", "analyze", "--root", str(tmp_path / "root")]) == 0
    [report] = (tmp_path / "root").rglob("ANALYSIS_REPORT.md")
    assert [line for line in report.read_text().splitlines() if line.startswith("- [")] == ["- [x] Watching ended"]
    said = report.read_text()
    assert "claude: failed, by “line 1: type: 'result'" in said
    assert not any(word in said for word in ("no winner", "Winner", "Total Votes"))
    capfd.readouterr()
    assert main(["logs", "list", "--root", str(tmp_path / "root")]) == 0
    assert "no winner" not in capfd.readouterr().out


CALLS = (
    "SELECT attributes->>'massgen.watch.source' AS source, (attributes->>'gen_ai.usage.input_tokens')::int AS sent, duration FROM records "
    "WHERE attributes->>'massgen.imported' = 'true' AND span_name LIKE 'llm.%'"
)


def test_a_command_that_sends_its_own_telemetry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """It is told to, and what it sends counts in place of its transcript, also in what is said at the end."""
    assert recorded(tmp_path, monkeypatch) == 0
    rows = store.query(CALLS, root=str(tmp_path / "root")).table.to_pylist()
    assert [(row["source"], row["sent"], row["duration"]) for row in rows] == [("telemetry", 1500, 2.0)] * 2
    assert "3,000→100 tok" in capfd.readouterr().err


@pytest.mark.parametrize("code", [0, 7])
def test_an_agent_under_exec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], code: int) -> None:
    """Its output and its exit code are its own, and nothing else is said; what it tells of itself is recorded."""
    monkeypatch.setenv("EXIT_CODE", str(code))
    before = dict(os.environ)
    assert recorded(tmp_path, monkeypatch, "exec") == code
    assert {name: value for name, value in os.environ.items() if before.get(name) != value}.keys() <= {"HOME", "PYTEST_CURRENT_TEST"}
    out, err = capfd.readouterr()
    assert (json.loads(out)["type"], err) == ("result", "")
    rows = store.query(CALLS, root=str(tmp_path / "root")).table.to_pylist()
    assert [(row["source"], row["sent"]) for row in rows] == [("telemetry", 1500)] * 2


def test_what_the_program_has_recorded_itself_is_not_recorded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its user has it sent to a server of the same root: its calls are there, and the watched agent says in which trace."""
    place = tmp_path / "root" / "massgen_logs" / "trace_20261129_120000_000001_1" / "turn_1" / "attempt_1"
    place.mkdir(parents=True)
    monkeypatch.setenv("OWN_RECORDING", str(place / "trace.otlp.jsonl"))
    assert recorded(tmp_path, monkeypatch) == 0
    assert store.query(CALLS, root=str(tmp_path / "root")).table.to_pylist() == []
    said = "SELECT attributes->>'massgen.watch.traces' AS traces FROM records WHERE span_name = 'watch.agent.claude'"
    assert json.loads(store.query(said, root=str(tmp_path / "root")).table.to_pylist()[0]["traces"]) == ["a" * 32]


def test_where_nothing_can_be_recorded_nothing_is_said_to_be(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, swallowed: list[str]
) -> None:
    """The command runs all the same."""
    (tmp_path / "root").write_text("a file")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert main(["watch", "--record", "--root", str(tmp_path / "root"), "--", "true"]) == 0
    said = capfd.readouterr().err
    assert "recorded as trace" not in said
    assert "1 completed" in said
    assert "recording.write" in swallowed
    swallowed.clear()

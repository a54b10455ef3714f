"""What is watched, as spans: beside traced agents, in the tree, in SQL and in the report."""

from __future__ import annotations

import json
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
print(json.dumps({{"type": "result", "subtype": "success", "is_error": "{broken}" == "yes", "terminal_reason": "completed"}}))
"""


def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, broken: bool = False) -> int:
    """Watch an agent that keeps a transcript; the exit code."""
    agent = tmp_path / "claude"
    agent.write_text(AGENT.format(python=sys.executable, broken="yes" if broken else "no"))
    agent.chmod(0o755)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return main(["watch", "--record", "--root", str(tmp_path / "root"), "--", str(agent)])


def test_a_watched_agent_is_in_the_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """Its states with their evidence, and below it what its transcript tells, each response once, with its cost."""
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

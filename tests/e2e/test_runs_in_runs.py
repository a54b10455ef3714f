"""An agent's shell starts runs of its own: one trace, and nothing else that is shared."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from massgen_tracing import layout, semconv
from massgen_tracing.model import SpanRecord
from massgen_tracing.runs.coordinator.scripted import ScriptedCall, ScriptedEndpoint, Turn
from massgen_tracing.store.roots import catalogue, reader
from massgen_tracing.views.cli import main

INNER = 'massgen-tracing run --automation --config {config} "{question}"'
"""As an agent types it: by the command's name alone."""


@dataclass
class Runs:
    """What one outer run and two inner ones have left: the outer one's lines, what the inner ones printed, and the spans by log directory."""

    lines: list[str]
    printed: str
    spans: dict[Path, list[SpanRecord]]

    @property
    def outer(self) -> Path:
        return Path(self.lines[0].removeprefix("LOG_DIR: "))


def _script(config: Path):
    """The outer agent starts two runs beside each other, and answers with what they print; the inner ones answer at once."""
    both = " & ".join(INNER.format(config=config, question=f"Question {n}?") for n in (1, 2))

    def script(asked):
        tools = {tool.rsplit("__", 1)[-1]: tool for tool in asked.tools}
        if not {"vote", "new_answer"} & tools.keys():
            return Turn(f"final answer of {asked.agent_id}")
        if "vote" in tools:
            return Turn(calls=(ScriptedCall("vote", {"agent_id": "agent1", "reason": "good"}),))
        results = [message["content"] for message in asked.messages if message["role"] == "tool"]
        if "execute_command" in tools and not results:
            return Turn(calls=(ScriptedCall(tools["execute_command"], {"command": f"{both} & wait", "timeout": 60}),))
        return Turn(calls=(ScriptedCall("new_answer", {"content": results[-1] if results else "inner answer"}),))

    return script


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Iterator[Runs]:
    """One outer run, whose agent has started two others."""
    place = tmp_path_factory.mktemp("runs")
    server = {"name": "filesystem", "command": sys.executable, "args": ["-m", "massgen_tracing.runs.coordinator.tool_server", "--root", "${cwd}"]}
    with pytest.MonkeyPatch.context() as patch, ScriptedEndpoint(_script(place / "inner.yaml")) as endpoint:
        patch.chdir(place)
        patch.setenv("PATH", "/usr/bin:/bin")  # the command is found all the same, where the agent's tools come from
        for name, servers in (("inner", []), ("outer", [server])):
            backend = {"type": "openai", "model": "gpt-5-mini", "base_url": endpoint.base_url(name), "mcp_servers": servers}
            Path(f"{name}.yaml").write_text(json.dumps({"agent": {"id": name, "backend": backend}}), encoding="utf-8")
        printed = place / "printed.txt"
        with printed.open("w", encoding="utf-8") as out:
            patch.setattr(sys, "stdout", out)
            code = main(["run", "--automation", "--config", "outer.yaml", "Outer?"])
        patch.undo()
        lines = printed.read_text(encoding="utf-8").splitlines()
        assert code == 0, lines
        root = place / layout.DEFAULT_ROOT
        spans = {run.path: list(reader.read(tuple(run.path.rglob("*.otlp.jsonl"))).spans) for run in catalogue.runs(root)}
        [answer] = {path.read_text(encoding="utf-8") for path in root.glob("massgen_logs/*/turn_1/attempt_1/outer/*/answer.txt")}
        yield Runs(lines, answer, spans)


def test_each_run_has_its_own(runs):
    """Three runs, three log directories under one root, each with its own answer; inner ones begin with LOG_DIR and come to their end."""
    assert len(runs.spans) == 3
    inner = [Path(found) for found in re.findall(r"^LOG_DIR: (.*)$", runs.printed, re.MULTILINE)]
    assert sorted([runs.outer, *inner]) == sorted(runs.spans)
    assert len(re.findall(r"^COMPLETED: 1 agent, ", runs.printed, re.MULTILINE)) == 2
    for path in re.findall(r"^FINAL_ANSWER: (.*)$", runs.printed, re.MULTILINE):
        assert Path(path).read_text(encoding="utf-8") == "final answer of inner"
    questions = {span.attributes[semconv.TASK] for spans in runs.spans.values() for span in spans if span.name == semconv.SESSION}
    assert questions == {"Outer?", "Question 1?", "Question 2?"}
    assert {log_dir / "turn_1" / "attempt_1" / "workspaces" for log_dir in runs.spans} == {
        path for log_dir in runs.spans for path in log_dir.rglob("workspaces")
    }


def test_one_trace(runs):
    """All of them are one trace: the inner sessions lie below the very call that started them."""
    assert len({span.trace_id for spans in runs.spans.values() for span in spans}) == 1
    everywhere = {span.span_id: span for spans in runs.spans.values() for span in spans}
    [call] = [span for span in runs.spans[runs.outer] if span.name == "mcp.filesystem.execute_command"]
    inner = [span for log_dir, spans in runs.spans.items() if log_dir != runs.outer for span in spans if span.name == semconv.SESSION]
    assert len(inner) == 2
    for session in inner:
        above = []
        span: SpanRecord | None = session
        while span is not None:
            span = everywhere.get(span.parent_span_id)
            above.append(span)
        assert call in above
        assert call.start_ns <= session.start_ns <= (session.end_ns or 0) <= (call.end_ns or 0)


def test_inner_runs_belong_to_the_outer_one(runs, capsys):
    """The list has one line, the outer run's, with the agents of all three; its tree has all; an inner one, asked for by name, is itself only."""
    root = runs.outer.parent.parent
    assert main(["logs", "list", "--root", str(root), "--format", "json"]) == 0
    [listed] = json.loads(capsys.readouterr().out)
    assert listed["run"] == runs.outer.name
    everything = [span for spans in runs.spans.values() for span in spans]
    assert listed["agents"] == ["inner", "outer"]
    assert len(listed["trace_ids"]) == 1
    for asked in ([], [runs.outer.name]):
        assert main(["trace", *asked, "--root", str(root), "--format", "json"]) == 0
        tree = json.loads(capsys.readouterr().out)
        assert [span["name"] for span in tree["spans"]].count("coordination.session") == 3
        assert len(tree["spans"]) == len(everything)
        assert sum(span["depth"] == 0 for span in tree["spans"]) == 1
    inner = next(path for path in runs.spans if path != runs.outer)
    assert main(["trace", inner.name, "--root", str(root), "--format", "json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["spans"]) == len(runs.spans[inner])

"""`massgen-tracing run` as its user meets it: exit codes, output, the recording, signals."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
from importlib.metadata import version
from pathlib import Path

import pytest

from massgen_tracing.runs.coordinator import packages
from massgen_tracing.runs.coordinator.progress import Progress
from massgen_tracing.views.cli import main
from massgen_tracing.views.cli import run as run_command

COMMAND = [sys.executable, "-W", "error", "-m", "massgen_tracing.views.cli", "run"]


WITHOUT_END = """
import dataclasses, sys
from massgen_tracing.runs.coordinator.script import DryRunScript
reply = DryRunScript.__call__
def reply_or_hang(self, asked):
    turn = reply(self, asked)
    hangs = asked.agent_id != "agent_a" and "agent2.1" in str(asked.messages)
    return dataclasses.replace(turn, seconds=100_000) if hangs else turn
DryRunScript.__call__ = reply_or_hang
from massgen_tracing.views.cli import main
sys.exit(main(["run", *sys.argv[1:]]))
"""
"""The command, with a scripted model that does not come to an end once there is a second answer, but for the first agent."""


def run(*args, cwd, **env):
    """The command in a process of its own."""
    return subprocess.run(
        [*COMMAND, *args], cwd=cwd, capture_output=True, text=True, env={**os.environ, **env}, check=False, stdin=subprocess.DEVNULL
    )


def one_agent(place):
    """The name of a configuration there with one agent and no tools: a dry run of it is short."""
    (place / "one.yaml").write_text("agent: {id: agent_a, backend: {type: openai, model: gpt-5-mini}}")
    return "one.yaml"


def spans(path):
    """Ended spans of a recording by id, as (name, parent's id, attributes)."""
    found = {}
    for line in Path(path).read_text().splitlines():
        for resource in json.loads(line).get("resourceSpans", ()):
            for scope in resource["scopeSpans"]:
                for span in scope["spans"]:
                    values = {item["key"]: next(iter(item["value"].values()), None) for item in span.get("attributes", ())}
                    if values.get("logfire.span_type") != "pending_span":
                        found[span["spanId"]] = (span["name"], span.get("parentSpanId", ""), values)
    return found


def clean(done):
    """Nothing that nobody should have to read stands on stderr."""
    for word in ("Traceback", "Failed to detach", "Warning", "never awaited", "Task exception"):
        assert word not in done.stderr, done.stderr
    return done


def test_dry_run(tmp_path):
    """A dry run ends with the answer, the trace's id and the recording's path; the recording holds the whole tree, MCP's own spans included."""
    done = clean(run("--dry-run", "What is AI?", cwd=tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Final answer to: What is AI?")
    found = re.search(r"^trace: ([0-9a-f]{32})\nrecording: (.*)\nnext: massgen-tracing trace\n +massgen-tracing sql \"", done.stdout, re.MULTILINE)
    assert found, done.stdout
    assert "agent_a answered: agent1.1" in done.stderr
    assert "agent_c is asked again (no_tool_calls)" in done.stderr
    recorded = spans(found.group(2))
    names = [name for name, _, _ in recorded.values()]
    assert names.count("coordination.session") == 1
    assert "agent.agent_a.presentation" in names
    assert all(parent in recorded for name, parent, _ in recorded.values() if name != "coordination.session")
    above = [recorded[parent][0] for name, parent, _ in recorded.values() if name.startswith("MCP send tools/call")]
    assert above or version("mcp").startswith("1.")  # mcp 1 has no spans of its own
    assert all(name.startswith("mcp.filesystem.") for name in above)


def test_quiet_and_without_recording(tmp_path):
    """`--quiet` prints the answer alone; `--no-record` leaves no file."""
    one = one_agent(tmp_path)
    done = clean(run("--dry-run", "--config", one, "--quiet", "--no-record", "What is AI?", cwd=tmp_path))
    assert done.returncode == 0
    assert done.stdout.startswith("Final answer to: What is AI?")
    assert "trace:" not in done.stdout
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == [tmp_path / one]


def test_without_tracing(tmp_path):
    """A run does not need the tracing: switched off, it answers the same and says nothing of a trace."""
    done = clean(run("--dry-run", "What is AI?", cwd=tmp_path, MASSGEN_TRACING_ENABLED="0"))
    assert done.returncode == 0
    assert done.stdout.startswith("Final answer to: What is AI?")
    assert "trace:" not in done.stdout
    assert "agent_a wins with agent1.2: most votes (2 of 3 votes)" in done.stderr


def test_root_that_cannot_be_written(tmp_path):
    """Where no run directory can be made the run goes on, with one warning."""
    (tmp_path / "file").write_text("")
    done = clean(run("--dry-run", "--config", one_agent(tmp_path), "--root", "file", "What is AI?", cwd=tmp_path))
    assert done.returncode == 0
    assert done.stdout.startswith("Final answer to: What is AI?")
    assert done.stderr.count("No run directory can be made") == 1
    assert "recording:" not in done.stdout


@pytest.mark.usefixtures("heeds_interrupts")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals(tmp_path, number):
    """Ctrl-C and SIGTERM end the run with exit code 4; every span is ended in the recording, the best answer is kept, no process stays."""
    command = [sys.executable, "-W", "error", "-c", WITHOUT_END, "--dry-run", "What is AI?"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1) as process:
        assert process.stderr is not None
        lines = []
        for awaited in ("answered: agent2.1", "agent_a voted for"):  # then the other two are in the middle of their next rounds
            lines.append(next(line for line in process.stderr if awaited in line))
        process.send_signal(number)
        out, err = process.communicate()
    assert process.returncode == 4, (out, lines, err)
    assert "Traceback" not in err
    found = re.search(r"^recording: (.*)$", out, re.MULTILINE)
    assert found
    recorded = spans(found.group(1))
    names = [name for name, _, _ in recorded.values()]
    assert "coordination.session" in names
    assert "Coordination event: coordination_interrupted" in names
    rounds = [values["massgen.outcome"] for name, _, values in recorded.values() if name.startswith("agent.")]
    assert "cancelled" in rounds
    assert all(parent in recorded for name, parent, _ in recorded.values() if name != "coordination.session")
    assert list(tmp_path.glob(".massgen/massgen_logs/*/turn_1/attempt_1/final/*/answer.txt"))
    listing = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(tmp_path) not in listing


def test_timeout(tmp_path, monkeypatch, capsys, clock):
    """A run whose time is up ends with exit code 3 and the best answer by then."""
    monkeypatch.chdir(tmp_path)
    show = run_command._show
    monkeypatch.setattr(run_command, "_show", lambda progress: (show(progress), clock.passes(500) if progress.kind == "answer" else None))
    config = tmp_path / "c.yaml"
    config.write_text("agents: [" + ", ".join(f"{{id: a{n}, backend: {{type: ollama, model: m}}}}" for n in range(9)) + "]")
    code = main(["run", "--dry-run", "--config", "c.yaml", "--timeout", "500", "What is AI?"])
    said = capsys.readouterr()
    assert code == 3, said.err
    assert said.out.startswith("Answer 1 to: What is AI?")
    assert "\nthe run stops: the run has reached its time limit of 500 s\n" in said.err
    assert "massgen-tracing run: the run has reached its time limit of 500 s; this is the best answer by then\n" in said.err


def test_progress_is_told_in_plain_sentences(capsys):
    """Of an agent, and of the run itself where it has reached a limit."""
    for progress in (Progress("timeout", "a", "no vote within 5 s"), Progress("budget", "", "the run has used 30 tokens; its limit is 20")):
        run_command._show(progress)
    assert capsys.readouterr().err.splitlines() == [
        "a ran out of time: no vote within 5 s",
        "the run stops: the run has used 30 tokens; its limit is 20",
    ]


def test_unreachable_endpoint(tmp_path):
    """An endpoint where nobody listens ends the run with exit code 2, naming URL and variable, and still leaves a recording."""
    config = tmp_path / "c.yaml"
    backend = "{type: chatcompletion, model: m, base_url: 'http://127.0.0.1:9/v1', api_key_env: SOME_KEY}"
    config.write_text(f"agent: {{id: a, backend: {backend}}}")
    done = clean(run("--config", "c.yaml", "What is AI?", cwd=tmp_path, SOME_KEY="sk-secret-0123456789"))
    assert done.returncode == 2
    assert re.search(r"http://127.0.0.1:9/v1.*SOME_KEY", done.stderr)
    found = re.search(r"^recording: (.*)$", done.stdout, re.MULTILINE)
    assert found
    text = Path(found.group(1)).read_text()
    assert "coordination.session" in text
    assert "sk-secret" not in text + done.stdout + done.stderr


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["What?"], "--config FILE or --dry-run"),
        (["--dry-run", " "], "question is empty"),
        (["--dry-run", "--timeout", "-1", "What?"], "--timeout is wrong"),
        (["--config", "none.yaml", "What?"], "cannot be read"),
        (["--config", "bad.yaml", "What?"], "not valid YAML at line 3"),
        (["--config", "type.yaml", "What?"], "one of openai"),
    ],
)
def test_configuration_errors(tmp_path, monkeypatch, capsys, args, message):
    """What is wrong with the configuration is said with exit code 1, before anything is started or written."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.yaml").write_text("agents: [\n  {id: a\n")
    (tmp_path / "type.yaml").write_text(textwrap.dedent("agent: {id: a, backend: {type: cluade, model: m}}"))
    assert main(["run", *args]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / ".massgen").exists()


@pytest.mark.parametrize("package", ["openai", "mcp", "starlette", "uvicorn"])
def test_without_the_extra(tmp_path, monkeypatch, capsys, package):
    """Where a package is missing that only runs need, one line says so and how to install it, before anything is started or written."""
    find = importlib.util.find_spec
    monkeypatch.setattr(packages, "find_spec", lambda name: None if name == package else find(name))
    assert main(["run", "--dry-run", "--root", str(tmp_path / "root"), "Why?"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert f"needs the package {package}, which is not installed" in said.err
    assert 'pip install "massgen_tracing[coordinator]"' in said.err
    assert not list(tmp_path.iterdir())


def test_imports_stay_light(tmp_path):
    """Neither `import massgen_tracing` nor `run --help` loads a model client, MCP or a web server."""
    code = """
import sys
import massgen_tracing
from massgen_tracing.views.cli import main
try:
    main(["run", "--help"])
except SystemExit:
    pass
print([name for name in ("openai", "mcp", "starlette", "uvicorn", "yaml", "logfire") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"

"""`trace --follow`: a run told span by span while it goes on."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import massgen_tracing as mt
from massgen_tracing.views.cli import EXIT_INTERRUPTED, main


@contextmanager
def following(*options: str, root: Path) -> Iterator[subprocess.Popen[str]]:
    words = [sys.executable, "-m", "massgen_tracing", "trace", "--follow", "--root", str(root), *options]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_each_span_is_told_when_it_ends_and_the_totals_last(tmp_path: Path) -> None:
    """What has ended before is told at once, what ends later then; of a newer run that begins meanwhile nothing."""
    tracer = mt.configure(root=tmp_path, enabled=True)
    session = tracer.session("Why?", agents=["a"]).start()
    rnd = session.agent_round("a").start()
    with rnd.llm_call("openai", model="gpt-5-mini") as call:
        call.record_usage(input=100, output=20)
    with following(root=tmp_path) as process:
        assert process.stdout is not None
        assert "llm.openai.stream" in (line := process.stdout.readline())
        assert "100→20 tok" in line
        with tracer.session("Another?", agents=["b"]):
            pass
        with rnd.tool_call("search"):
            pass
        assert "Tool execution: search" in process.stdout.readline()
        rnd.answer(text="Because.")
        rnd.end()
        session.winner("a", "agent1.1")
        session.end()
        rest = process.stdout.read()
        assert process.wait() == 0
    assert "agent.a.round_0" in rest
    assert "answer agent1.1" in rest
    assert "coordination.session" in rest
    assert "agent.b" not in rest
    assert rest.strip().splitlines()[-1].startswith("★ a (agent1.1) won · 1 model call · 1 tool call · 100→20 tok")


def test_for_programs_each_is_an_object_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a run that has ended all come at once, in the order of their ends; `--only errors` leaves the others out."""
    tracer = mt.configure(root=tmp_path, enabled=True)
    with tracer.session("Why?", agents=["a"]) as session, session.agent_round("a") as rnd:
        with rnd.tool_call("search") as call:
            call.record_result("no such thing", is_error=True)
    mt.shutdown()
    assert main(["trace", "--follow", "--format", "json", "--root", str(tmp_path)]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["name"] for each in told] == ["Tool execution: search", "agent.a.round_0", "coordination.session"]
    assert main(["trace", "--follow", "--format", "json", "--only", "errors", "--root", str(tmp_path)]) == 0
    assert [json.loads(line)["error"] for line in capsys.readouterr().out.splitlines()] == ["tool_error"]


def test_ctrl_c_ends_it_and_a_run_that_dies_too(tmp_path: Path) -> None:
    """Ctrl-C is told of in a line; a run whose process is gone has ended, as interrupted."""
    program = f"""
import time, massgen_tracing as mt
tracer = mt.configure(root={str(tmp_path)!r}, enabled=True)
with tracer.session("Why?", agents=["a"]) as session, session.agent_round("a"):
    with tracer.span("work"):
        pass
    print("begun", flush=True)
    time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "begun\n"
        with following(root=tmp_path) as process:
            assert process.stdout is not None
            assert "work" in process.stdout.readline()
            process.send_signal(signal.SIGINT)
            assert process.wait() == EXIT_INTERRUPTED
            assert process.stderr is not None
            assert process.stderr.read() == "massgen-tracing trace: interrupted\n"
        with following(root=tmp_path) as process:
            assert process.stdout is not None
            assert "work" in process.stdout.readline()
            run.kill()
            said = process.stdout.read()
            assert process.wait() == 0
    assert "agent.a.round_0" in said
    assert "2 interrupted" in said.splitlines()[-1]


def test_what_does_not_go_with_it_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A depth or a limit: every span is told."""
    with pytest.raises(SystemExit):
        main(["trace", "--follow", "--depth", "2", "--root", str(tmp_path)])
    assert "leave out --depth and --limit" in capsys.readouterr().err

"""The shell loops that `watch --until done` takes the place of, each once round: on the same runs and workspaces they say the same."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from massgen_tracing.views.cli import main
from tests.runs.test_monitoring import COMPLETE, FAILED

pytestmark = pytest.mark.skipif(
    any(shutil.which(each) is None for each in ("bash", "jq")), reason="one of bash, jq is missing (Debian: apt-get install jq)"
)

RUNS: dict[str, tuple[dict[str, Any], str]] = {
    "completed": ({"reason": "completed", "winner": "a", "percent": 100, "final": True, "errors": {"a": None, "b": None}}, "completed"),
    "one agent failed": ({"reason": "completed", "winner": "a", "percent": 100, "final": True, "errors": {"a": None, "b": "no key"}}, "completed"),
    "all failed": ({"reason": "error", "winner": None, "percent": 0, "final": False, "errors": {"a": "no key", "b": "no key"}}, "failed"),
}

LOOPS = {
    "status.txt": """
case $(cat status.txt 2>/dev/null) in COMPLETED) echo completed ;; FAILED) echo failed ;; *) echo running ;; esac
""",
    "exit-code.txt": """
if [ ! -f exit-code.txt ]; then echo running; elif [ "$(cat exit-code.txt)" -eq 0 ]; then echo completed; else echo failed; fi
""",
    "progress.txt": """
if [ "$(cat progress.txt)" -ge 100 ]; then echo completed; else echo running; fi
""",
    "output.log": """
if grep -q DONE output.log; then echo completed; elif grep -qE 'ERROR|FAILED|Exception' output.log; then echo failed; else echo running; fi
""",
}

WORKSPACES = (
    ("status.txt", "COMPLETED\n"),
    ("status.txt", "FAILED\n"),
    ("status.txt", "RUNNING\n"),
    ("exit-code.txt", "0\n"),
    ("exit-code.txt", "2\n"),
    ("progress.txt", "100"),
    ("progress.txt", "40"),
    ("output.log", "working\nDONE\n"),
    ("output.log", "working\nException: no\n"),
    ("output.log", "working\n"),
)


def said(program: str, where: Path) -> str:
    """What a program for bash prints."""
    done = subprocess.run(["bash", "-c", program], cwd=where, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def verdict(capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, str]]:
    """What ours says: the exit code, and each target's state."""
    code = main(["watch", "--until", "done", "--json", *words])
    summary = json.loads(capfd.readouterr().out.splitlines()[-1])
    return code, {target["target"]: target["state"] for target in summary["targets"]}


@pytest.mark.parametrize("name", RUNS)
def test_loops_over_runs(tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str) -> None:
    """Winner, percentage and presentation; and agents with errors, each of which is an agent of ours that has failed."""
    about, expected = RUNS[name]
    log_dir = tmp_path / "massgen_logs" / "log_20261129_120000_000001"
    attempt = log_dir / "turn_1" / "attempt_1"
    attempt.mkdir(parents=True)
    agents = {
        agent: {"status": "voted", "error": None if error is None else {"type": "error", "message": error}}
        for agent, error in about["errors"].items()
    }
    coordination = {"completion_percentage": about["percent"], "is_final_presentation": about["final"], "phase": "presentation"}
    document = {
        "finish_reason": about["reason"],
        "telemetry": {},
        "coordination": coordination,
        "agents": agents,
        "results": {"winner": about["winner"]},
    }
    (attempt / "status.json").write_text(json.dumps(document))
    status = f"STATUS_FILE={attempt / 'status.json'}\n"
    complete, failed = said(status + COMPLETE, tmp_path), said(status + FAILED, tmp_path)
    code, states = verdict(capfd, str(log_dir))
    assert (complete.count("complete!"), "final presentation" in complete) == ((2, True) if expected == "completed" else (0, False))
    assert (states[log_dir.name], code) == (expected, 0 if expected == "completed" else 2)
    for agent, error in about["errors"].items():
        assert (states[f"{log_dir.name}/{agent}"] == "failed") is (f'"agent": "{agent}"' in failed) is (error is not None)


@pytest.mark.parametrize(("file", "text"), WORKSPACES, ids=lambda value: value.replace("\n", " ").strip())
def test_loops_over_workspaces(tmp_path: Path, capfd: pytest.CaptureFixture[str], file: str, text: str) -> None:
    """Status, exit code, progress, and markers and errors in a log; what the loops still wait for, ours still waits for."""
    (tmp_path / file).write_text(text)
    looped = said(LOOPS[file], tmp_path)
    code, states = verdict(capfd, f"dir:{tmp_path}", "--marker", "DONE" if file == "output.log" and "DONE" in text else "", "--timeout", "0.3")
    if looped == "failed" and file == "output.log":  # whether it goes on after the error is not known yet
        assert states[f"dir:{tmp_path}"] == "timed_out"
        (tmp_path / "exit-code.txt").write_text("0")
        code, states = verdict(capfd, f"dir:{tmp_path}")
    assert states[f"dir:{tmp_path}"] == ("timed_out" if looped == "running" else looped)
    assert code == {"completed": 0, "failed": 2, "running": 3}[looped]

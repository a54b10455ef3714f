"""`massgen-tracing watch`: a line or a JSON object a change, a summary, and exit codes."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from massgen_tracing.views import terminal, watching
from massgen_tracing.views.cli import main
from tests.runs.watch.seen import state, watch

SCHEMA = json.loads(resources.files("massgen_tracing.views").joinpath("schemas/watch.schema.json").read_bytes())


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A workspace that has completed."""
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "exit-code.txt").write_text("0")
    (folder / "output.log").write_text('{"event": "progress", "percent": 100}\nall DONE\n')
    return folder


def printed(capfd: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """What was printed, each line as the schema has it."""
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    for line in lines:
        jsonschema.validate(line, SCHEMA)
    return lines


def test_lines_for_people(work: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Each change with its evidence, and a summary with the conditions that do not hold."""
    assert main(["watch", f"dir:{work}", "--require", "output.log", "--marker", "DONE"]) == 0
    assert "completed  output.log line 2: all DONE" in capfd.readouterr().out
    assert main(["watch", f"dir:{work}", "--require", "report.md"]) == 2
    said = capfd.readouterr().out
    assert "1 failed\n" in said
    assert "    no       report.md is there and not empty: is missing\n" in said


@pytest.mark.parametrize("target", ["file:{}/none.log", "pid:4194305", "tmux:none-of-that-name"])
def test_of_what_was_never_seen_nothing_is_claimed(tmp_path: Path, capfd: pytest.CaptureFixture[str], target: str) -> None:
    """What is not there has no output that could be free of errors, and no exit code."""
    assert main(["watch", target.format(tmp_path), "--timeout", "0.05", "--poll", "0.05", "--poll-max", "0.1"]) in {2, 3}
    said = capfd.readouterr().out
    assert "no error in the output" not in said
    assert "exit code 0" not in said


def test_a_run_that_has_finished_lists_nothing_that_nobody_can_know(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The exit code of its process, say."""
    attempt = tmp_path / "log_20270115_080000_000000" / "turn_1" / "attempt_1"
    attempt.mkdir(parents=True)
    (attempt / "status.json").write_text('{"telemetry": {}, "finish_reason": "completed"}')
    assert main(["watch", str(attempt.parents[1])]) == 0
    assert "unknown" not in capfd.readouterr().out


def test_objects_for_programs(work: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """One a change, and the summary at the end, by the published schema."""
    (work / "output.log").write_text("x\nTraceback (most recent call last):\nMemoryError\n")
    assert main(["watch", f"dir:{work}", "--json"]) == 2
    [change, summary] = printed(capfd)
    assert (change["kind"], change["state"], change["evidence"]["category"]) == ("state", "failed", "out_of_memory")
    assert change["evidence"]["context"] == ["x", "Traceback (most recent call last):", "MemoryError"]
    assert [signal["quote"] for signal in change["contradicting"]] == ["exit code 0 in exit-code.txt"]
    assert (summary["states"], summary["exit_code"]) == ({"failed": 1}, 2)


@pytest.mark.parametrize(
    ("program", "options", "code", "state"),
    [
        ("print('hi')", [], 0, "completed"),
        ("import sys; print('hi'); sys.exit(7)", [], 7, "failed"),
        ("import os; print('hi', flush=True); os.kill(os.getpid(), 9)", [], 137, "failed"),
        ("print('ERROR: hi')", [], 2, "failed"),
        ("import time; print('hi', flush=True); time.sleep(0.6)", ["--timeout", "0.2"], 3, "timed_out"),
        ("import time; print('hi', flush=True); time.sleep(1000)", ["--timeout", "0.2", "--kill-on", "timeout"], 3, "timed_out"),
    ],
    ids=["ends", "exit 7", "killed", "error", "late", "late and ended"],
)
def test_a_command_and_its_exit_code(capfd: pytest.CaptureFixture[str], program: str, options: list[str], code: int, state: str) -> None:
    """It is watched to its end, which is not brought about; its output goes on, and its exit code is handed on."""
    assert main(["watch", *options, "--", sys.executable, "-S", "-c", program]) == code
    out, err = capfd.readouterr()
    assert out in {"hi\n", "ERROR: hi\n"}
    assert f"1 {state}\n" in err


def test_a_commands_output_beside_objects(capfd: pytest.CaptureFixture[str]) -> None:
    """It goes to stderr, so that stdout has objects only."""
    assert main(["watch", "--json", "--", "sh", "-c", "echo hi"]) == 0
    said = capfd.readouterr()
    lines = [json.loads(line) for line in said.out.splitlines()]
    assert lines[-1]["kind"] == "summary"
    assert "hi\n" in said.err


def test_an_interruption_ends_it_with_a_summary(work: Path) -> None:
    """Exit code 4; what is watched goes on."""
    words = [sys.executable, "-m", "massgen_tracing", "watch", f"file:{work / 'output.log'}"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "running" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert (process.returncode, err) == (4, "")
    assert "1 running\n" in out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_an_interruption_is_passed_on_to_a_command(number: signal.Signals) -> None:
    """Which is watched to its end, and its exit code handed on; another one ends the watching at once."""
    program = "trap 'echo again' INT TERM; echo $$; read x; read x; echo bye; exit 7"
    words = [sys.executable, "-m", "massgen_tracing", "watch", "--", "bash", "-c", program]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        process.send_signal(number)
        assert process.stdout.readline() == "again\n"
        if number == signal.SIGTERM:
            process.send_signal(number)
            process.wait()
            os.kill(pid, signal.SIGKILL)
        out, err = process.communicate("\n\n")
    assert (process.returncode, out) == ((4, "") if number == signal.SIGTERM else (7, "bye\n"))
    assert ("1 running\n" if number == signal.SIGTERM else "1 failed\n") in err


def test_all_runs_until_one_fails(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """An agent that has failed counts for that."""
    logs = tmp_path / "massgen_logs"
    for name, reason, error in (
        ("log_20261129_120000_000001", "completed", None),
        ("log_20261129_120000_000002", "in_progress", {"message": "no key"}),
    ):
        attempt = logs / name / "turn_1" / "attempt_1"
        attempt.mkdir(parents=True)
        (attempt / "status.json").write_text(
            json.dumps({"finish_reason": reason, "telemetry": {}, "agents": {"a": {"status": "voted", "error": error}}})
        )
    assert main(["watch", "--all", "--root", str(tmp_path), "--until", "any-failed", "--json"]) == 2
    targets = {(said["target"], said["state"]) for said in printed(capfd) if said["kind"] == "state"}
    assert ("log_20261129_120000_000001", "completed") in targets
    assert ("log_20261129_120000_000002/a", "failed") in targets


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "there is nothing to watch"),
        (["--"], "there is nothing to run after --"),
        (["pid:x"], "A process is named by its number"),
        (["file:x", "--idle", "0"], "expected a number, more than 0"),
        (["file:x", "--poll", "9"], "--poll is more than --poll-max"),
        (["file:x", "--profile", "copilot"], "There is no profile copilot"),
        (["file:x", "--audit", "/no/such/folder/audit"], "cannot be opened"),
        (["--", "/no/such/program"], "cannot be started"),
        (["--all", "--root", "/no/such/root"], "There is no run below"),
    ],
    ids=["nothing", "no command", "pid", "idle", "poll", "profile", "audit", "program", "root"],
)
def test_wrong_use(words: list[str], said: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Exit code 1, and what would have been right."""
    try:
        code = main(["watch", *words])
    except SystemExit as left:
        code = int(left.code or 0)
    assert code == 1
    assert said in capfd.readouterr().err


async def test_the_table(work: Path) -> None:
    """All that is watched, on wide and on narrow terminals; what comes out of it steers none."""
    (work / "output.log").write_text("Progress: 40%\n\x1b[31mred [bold]markup[/bold]\x1b[0m\n")
    async with watch(f"dir:{work}", until=None) as watcher:
        await state(watcher, "completed")
    for width in (60, 140):
        out = io.StringIO()
        console = terminal.console(out, width=width)
        console.print(watching.table(list(watcher.watched.values()), console))
        assert "completed" in out.getvalue()
        assert "40" in out.getvalue()
        assert "\x1b" not in out.getvalue()
    assert "red [bold]markup[/bold]" in out.getvalue()

"""Files, folders, processes and runs that are watched."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from massgen_tracing.errors import ConfigError
from massgen_tracing.runs.watch import Asked, Change, Options, State, Watcher, processes
from massgen_tracing.runs.watch.judge import Patience
from massgen_tracing.runs.watch.limits import Crossings, Thresholds
from massgen_tracing.runs.watch.signals import Resources
from massgen_tracing.runs.watch.targets import CommandTarget, known
from massgen_tracing.runs.watch.transcripts import Place
from massgen_tracing.runs.watch.usage import Usage
from tests.runs.watch.seen import QUICK, state, until, watch

QUIET = Patience(quiet=0.2, stalled=0.4, settles=0.2, fresh=0.1)


async def test_a_log_that_comes_later_and_ends_in_an_error(tmp_path: Path) -> None:
    """It is awaited, followed, and failed once nothing follows the error."""
    log = tmp_path / "agent.log"
    seen: list[Change] = []
    async with watch(f"file:{log}", asked=Asked(patience=QUIET)) as watcher:
        await state(watcher, "starting")
        log.write_text("begun\n")
        await state(watcher, "running")
        with log.open("a") as file:
            file.write("Traceback (most recent call last):\n  File 'a'\nPermissionError: [Errno 13] Permission denied\n")
        change = await state(watcher, "failed", seen)
    assert change.evidence.category == "permission_error"
    assert change.evidence.context[0] == "begun"
    assert change.evidence.quote.startswith("line 2: Traceback")


async def test_a_log_with_a_marker(tmp_path: Path) -> None:
    """Also where its last line has no end."""
    log = tmp_path / "agent.log"
    log.write_text("working\nall DONE")
    async with watch(f"file:{log}", asked=Asked(marker="DONE")) as watcher:
        assert (await state(watcher, "completed")).evidence.quote == "line 2: all DONE"


async def test_what_vanishes_is_a_state(tmp_path: Path) -> None:
    """And when it is there again, it goes on."""
    log, folder = tmp_path / "log", tmp_path / "work"
    log.write_text("x\n")
    folder.mkdir()
    async with watch(f"file:{log}", f"dir:{folder}") as watcher:
        await state(watcher, "running")
        await state(watcher, "running")
        log.unlink()
        assert (await state(watcher, "unknown")).evidence.quote == "log is gone"
        folder.rmdir()
        assert (await state(watcher, "unknown")).evidence.quote == f"{folder} is gone"
        log.write_text("again\n")
        assert (await state(watcher, "running")).target == f"file:{log}"


LIMITED = "openai.RateLimitError: Error code: 429, retrying"

FOLDERS: dict[str, tuple[dict[str, str], State, str]] = {
    "exit code 0": ({"exit-code.txt": "0\n", "output.log": "ok\n"}, "completed", "exit code 0 in exit-code.txt"),
    "exit code 3": ({"exit-code.txt": "3\n", "status.txt": "COMPLETED"}, "failed", "exit code 3 in exit-code.txt"),
    "status": ({"status.txt": "COMPLETED\n"}, "completed", "COMPLETED in status.txt"),
    "failed": ({"status.txt": "FAILED\n", "progress.txt": "100"}, "failed", "FAILED in status.txt"),
    "explained": ({"status.txt": "FAILED: out of tokens\n"}, "failed", "FAILED: out of tokens in status.txt"),
    "named": ({"status.txt": "Status: COMPLETED\nreport.md is there"}, "completed", "Status: COMPLETED report.md is there in status.txt"),
    "counted": ({"status.txt": "Completed: 3/10"}, "running", "status.txt was written"),
    "json": ({"status.json": '{"status": "completed"}'}, "completed", '"status": "completed" in status.json'),
    "progress": ({"progress.txt": "100%"}, "completed", "100 % in progress.txt"),
    "error": ({"exit-code.txt": "0", "output.log": "ERROR: no\n"}, "failed", "output.log line 1: ERROR: no"),
    "limit": ({"exit-code.txt": "0", "output.log": f"{LIMITED}\ngoing on\n"}, "completed", "exit code 0 in exit-code.txt"),
    "limit at the end": ({"exit-code.txt": "0", "output.log": f"on\n{LIMITED}\n"}, "failed", f"output.log line 2: {LIMITED}"),
    "limit, and 1": ({"exit-code.txt": "1", "output.log": f"{LIMITED}\ngoing on\n"}, "failed", "exit code 1 in exit-code.txt"),
    "limit after an error": ({"exit-code.txt": "0", "output.log": f"ERROR: no\n{LIMITED}\non\n"}, "failed", "output.log line 1: ERROR: no"),
}
"""By name: files, the state that they tell, and the evidence for it."""


@pytest.mark.parametrize("name", FOLDERS)
async def test_what_a_workspace_says(tmp_path: Path, name: str) -> None:
    """By the files that agents leave, each with what it outweighs."""
    files, expected, quote = FOLDERS[name]
    for file, text in files.items():
        (tmp_path / file).write_text(text)
    async with watch(f"dir:{tmp_path}") as watcher:
        change = await state(watcher, expected)
    assert change.evidence.quote == quote


async def test_a_workspace_over_time(tmp_path: Path) -> None:
    """Progress on the way; another attempt after a failure; what is required and is not there is no success."""
    asked = Asked(files=("result.txt",))
    async with watch(f"dir:{tmp_path}", asked=asked, until=None) as watcher:
        (tmp_path / "status.txt").write_text("RUNNING")
        await state(watcher, "running")
        (tmp_path / "progress.json").write_text('{"total_tasks": 4, "completed_tasks": 1, "current_task": "file 2"}')
        change = await until(watcher, lambda change: change.progress == 25)
        assert (change.kind, change.doing) == ("progress", "file 2")
        (tmp_path / "status.txt").write_text("COMPLETED")
        assert (await state(watcher, "failed")).evidence.quote == "result.txt is there and not empty: is missing"
        (tmp_path / "status.txt").write_text("RUNNING")
        assert (await state(watcher, "running")).attempt == 2
        (tmp_path / "result.txt").write_text("x")
        (tmp_path / "status.txt").write_text("COMPLETED")
        assert (await state(watcher, "completed")).attempt == 2


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """One that waits to be told to end."""
    with subprocess.Popen(["sh", "-c", "read x; exit 5"], stdin=subprocess.PIPE) as made:
        yield made
        made.kill()


async def test_a_process_that_ends(process: subprocess.Popen[bytes]) -> None:
    """Its exit code, where its parent has not asked for it yet."""
    async with watch(f"pid:{process.pid}") as watcher:
        assert (await state(watcher, "running")).resources is not None
        assert process.stdin is not None
        process.stdin.write(b"\n")
        process.stdin.close()
        change = await state(watcher, "failed")
    assert change.evidence.quote == f"exit code 5; process {process.pid} is a zombie, for its parent has not asked yet"


async def test_a_process_that_is_gone(process: subprocess.Popen[bytes]) -> None:
    """Nobody else knows how it ended; what it was to leave behind may be there."""
    process.kill()
    process.wait()
    async with watch(f"pid:{process.pid}") as watcher:
        assert (await state(watcher, "dead")).evidence.quote == f"there is no process {process.pid}, or no more; how it ended only its parent knows"


async def test_processes_are_ended_only_where_that_is_asked_for(process: subprocess.Popen[bytes]) -> None:
    """With those below them."""
    asked = Asked(patience=Patience(run_time=0.1))
    async with watch(f"pid:{process.pid}", asked=asked) as watcher:
        await state(watcher, "timed_out")
    assert process.poll() is None
    async with watch(f"pid:{process.pid}", asked=asked, kill_on=frozenset({"timed_out"})) as watcher:
        await state(watcher, "timed_out")
    assert process.wait() == -15


async def test_what_ignores_sigterm_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where nothing else is left to watch for."""
    monkeypatch.setattr("massgen_tracing.runs.watch.ending.GRACE_SECONDS", 0.1)
    with subprocess.Popen(["sh", "-c", "trap '' TERM; echo; read x"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as stubborn:  # noqa: ASYNC220
        assert stubborn.stdout is not None
        stubborn.stdout.readline()
        asked = Asked(patience=Patience(run_time=0.1))
        try:
            async with watch(f"pid:{stubborn.pid}", asked=asked, kill_on=frozenset({"timed_out"})) as watcher:
                await state(watcher, "timed_out")
            assert stubborn.wait(10) == -9
        finally:
            stubborn.kill()


async def test_a_program_that_says_what_it_does(tmp_path: Path) -> None:
    """In a file below its own home, which is trusted, and in its transcript, which has its tokens."""
    agent, home, folder = tmp_path / "claude", tmp_path / "home", re.sub("[^A-Za-z0-9]", "-", str(tmp_path))
    agent.write_text(
        f"""#!/bin/bash
        mkdir -p ~/.claude/sessions ~/.claude/projects/{folder}
        for status in busy waiting idle; do
            echo '{{"status": "'$status'", "waitingFor": "permission prompt"}}' > ~/.claude/sessions/$$.json; read x
        done
        usage='{{"input_tokens": 10, "cache_read_input_tokens": 5, "output_tokens": 7}}'
        echo '{{"type": "assistant", "timestamp": "2036-01-01", "message": {{"id": "m", "model": "claude-opus-4-8", "usage": '$usage'}}}}' \\
            > ~/.claude/projects/{folder}/s.jsonl
        read x"""
    )
    agent.chmod(0o755)
    env = {**os.environ, "HOME": str(home)}
    with subprocess.Popen([agent], stdin=subprocess.PIPE, env=env, cwd=tmp_path) as process:  # noqa: ASYNC220
        assert process.stdin is not None
        async with watch(f"pid:{process.pid}") as watcher:
            await state(watcher, "running")
            process.stdin.write(b"\n")
            process.stdin.flush()
            assert (await state(watcher, "waiting_input")).evidence.quote.startswith('"status": "waiting", waiting for "permission prompt" in ')
            process.stdin.write(b"\n")
            process.stdin.flush()
            await state(watcher, "idle")
            process.stdin.write(b"\n")
            process.stdin.flush()
            [watched] = watcher.watched.values()
            transcript = home / ".claude" / "projects" / folder / "s.jsonl"
            for _ in itertools.takewhile(lambda _: not transcript.exists() or not transcript.stat().st_size, itertools.count()):
                await asyncio.sleep(0.02)
            Usage(watched.subject).look()
            process.kill()
    assert watched.subject.facts.used is not None
    assert (watched.subject.facts.used.input, watched.subject.facts.used.output) == (15, 7)
    assert watched.subject.place == Place(home, tmp_path)


async def test_a_program_below_a_command_is_found(tmp_path: Path) -> None:
    """A script that starts an agent is watched as the agent is; a command of ours that has the agent's command line in its own is none."""
    agent, go, end = (tmp_path / name for name in ("codex", "go", "end"))
    os.mkfifo(go)
    os.mkfifo(end)
    agent.write_text('#!/bin/bash\nread x <go; echo \'{"type": "turn.failed", "error": {"message": "no"}}\'; read x <end')
    agent.chmod(0o755)
    target = CommandTarget(["bash", "-c", f"cd {tmp_path}; ./codex; true"], Asked(own_streams=False), time.time())
    async with Watcher([target], Options(pace=QUICK)) as watcher:
        await until(watcher, lambda _: True)
        while not target.subjects[0].facts.program:
            await asyncio.sleep(0.02)
            target.look(time.time())
        go.write_text("\n")
        end.write_text("\n")
        change = await state(watcher, "failed")
    assert (target.subjects[0].facts.program, change.evidence.quote) == ("Codex", "line 1: type: 'turn.failed', error.message: 'no'")
    assert known.find([(1, f"python -m massgen_tracing exec -- {agent}"), (2, "bash"), (3, str(agent))])[1] == 3


async def test_a_change_is_heard_of_and_not_only_looked_for(tmp_path: Path) -> None:
    """A file that is replaced again and again, with looks that are far apart."""
    from massgen_tracing.runs.watch import Options, Pace, watching

    status, other = tmp_path / "status.json", tmp_path / "other"
    status.write_text('{"percent": 0}')
    async with watching([f"dir:{tmp_path}"], options=Options(pace=Pace(fastest=1000, slowest=1000))) as watcher:
        await until(watcher, lambda change: change.progress == 0)
        for percent in (10, 20, 30):
            heard = asyncio.create_task(until(watcher, lambda change, percent=percent: change.progress == percent))  # type: ignore[misc]
            for number in itertools.count():  # the notifier may only just be beginning
                other.write_text(json.dumps({"percent": percent, "number": number}))
                os.replace(other, status)
                done, _ = await asyncio.wait([heard], timeout=0.3)
                if done:
                    break


def test_thresholds_are_told_once_a_crossing(tmp_path: Path) -> None:
    """Memory, disk and open files."""
    crossings = Crossings(Thresholds(0.5, 1, 0.5))
    much, little = Resources(0.1, 900, 0.9, 10**7, 1), Resources(0.1, 100, 0.1, 3, 1)
    said = crossings.look(much, tmp_path)
    assert [words.split()[0] for words in said] == ["uses", "10000000"]
    assert crossings.look(much, tmp_path) == []
    assert crossings.look(little, tmp_path) == []
    assert len(crossings.look(much, tmp_path)) == 2
    [full] = Crossings(Thresholds(None, 10**18, None)).look(None, tmp_path)
    assert "are free where" in full


async def test_observations_and_decisions_are_kept(tmp_path: Path) -> None:
    """In a file that is only added to."""
    audit, work = tmp_path / "audit", tmp_path / "work"
    audit.write_text("before\n")
    work.mkdir()
    (work / "status.txt").write_text("COMPLETED")
    async with watch(f"dir:{work}", audit=audit) as watcher:
        await state(watcher, "completed")
    before, *kept = audit.read_text().splitlines()
    observed, decided = map(json.loads, kept)
    assert before == "before"
    assert (observed["kind"], observed["signal"], observed["state"], observed["rank"]) == ("observation", "status.txt", "completed", 3)
    assert (decided["kind"], decided["state"], decided["evidence"]) == ("state", "completed", "COMPLETED in status.txt")


@pytest.mark.parametrize("name", ["pid:x", "pid:0", "file:", "nothing", "/no/such/folder"])
def test_a_name_that_names_nothing(name: str) -> None:
    """It is refused, with what can be watched."""
    with pytest.raises(ConfigError, match="Expected"):
        watch(name)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("tmx:agent", "Perhaps tmux:agent was meant"),
        ("120000", "Perhaps log_20261129_120000_000001 was meant"),
        ("log_20261129_120001_000001", "Perhaps log_20261129_120000_000001 was meant"),
        ("elsewhere", "The newest one is log_20261129_120000_000001; `massgen-tracing logs list` shows all"),
        ("{root}/work", "This folder is no run; watch it as a workspace with dir:{root}/work"),
        ("{root}/file", "Watch this file with file:{root}/file"),
    ],
)
def test_a_name_that_is_nearly_right(tmp_path: Path, name: str, hint: str) -> None:
    """What was probably meant is named."""
    for folder in ("massgen_logs/log_20261129_120000_000001", "work"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError) as raised:
        watch(name.format(root=tmp_path), asked=Asked(root=str(tmp_path)))
    assert raised.value.hint == hint.format(root=tmp_path)
    assert f"below {tmp_path}" in str(raised.value)


async def test_what_is_awaited_is_named(tmp_path: Path) -> None:
    """With how much of its path there is, also when its time is over."""
    asked = Asked(patience=Patience(run_time=0.1))
    async with watch(f"file:{tmp_path}/a/b/log", asked=asked) as watcher:
        awaited = f"{tmp_path}/a/b/log is not there yet, nor is the folder a in {tmp_path}"
        assert (await state(watcher, "starting")).evidence.quote == awaited
        assert (await state(watcher, "timed_out")).evidence.quote == f"watched for 0.1 s without an end; {awaited}"


# --- runs --------------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def attempt(tmp_path: Path) -> Path:
    """The directory of a run's first attempt."""
    folder = tmp_path / ".massgen" / "massgen_logs" / "log_20261129_120000_000001" / "turn_1" / "attempt_1"
    folder.mkdir(parents=True)
    return folder


def status(reason: str, *, own: bool = False, percent: int = 50, **agents: Any) -> str:
    """A `status.json`, of MassGen or of our own."""
    said: dict[str, Any] = {
        "finish_reason": reason,
        "coordination": {"phase": "presentation", "completion_percentage": percent},
        "agents": {name: {"status": "voted", "error": error} for name, error in agents.items()},
        "results": {"winner": "a"},
        "costs": {"total_input_tokens": 1200, "total_output_tokens": 300, "total_estimated_cost": 0.01},
    }
    return json.dumps({**said, **({"telemetry": {}} if own else {})})


@pytest.mark.parametrize(
    ("reason", "expected"), [("completed", "completed"), ("error", "failed"), ("timeout", "timed_out"), ("interrupted", "failed")]
)
async def test_a_run_of_our_own(attempt: Path, reason: str, expected: State) -> None:
    """By its own last word, with its agents."""
    (attempt / "status.json").write_text(status(reason, own=True, a=None, b={"type": "error", "message": "no key"}))
    async with watch(str(attempt.parents[1])) as watcher:
        changes = [await until(watcher, lambda change: change.kind == "state") for _ in range(3)]
    assert {change.target.rpartition("/")[2]: change.state for change in changes} == {
        attempt.parents[1].name: expected,
        "a": "completed",
        "b": "failed",
    }
    assert changes[0].used is not None
    assert (changes[0].used.input, changes[0].used.cost) == (1200, 0.01)


async def test_a_run_of_massgen_is_done_when_its_answer_is_there(attempt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not when it says so, which it does before the presentation."""
    monkeypatch.setattr(processes, "holder", lambda _: os.getppid())
    (attempt / "status.json").write_text(status("completed", percent=100, a=None))
    async with watch(str(attempt)) as watcher:
        assert (await state(watcher, "running")).progress == 100
        answer = attempt.parent / "final" / "a" / "answer.txt"
        answer.parent.mkdir(parents=True)
        answer.write_text("forty-two")
        change = await until(watcher, lambda change: change.state == "completed" and change.role == "target")
        assert change.evidence.quote == "turn_1/final/a/answer.txt is there, 9 bytes"


async def test_a_run_that_nobody_writes_any_more_is_dead(attempt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MassGen says `in_progress` for ever when every agent has failed; while somebody has its log open, it lives."""
    monkeypatch.setattr("massgen_tracing.runs.watch.targets.run._ORPHANED_SECONDS", 0.2)
    (attempt / "status.json").write_text(status("in_progress", percent=0, a=None))
    log = attempt.parents[1] / "massgen.log"
    log.write_text("x\n")
    with subprocess.Popen(["sh", "-c", f"exec 3>>'{log}'; echo; read x"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:  # noqa: ASYNC220
        assert writer.stdout is not None
        writer.stdout.readline()
        async with watch(str(attempt)) as watcher:
            await state(watcher, "running")
            writer.kill()
            change = await state(watcher, "dead")
    assert change.evidence.quote == "no process writes the run any more; the last status is in_progress"


LAST_LINES: dict[str, tuple[str, State]] = {
    "nobody succeeded": ("12:00:00 | ERROR    | [ERROR] orchestrator: ❌ Unable to provide coordinated answer - no successful agents", "failed"),
    "nobody had time": ("12:00:00 | ERROR    | [ERROR] orchestrator: ❌ No answers available from any agents due to timeout. No", "timed_out"),
}


@pytest.mark.parametrize("name", LAST_LINES)
@pytest.mark.parametrize("of", ["attempt", "run"])
async def test_a_run_of_massgen_that_came_to_no_answer(attempt: Path, name: str, of: str) -> None:
    """By MassGen's own log, wherever its version has it; agents have ended with the run, but for those that had ended before."""
    line, expected = LAST_LINES[name]
    agents: dict[str, Any] = {"a": None, "b": {"type": "error", "message": "no key"}}
    (attempt / "status.json").write_text(status("in_progress", percent=0, **agents))
    log = (attempt if of == "attempt" else attempt.parents[1]) / "massgen.log"
    log.write_text("12:00:00 | INFO     | an agent says: orchestrator: no answers available\n")
    async with watch(str(attempt)) as watcher:
        await state(watcher, "running")
        with log.open("a") as file:
            file.write(line + "\n")
        change = await until(watcher, lambda change: change.state == expected and change.role == "target")
        assert change.evidence.quote == f"{line} in massgen.log"
    states = {name.rpartition("/")[2]: each.verdict.state for name, each in watcher.watched.items() if each.verdict is not None}
    assert (states["a"], states["b"]) == (expected, "failed")


async def test_a_run_of_massgen_that_ran_out_of_time(attempt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody writes it any more, and its status says so."""
    monkeypatch.setattr("massgen_tracing.runs.watch.targets.run._ORPHANED_SECONDS", 0.1)
    (attempt / "status.json").write_text(status("timeout", percent=0, a=None))
    async with watch(str(attempt)) as watcher:
        assert (await state(watcher, "timed_out")).evidence.quote == "no process writes the run any more; the last status is timeout"


async def test_another_attempt_of_a_run(attempt: Path) -> None:
    """It is watched in place of the one that failed."""
    (attempt / "status.json").write_text(status("error", own=True))
    async with watch(str(attempt), until=None) as watcher:
        await state(watcher, "failed")
        second = attempt.with_name("attempt_2")
        second.mkdir()
        (second / "status.json").write_text(status("in_progress", own=True))
        change = await state(watcher, "running")
    assert change.attempt == 2

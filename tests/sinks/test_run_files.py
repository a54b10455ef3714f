"""The files of a run while it goes on: what they say, when, of which runs, and that nothing that happens to them happens to the run."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import massgen_tracing as mt
from massgen_tracing import guard, layout, semconv
from massgen_tracing.errors import RecordingError
from massgen_tracing.projection import writer
from massgen_tracing.projection.status import schema
from massgen_tracing.sinks.run_files import LiveFiles
from massgen_tracing.store.sealing.seal import seal
from massgen_tracing.trace.provider import SHARED
from massgen_tracing.trace.session import Session
from massgen_tracing.trace.tracer import Tracer
from massgen_tracing.views.cli import main

VALIDATOR = jsonschema.Draft202012Validator(schema())
SECRET = "sk-proj-" + "Zx9" * 16
LONG = f"beginning {'of a long answer ' * 2000} with {SECRET} and its end"


@pytest.fixture
def tracer(tmp_path: Path) -> Iterator[Tracer]:
    """A tracer that records below `tmp_path`."""
    yield mt.configure(root=tmp_path / "root", enabled=True, strict=True)
    mt.shutdown()


def live() -> LiveFiles:
    """What writes the files."""
    assert SHARED.pipeline is not None
    return next(each for each in SHARED.pipeline.processors if isinstance(each, LiveFiles))


def written(session: Session) -> layout.RunDirectory:
    """The session's directory, when all that has happened is written."""
    assert live().force_flush()
    assert session.run is not None
    return session.run


def status(session: Session) -> dict[str, Any]:
    """What `status.json` says now; it obeys the schema."""
    found: dict[str, Any] = json.loads(written(session).status.read_bytes())
    VALIDATOR.validate(found)
    return found


def contents(run: layout.RunDirectory) -> dict[str, bytes]:
    """Every file of an attempt but the recording."""
    files = (path for path in run.attempt_dir.rglob("*") if path.is_file() and not path.name.startswith((layout.RECORDING_STEM, ".")))
    return {str(path.relative_to(run.attempt_dir)): path.read_bytes() for path in files}


def a_whole_run(tracer: Tracer, seen: Callable[[Session], object] = lambda _: None) -> Session:
    """Two agents, of which one answers; *seen* is called in the middle of each round."""
    with tracer.session("What is AI?", agents=["a", "b"]) as session:
        for number in range(2):
            with session.agent_round("a", round_type="voting" if number else "initial_answer", model="gpt-5-mini") as rnd:
                with rnd.llm_call("openai", "gpt-5-mini") as call:
                    call.record_usage(input=100, output=10)
                with rnd.tool_call("mcp__fs__read", call_id="c") as wrapper, wrapper.mcp_call("fs", "read", {"path": "x"}) as inner:
                    inner.record_result("text")
                    wrapper.record_result("text")
                seen(session)
                if number:
                    rnd.vote("a", "agent1.1", "the only one")
                else:
                    rnd.answer(text=LONG)
        with session.agent_round("b") as rnd:
            rnd.error("broke")
        session.winner("a", "agent1.1", votes={"agent1.1": 1}, reason="most votes")
        with session.presentation("a") as shown:
            seen(session)
            shown.final_answer(LONG + "!")
        session.finished("completed")
    return session


def test_status_follows_the_run(tracer: Tracer) -> None:
    """At each moment it says what there is by then; at the end all files are there, with whole texts and without secrets."""
    states = []

    def look(session: Session) -> None:
        found = status(session)
        states.append((found["coordination"]["phase"], found["agents"]["a"]["status"], found["telemetry"]["total_calls"], found["finish_reason"]))
        assert found["results"]["winner"] is None

    session = a_whole_run(tracer, look)
    assert states == [
        ("initial_answer", "streaming", 1, "in_progress"),
        ("initial_answer", "streaming", 2, "in_progress"),
        ("presentation", "streaming", 2, "in_progress"),
    ]
    found = status(session)
    assert (found["finish_reason"], found["results"]["winner"], found["agents"]["b"]["status"]) == ("completed", "a", "error")
    assert found["telemetry"]["total"]["cost"] > 0
    run = written(session)
    answer = next(content for name, content in contents(run).items() if name.startswith("a/") and name.endswith("answer.txt"))
    assert answer.decode() == LONG.replace(SECRET, semconv.SCRUBBED)
    answers = [Path(each["workspacePath"], layout.ANSWER_FILE).read_bytes() for each in found["historical_workspaces"]]
    assert answers == [answer], "MassGen's readers look there, and list nothing that is not there"
    assert run.final_answer("a").read_text() == LONG.replace(SECRET, semconv.SCRUBBED) + "!"
    assert Path(found["meta"]["log_dir"], "final", found["results"]["winner"], "answer.txt").read_bytes() == run.final_answer("a").read_bytes()
    assert SECRET.encode() not in b"".join(contents(run).values())


def test_rebuilt_files_are_those_that_were_written_live(tracer: Tracer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """To the byte, of the live recording and of the sealed one; what is damaged is mended, what is whole is left alone."""
    session = a_whole_run(tracer)
    run = written(session)
    mt.shutdown()
    before = contents(run)
    assert len(before) >= 12
    root = str(tmp_path / "root")
    assert main(["logs", "rebuild", "--root", root]) == 0
    assert "0 files written" in capsys.readouterr().out
    run.status.write_text("damaged")
    shutil.rmtree(run.attempt_dir / "a")
    (run.log_dir / layout.STATUS_FILE).unlink()
    assert main(["logs", "rebuild", run.run_id, "--root", root]) == 0
    assert contents(run) == before
    assert (run.log_dir / layout.STATUS_FILE).samefile(run.status)
    seal(run.attempt_dir / layout.recording_name())
    for name in before:
        (run.attempt_dir / name).unlink()
    assert main(["logs", "rebuild", str(run.attempt_dir)]) == 0
    assert contents(run) == before


def test_what_cannot_be_rebuilt_is_said(tmp_path: Path) -> None:
    """No such run; a run without a recording; MassGen's own."""
    mine = mt.configure(root=tmp_path, run_files=False)
    with mine.session("q", massgen_version="x", attributes={semconv.MASSGEN_VERSION: "0.1.97"}) as session:
        pass
    assert session.run is not None
    mt.shutdown()
    empty = layout.new_run(tmp_path)
    for name, says in (("log_none", "There is no run"), (empty.run_id, "no recording"), (session.run.run_id, "cannot be made")):
        with pytest.raises(RecordingError, match=says):
            main_raising(["logs", "rebuild", name, "--root", str(tmp_path)])


def main_raising(arguments: list[str]) -> None:
    """The command, with its errors as they are raised."""
    from massgen_tracing.views.cli import rebuild

    rebuild.run(arguments[-1], arguments[2])


def test_only_a_run_of_our_own_has_files(tracer: Tracer, tmp_path: Path) -> None:
    """Not that of MassGen, whose files they would be; not the one that this process belongs to; none where they are switched off."""
    with tracer.session("q", attributes={semconv.MASSGEN_VERSION: "0.1.97"}) as massgens:
        pass
    assert contents(written(massgens)) == {}
    belongs = layout.new_run(tmp_path / "root")
    mt.configure(root=tmp_path / "root", run_files=False)
    assert SHARED.pipeline is not None
    assert not [each for each in SHARED.pipeline.processors if isinstance(each, LiveFiles)]
    mine = mt.configure(root=tmp_path / "root")
    live()._run = belongs
    with mine.session("q", run=belongs) as inner:
        pass
    assert contents(written(inner)) == {}


def test_sessions_in_one_directory(tracer: Tracer, tmp_path: Path) -> None:
    """The files are those of the last one; one within the other has none of its own."""
    run = layout.new_run(tmp_path / "root")
    with tracer.session("first", agents=["x"], run=run), tracer.session("within", run=run):
        pass
    with tracer.session("second", agents=["y"], run=run) as session:
        pass
    found = status(session)
    assert (found["meta"]["question"], list(found["agents"]), found["is_complete"]) == ("second", ["y"], True)
    before = contents(run)
    mt.shutdown()
    assert main(["logs", "rebuild", str(run.log_dir)]) == 0
    assert contents(run) == before


def full(*_: object) -> int:
    """A disk that takes nothing more."""
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_disk_that_takes_nothing_costs_the_files_only(tracer: Tracer, swallowed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The run is recorded all the same, one line says so, and the files are made of the recording when there is space."""
    with monkeypatch.context() as patched:
        patched.setattr(writer, "_create", full)
        session = a_whole_run(tracer)
        run = written(session)
        mt.shutdown()
    assert set(swallowed) == {"run.files"}
    assert "No space left" in next(problem.message for problem in guard.problems() if problem.kind == "run.files")
    swallowed.clear()
    assert contents(run) == {}
    assert main(["logs", "rebuild", str(run.log_dir)]) == 0
    assert run.final_answer("a").is_file()


def test_files_that_others_delete_or_stand_in_the_way_of(tracer: Tracer, swallowed: list[str]) -> None:
    """The directory goes in the middle of the run; where a file is to be there is a directory: the run ends, and a rebuild mends what it can."""

    def spoil(session: Session) -> None:
        run = written(session)
        shutil.rmtree(run.attempt_dir / "a", ignore_errors=True)
        (run.attempt_dir / "events.jsonl").unlink(missing_ok=True)
        (run.attempt_dir / "metrics_summary.json").mkdir(exist_ok=True)

    session = a_whole_run(tracer, spoil)
    run = written(session)
    mt.shutdown()
    assert set(swallowed) == {"run.files", "run.files.lost"}
    swallowed.clear()
    (run.attempt_dir / "metrics_summary.json").rmdir()
    assert main(["logs", "rebuild", str(run.log_dir)]) == 0
    assert "a/" in str(sorted(contents(run)))
    events = contents(run)["events.jsonl"].splitlines()
    assert json.loads(events[0])["data"]["message"] == "Coordination started"


def test_a_run_that_has_not_ended_when_the_program_stops(tracer: Tracer) -> None:
    """Its files say what there was by then; no thread is left, and nothing is written afterwards."""
    threads = threading.active_count()
    session = tracer.session("q", agents=["a"]).start()
    run = session.run
    assert run is not None
    mt.shutdown()
    found = json.loads(run.status.read_bytes())
    assert (found["finish_reason"], found["is_complete"]) == ("in_progress", False)
    session.end()
    assert json.loads(run.status.read_bytes()) == found
    assert threading.active_count() <= threads


def test_in_a_forked_child(tracer: Tracer) -> None:
    """The parent's runs are left to the parent, whose thread begins again; the child's own have files too."""
    with tracer.session("parent", agents=["a"]) as session:
        before = status(session)
        child = os.fork()
        if child == 0:
            with tracer.agent_round("a"):
                pass
            with tracer.session("child") as own:
                pass
            done = status(own)["is_complete"] and json.loads(session.run.status.read_bytes()) == before  # type: ignore[union-attr]
            os._exit(0 if done else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        with session.agent_round("a"):
            assert status(session)["agents"]["a"]["status"] == "streaming"


def test_a_killed_run_is_rebuilt(tmp_path: Path) -> None:
    """At random moments: every file is whole, and a rebuild gives the state at the death."""
    counts = random.sample(range(2, 60), 4)
    subprocess.run([sys.executable, str(Path(__file__).with_name("killed_run.py")), str(tmp_path), *map(str, counts)], check=True, timeout=300)
    for count in counts:
        run = next((tmp_path / str(count)).glob("massgen_logs/log_*"))
        attempt = layout.RunDirectory(run)
        for path in attempt.attempt_dir.rglob("*.json"):
            json.loads(path.read_bytes())
        assert main(["logs", "rebuild", str(run)]) == 0
        found = json.loads(attempt.status.read_bytes())
        VALIDATOR.validate(found)
        assert found["finish_reason"] == "interrupted", count
        answers = len(list(attempt.attempt_dir.glob("a/*/answer.txt")))
        assert answers == found["agents"]["a"]["answer_count"] == (count + 3) // 6


def test_no_span_waits_for_the_files(tracer: Tracer, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a disk hangs, spans begin and end as ever."""
    go, create = threading.Event(), writer._create

    def hangs(path: str, *flags: int) -> int:
        go.wait()
        return create(path, *flags)

    monkeypatch.setattr(writer, "_create", hangs)
    session = a_whole_run(tracer)
    go.set()
    assert status(session)["is_complete"]


def test_a_shutdown_that_leaves_files_unwritten_says_so(tracer: Tracer, monkeypatch: pytest.MonkeyPatch, swallowed: list[str]) -> None:
    """It is False and one line, which says what makes them; with time enough it is True, and they are there."""
    go, create = threading.Event(), writer._create

    def hangs(path: str, *flags: int) -> int:
        go.wait()
        return create(path, *flags)

    monkeypatch.setattr(writer, "_create", hangs)
    a_whole_run(tracer)
    assert mt.shutdown(2) is False
    assert swallowed == ["run.files.late"]
    swallowed.clear()
    go.set()


def test_content_is_not_held_until_files_are_written(tmp_path: Path) -> None:
    """Of calls that come faster than files are written, only a few are in memory with all that they have said."""
    tracer = mt.configure(root=tmp_path, full_content=True)
    tracemalloc.start()
    try:
        with tracer.session("q", agents=["a"]) as session, session.agent_round("a", 0) as rnd:
            for number in range(2000):
                with rnd.llm_call("openai", model="m") as call:
                    call.record_content(input=f"{number} {'x' * 30_000}", output="y" * 30_000)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    mt.shutdown()
    (path,) = tmp_path.rglob("trace.otlp.jsonl")
    assert path.stat().st_size > 100_000_000
    assert most < path.stat().st_size / 6

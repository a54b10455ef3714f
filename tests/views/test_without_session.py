"""Work that is in no session is a run too, and child processes belong to whatever started them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import massgen_tracing as mt
from massgen_tracing.store.roots import catalogue, lookup
from massgen_tracing.store.sealing import seal
from massgen_tracing.views.cli import main

PLAIN = """
import massgen_tracing as mt, subprocess, sys
tracer = mt.configure(root=sys.argv[1])
with tracer.span("plan"):
    with tracer.llm_call("openai", "gpt-5-mini") as call:
        call.record_usage(input=100, output=10)
    for _ in sys.argv[2:]:
        subprocess.run([sys.executable, *sys.argv[:2]], env=mt.child_env(), check=True)
"""
"""Plans, with a model call; and has others do so for each further argument."""

SESSION = """
import massgen_tracing as mt, subprocess, sys
tracer = mt.configure(root=sys.argv[1])
with tracer.session("Why?", ["a"]) as session, session.agent_round("a") as rnd:
    if len(sys.argv) > 3:
        subprocess.run([sys.executable, sys.argv[3], sys.argv[1]], env=mt.child_env(), check=True)
    rnd.answer(text="Because.")
"""


@pytest.fixture
def programs(tmp_path: Path) -> dict[str, Path]:
    """The programs, as files."""
    found = {}
    for name, program in {"plain": PLAIN, "session": SESSION}.items():
        found[name] = tmp_path / f"{name}.py"
        found[name].write_text(program, encoding="utf-8")
    return found


def run(program: Path, root: Path, *more: object) -> None:
    """Run a program to its end."""
    subprocess.run([sys.executable, str(program), str(root), *map(str, more)], check=True, timeout=60)


def listed(root: Path, capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    """What `logs list` says."""
    assert main(["logs", "list", "--root", str(root), "--format", "json"]) == 0
    found: list[dict[str, object]] = json.loads(capsys.readouterr().out)
    return found


def drawn(root: Path, capsys: pytest.CaptureFixture[str], *wanted: str) -> list[tuple[int, str]]:
    """Depths and names that `trace` tells."""
    assert main(["trace", *wanted, "--root", str(root), "--format", "json"]) == 0
    return [(span["depth"], span["name"]) for span in json.loads(capsys.readouterr().out)["spans"]]


PLANNED = [(0, "plan"), (1, "llm.openai.stream")]


def test_a_recording_without_a_session_is_listed_and_drawn(tmp_path: Path, programs: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """With the name of its first span in the place of a question; live, sealed, by its name and as the newest run, also beside a session."""
    root = tmp_path / "root"
    run(programs["session"], root, "x")
    run(programs["plain"], root)
    newest, older = listed(root, capsys)
    assert (newest["work"], newest["question"], newest["state"], newest["input_tokens"]) == ("plan", None, "ended", 100)
    assert (older["work"], older["question"], older["winner"]) == (None, "Why?", None)
    assert drawn(root, capsys) == drawn(root, capsys, str(newest["run"])) == PLANNED
    assert main(["compact", "--root", str(root)]) == 0
    capsys.readouterr()
    assert [path.suffix for path in lookup.newest_run(root).files()] == [".parquet"]
    assert listed(root, capsys)[0] == newest
    assert drawn(root, capsys, str(newest["run"])) == PLANNED
    run(programs["session"], root, "x")
    assert listed(root, capsys)[0]["question"] == "Why?"
    assert main(["logs", "list", "--root", str(root)]) == 0
    table = capsys.readouterr().out
    assert "plan" in table
    assert table.count("no winner") == 2


def test_what_a_process_records_beside_its_sessions_is_not_the_newest_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is listed, and chosen by its name; without it, the newest is the newest session."""
    tracer = mt.configure(root=tmp_path)
    with tracer.session("Why?", ["a"]):
        pass
    tracer.info("a stray call")
    mt.shutdown()
    stray, session = listed(tmp_path, capsys)
    assert (stray["question"], session["question"]) == (None, "Why?")
    assert (0, "coordination.session") in drawn(tmp_path, capsys)
    assert (0, "a stray call") in drawn(tmp_path, capsys, str(stray["run"]))
    assert main(["report", "--root", str(tmp_path)]) == 0
    assert "Why?" in capsys.readouterr().out


def test_child_processes_are_in_their_parents_tree_and_line(tmp_path: Path, programs: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """Without any session, and under a session: one line, one tree; the child's files are beside the parent's."""
    root = tmp_path / "root"
    run(programs["plain"], root, "child", "child")
    [line] = listed(root, capsys)
    assert line["input_tokens"] == 300
    assert len(line["trace_ids"]) == 1  # type: ignore[arg-type]
    assert drawn(root, capsys) == [*PLANNED, *2 * [(depth + 1, name) for depth, name in PLANNED]]
    run(programs["session"], root, "x", programs["plain"])
    newest, _ = listed(root, capsys)
    assert (newest["question"], newest["input_tokens"]) == ("Why?", 100)
    assert (2, "plan") in drawn(root, capsys)
    assert len(list((root / "traces").iterdir())) == 3


def test_a_session_of_a_child_process_is_a_run_within_a_run(tmp_path: Path, programs: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """It has a directory of its own, and is in the parent's line and tree; where the parent's directory is gone, it is a run like any other."""
    root = tmp_path / "root"
    run(programs["session"], root, "x", programs["session"])
    assert [run.is_nested for run in catalogue.runs(root)] == [True, False]
    [line] = listed(root, capsys)
    assert [depth for depth, name in drawn(root, capsys) if name == "coordination.session"] == [0, 2]
    inner, outer = (run.path for run in catalogue.runs(root))
    assert line["run"] == outer.name
    outer.rename(tmp_path / "elsewhere")
    assert [line["run"] for line in listed(root, capsys)] == [inner.name]
    assert [name for depth, name in drawn(root, capsys) if depth == 0] == ["coordination.session"]


def test_a_forked_process_is_in_its_parents_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What a forked child records without a session is in a file of its own, and the parent's run."""
    program = tmp_path / "forks.py"
    program.write_text(
        "import os, sys, massgen_tracing as mt\n"
        "tracer = mt.configure(root=sys.argv[1])\n"
        "with tracer.span('plan'):\n"
        "    child = os.fork()\n"
        "    with tracer.span('child' if child == 0 else 'parent'): pass\n"
        "    if child == 0: os._exit(0)\n"
        "    os.waitpid(child, 0)\n",
        encoding="utf-8",
    )
    root = tmp_path / "root"
    run(program, root)
    assert len(list((root / "traces").iterdir())) == 2
    assert len(listed(root, capsys)) == 1
    assert sorted(drawn(root, capsys)) == [(0, "plan"), (1, "child"), (1, "parent")]


def test_a_sealed_recording_in_parts_is_one_run(tmp_path: Path, programs: dict[str, Path]) -> None:
    """However many files a process's spans have become."""
    root = tmp_path / "root"
    run(programs["plain"], root)
    [live] = (root / "traces").iterdir()
    content = live.read_bytes()
    for name in (b"first", b"second"):
        live.write_bytes(content.replace(b"plan", name))
        seal.seal(live)
    [found] = catalogue.runs(root)
    assert len(found.files()) == 2
    assert found.run_id == live.name.partition(".")[0]

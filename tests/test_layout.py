"""Run directories: names that never collide."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from massgen_tracing import layout

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901)


def test_a_run_is_where_the_layout_says(tmp_path: Path) -> None:
    """`<root>/massgen_logs/log_<local time to the microsecond>/turn_1/attempt_1`, and it exists."""
    run = layout.new_run(tmp_path, now=NOW)
    assert run.run_id == "log_20260102_030405_678901"
    assert run.attempt_dir == tmp_path / "massgen_logs" / "log_20260102_030405_678901" / "turn_1" / "attempt_1"
    assert run.attempt_dir.is_dir()
    assert run.status == run.attempt_dir / "status.json"
    assert run.final_answer("a") == run.attempt_dir / "final" / "a" / "answer.txt"
    assert layout.RunDirectory(run.log_dir, 2, 3).attempt_dir == run.log_dir / "turn_2" / "attempt_3"


def test_runs_of_the_same_microsecond_have_different_names(tmp_path: Path) -> None:
    """Also when threads make them at once."""
    with ThreadPoolExecutor(8) as pool:
        runs = list(pool.map(lambda _: layout.new_run(tmp_path, now=NOW), range(100)))
    assert len({run.log_dir for run in runs}) == 100
    assert {path.name for path in (tmp_path / "massgen_logs").iterdir()} == {run.run_id for run in runs}


def test_processes_that_start_in_the_same_microsecond_have_different_names(tmp_path: Path) -> None:
    """Two processes that make fifty runs each, all for the same moment, make a hundred directories."""
    program = """
import sys
from datetime import datetime
from massgen_tracing import layout
sys.stdin.readline()
for _ in range(50):
    print(layout.new_run(sys.argv[1], now=datetime(2026, 1, 2)).run_id)
"""
    command = [sys.executable, "-c", program, str(tmp_path)]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    names = [name for process in processes for name in process.communicate()[0].split()]
    assert len(names) == len(set(names)) == 100


def test_a_relative_root_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that changes its directory later still writes where its run began."""
    monkeypatch.chdir(tmp_path)
    run = layout.new_run(".massgen")
    assert run.log_dir.is_absolute()
    assert run.log_dir.parent == tmp_path / ".massgen" / "massgen_logs"


def test_a_root_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    """Below a regular file there is no directory."""
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        layout.new_run(tmp_path / "file" / "root")


def test_recordings_of_other_processes_have_names_of_their_own() -> None:
    """The first process of a run writes `trace.otlp.jsonl`, a further one names itself."""
    assert layout.recording_name() == "trace.otlp.jsonl"
    assert layout.recording_name(12) == "trace.12.otlp.jsonl"


@pytest.mark.parametrize(("below", "turn", "attempt"), [("", 1, 1), ("turn_2", 2, 1), ("turn_2/attempt_3", 2, 3), ("turn_2/attempt_3/agent_a", 2, 3)])
def test_a_run_is_found_from_within(below: str, turn: int, attempt: int, tmp_path: Path) -> None:
    """Any path in a run names the attempt that it lies in, by names alone."""
    log_dir = layout.new_run(tmp_path, now=NOW).log_dir
    assert layout.run_of(log_dir / below) == layout.RunDirectory(log_dir, turn, attempt)
    assert layout.run_of(tmp_path / "elsewhere") is None


@given(st.integers(0, 2**63), st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), max_size=30), st.integers(0, 6))
def test_a_voucher_says_what_it_was_given(inode: int, name: str, up: int) -> None:
    """Whatever the file is called that it names."""
    voucher = layout.Voucher(inode, "../" * up + layout.WRITER_PREFIX + name)
    assert layout.Voucher.decode(voucher.encode()) == voucher


@given(st.binary(max_size=60))
def test_what_is_no_voucher_is_none(content: bytes) -> None:
    """And one that names no writer's file is none."""
    found = layout.Voucher.decode(content)
    assert found is None or os.path.basename(found.writer).startswith(layout.WRITER_PREFIX)

"""Commands that ask, print and end: a copy of their process does so, and is ended when it must be."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from massgen_tracing import store
from massgen_tracing.store.process import attended
from tests.processes import gone

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a process is copied on Linux only")

COUNT = "SELECT count(*) AS n FROM records"
ENDLESS = "WITH RECURSIVE x AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM x) SELECT count(*) FROM x"

HEAD = """
import os, signal, sys
from massgen_tracing import errors, store
from massgen_tracing.store.process import attended

root = sys.argv[1]
assert attended.can_attend()
"""

ANSWERED = """
def work():
    assert attended.is_copy()
    store.prepare()
    print(store.query("SELECT count(*) AS n FROM records", root).rows, store.query("SELECT 1 AS one", root).rows)
    assert "massgen_tracing.store.process.sandbox" not in sys.modules
    return 7

print(store.attended(work), attended.is_copy())
"""

ENDED = """
def late():
    store.query(sys.argv[2], root, timeout=0.3)

def crashing():
    store.query("SELECT 1", root)  # the engine is there
    store.query(sys.argv[2], root, on_progress=lambda seconds: os.kill(os.getpid(), signal.SIGSEGV))

def failing():
    raise RuntimeError("of its own")

for work in (late, crashing):
    try:
        store.attended(work)
    except errors.QueryError as error:
        print(error.problem)
print(store.attended(failing))
print(store.attended(lambda: sys.exit(5)))
"""


def program(code: str, *words: object, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """What a program says that begins with a clean process."""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    return subprocess.run([sys.executable, "-c", HEAD + code, *map(str, words)], capture_output=True, text=True, check=False, env=environment)


def test_a_copy_answers_and_prints(root: Path, tmp_path: Path) -> None:
    """No worker is started, the copy's exit code is what the process gets, and nothing is left."""
    done = program(ANSWERED, root, tmp_path=tmp_path)
    assert (done.stdout, done.stderr) == ("[{'n': 17}] [{'one': 1}]\n7 False\n", "")
    assert not list(tmp_path.glob("massgen-tracing-*"))


def test_a_copy_is_ended_and_the_reason_said(root: Path, tmp_path: Path) -> None:
    """At a statement's deadline, and when the engine crashes; what fails otherwise says so itself."""
    done = program(ENDED, root, ENDLESS, tmp_path=tmp_path)
    late, crashed, *codes = done.stdout.splitlines()
    assert late == "The statement was stopped after 0.3 seconds"
    assert crashed == "The engine crashed on the statement (SIGSEGV), as it does on one that is nested too deep"
    assert codes == ["1", "5"]
    assert done.stderr.splitlines()[-1] == "RuntimeError: of its own"
    assert not list(tmp_path.glob("massgen-tracing-*"))


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGQUIT, signal.SIGUSR1], ids=lambda signum: signum.name)
def test_the_copy_goes_with_the_command(root: Path, tmp_path: Path, signum: signal.Signals) -> None:
    """Also where a signal reaches both of them, as from a terminal that is closed, or told to quit; and tidies up."""
    said = "def work():\n    print(os.getpid(), flush=True)\n    store.query(sys.argv[2], root)\n\n"
    said += "import resource\nresource.setrlimit(resource.RLIMIT_CORE, (0, 0))\nstore.attended(work)"
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    line = [sys.executable, "-c", HEAD + said, str(root), ENDLESS]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True, env=environment, process_group=0) as process:
        assert process.stdout is not None
        copy = int(process.stdout.readline())
        os.killpg(process.pid, signum)
        assert process.stdout.read() == ""
    assert process.returncode == -signum
    gone(copy)
    assert not list(tmp_path.glob("massgen-tracing-*"))


def test_the_command_says_what_the_copy_says(root: Path) -> None:
    """Rows to the output, errors to the other one, each once, and the exit code."""
    line = [sys.executable, "-m", "massgen_tracing", "sql", "--root", str(root), "--format", "csv"]
    done = subprocess.run([*line, "SELECT nope FROM records"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("No field named nope") == 1


SQL = f'exec "{sys.executable}" -m massgen_tracing sql --root "$ROOT" --format csv'
"""What a shell runs."""


def shell(line: str, root: Path, tmp_path: Path) -> tuple[int, str, str]:
    """The exit code of a line, what it prints, and what it says beside; nothing is left of it."""
    environment = {**os.environ, "ROOT": str(root), "TMPDIR": str(tmp_path)}
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False, env=environment)
    assert not list(tmp_path.glob("massgen-tracing-*"))
    return done.returncode, done.stdout, done.stderr


def test_a_command_whose_ended_children_nobody_is_told_of_answers(root: Path, tmp_path: Path) -> None:
    """What is ignored is inherited: who starts the command may ignore that children end."""
    assert shell(f"trap '' CHLD; {SQL} '{COUNT}'", root, tmp_path) == (0, "n\n17\n", "")


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        pytest.param(f"'{COUNT}' 2>&-", (0, "n\n17\n", ""), id="no-stderr"),
        pytest.param(f"'{COUNT}' >&-", (1, "", "There is no output that the rows could be written to"), id="no-stdout"),
        pytest.param("- <&-", (1, "", "The statement cannot be read from the input: it is closed"), id="no-stdin"),
        pytest.param(
            "- 0>/dev/null", (1, "", "The statement cannot be read from the input ([Errno 9] Bad file descriptor)"), id="stdin-is-for-writing"
        ),
        pytest.param(f"'{COUNT}' >/dev/full", (1, "", "The output cannot be written (No space left on device)"), id="full"),
        pytest.param(
            "'SELECT * FROM records' --format parquet >/dev/full",
            (1, "", "The output cannot be written (No space left on device)"),
            id="full-parquet",
        ),
    ],
)
def test_where_something_cannot_be_read_or_written_a_line_says_so(line: str, answer: tuple[int, str, str], root: Path, tmp_path: Path) -> None:
    """With exit code 1; without a place for messages there are rows all the same."""
    code, output, said = answer
    found = shell(f"{SQL} {line}", root, tmp_path)
    assert found[:2] == (code, output)
    assert found[2].startswith(f"massgen-tracing sql: {said}" if said else "")
    assert len(found[2].splitlines()) == bool(said)


def test_where_a_process_is_not_alone_the_work_is_done_in_it(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A program that has threads, or keeps what is printed, gets the same from workers."""
    assert not attended.can_attend()
    assert store.attended(lambda: len(store.query(COUNT, root))) == 1

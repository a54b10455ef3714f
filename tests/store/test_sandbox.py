"""The process that answers queries: kept and shared, ended when it must be, and never in its caller's way."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from massgen_tracing import errors, store
from massgen_tracing.delivery import leftovers
from massgen_tracing.store.engine import limits
from massgen_tracing.store.process import sandbox, worker
from tests.processes import gone

COUNT = "SELECT count(*) AS n FROM records"
ENDLESS = "WITH RECURSIVE x AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM x) SELECT count(*) FROM x"
ROWS = [{"n": 17}]


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[sandbox._Pool]:
    """A pool of this test's own, closed after it."""
    own = sandbox._Pool()
    monkeypatch.setattr(sandbox, "_pool", own)
    yield own
    own.close()
    assert not own._all


def processes(pool: sandbox._Pool) -> list[int]:
    """The process ids of a pool's workers."""
    return sorted(each._process.pid for each in pool._all)


def is_alive(pid: int) -> bool:
    """Whether a process is there and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_worker_is_kept_for_the_next_query(pool: sandbox._Pool, root: Path) -> None:
    """Also after a refusal; one that was stopped is gone, with all that it had."""
    assert store.query(COUNT, root).rows == ROWS
    (first,) = processes(pool)
    with pytest.raises(errors.QueryError):
        store.query("SELECT nope FROM records", root)
    store.query(COUNT, root)
    assert processes(pool) == [first]
    with pytest.raises(errors.QueryError, match=r"was stopped after 0\.2 seconds"):
        store.query(ENDLESS, root, timeout=0.2)
    assert not processes(pool)
    assert not is_alive(first)
    assert store.query(COUNT, root).rows == ROWS


def test_a_question_can_be_prepared(pool: sandbox._Pool, root: Path) -> None:
    """A worker is started ahead of it, and is the one that answers."""
    store.prepare()
    (prepared,) = processes(pool)
    assert store.query(COUNT, root).rows == ROWS
    assert processes(pool) == [prepared]


def test_a_worker_that_has_gone_meanwhile_is_replaced(pool: sandbox._Pool, root: Path) -> None:
    """As one does that nobody asked for a while."""
    store.query(COUNT, root)
    (first,) = pool._all
    first._process.kill()
    first._process.wait()
    assert store.query(COUNT, root).rows == ROWS
    assert first not in pool._all


def test_a_worker_that_dies_is_an_error_of_the_query(pool: sandbox._Pool, root: Path) -> None:
    """Whatever it dies of: the caller lives, hears of it in one line, and the next query is answered."""
    store.query(COUNT, root)
    (first,) = pool._all

    def end(seconds: float) -> None:
        if seconds > 0.3:
            os.kill(first._process.pid, signal.SIGSEGV)

    with pytest.raises(errors.QueryError, match=r"The engine crashed on the statement \(SIGSEGV\)"):
        store.query(ENDLESS, root, on_progress=end)
    assert store.query(COUNT, root).rows == ROWS


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C interrupts, also where the tests run in a process that ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupted_caller_is_free_at_once(pool: sandbox._Pool, root: Path) -> None:
    """Ctrl-C ends the waiting and the worker; the worker does not hear it by itself."""
    store.query(COUNT, root)
    (pid,) = processes(pool)
    assert os.getpgid(pid) != os.getpgid(0)

    def interrupt(_seconds: float) -> None:
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        store.query(ENDLESS, root, on_progress=interrupt)
    assert not is_alive(pid)
    assert store.query(COUNT, root).rows == ROWS


def test_threads_have_a_worker_each_and_few_are_kept(pool: sandbox._Pool, root: Path) -> None:
    """Many threads at once all get their answers; a slow query of one does not hold up another."""
    with ThreadPoolExecutor(8) as executor:
        slow = executor.submit(store.query, ENDLESS, root, timeout=2)
        answers = [executor.submit(store.query, COUNT, root) for _ in range(20)]
        assert [each.result().rows for each in answers] == [ROWS] * 20
        with pytest.raises(errors.QueryError, match="was stopped"):
            slow.result()
    assert len(processes(pool)) <= sandbox._KEPT


async def test_it_works_inside_a_running_loop(pool: sandbox._Pool, root: Path) -> None:
    """From a coroutine itself, and from its threads."""
    assert store.query(COUNT, root).rows == ROWS
    assert [each.rows for each in await asyncio.gather(*(asyncio.to_thread(store.query, COUNT, root) for _ in range(3)))] == [ROWS] * 3


def test_when_all_places_are_taken_a_query_says_so(pool: sandbox._Pool, root: Path) -> None:
    """It waits as long as it may take, and not longer."""
    with contextlib.ExitStack() as stack:
        for _ in range(sandbox._AT_ONCE):
            stack.enter_context(pool.place(1))
        with pytest.raises(errors.QueryError, match="other queries are being answered"):
            store.query(COUNT, root, timeout=0.01)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_has_workers_of_its_own(pool: sandbox._Pool, root: Path) -> None:
    """Parent and child ask on, and neither hears the other's answers."""
    store.query(COUNT, root)
    before = processes(pool)
    child = os.fork()
    if not child:
        with contextlib.suppress(BaseException):
            good = store.query(COUNT, root).rows == ROWS and sandbox._pool is not pool and processes(sandbox._pool) != before
            sandbox._pool.close()
            os._exit(0 if good else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert store.query(COUNT, root).rows == ROWS
    assert processes(pool) == before


def run(code: str, root: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a program that has `store`, `sandbox` and the root."""
    head = "import os, signal, sys, threading; root = sys.argv[1]\n"
    head += "from massgen_tracing import store; from massgen_tracing.store.process import sandbox\n"
    return subprocess.run([sys.executable, "-c", head + code, str(root)], capture_output=True, text=True, check=False, **options)


PID = "print([each._process.pid for each in sandbox._pool._all][0], flush=True)\n"


def test_nothing_is_left_at_exit(root: Path, tmp_path: Path) -> None:
    """An idle worker ends with its caller, without a word, and leaves no directory."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    done = run(f"store.query('{COUNT}', root)\n{PID}", root, env={**os.environ, "TMPDIR": str(scratch)})
    assert (done.returncode, done.stderr) == (0, "")
    assert not is_alive(int(done.stdout))
    assert not list(scratch.iterdir())


def test_a_worker_does_not_outlive_a_killed_caller(root: Path, tmp_path: Path) -> None:
    """Even in the middle of a statement that would never end; it leaves nothing behind."""
    code = f"""
def die(seconds):
    if seconds > 0.5:
        {PID.strip()}
        os.kill(os.getpid(), signal.SIGKILL)
store.query('{COUNT}', root)
store.query('{ENDLESS}', root, on_progress=die)
"""
    done = run(code, root, env={**os.environ, "TMPDIR": str(tmp_path)})
    assert done.returncode == -signal.SIGKILL
    gone(int(done.stdout))
    assert not [child for child in tmp_path.iterdir() if child.name.startswith("massgen-tracing-")]


def test_a_query_without_end_in_a_thread_does_not_hold_up_the_exit(root: Path) -> None:
    """A daemon thread that is waiting for an answer is left behind."""
    code = f"""
waiting = threading.Event()
threading.Thread(target=store.query, args=('{ENDLESS}', root), kwargs={{'on_progress': lambda _: waiting.set()}}, daemon=True).start()
waiting.wait()
"""
    assert run(code, root).returncode == 0


def test_the_caller_loads_no_engine(root: Path) -> None:
    """Neither the engine nor the dialect: what reads strangers' statements is in the worker only."""
    code = f"store.query('{COUNT}', root); print({{'datafusion', 'massgen_tracing.store.sql.tokens'}} & {{*sys.modules}})"
    assert run(code, root).stdout == "set()\n"


def test_the_worker_loads_neither_pandas_nor_numpy(pool: sandbox._Pool, root: Path) -> None:
    """Both are installed here, Arrow would load them, and no answer needs them."""
    pytest.importorskip("pandas")
    store.query(COUNT, root)
    (pid,) = processes(pool)
    assert "datafusion" in (maps := Path(f"/proc/{pid}/maps").read_text())
    assert not {"pandas", "numpy"} & set(maps.replace("/", "\n").split("\n"))


def test_the_worker_knows_no_secrets(pool: sandbox._Pool, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its environment is what a process needs to start."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("LOGFIRE_TOKEN", "secret")
    store.query(COUNT, root)
    (pid,) = processes(pool)
    assert b"secret" not in Path(f"/proc/{pid}/environ").read_bytes()


def test_paths_mean_what_they_mean_to_the_caller(pool: sandbox._Pool, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that was started elsewhere follows its caller's current directory."""
    store.query(COUNT, root)
    monkeypatch.chdir(root)
    assert store.query(COUNT, ".").rows == ROWS
    with pytest.raises(errors.RecordingError, match="There are no recordings at nowhere"):
        store.query(COUNT, "nowhere")


def test_a_program_that_cannot_start_a_worker_is_told(pool: sandbox._Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line: without a Python, with one that is not there, and with one that is none."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for executable, message in (
        ("", "does not say where its Python is"),
        ("/nowhere/python", r"cannot be started \(No such file"),
        ("/bin/false", "did not start: exit code 1"),
    ):
        monkeypatch.setattr(sys, "executable", executable)
        with pytest.raises(errors.QueryError, match=message):
            store.query(COUNT, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(limits.resource is None, reason="this system knows no such limits")
def test_a_process_is_held_to_its_memory_only_while_it_is_asked() -> None:
    """The limit stands on top of what is there, and goes with the statement."""
    code = """
import sys
from massgen_tracing.store.engine import limits
kind = limits.resource.RLIMIT_DATA
before = limits.resource.getrlimit(kind)
with limits.memory():
    assert limits.MEMORY_BYTES < limits.resource.getrlimit(kind)[0] < 2 * limits.MEMORY_BYTES
    try:
        bytearray(limits.MEMORY_BYTES + 2**20)
    except MemoryError:
        print("refused")
assert limits.resource.getrlimit(kind) == before
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "refused\n"


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no such alarm")
def test_the_alarm_ends_a_process_whatever_it_does() -> None:
    """Even in a call that never gives the interpreter back."""
    code = "from massgen_tracing.store.engine import limits; limits.alarm(0.1); import re; re.match('(a*)*b', 'a' * 100)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == -signal.SIGALRM


def test_an_idle_worker_ends_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while without a request its main loop is over; with one it is not."""
    reading, writing = os.pipe()
    kept = os.dup(0)
    try:
        os.dup2(reading, 0)
        monkeypatch.setattr(worker, "_IDLE_SECONDS", 0.0)
        assert not worker._is_asked()
        os.write(writing, b"x")
        assert worker._is_asked()
    finally:
        os.dup2(kept, 0)
        for each in (reading, writing, kept):
            os.close(each)


def test_a_thread_that_ends_leaves_the_worker(pool: sandbox._Pool, root: Path) -> None:
    """The worker is the process's, not the thread's that started it."""
    thread = threading.Thread(target=store.query, args=(COUNT, root))
    thread.start()
    thread.join()
    (pid,) = processes(pool)
    assert store.query(COUNT, root).rows == ROWS
    assert processes(pool) == [pid]


def test_what_a_query_keeps_is_nobody_elses_to_remove(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Delivery clears away what killed processes have left in the temporary directory: never a query's files, however old."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    worker = sandbox.Worker()
    try:
        (scratch,) = tmp_path.iterdir()
        os.utime(scratch, (0, 0))
        assert list(leftovers.directories()) == []
    finally:
        worker.end()

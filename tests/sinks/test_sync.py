"""Having the disk take what was written: never in anybody's way, whatever the disk and the interpreter are doing."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import massgen_tracing as mt
from massgen_tracing import finalization, worker
from massgen_tracing.sinks.recording import Recording
from massgen_tracing.sinks.recording.sync import Syncer
from massgen_tracing.trace.tracer import Tracer
from tests.sinks import lines
from tests.sinks.test_recording import a_session, eventually


@pytest.fixture
def tracer(tmp_path: Path) -> Tracer:
    """A tracer that records below `tmp_path`."""
    return mt.configure(root=tmp_path, enabled=True, record=True, logfire=False)


class Disk:
    """Counts what is synced, and hangs for as long as it is told to."""

    def __init__(self) -> None:
        self.synced: list[str] = []
        self.free = threading.Event()
        self.free.set()

    def fsync(self, number: int) -> None:
        self.synced.append(os.readlink(f"/proc/self/fd/{number}"))
        self.free.wait()


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    """The disk of this test."""
    found = Disk()
    monkeypatch.setattr(os, "fsync", found.fsync)
    yield found
    found.free.set()


@pytest.fixture
def no_thread(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Starts of threads, none of which succeeds, as at the interpreter's end from Python 3.12 on."""
    asked: list[str] = []

    def refuse(*_: object) -> None:
        asked.append("a thread")
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(worker, "start_new_thread", refuse)
    return asked


def the_recording() -> Recording:
    """The recording of what is configured."""
    pipeline = mt.configuration._now.pipeline
    assert pipeline is not None
    [recording] = [processor for processor in pipeline.processors if isinstance(processor, Recording)]
    return recording


def test_ends_of_rounds_and_sessions_are_synced(tracer: Tracer, disk: Disk) -> None:
    """The run's file, on another thread, soon."""
    path = a_session(tracer, "q")
    eventually(None, lambda: str(path) in disk.synced)


def test_rounds_that_end_soon_after_each_other_are_synced_together(tracer: Tracer, disk: Disk) -> None:
    """A disk takes a millisecond for each sync, and each makes the program's own thread wait for the interpreter."""
    with tracer.session("q", agents=["a"]) as session:
        for number in range(500):
            with session.agent_round("a", number):
                pass
    the_recording().shutdown()
    assert 1 <= len(disk.synced) < 250


def test_nothing_but_sessions_rounds_and_runs_starts_the_thread(tracer: Tracer, no_thread: list[str]) -> None:
    """Neither a span outside of runs, nor the end of anything."""
    with tracer.span("outside"):
        pass
    assert no_thread == []
    session = tracer.session("q", agents=["a"]).start()
    begun = len(no_thread)
    assert begun >= 1
    session.end()
    assert len(no_thread) == begun


def test_without_threads_everything_is_written_and_shutdown_returns(tracer: Tracer, disk: Disk, no_thread: list[str]) -> None:
    """A disk that hangs holds nothing up, since nothing is synced on the program's own thread."""
    disk.free.clear()
    path = a_session(tracer, "q")
    the_recording().shutdown()
    assert "coordination.session" in lines.names(path)
    assert disk.synced == []
    assert no_thread


def test_a_disk_that_hangs_costs_nothing(tracer: Tracer, disk: Disk) -> None:
    """Nobody waits for it: runs go on, what waits for it is one entry a file, and shutdown ends in its time."""
    disk.free.clear()
    paths = [a_session(tracer, f"q{number}") for number in range(20)]
    recording = the_recording()
    assert len(recording._syncer._due) <= 20
    assert all("coordination.session" in lines.names(path) for path in paths)
    recording.shutdown_within(0.05)
    assert len(disk.synced) == 1


def test_what_waits_for_a_slow_disk_is_bounded(tmp_path: Path, swallowed: list[str]) -> None:
    """The oldest are left to the system; it is said once."""
    syncer = Syncer()
    for number in range(3000):
        syncer.want(tmp_path / str(number))
        syncer.want(tmp_path / str(number))
    assert len(syncer._due) == 1024
    assert next(reversed(syncer._due)) == str(tmp_path / "2999")
    assert set(swallowed) == {"recording.sync"}
    swallowed.clear()


def test_everything_is_synced_before_shutdown_returns(tmp_path: Path, disk: Disk) -> None:
    """As long as there is time."""
    syncer = Syncer()
    paths = [tmp_path / str(number) for number in range(50)]
    for path in paths:
        path.touch()
        syncer.want(path)
    assert syncer.stop(30)
    assert disk.synced == [str(path) for path in paths]


def test_files_that_are_gone_are_passed_over(tmp_path: Path, disk: Disk) -> None:
    """Sealed or deleted meanwhile."""
    syncer = Syncer()
    syncer.want(tmp_path / "gone")
    (tmp_path / "here").touch()
    syncer.want(tmp_path / "here")
    assert syncer.stop(30)
    assert disk.synced == [str(tmp_path / "here")]


def test_a_disk_that_refuses_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, swallowed: list[str]) -> None:
    """And the next file has its turn."""

    def refuse(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", refuse)
    syncer = Syncer()
    for name in ("a", "b"):
        (tmp_path / name).touch()
        syncer.want(tmp_path / name)
    assert syncer.stop(30)
    assert swallowed == ["recording.sync"] * 2
    swallowed.clear()


def test_once_the_interpreter_ends_spans_are_written_and_nothing_else(
    tracer: Tracer, disk: Disk, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """No thread, no sync, no pause for a lock that a reader holds."""
    session = tracer.session("q", agents=["a"]).start()
    assert session.run is not None
    path = session.run.attempt_dir / "trace.otlp.jsonl"
    recording = the_recording()
    recording.shutdown()
    recording._stopped = False
    asked: list[str] = request.getfixturevalue("no_thread")
    with path.open() as reader, monkeypatch.context() as patch:
        patch.setattr(finalization, "begun", lambda: True)
        patch.setattr("time.sleep", lambda _: pytest.fail("it slept"))
        recording._files[session.run].file._let_go()  # so that it has to be opened and locked again
        fcntl.flock(reader, fcntl.LOCK_EX)
        disk.synced.clear()
        with session.agent_round("a"):
            pass
        session.end()
        recording.shutdown()
    assert asked == []
    assert disk.synced == []
    assert lines.names(path) == ["agent.a.round_0", "coordination.session"]


# --- in programs of their own ------------------------------------------------------------------------------------------------------

ENDS = {
    "a generator that is left in the middle": """
def answer():
    with tracer.session("q", agents=["a"]) as session, session.agent_round("a") as rnd:
        yield 1
        yield 2
stream = answer()
next(stream)
""",
    "an async generator that nobody closes": """
async def answer():
    with tracer.session("q", agents=["a"]) as session, session.agent_round("a") as rnd:
        yield 1
stream = answer()
try:
    stream.asend(None).send(None)
except StopIteration:
    pass
""",
    "an object's end": """
class Run:
    def __init__(self):
        self.session = tracer.session("q", agents=["a"]).start()
        self.round = self.session.agent_round("a").start()
    def __del__(self):
        self.round.end()
        self.session.end()
run = Run()
run.self = run
""",
    "at exit": """
import atexit
session = tracer.session("q", agents=["a"]).start()
rnd = session.agent_round("a").start()
atexit.register(lambda: (rnd.end(), session.end()))
""",
    "a session that begins at exit": """
import atexit
with tracer.session("in time", agents=["a"]):
    pass
def late():
    with tracer.session("q", agents=["a"]) as session, session.agent_round("a"):
        pass
atexit.register(late)
""",
    "a lock that a thread holds which the interpreter has stopped": """
import threading
def answer():
    with tracer.session("q", agents=["a"]) as session, session.agent_round("a") as rnd:
        yield 1
stream = answer()
next(stream)
held = threading.Event()
HOLD = '''
def hold():
    from massgen_tracing.sinks.recording import vouchers
    (target,) = recording._files.values()
    with target.file._opening.held(), vouchers._vouchers.lock.held():
        held.set()
        forever.wait()
'''
theirs = {"recording": mt.configuration._now.pipeline.processors[0], "held": held, "forever": threading.Event()}
exec(HOLD, theirs)  # with a namespace of its own, so that the thread does not keep ours
hold = theirs.pop("hold")
threading.Thread(target=hold, daemon=True).start()
held.wait()
""",
    "a disk that hangs": """
import os, threading
os.fsync = eval("lambda _: Event().wait()", {"Event": threading.Event})  # nothing that hangs keeps our names
for number in range(20):
    with tracer.session("q", agents=["a"]) as session, session.agent_round("a"):
        pass
""",
    "a disk that hangs, and a generator": """
import os, threading
os.fsync = eval("lambda _: Event().wait()", {"Event": threading.Event})  # nothing that hangs keeps our names
def answer():
    with tracer.session("q", agents=["a"]) as session, session.agent_round("a") as rnd:
        yield 1
stream = answer()
next(stream)
with tracer.session("another", agents=["a"]):
    pass
""",
}


@pytest.mark.parametrize("how", ENDS)
def test_a_program_ends_whatever_ends_its_spans(how: str, tmp_path: Path) -> None:
    """It says what it said untraced, and each span that was ended by then is recorded."""
    text = f"""
import sys
import massgen_tracing as mt
tracer = mt.configure(root=sys.argv[1], enabled=True, logfire=False)
{ENDS[how]}
print("done")
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", text, str(tmp_path)], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
    names = [name for path in lines.recordings(tmp_path) for name in lines.names(path)]
    if how != "a session that begins at exit":  # tracing has ended by then
        assert {"agent.a.round_0", "coordination.session"} <= set(names)
    assert len([name for name in names if name.startswith("agent.")]) == (20 if how == "a disk that hangs" else names.count("agent.a.round_0"))


FORKS = """
import os, sys
import massgen_tracing as mt
tracer = mt.configure(root=sys.argv[1], enabled=True, logfire=False)
with tracer.session("q", agents=["a"]) as session:
    for number in range(5):
        with session.agent_round("a"):
            child = os.fork()
            if child == 0:
                with tracer.span("child"):
                    pass
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
synced = []
fsync = os.fsync
os.fsync = lambda number: (synced.append(os.readlink(f"/proc/self/fd/{number}")), fsync(number))
with tracer.session("after", agents=["a"]):
    pass
mt.shutdown()
assert any(path.endswith("trace.otlp.jsonl") for path in synced), synced
"""


def test_a_program_that_forks_is_not_warned_of_threads_that_it_has_not(tmp_path: Path) -> None:
    """From Python 3.12 on a fork beside another thread is a DeprecationWarning; afterwards there is a thread that syncs again."""
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning", "-c", FORKS, str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [name for path in lines.recordings(tmp_path) for name in lines.names(path)].count("child") == 5


SLOW = """
import os, sys, time
import massgen_tracing as mt
from massgen_tracing import guard
os.fsync = lambda number: time.sleep(0.005)
tracer = mt.configure(root=sys.argv[1], enabled=True, logfire=False)
most = 0
for number in range(400):
    with tracer.session(f"q{number}", agents=["a"]) as session, session.agent_round("a"):
        pass
    most = max(most, len(os.listdir("/proc/self/fd")))
print(most)
assert guard.problems() == [], guard.problems()
"""


def test_a_slow_disk_costs_neither_descriptors_nor_records(tmp_path: Path) -> None:
    """A sync takes five milliseconds, and runs end as fast as they can."""
    done = subprocess.run([sys.executable, "-c", SLOW, str(tmp_path)], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) < 50
    files = lines.recordings(tmp_path)
    assert len(files) == 400
    assert all(lines.names(path) == ["agent.a.round_0", "coordination.session"] for path in files)

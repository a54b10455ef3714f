"""What the disk and the caller may do to a recording: the program goes on, one line says so, the loss is counted, recording resumes."""

from __future__ import annotations

import errno
import logging
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import massgen_tracing as mt
from massgen_tracing import guard
from massgen_tracing.sinks.recording import file as recording_file
from massgen_tracing.store.roots import reader
from massgen_tracing.trace.tracer import Tracer
from tests.sinks import lines
from tests.sinks.test_recording import descriptors


@pytest.fixture(autouse=True)
def _looked_at_before_each_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """The writer looks for its file before each line, as it does wherever lines are more than a hundredth of a second apart."""
    monkeypatch.setattr(recording_file, "CHECK_EVERY_NS", 0)


@pytest.fixture
def tracer(tmp_path: Path) -> Tracer:
    """A tracer that records below `tmp_path`."""
    return mt.configure(root=tmp_path / "root", enabled=True)


@pytest.fixture(autouse=True)
def _retries_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that could not be written is tried again at the next line, so that nothing has to wait."""
    monkeypatch.setattr(recording_file, "RETRY_AFTER_NS", 0)


@pytest.fixture
def problems(swallowed: list[str], caplog: pytest.LogCaptureFixture) -> Iterator[dict[str, guard.Problem]]:
    """What is counted, when the test has ended well; one line is logged per kind."""
    caplog.set_level(logging.WARNING, logger="massgen_tracing")
    found: dict[str, guard.Problem] = {}
    yield found
    swallowed.clear()


def counted() -> dict[str, guard.Problem]:
    """The problems so far, by kind."""
    return {problem.kind: problem for problem in guard.problems()}


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The lines that were logged."""
    return [record.getMessage() for record in caplog.records if record.name == "massgen_tracing"]


def work(tracer: Tracer, *names: str) -> None:
    """A span for each name."""
    for name in names:
        with tracer.span(name):
            pass


@pytest.mark.usefixtures("problems")
def test_a_root_that_cannot_be_made(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A root below a regular file: sessions and spans go on without a file, one line for each kind of loss says so, every line is counted."""
    (tmp_path / "file").write_text("not a directory")
    tracer = mt.configure(root=tmp_path / "file" / "root", enabled=True)
    for _ in range(3):
        with tracer.session("q", agents=["a"]) as session, session.agent_round("a"):
            assert session.run is None
    found = counted()
    assert set(found) == {"recording.directory", "recording.write"}
    assert found["recording.directory"].count == 3
    assert found["recording.write"].lost == 12  # a start and an end for each of six spans
    assert len(said(caplog)) == 2
    assert all("goes on" in line and str(tmp_path) in line for line in said(caplog))


@pytest.mark.usefixtures("problems")
def test_a_directory_that_becomes_unwritable_and_comes_back(tracer: Tracer, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The recording resumes by itself when its place can be written again."""
    work(tracer, "one")
    root = tmp_path / "root"
    shutil.rmtree(root)
    root.write_text("in the way")
    work(tracer, "two", "three")
    root.unlink()
    work(tracer, "four")
    assert lines.names(*lines.recordings(tmp_path)) == ["four"]
    assert counted()["recording.write"].lost == 4
    assert counted()["recording.deleted"].lost == 2
    assert len(said(caplog)) == 2


@pytest.mark.usefixtures("problems")
def test_a_directory_that_is_deleted_during_the_run(tracer: Tracer, caplog: pytest.LogCaptureFixture) -> None:
    """A new file is made in its place, at the very next line; what was in the deleted one is counted as lost."""
    with tracer.session("q", agents=["a"]) as session:
        assert session.run is not None
        work(tracer, "one", "two")
        shutil.rmtree(session.run.log_dir)
        work(tracer, "three")
        path = session.run.attempt_dir / "trace.otlp.jsonl"
    assert lines.names(path) == ["three", "coordination.session"]
    assert counted()["recording.deleted"].lost == 5
    (line,) = said(caplog)
    assert "deleted" in line


@pytest.mark.usefixtures("problems")
def test_a_file_that_is_renamed_is_still_written(tracer: Tracer, tmp_path: Path) -> None:
    """Moving a recording away (or its directory) does not lose it: the lines follow the file."""
    work(tracer, "one")
    (path,) = lines.recordings(tmp_path)
    moved = path.rename(tmp_path / "moved.otlp.jsonl")
    work(tracer, "two")
    assert lines.names(moved) == ["one", "two"]
    assert counted() == {}


@pytest.fixture
def full_disk() -> Iterator[None]:
    """A limit on the size of a file does what a full disk does: a short write, then an error."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, before)


@pytest.mark.usefixtures("problems", "full_disk")
@pytest.mark.parametrize("room", [0, 1, 100, 700])
def test_a_full_disk_and_room_again(tracer: Tracer, tmp_path: Path, caplog: pytest.LogCaptureFixture, room: int) -> None:
    """The disk fills up at any place of a line: the torn line and those after it are lost and counted, then recording goes on in whole lines."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    work(tracer, "before")
    (path,) = lines.recordings(tmp_path)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + room, hard))
    work(tracer, "lost 1", "lost 2")
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, hard))
    work(tracer, "after")
    found = reader.read([path])
    assert [span.name for span in found.spans] == ["before", "after"]
    assert found.report.skipped == (0 if room == 0 else 1)
    assert counted()["recording.write"].lost == 4
    (line,) = said(caplog)
    assert os.strerror(errno.EFBIG) in line


@pytest.mark.usefixtures("problems", "full_disk")
def test_what_is_lost_at_the_end_only_is_the_end(tracer: Tracer, tmp_path: Path) -> None:
    """A span whose start was recorded and whose end was not is shown as not ended, never as garbage."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with tracer.span("its end is lost"):
        (path,) = lines.recordings(tmp_path)
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 50, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, hard))
    work(tracer, "after")
    found = {span.name: span.state for span in reader.read([path]).spans}
    assert found == {"its end is lost": "open", "after": "ended"}


@pytest.mark.parametrize("tail", [b'{"resourceSpans":[{"resource":{"attr', b"garbage", b"\x00\x00\x00"])
def test_a_process_that_appends_after_a_torn_line(tmp_path: Path, tail: bytes) -> None:
    """A new process begins a new line after what a killed one has left; both processes' spans are read."""
    (tmp_path / "run").mkdir()
    program = """
import sys
from pathlib import Path
import massgen_tracing as mt
from massgen_tracing.layout import RunDirectory
tracer = mt.configure(root=sys.argv[1], enabled=True)
with tracer.session("q", run=RunDirectory(Path(sys.argv[1]) / "run")), tracer.span(sys.argv[2]):
    pass
"""
    for name in ("first", "second"):
        subprocess.run([sys.executable, "-c", program, str(tmp_path), name], check=True)
        path = tmp_path / "run" / "turn_1" / "attempt_1" / "trace.otlp.jsonl"
        if name == "first":
            with path.open("ab") as file:
                file.write(tail)
    found = reader.read([path])
    assert [span.name for span in found.spans] == ["coordination.session", "first", "coordination.session", "second"]
    assert all(span.state == "ended" for span in found.spans)
    assert found.report.skipped == (0 if tail.startswith(b"\x00") else 1)


# --- descriptors that a caller closes ----------------------------------------------------------------------------------------------


def test_a_caller_that_closes_every_descriptor(tracer: Tracer, tmp_path: Path) -> None:
    """A daemon closes all descriptors it finds: the file is opened again, nothing is lost and nothing is said."""
    with tracer.span("open"):
        (number,) = descriptors(tmp_path)
        os.closerange(number, number + 1)
        work(tracer, "one")
    assert lines.names(*lines.recordings(tmp_path)) == ["one", "open"]
    assert len(lines.started(*lines.recordings(tmp_path))) == 2
    assert counted() == {}


def test_a_line_never_lands_in_a_strangers_file(tracer: Tracer, tmp_path: Path) -> None:
    """The descriptor's number is closed and at once given to another file: that file stays as it is, and is left open."""
    stranger = tmp_path / "stranger.txt"
    with tracer.span("open"):
        (number,) = descriptors(tmp_path)
        other = os.open(stranger, os.O_RDWR | os.O_CREAT)
        os.dup2(other, number)
        os.close(other)
        work(tracer, "one")
        mt.shutdown()
    os.write(number, b"the stranger's own")
    os.close(number)
    assert stranger.read_bytes() == b"the stranger's own"
    assert "one" in lines.names(*lines.recordings(tmp_path))
    assert counted() == {}


# --- whoever listens to our log ----------------------------------------------------------------------------------------------------


class Traced(logging.Handler):
    """A handler of the caller's that is itself traced."""

    def __init__(self, tracer: Tracer) -> None:
        super().__init__()
        self._tracer = tracer
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        with self._tracer.span("logging"):
            self.lines.append(record.getMessage())


@pytest.mark.usefixtures("problems")
def test_a_traced_log_handler_does_not_lock_the_recording(tracer: Tracer, tmp_path: Path) -> None:
    """What we log may come back to us as a span: also while the file is being opened again."""
    handler = Traced(tracer)
    logger = logging.getLogger("massgen_tracing")
    logger.addHandler(handler)
    try:
        work(tracer, "one")
        shutil.rmtree(tmp_path / "root")
        work(tracer, "two")
    finally:
        logger.removeHandler(handler)
    assert len(handler.lines) == 1
    assert lines.names(*lines.recordings(tmp_path)) == ["logging", "two"]


def test_a_daemon_that_closes_everything_and_opens_its_own(tmp_path: Path) -> None:
    """In between two lines every descriptor is closed and forty others are opened: none of them gets a line, and no span is lost."""
    program = """
import os, sys
from pathlib import Path
import massgen_tracing as mt
tracer = mt.configure(root=sys.argv[1] + "/root", enabled=True, logfire=False)
with tracer.span("open"):
    os.closerange(3, 65536)
    strangers = [os.open(f"{sys.argv[1]}/stranger{number}", os.O_RDWR | os.O_CREAT) for number in range(40)]
    with tracer.span("after"):
        pass
assert all(os.fstat(stranger).st_size == 0 for stranger in strangers)
"""
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, capture_output=True, text=True)
    assert done.stderr == ""
    assert lines.names(*lines.recordings(tmp_path)) == ["after", "open"]
    assert len(lines.started(*lines.recordings(tmp_path))) == 2


# --- what the program's signal handlers raise --------------------------------------------------------------------------------------


class Limit(TimeoutError):
    """The end of a program's own time limit, which is an `OSError` too."""


def out_of_time(_number: int, _frame: object) -> None:
    """A program's handler."""
    raise Limit


@pytest.mark.parametrize("call", ["write", "open", "fstat", "pread", "close"])
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_a_time_limit_that_ends_inside_the_recording_reaches_the_program(
    tracer: Tracer, monkeypatch: pytest.MonkeyPatch, call: str, before: bool
) -> None:
    """At whichever call of the system: the program gets it, the span is recorded as ended, and other threads still write."""
    real = getattr(os, call)
    armed = threading.Event()
    lost: list[Any] = []

    def interrupted(*args: object, **options: object) -> object:
        if before and armed.is_set():
            armed.clear()
            signal.raise_signal(signal.SIGALRM)
        result = real(*args, **options)
        if armed.is_set():
            armed.clear()
            if call == "open":
                lost.append(result)
            signal.raise_signal(signal.SIGALRM)
        return result

    previous = signal.signal(signal.SIGALRM, out_of_time)
    session = tracer.session("q", agents=["a"]).start()
    assert session.run is not None
    span = tracer.span("work", base=session.context).start()
    (ours,) = descriptors(session.run.log_dir)
    if call in {"open", "pread"}:
        os.close(ours)  # so that it has to be opened again
    monkeypatch.setattr(os, call, interrupted)
    armed.set()
    try:
        if call == "close":
            span.span.end()
            with pytest.raises(Limit):
                session.span.end()
            assert ours not in descriptors(session.run.log_dir)
        else:
            with pytest.raises(Limit):
                span.span.end()
            session.span.end()
    finally:
        armed.clear()
        signal.signal(signal.SIGALRM, previous)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(work, tracer, "another").result(30)
    path = session.run.attempt_dir / "trace.otlp.jsonl"
    assert set(lines.names(path)) == {"work", "coordination.session"}
    for number in lost:
        os.close(number)

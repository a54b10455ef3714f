"""Many runs at once and spans that nobody ends: few descriptors, no memory, nothing lost, and readers see who lives."""

from __future__ import annotations

import gc
import json
import os
import random
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider

import massgen_tracing as mt
from massgen_tracing import layout
from massgen_tracing.sinks.recording import Recording, vouchers
from massgen_tracing.sinks.recording import file as recording_file
from massgen_tracing.sinks.recording.processor import _OpenSpan
from massgen_tracing.store.reading import liveness
from massgen_tracing.store.roots import catalogue, reader
from massgen_tracing.store.sealing import seal
from massgen_tracing.trace.session import Session
from massgen_tracing.trace.tracer import Tracer
from tests.sinks import lines
from tests.sinks.test_recording import descriptors, eventually, is_locked


@pytest.fixture(autouse=True)
def _recordings_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No files of runs beside them, in programs either."""
    monkeypatch.setenv("MASSGEN_TRACING_RUN_FILES", "false")


@pytest.fixture
def tracer(tmp_path: Path, _recordings_alone: None) -> Tracer:
    """A tracer that records below `tmp_path`."""
    return mt.configure(root=tmp_path, enabled=True, record=True, logfire=False)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more than two recordings may be open at once; what other tests have left open in this process is not among them."""
    monkeypatch.setattr(recording_file, "most", lambda: 2)
    monkeypatch.setattr(recording_file, "_open", {})
    monkeypatch.setattr(vouchers, "_vouchers", vouchers._Vouchers())


def recording_of(session: Session) -> Path:
    """The live file of a session."""
    assert session.run is not None
    return session.run.attempt_dir / "trace.otlp.jsonl"


def left_beside(root: Path) -> list[str]:
    """Whatever lies under a root besides recordings."""
    return sorted(path.name for path in root.rglob("*") if path.is_file() and "trace" not in path.name[:5])


def program(text: str, *arguments: str, **options: Any) -> subprocess.Popen[str]:
    """A program in a process of its own."""
    command = [sys.executable, "-c", text, *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


# --- many at once ------------------------------------------------------------------------------------------------------------------

MANY = """
import os, resource, sys
import massgen_tracing as mt
resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))
tracer = mt.configure(root=sys.argv[1], enabled=True, logfire=False)
sessions = [tracer.session(f"q{number}", agents=["a"]).start() for number in range(200)]
for _ in range(3):
    for session in sessions:
        with session.agent_round("a"):
            pass
ours = [name for name in os.listdir("/proc/self/fd") if int(name) > 2]
own = [open(os.devnull) for _ in range(90)]  # what the program itself may open
print(len(ours), flush=True)
sys.stdin.read()
for session in sessions[:100]:
    session.end()
print("half", flush=True)
"""


def test_two_hundred_open_runs_are_seen_live_until_their_process_is_killed(tmp_path: Path) -> None:
    """Few descriptors, and nothing lost; another process knows each run to be live and does not seal it; killed, each is interrupted and sealed."""
    with program(MANY, str(tmp_path)) as process:
        assert process.stdout is not None
        assert int(process.stdout.readline()) <= 128 // 8 + 4
        files = lines.recordings(tmp_path)
        assert len(files) == 200
        assert all(map(liveness.writer_alive, files))
        spans = reader.read(files).spans
        assert {span.state for span in spans if span.name == "coordination.session"} == {"open"}
        assert len([span for span in spans if span.name.startswith("agent.") and span.state == "ended"]) == 600
        assert {seal.seal(path).reason for path in files[::20]} == {"its writer still runs"}
        process.kill()
        process.wait(30)
    assert not any(map(liveness.writer_alive, files))
    spans = reader.read(files).spans
    assert {span.state for span in spans if span.name == "coordination.session"} == {"interrupted"}
    assert len([name for name in left_beside(tmp_path) if name.startswith(".writer.")]) == 1
    for path in files:
        assert seal.seal(path).sealed is not None
    assert [name for name in left_beside(tmp_path) if not name.startswith(".writer.")] == []


@pytest.mark.usefixtures("few")
def test_what_a_killed_process_left_is_tidied_up_by_the_next_one(tracer: Tracer, tmp_path: Path) -> None:
    """The file that it held locked goes; that of a process which lives stays."""
    (tmp_path / ".writer.1.dead").touch()
    alive = os.open(tmp_path / ".writer.2.alive", os.O_RDWR | os.O_CREAT)
    try:
        liveness.fcntl.flock(alive, liveness.fcntl.LOCK_EX)  # type: ignore[union-attr]
        sessions = [tracer.session(f"q{number}").start() for number in range(3)]
        (own,) = {path.name for path in tmp_path.glob(".writer.*")} - {".writer.2.alive"}
        assert str(os.getpid()) in own
        for session in sessions:
            session.end()
        assert left_beside(tmp_path) == [".writer.2.alive"]
    finally:
        os.close(alive)


@pytest.mark.usefixtures("few")
def test_runs_that_are_over_leave_nothing_but_their_recordings(tracer: Tracer, tmp_path: Path) -> None:
    """However many were open at once, each is released at the end of its session, and what was said beside it goes."""
    sessions = [tracer.session(f"q{number}", agents=["a"]).start() for number in range(7)]
    assert len(recording_file._open) <= 2
    for session in sessions:
        assert liveness.writer_alive(recording_of(session))
    for number, session in enumerate(sessions):
        session.end()
        assert not liveness.writer_alive(recording_of(session))
        assert all(liveness.writer_alive(recording_of(other)) for other in sessions[number + 1 :])
    eventually(None, lambda: not descriptors(tmp_path))  # the thread that syncs may just have one open
    assert left_beside(tmp_path) == []
    assert all(lines.names(recording_of(session)) == ["coordination.session"] for session in sessions)


@pytest.mark.usefixtures("few")
def test_a_voucher_says_nothing_of_another_file_in_its_place(tracer: Tracer) -> None:
    """It names the recording's inode: a copy that somebody puts there is not taken for a live one."""
    sessions = [tracer.session(f"q{number}").start() for number in range(3)]
    path = recording_of(sessions[0])
    assert descriptors(path) == []
    assert liveness.writer_alive(path)
    copy = path.with_suffix(".copy")
    copy.write_bytes(path.read_bytes())
    copy.replace(path)
    assert not liveness.writer_alive(path)
    for session in sessions:
        session.end()


@pytest.mark.parametrize("content", [b"", b"nonsense", b"12", b"12 ", b"-1 .writer.1.x", b"12 /dev/null", b"\xff\xfe 1", b"1" * 9000])
def test_whatever_lies_where_a_voucher_would_is_no_sign_of_life(tmp_path: Path, content: bytes) -> None:
    """Somebody else's file of that name, torn ones, and ones that name what is no writer's."""
    path = tmp_path / "trace.otlp.jsonl"
    path.touch()
    layout.Voucher.path(path).write_bytes(content)
    assert not liveness.writer_alive(path)


@pytest.mark.usefixtures("few")
def test_a_run_never_looks_dead_while_it_goes_on(tracer: Tracer, tmp_path: Path) -> None:
    """Eight threads whose files push each other out all the time: at no moment does a run of theirs look dead, and no line is lost or torn."""

    def work(number: int) -> list[Path]:
        choice = random.Random(number)
        paths = []
        for step in range(12):
            with tracer.session(f"{number}/{step}", agents=["a"]) as session:
                path = recording_of(session)
                paths.append(path)
                for turn in range(choice.randrange(1, 8)):
                    with tracer.span(f"{number}/{step}/{turn}"):
                        assert liveness.writer_alive(path)
            eventually(None, lambda path=path: not liveness.writer_alive(path))  # the thread that syncs may just have it open
        return paths

    with ThreadPoolExecutor(8) as pool:
        paths = [path for found in pool.map(work, range(8)) for path in found]
    eventually(None, lambda: not descriptors(tmp_path))  # the thread that syncs may just have one open
    assert left_beside(tmp_path) == []
    for path in paths:
        assert len(lines.started(path)) == len(lines.names(path)) >= 2


@pytest.mark.usefixtures("few")
def test_a_file_that_is_deleted_while_it_is_closed_is_begun_anew(tracer: Tracer, swallowed: list[str]) -> None:
    """What was in it is counted as lost, as where it is deleted while it is open."""
    sessions = [tracer.session(f"q{number}").start() for number in range(4)]
    recording_of(sessions[0]).unlink()
    sessions[0].end()
    assert lines.names(recording_of(sessions[0])) == ["coordination.session"]
    assert swallowed == ["recording.deleted"]
    swallowed.clear()
    for session in sessions[1:]:
        session.end()


def test_where_the_program_has_used_up_its_descriptors_ours_are_the_first_to_go(tracer: Tracer, swallowed: list[str]) -> None:
    """A run that begins then is recorded all the same, through the descriptor of another."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    sessions = [tracer.session(f"q{number}").start() for number in range(6)]
    held: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
    try:
        while True:
            held.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        pass
    try:
        late = tracer.session("late").start()
        sessions[0].set("something", 1)
        for session in (*sessions, late):
            session.end()
    finally:
        for number in held:
            os.close(number)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    for session in (*sessions, late):
        assert lines.names(recording_of(session)) == ["coordination.session"]
        assert len(lines.started(recording_of(session))) == 1
    assert set(swallowed) <= {"recording.voucher"}
    swallowed.clear()


# --- spans that nobody ends --------------------------------------------------------------------------------------------------------


@pytest.fixture
def kept(tracer: Tracer) -> Iterator[list[Any]]:
    """Spans that somebody holds and does not end."""
    found: list[Any] = []
    yield found
    found.clear()


def test_a_run_is_over_when_its_session_is(tracer: Tracer, tmp_path: Path, kept: list[Any]) -> None:
    """A span that is left open holds neither descriptor nor lock, and the recording can be sealed."""
    with tracer.session("q", agents=["a"]) as session:
        kept.append(tracer.span("left open").start())
    assert not is_locked(recording_of(session))
    eventually(None, lambda: not descriptors(tmp_path))  # the thread that syncs may just have one open
    assert seal.seal(recording_of(session)).sealed is not None


def test_a_run_that_has_two_sessions_is_over_when_both_are(tracer: Tracer, tmp_path: Path) -> None:
    """Whichever ends first."""
    run = layout.new_run(tmp_path)
    first, second = tracer.session("1", run=run).start(), tracer.session("2", run=run).start()
    first.end()
    assert is_locked(recording_of(first))
    second.end()
    assert not is_locked(recording_of(first))
    with tracer.session("3", run=run) as third:
        assert is_locked(recording_of(third))
    assert lines.names(recording_of(first)) == ["coordination.session"] * 3


def test_what_comes_later_is_written_and_the_file_let_go_again(tracer: Tracer, tmp_path: Path, kept: list[Any]) -> None:
    """Ends of spans that the session has left open, and spans that begin in its Context afterwards."""
    with tracer.session("q", agents=["a"]) as session:
        kept += [tracer.span("late").start(), tracer.span("later").start()]
        context = session.context
    path = recording_of(session)
    kept[0].end()
    assert not is_locked(path)
    with tracer.span("afterwards", base=context):
        assert is_locked(path)
        kept[1].end()
    assert not is_locked(path)
    eventually(None, lambda: not descriptors(tmp_path))  # the thread that syncs may just have one open
    assert lines.names(path) == ["coordination.session", "late", "later", "afterwards"]


def test_an_end_after_sealing_stands_once_in_every_answer(tracer: Tracer, tmp_path: Path, kept: list[Any]) -> None:
    """The span was interrupted, and has ended now: readers and SQL count it once, before and after the rest is sealed too."""
    with tracer.session("q", agents=["a"]) as session:
        kept += [tracer.span(f"late {number}").start() for number in range(2)]
    path = recording_of(session)

    def states() -> list[tuple[str, str]]:
        return sorted((span.name, span.state) for span in reader.read(catalogue.files(tmp_path)).spans)

    def counted() -> int:
        from massgen_tracing import store

        (row,) = store.query("SELECT count(*) AS n FROM records WHERE span_name LIKE 'late%' AND end_timestamp > start_timestamp", tmp_path).rows
        return int(row["n"])

    assert seal.seal(path).sealed is not None
    assert states() == [("coordination.session", "ended"), ("late 0", "interrupted"), ("late 1", "interrupted")]
    kept[0].end()
    assert not is_locked(path)
    after = [("coordination.session", "ended"), ("late 0", "ended"), ("late 1", "interrupted")]
    assert states() == after
    assert counted() == 1
    outcome = seal.seal(path)
    assert outcome.sealed is not None
    assert outcome.sealed.name == "trace.part2.parquet"
    assert states() == after
    assert counted() == 1
    kept[1].end()
    assert [state for _, state in states()] == ["ended"] * 3
    assert seal.seal(path).sealed is not None
    assert counted() == 2


def test_a_session_that_is_dropped_is_over(tracer: Tracer) -> None:
    """Nobody can end it any more: its file is released, and its reader says that it was interrupted."""
    session = tracer.session("q", agents=["a"]).start()
    path = recording_of(session)
    assert is_locked(path)
    del session
    gc.collect()
    with tracer.span("the next one"):
        assert not is_locked(path)
    assert [span.state for span in reader.read([path]).spans] == ["interrupted"]


@pytest.mark.parametrize("provider", [None, TracerProvider(shutdown_on_exit=False)], ids=["our own", "the SDK's"])
def test_spans_that_are_dropped_leave_nothing(tmp_path: Path, provider: TracerProvider | None) -> None:
    """Whether they are ours or the SDK's: what the recording knew of them goes with them."""
    tracer = mt.configure(root=tmp_path, enabled=True, record=True, logfire=False, tracer_provider=provider)
    with tracer.session("q", agents=["a"]):
        for number in range(50):
            tracer.span(f"dropped {number}").start()
        dropped = tracer.span("outside").start()
    del dropped
    gc.collect()
    with tracer.span("the next one"):
        pass
    assert [found for found in gc.get_objects() if type(found) is _OpenSpan] == []
    assert [found._strangers for found in gc.get_objects() if type(found) is Recording and found._strangers] == []


@pytest.mark.parametrize("provider", [None, TracerProvider(shutdown_on_exit=False)], ids=["our own", "the SDK's"])
def test_a_process_of_a_run_releases_its_file_when_no_span_is_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, provider: TracerProvider | None
) -> None:
    """Without a session of its own: also where a span was dropped."""
    run = layout.new_run(tmp_path)
    monkeypatch.setenv(layout.RUN_VARIABLE, str(run.attempt_dir))
    tracer = mt.configure(root=tmp_path, enabled=True, record=True, logfire=False, tracer_provider=provider)
    path = run.attempt_dir / layout.recording_name(os.getpid())
    with tracer.span("outer"):
        tracer.span("dropped").start()
        gc.collect()
        with tracer.session("of the same run", run=run):
            assert is_locked(path)
        assert is_locked(path)
    gc.collect()
    assert not is_locked(path)
    assert "outer" in lines.names(path)


LEFT_OPEN = """
import resource, sys
import massgen_tracing as mt
from massgen_tracing import guard
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
tracer = mt.configure(root=sys.argv[1], enabled=True, logfire=False)
kept = []
for number in range(600):
    with tracer.session(f"q{number}", agents=["a"]):
        kept.append(tracer.span("left open").start())
    own = [open(sys.argv[1] + "/notes.txt", "a") for _ in range(20)]
assert guard.problems() == [], guard.problems()
"""


def test_the_program_can_open_its_own_files_however_many_spans_are_left_open(tmp_path: Path) -> None:
    """A span a session is never ended: nothing of ours is in the way, and nothing is lost."""
    with program(LEFT_OPEN, str(tmp_path)) as process:
        assert process.communicate(timeout=120) == ("", "")
        assert process.returncode == 0
    files = lines.recordings(tmp_path)
    assert len(files) == 600
    assert all(lines.names(path) == ["coordination.session"] and len(lines.started(path)) == 2 for path in files)


# --- for long ----------------------------------------------------------------------------------------------------------------------

SOAK = """
import gc, json, os, random, sys
import massgen_tracing as mt
from massgen_tracing import guard
tracer = mt.configure(root=sys.argv[1], enabled=True, logfire=False)
choice = random.Random(7)
kept, figures = [], []

def pages():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1])

for number in range(20_000):
    with tracer.session(f"q{number}", agents=["a"]) as session, session.agent_round("a"):
        for step in range(3):
            span = tracer.span(f"step {step}").start()
            if choice.random() >= 0.01:
                span.end()
            elif choice.random() < 0.1:
                kept.append(span)
    if choice.random() < 0.01:
        tracer.session("dropped", agents=["a"]).start()
    if number % 4_000 == 3_999:
        gc.collect()
        figures.append([len(os.listdir("/proc/self/fd")), pages() * os.sysconf("SC_PAGE_SIZE")])
print(json.dumps([figures, len(kept), [problem.kind for problem in guard.problems()]]))
"""


@pytest.mark.long
def test_twenty_thousand_sessions_with_spans_that_nobody_ends(tmp_path: Path) -> None:
    """Under fifty descriptors, and memory that stays where it is."""
    with program(SOAK, str(tmp_path)) as process:
        out, err = process.communicate(timeout=1800)
    assert err == ""
    figures, kept, problems = json.loads(out)
    assert set(problems) <= {"recording.sync"}  # where the disk is slower than the runs
    assert kept > 20
    assert max(descriptors for descriptors, _ in figures) < 50
    assert figures[-1][1] - figures[0][1] < 8_000_000
    recorded = sum(len(lines.names(path)) for path in lines.recordings(tmp_path))
    assert recorded > 20_000 * 4.9


@pytest.mark.long
def test_threads_that_switch_at_every_step(tracer: Tracer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Runs that begin, push each other out and end in twelve threads at a switch interval of a microsecond: each ends with its lines, released."""
    monkeypatch.setattr(recording_file, "most", lambda: 3)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    gate = threading.Barrier(12)

    def work(number: int) -> list[Path]:
        gate.wait(30)
        paths = []
        for step in range(40):
            with tracer.session(f"{number}/{step}", agents=["a"]) as session:
                for turn in range(3):
                    with tracer.span(f"{turn}"):
                        assert liveness.writer_alive(recording_of(session))
                paths.append(recording_of(session))
        return paths

    try:
        with ThreadPoolExecutor(12) as pool:
            paths = [path for found in pool.map(work, range(12)) for path in found]
    finally:
        sys.setswitchinterval(before)
    assert all(lines.names(path) == ["0", "1", "2", "coordination.session"] for path in paths)
    eventually(None, lambda: not descriptors(tmp_path))  # the thread that syncs may just have one open
    assert left_beside(tmp_path) == []


def test_a_file_that_makes_way_at_any_step_of_a_write_is_closed(tmp_path: Path) -> None:
    """Another thread lets it go before each line of the write in turn: the line is written, and the descriptor is open only where the file has it."""
    steps, at = 1, 0
    while at < steps:
        file = recording_file.AppendFile(tmp_path / f"{at}.jsonl", tmp_path)
        assert file.write(b"1\n")
        steps = _written_with_another(file, at)
        assert file.path.read_bytes() == b"1\n2\n"
        assert len(descriptors(file.path)) == (file._file is not None)
        file.close()
        assert descriptors(file.path) == []
        at += 1
    assert steps > 8


def _written_with_another(file: recording_file.AppendFile, at: int) -> int:
    """Write a line, with another thread that makes the file give way before one of the steps; returns how many steps there were."""
    code, steps = recording_file.AppendFile.write.__code__, 0

    def traced(frame: FrameType, event: str, _: object) -> Any:
        nonlocal steps
        if frame.f_code is not code:
            return None
        if event == "line":
            if steps == at:
                thread = threading.Thread(target=file.make_way)
                thread.start()
                thread.join()
            steps += 1
        return traced

    before = sys.gettrace()
    sys.settrace(traced)
    try:
        assert file.write(b"2\n")
    finally:
        sys.settrace(before)
    return steps

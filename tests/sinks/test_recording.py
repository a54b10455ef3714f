"""Where spans are recorded, for how long files stay open, and what they cost in memory."""

from __future__ import annotations

import asyncio
import fcntl
import gc
import os
import signal
import subprocess
import sys
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import massgen_tracing as mt
from massgen_tracing.layout import new_run
from massgen_tracing.sinks.recording import Recording
from massgen_tracing.store.reading import liveness
from massgen_tracing.trace.tracer import Tracer
from tests.objects import alive, come_since
from tests.sinks import lines


@pytest.fixture
def tracer(tmp_path: Path) -> Tracer:
    """A tracer that records below `tmp_path`."""
    return mt.configure(root=tmp_path, enabled=True, record=True, logfire=False)


def a_session(tracer: Tracer, name: str) -> Path:
    """A session with some work in it; returns its recording."""
    with tracer.session(name, agents=["a"]) as session:
        with session.agent_round("a") as rnd, rnd.tool_call(name):
            tracer.info(f"note {name}")
        assert session.run is not None
        return session.run.attempt_dir / "trace.otlp.jsonl"


def eventually(happens: threading.Event | None, holds: object) -> None:
    """Wait until *holds* does, however long it takes: a test that hangs is ended by pytest, which shows where it was."""
    pause = happens or threading.Event()
    while not holds():  # type: ignore[operator]
        pause.wait(0.005)


def is_locked(path: Path) -> bool:
    """Whether another descriptor is refused the exclusive lock."""
    number = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(number)


def descriptors(root: Path) -> list[int]:
    """The descriptors of recordings at or below *root* that this process has open."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            path = Path(os.readlink(f"/proc/self/fd/{name}"))
        except OSError:
            continue
        if path.name.endswith(".jsonl") and path.is_relative_to(root):
            found.append(int(name))
    return found


# --- which file --------------------------------------------------------------------------------------------------------------------


def test_a_run_has_one_file_in_its_own_directory(tracer: Tracer, tmp_path: Path) -> None:
    """All of a run's spans, and its point records, are in the run's directory and nowhere else."""
    path = a_session(tracer, "question")
    assert lines.recordings(tmp_path) == [path]
    assert lines.names(path) == ["note question", "Tool execution: question", "agent.a.round_0", "coordination.session"]
    assert len(lines.started(path)) == 3


def test_spans_outside_of_runs_are_below_traces(tracer: Tracer, tmp_path: Path) -> None:
    """Work outside of any run goes to one file of this process under `<root>/traces/`."""
    with tracer.span("before"):
        run = a_session(tracer, "q")
    with tracer.span("after"):
        tracer.info("a note")
    (outside,) = [path for path in lines.recordings(tmp_path) if path != run]
    assert outside.parent == tmp_path / "traces"
    assert str(os.getpid()) in outside.name
    assert lines.names(outside) == ["before", "a note", "after"]
    assert "coordination.session" in lines.names(run)


def test_a_session_inside_a_session_has_a_file_of_its_own(tracer: Tracer) -> None:
    """The inner session's spans are in the inner run's file only, and what follows it is in the outer one's."""
    with tracer.session("outer", agents=["a"]) as outer:
        with outer.agent_round("a"):
            inner_path = a_session(tracer, "inner")
            with tracer.span("after the inner one"):
                pass
        assert outer.run is not None
        outer_path = outer.run.attempt_dir / "trace.otlp.jsonl"
    assert lines.names(inner_path) == ["note inner", "Tool execution: inner", "agent.a.round_0", "coordination.session"]
    assert lines.names(outer_path) == ["after the inner one", "agent.a.round_0", "coordination.session"]


def test_sessions_of_threads_and_tasks_never_share_a_file(tracer: Tracer) -> None:
    """Twelve sessions at once in threads and tasks: each file has exactly its own session's spans, in whole lines."""
    gate = threading.Barrier(6)

    def in_a_thread(number: int) -> tuple[str, Path]:
        name = f"thread {number}"
        with tracer.session(name, agents=["a"]) as session:
            gate.wait()
            for step in range(40):
                with tracer.span(f"{name} step {step}"):
                    pass
            assert session.run is not None
            return name, session.run.attempt_dir / "trace.otlp.jsonl"

    async def in_a_task(number: int, started: asyncio.Barrier) -> tuple[str, Path]:
        name = f"task {number}"
        with tracer.session(name, agents=["a"]) as session:
            await started.wait()
            for step in range(40):
                with tracer.span(f"{name} step {step}"):
                    await asyncio.sleep(0)
            assert session.run is not None
            return name, session.run.attempt_dir / "trace.otlp.jsonl"

    async def tasks() -> list[tuple[str, Path]]:
        barrier = asyncio.Barrier(6)
        return await asyncio.gather(*(in_a_task(number, barrier) for number in range(6)))

    with ThreadPoolExecutor(6) as pool:
        futures = [pool.submit(in_a_thread, number) for number in range(6)]
        found = asyncio.run(tasks()) + [future.result() for future in futures]
    assert len({path for _, path in found}) == 12
    for name, path in found:
        assert lines.names(path) == [*(f"{name} step {step}" for step in range(40)), "coordination.session"]


def test_threads_that_share_a_file_write_whole_lines(tracer: Tracer, tmp_path: Path) -> None:
    """Many threads with big and small spans in one file: every line is whole and every span is there."""

    def work(number: int) -> None:
        for step in range(50):
            with tracer.span(f"{number}/{step}", attributes={"text": "x" * (step * 997 % 40_000)}):
                pass

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    (path,) = lines.recordings(tmp_path)
    assert sorted(lines.names(path)) == sorted(f"{number}/{step}" for number in range(8) for step in range(50))
    assert len(lines.started(path)) == 400


def test_one_configuration_after_another_writes_where_the_later_one_says(tmp_path: Path) -> None:
    """A span that was open when the configuration was replaced is still recorded as ended, where it began."""
    first = mt.configure(root=tmp_path / "1", enabled=True)
    span = first.span("spans both").start()
    second = mt.configure(root=tmp_path / "2", enabled=True)
    with second.span("second"):
        pass
    span.end()
    assert lines.names(*lines.recordings(tmp_path / "1")) == ["spans both"]
    assert lines.names(*lines.recordings(tmp_path / "2")) == ["second"]


def test_without_recording_nothing_is_made(tmp_path: Path) -> None:
    """`record=False` makes no directory and no file."""
    tracer = mt.configure(root=tmp_path / "root", record=False, enabled=True)
    with tracer.session("q", agents=["a"]) as session:
        assert session.run is None
    assert not (tmp_path / "root").exists()


# --- for how long ------------------------------------------------------------------------------------------------------------------


def test_files_and_threads_are_released_when_runs_are_over(tracer: Tracer, tmp_path: Path) -> None:
    """Fifty sessions leave no file open and no thread behind."""
    a_session(tracer, "the first one starts what is started once")
    before = threading.active_count()
    for number in range(50):
        a_session(tracer, f"q{number}")
    eventually(None, lambda: not descriptors(tmp_path))
    assert threading.active_count() <= before


def test_a_hundred_configurations_leave_nothing_behind(tmp_path: Path) -> None:
    """Configuring again and again leaks neither descriptors nor threads nor recordings."""
    tracer = mt.configure(root=tmp_path, enabled=True)
    with tracer.span("warm"):
        pass
    threads = threading.active_count()
    before = alive(Recording)
    for number in range(100):
        tracer = mt.configure(root=tmp_path / str(number % 3), enabled=True)
        with tracer.span("work"):
            pass
    mt.shutdown()
    gc.collect()
    eventually(None, lambda: not descriptors(tmp_path))
    eventually(None, lambda: threading.active_count() <= threads)
    assert come_since(before, Recording) == []


def test_a_writer_that_lives_holds_the_lock_until_the_run_is_over(tracer: Tracer) -> None:
    """Another descriptor is refused the exclusive lock while the run goes on, and gets it afterwards."""
    with tracer.session("q", agents=["a"]) as session:
        assert session.run is not None
        path = session.run.attempt_dir / "trace.otlp.jsonl"
        assert is_locked(path)
        assert liveness.writer_alive(path)
    eventually(None, lambda: not is_locked(path))
    assert not liveness.writer_alive(path)


def test_a_writer_that_was_killed_holds_no_lock(tmp_path: Path) -> None:
    """The kernel takes the lock away with the process."""
    program = f"""
import os, sys
import massgen_tracing as mt
tracer = mt.configure(root={str(tmp_path)!r}, enabled=True, logfire=False)
with tracer.span("open"):
    os.write(1, b"!")
    sys.stdin.read()
"""
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.read(1) == b"!"
        (path,) = lines.recordings(tmp_path)
        assert is_locked(path)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not is_locked(path)


def test_a_reader_that_looks_at_the_lock_does_not_keep_a_writer_out(tmp_path: Path) -> None:
    """A writer that opens its file while a reader holds the lock writes all the same."""
    run = new_run(tmp_path)
    path = run.attempt_dir / "trace.otlp.jsonl"
    path.touch()
    number = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        tracer = mt.configure(root=tmp_path, enabled=True)
        with tracer.session("q", run=run):
            pass
    finally:
        os.close(number)
    assert lines.names(path) == ["coordination.session"]


# --- memory ------------------------------------------------------------------------------------------------------------------------


def test_memory_does_not_grow_with_the_run(tracer: Tracer) -> None:
    """Twenty thousand spans with texts of their own leave no more behind than two thousand did."""

    def spans(first: int, last: int) -> None:
        for number in range(first, last):
            with tracer.span(f"span {number % 50}", attributes={"text": f"text {number}", f"key {number}": number, "long": "x" * 500}):
                pass

    with tracer.session("q", agents=["a"]):
        spans(0, 4_000)
        gc.collect()
        tracemalloc.start()
        try:
            spans(4_000, 9_000)
            gc.collect()
            after_a_while = tracemalloc.get_traced_memory()[0]
            spans(9_000, 24_000)
            gc.collect()
            at_the_end = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
    assert at_the_end - after_a_while < 4_000_000  # the caches of short texts are bounded, and may just have been emptied before


def test_a_finished_span_is_freed_without_the_garbage_collector(tracer: Tracer) -> None:
    """Spans, handles and contexts leave no cycle: reference counting frees them at once."""

    def work(number: int) -> None:
        with tracer.span("outer", attributes={"n": number}) as outer:
            outer.set("list", [1, 2])
            with outer.tool_call("tool", arguments={"a": 1}), tracer.llm_call("openai", model="m") as call:
                call.record_usage(input=1, output=1, cost=0.1)
            tracer.info("note {n}", n=number)

    work(0)
    gc.collect()
    gc.disable()
    try:
        for number in range(200):
            work(number)
        # What other threads of this process leave meanwhile is not this test's.
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        own = {"massgen_tracing", "opentelemetry", "_contextvars"}
        assert [found for found in gc.garbage if type(found).__module__.partition(".")[0] in own] == []
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def test_a_span_that_ends_inside_the_garbage_collector_does_not_stop_the_program(tracer: Tracer, tmp_path: Path) -> None:
    """A stream that is given up in a cycle ends its span wherever the collector runs, also in the middle of the recording itself."""
    with tracer.span("first"):
        pass
    recording = mt.configuration._now.pipeline.processors[0]  # type: ignore[union-attr]
    assert isinstance(recording, Recording)
    span = tracer.span("ended by the collector").start()
    with recording._files[None].file._opening.held():  # the same thread, as the collector's code is
        span.end()
    assert lines.names(*lines.recordings(tmp_path)) == ["first", "ended by the collector"]

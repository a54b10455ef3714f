"""Delivery while a run goes on: whatever the backend does, the run is not in its hands, and each span is at it once in the end."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import NonRecordingSpan, SpanContext

import massgen_tracing as mt
from massgen_tracing import configuration, finalization, layout, ledger, worker
from massgen_tracing.delivery import backend as backends
from massgen_tracing.delivery import deliver, leftovers, live, owing
from massgen_tracing.delivery.senders import Unopened
from massgen_tracing.delivery.spool import Spool
from massgen_tracing.delivery.thread import Worker
from massgen_tracing.errors import MissingPackageError
from massgen_tracing.store.roots import reader
from massgen_tracing.store.sealing import seal
from massgen_tracing.trace.provider import SHARED
from massgen_tracing.trace.tracer import Tracer
from massgen_tracing.views.cli import main
from tests.delivery.backend import Backend, Reply, always, black_hole, taking, then
from tests.delivery.recordings import ledgers
from tests.sinks import lines

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith(("OTEL_", "LOGFIRE_"))] + ["http_proxy", "HTTP_PROXY"]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
    monkeypatch.setattr(live, "pause", lambda *_: 0.01)


@pytest.fixture
def server() -> Iterator[Backend]:
    """A backend that takes everything."""
    with taking() as backend:
        yield backend


def run(tracer: Tracer, *names: str, content: int = 0) -> None:
    """One run with a span of each name."""
    with tracer.session("What?", agents=["a"]):
        for name in names:
            with tracer.span(name, attributes={"content": "x" * content}):
                pass


def program(root: Path, backend: Backend | str, text: str, *, record: bool = True) -> subprocess.CompletedProcess[str]:
    """A Python program that is configured for the backend, or a URL, in a process of its own."""
    url = backend if isinstance(backend, str) else backend.url
    beginning = f"""
import os, signal, sys, threading
import massgen_tracing as mt
tracer = mt.configure(root={str(root)!r}, record={record}, otlp_endpoint={url!r}, enabled=True, logfire=False)
"""
    return subprocess.run([sys.executable, "-c", beginning + text], check=False, capture_output=True, text=True, cwd=ROOT)


def test_spans_are_sent_while_the_run_goes_on(tmp_path: Path, server: Backend) -> None:
    """A long run is seen before its end, and each span once."""
    tracer = mt.configure(root=tmp_path, otlp_endpoint=server.url, enabled=True)
    with tracer.session("What?", agents=["a"]):
        for number in range(3):
            with tracer.span(f"step {number}"):
                pass
            server.wait_for(lambda backend, number=number: f"step {number}" in backend.names())  # type: ignore[misc]
    assert mt.shutdown(timeout=600)
    assert server.names() == ["coordination.session", "step 0", "step 1", "step 2"]
    assert set(server.taken.values()) == {1}
    assert {span.flags for span in server.spans} == {259}


def test_a_backend_that_is_down_all_run_has_everything_after_a_push(tmp_path: Path, swallowed: list[str]) -> None:
    """Down all run and up later."""
    with taking(always(Reply(how="reset"))) as backend:
        run(mt.configure(root=tmp_path, otlp_endpoint=backend.url, enabled=True), *"abc")
        assert not mt.shutdown(timeout=600)
        assert backend.names() == []
        backend.script = always(Reply())
        assert main(["push", "--root", str(tmp_path)]) == 0
        assert backend.names() == ["a", "b", "c", "coordination.session"]
        assert set(backend.taken.values()) == {1}
    swallowed.clear()


def test_a_backend_that_is_down_in_the_middle_has_everything_in_the_end(tmp_path: Path, swallowed: list[str]) -> None:
    """What comes meanwhile waits in the recording, and is sent as soon as it is up again."""
    with taking() as backend:
        tracer = mt.configure(root=tmp_path, otlp_endpoint=backend.url, enabled=True)
        run(tracer, "before")
        backend.wait_for(lambda backend: len(backend.taken) == 2)
        backend.script = always(Reply(503))
        asked = len(backend.requests)
        run(tracer, "meanwhile")
        backend.wait_for(lambda backend: len(backend.requests) >= asked + 2)
        backend.script = always(Reply())
        backend.wait_for(lambda backend: len(backend.taken) == 4)
        run(tracer, "after")
        assert mt.shutdown(timeout=600)
        assert backend.names() == ["after", "before", *["coordination.session"] * 3, "meanwhile"]
        assert set(backend.taken.values()) == {1}
    swallowed.clear()


def test_the_next_run_sends_what_is_owed(tmp_path: Path, swallowed: list[str]) -> None:
    """Also where it is over in a moment."""
    with taking(always(Reply(401))) as backend:
        run(mt.configure(root=tmp_path, otlp_endpoint=backend.url, enabled=True), "first")
        assert not mt.shutdown(timeout=600)
        backend.script = always(Reply())
        swallowed.clear()
        run(mt.configure(root=tmp_path, otlp_endpoint=backend.url, enabled=True), "second")
        assert mt.shutdown(timeout=600)
        assert backend.names() == ["coordination.session", "coordination.session", "first", "second"]
        assert set(backend.taken.values()) == {1}


def test_a_redirect_is_said_and_asked_once(tmp_path: Path, server: Backend, swallowed: list[str], caplog: pytest.LogCaptureFixture) -> None:
    """During the run as by a push: nothing counts as sent."""
    with taking(always(Reply(307, {"Location": f"{server.url}/elsewhere"}))) as backend:
        tracer = mt.configure(root=tmp_path, otlp_endpoint=backend.url, enabled=True)
        run(tracer, "first")
        backend.wait_for(lambda backend: len(backend.requests) == 1)
        run(tracer, "second")
        assert not mt.shutdown(timeout=600)
        assert len(backend.requests) == 1
    assert f"307, a redirect to {server.url}/elsewhere" in caplog.text  # with what is owed
    assert "has not taken 4 spans" in caplog.text
    assert server.requests == []
    swallowed.clear()


def test_a_killed_run_is_owed_and_pushed(tmp_path: Path) -> None:
    """Killed between a span's end and its sending, or while the backend is silent: a push sends what had ended."""
    with taking(always(Reply(how="silent"))) as backend:
        done = program(
            tmp_path, backend, "with tracer.session('q', agents=['a']):\n    tracer.info('said')\n    os.kill(os.getpid(), signal.SIGKILL)"
        )
        assert done.returncode == -signal.SIGKILL
        backend.script = always(Reply())
        assert main(["push", "--root", str(tmp_path)]) == 0
        assert backend.names() == ["said"]


def test_a_killed_run_has_its_root_where_starts_are_sent(tmp_path: Path) -> None:
    """With `otlp_pending` the collector knows of what has not ended, by Logfire's pending spans; of what has ended, only once."""
    with taking() as backend:
        tracer = mt.configure(root=tmp_path, otlp_endpoint=backend.url, otlp_pending=True, enabled=True)
        with tracer.session("What?", agents=["a"]) as session:
            backend.wait_for(lambda backend: "coordination.session" in backend.names())
            with tracer.span("inside"):
                pass
        assert mt.shutdown(timeout=600)
        starts = [span for span in backend.spans if any(pair.value.string_value == "pending_span" for pair in span.attributes)]
        assert [span.parent_span_id.hex() for span in starts if span.name == "coordination.session"] == [session.span_id]
        assert backend.names().count("coordination.session") == 2
        assert {span.span_id for span in backend.spans if span.name == "inside" and span not in starts} != set()


def test_spans_of_forked_workers_arrive(tmp_path: Path, server: Backend) -> None:
    """Workers that are forked in the middle of a run and leave without a word: each of their spans, once."""
    done = program(
        tmp_path,
        server,
        """
with tracer.session("q", agents=["a"]):
    for number in range(8):
        child = os.fork()
        if child == 0:
            with tracer.span(f"worker {number}"):
                pass
            os._exit(0)
        os.waitpid(child, 0)
""",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert server.names() == ["coordination.session", *[f"worker {number}" for number in range(8)]]
    assert set(server.taken.values()) == {1}


@pytest.mark.parametrize("reply", [Reply(how="silent"), Reply(how="slow", takes=0), Reply(429, {"Retry-After": "3600"}), Reply(503), None])
def test_a_program_ends_whatever_the_backend_does(tmp_path: Path, reply: Reply | None) -> None:
    """One line says how many spans are owed and what sends them; the program's own end is its own. Without a reply no connection comes about."""
    with black_hole() if reply is None else taking(always(reply)) as backend:
        done = program(tmp_path, backend, "with tracer.session('q', agents=['a']):\n    tracer.info('said')\nsys.exit(7)")
    assert done.returncode == 7
    (line,) = done.stderr.splitlines()
    assert "has not taken 2 spans" in line
    assert f"massgen-tracing push --root {tmp_path}" in line


def test_what_is_not_sent_is_not_in_memory(tmp_path: Path, swallowed: list[str]) -> None:
    """A dead backend and much content: the recording has it, memory a bounded part of it."""
    with taking(always(Reply(how="silent"))) as backend:
        tracer = mt.configure(root=tmp_path, otlp_endpoint=backend.url, enabled=True)
        tracemalloc.start()
        try:
            run(tracer, *map(str, range(600)), content=60_000)
            most = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        mt.shutdown(timeout=0.1)
        (path,) = lines.recordings(tmp_path)
        assert path.stat().st_size > 60_000_000
        assert most < path.stat().st_size / 3
    swallowed.clear()


def test_without_a_recording_spans_wait_in_a_temporary_one(
    tmp_path: Path, server: Backend, monkeypatch: pytest.MonkeyPatch, swallowed: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """They arrive; what is not taken is said to be lost; and nothing is left of it."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    run(mt.configure(root=tmp_path / "root", record=False, otlp_endpoint=server.url, enabled=True), "work")
    assert mt.shutdown(timeout=600)
    assert server.names() == ["coordination.session", "work"]
    with taking(always(Reply(401))) as backend:
        run(mt.configure(root=tmp_path / "root", record=False, otlp_endpoint=backend.url, enabled=True), "work")
        assert not mt.shutdown(timeout=600)
    assert "has not taken 2 spans" in caplog.text
    assert "They are lost" in caplog.text
    assert list(tmp_path.iterdir()) == []
    swallowed.clear()


KILLED = """
with tracer.session("q"):
    with tracer.span("work"):
        pass
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("how", ["next run", "push", "forget"])
def test_what_a_killed_run_leaves_of_a_temporary_recording_is_found(
    tmp_path: Path, server: Backend, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    """`doctor` names it; the next run or a push sends what it owes, and nothing is left. What another process needs, or another user owns, stays."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with taking(always(Reply(401))) as backend:
        done = program(tmp_path / "root", backend, KILLED, record=False)
        assert done.returncode == -signal.SIGKILL
        (left,) = tmp_path.glob("massgen-tracing-unsent-*")
        assert main(["doctor", "--root", str(tmp_path / "root")]) == 1
        assert f"1 span of 1 recording to {backend.url}" in capsys.readouterr().out
        backend.script = always(Reply())
        needed = tmp_path / "massgen-tracing-unsent-needed"
        needed.mkdir()
        held = leftovers.hold(needed)
        (tmp_path / "massgen-tracing-unsent-young").mkdir()
        (tmp_path / "massgen-tracing-unsent-link").symlink_to(tmp_path)
        if how == "next run":
            run(mt.configure(root=tmp_path / "root", otlp_endpoint=backend.url, enabled=True), "next")
            assert mt.shutdown(timeout=600)
        else:
            assert main(["push", "--root", str(tmp_path / "root"), *(["--forget"] if how == "forget" else [])]) == 0
        assert backend.names() == {"next run": ["coordination.session", "next", "work"], "push": ["work"], "forget": []}[how]
    assert not left.exists()
    assert len([*tmp_path.glob("massgen-tracing-unsent-*")]) == 3
    os.close(held)


def test_a_forked_child_leaves_its_parents_temporary_recording_alone(tmp_path: Path) -> None:
    """However the child ends, what the parent has recorded is sent, and so is what the child has; nothing is left of it."""
    with taking() as backend:
        backend.empty = Reply()
        program = f"""
import os, sys
import massgen_tracing as mt
tracer = mt.configure(record=False, otlp_endpoint={backend.url!r}, enabled=True, logfire=False)
with tracer.session("q", agents=["a"]):
    with tracer.span("before"):
        pass
    child = os.fork()
    if child == 0:
        with tracer.span("in the child"):
            pass
        sys.exit(0)
    os.waitpid(child, 0)
    with tracer.span("after"):
        pass
"""
        environment = {**os.environ, "TMPDIR": str(tmp_path), "OTEL_BSP_SCHEDULE_DELAY": "60000"}
        done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, cwd=ROOT, env=environment)
        assert (done.returncode, done.stderr) == (0, "")
        assert backend.names() == ["after", "before", "coordination.session", "in the child"]
    assert list(tmp_path.iterdir()) == []


def test_a_forked_child_outlives_its_parents_temporary_recording(tmp_path: Path) -> None:
    """As a daemon does: what it traces is sent, and it removes what is left."""
    with taking() as backend:
        program = f"""
import os, sys, time
import massgen_tracing as mt
tracer = mt.configure(record=False, otlp_endpoint={backend.url!r}, enabled=True, logfire=False)
parent = os.getpid()
if os.fork():
    sys.exit(0)
while os.getppid() == parent:
    time.sleep(0.01)
with tracer.session("q", agents=["a"]):
    pass
"""
        environment = {**os.environ, "TMPDIR": str(tmp_path)}
        done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, cwd=ROOT, env=environment)
        assert (done.returncode, done.stderr) == (0, "")
        assert backend.names() == ["coordination.session"]
    assert list(tmp_path.iterdir()) == []


def test_spans_that_end_after_a_temporary_recording_leave_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Backend) -> None:
    """They are too late to be sent, and the directory does not come again for them."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    session = mt.configure(record=False, otlp_endpoint=server.url, enabled=True).session("q", agents=["a"]).start()
    mt.shutdown(timeout=600)
    session.end()
    assert list(tmp_path.iterdir()) == []


def test_a_recording_that_is_owed_nothing_is_sealed(tmp_path: Path, server: Backend) -> None:
    """Delivered during the run, it is as any other; and its sealed form counts as sent."""
    run(mt.configure(root=tmp_path, otlp_endpoint=server.url, enabled=True), "work")
    assert mt.shutdown(timeout=600)
    (path,) = lines.recordings(tmp_path)
    (entry,) = ledger.entries(path)
    assert (entry.url, entry.sent) == (server.url, 2)
    assert seal.seal(path).sealed is not None
    assert main(["push", "--root", str(tmp_path), "--to", server.url]) == 0
    assert set(server.taken.values()) == {1}


def test_only_the_packages_own_spans_go_where_the_environment_says(tmp_path: Path, server: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other providers export there by themselves; in the recording are both."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.url)
    tracer = mt.configure(root=tmp_path, enabled=True)
    other = TracerProvider(shutdown_on_exit=False)

    SHARED.others.follow(other)
    with tracer.session("What?", agents=["a"]), other.get_tracer("other").start_as_current_span("theirs"), tracer.span("ours"):
        pass
    assert mt.shutdown(timeout=600)
    assert server.names() == ["coordination.session", "ours"]
    assert sorted(lines.names(*lines.recordings(tmp_path))) == ["coordination.session", "ours", "theirs"]


def test_a_full_disk_costs_neither_the_run_nor_what_was_recorded(
    tmp_path: Path, server: Backend, monkeypatch: pytest.MonkeyPatch, swallowed: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Where no ledger can be written nothing is sent twice: it is said, and a later push sends it."""

    def full(_self: ledger.Ledger, _entry: ledger.Entry) -> None:
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patch:
        patch.setattr(ledger.Ledger, "write", full)
        run(mt.configure(root=tmp_path, otlp_endpoint=server.url, enabled=True), "work")
        assert not mt.shutdown(timeout=600)
    assert "No ledger can be written" in caplog.text
    assert server.requests == []
    assert main(["push", "--root", str(tmp_path), "--to", server.url]) == 0
    assert server.names() == ["coordination.session", "work"]
    swallowed.clear()


@pytest.mark.parametrize("room", [0, 3000, 5000, 9500, 30_000])
def test_a_disk_that_fills_up_costs_what_was_not_recorded_only(
    tmp_path: Path, server: Backend, monkeypatch: pytest.MonkeyPatch, swallowed: list[str], caplog: pytest.LogCaptureFixture, room: int
) -> None:
    """Short writes and then errors, in recordings and ledgers: the run goes on, and in the end the backend has what was recorded, each span once."""
    left = room

    def filling(write: Callable[..., int]) -> Callable[..., int]:
        def written(descriptor: int, content: bytes, *at: int) -> int:
            nonlocal left
            if not os.readlink(f"/proc/self/fd/{descriptor}").startswith(str(tmp_path)):
                return write(descriptor, content, *at)
            if not left:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            count = write(descriptor, content[:left], *at)
            left -= count
            return count

        return written

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", filling(os.write))
        patch.setattr(os, "pwrite", filling(os.pwrite))
        tracer = mt.configure(root=tmp_path, otlp_endpoint=server.url, enabled=True)
        for _ in range(3):
            run(tracer, *"abc", content=2000)
        mt.shutdown(timeout=600)
    assert sum(entry.sent for path in lines.recordings(tmp_path) for entry in ledger.entries(path)) <= len(server.taken)
    for _ in range(2):
        assert main(["push", "--root", str(tmp_path), "--to", server.url]) == 0
    recorded = [span.span_id for span in reader.read([*lines.recordings(tmp_path)]).spans if span.end_ns is not None]
    assert sorted(span.span_id.hex() for span in server.spans) == sorted(recorded)
    assert len(recorded) < 12
    assert "No space left on device" in caplog.text
    swallowed.clear()


def test_what_was_lost_is_said_where_it_cannot_be_written(tmp_path: Path, swallowed: list[str], caplog: pytest.LogCaptureFixture) -> None:
    """Once more at the end, with the count."""
    (tmp_path / "file").write_text("in the way")
    run(mt.configure(root=tmp_path / "file", enabled=True), "lost")
    mt.shutdown()
    assert "4 records were lost (recording.write)" in caplog.text
    swallowed.clear()


def test_the_connection_is_closed_where_the_last_spans_are_sent_at_exit(tmp_path: Path, server: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when finalizers have run by then, on which urllib3 relies: a program that takes warnings for errors has nothing to see."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "60000")
    done = program(
        tmp_path,
        server,
        """
import warnings, weakref
warnings.simplefilter("error")
class Finalized: pass
kept = Finalized()
weakref.finalize(kept, int)
with tracer.session("q", agents=["a"]):
    pass
""",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert server.names() == ["coordination.session"]


def test_a_fork_finds_no_thread(tmp_path: Path, server: Backend) -> None:
    """The thread is gone before a fork, and goes on afterwards: whoever forks is not warned, and nothing is missing."""
    done = program(
        tmp_path,
        server,
        """
import warnings
warnings.simplefilter("error")
for number in range(3):
    with tracer.session("q", agents=["a"]):
        tracer.info(f"before {number}")
        child = os.fork()
        if child == 0:
            os._exit(len(os.listdir("/proc/self/task")) - 1)
        assert os.waitpid(child, 0)[1] == 0
        tracer.info(f"after {number}")
""",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert server.names() == [
        *[f"after {number}" for number in range(3)],
        *[f"before {number}" for number in range(3)],
        *["coordination.session"] * 3,
    ]
    assert set(server.taken.values()) == {1}


@pytest.mark.parametrize("reply", [Reply(), Reply(how="reset"), Reply(401)])
def test_no_thread_is_left_after_shutting_down(tmp_path: Path, reply: Reply, swallowed: list[str]) -> None:
    """Whether the backend was there or not."""
    with taking(always(reply)) as backend:
        tracer = mt.configure(root=tmp_path, otlp_endpoint=backend.url, enabled=True)
        assert configuration._deliveries._live is not None
        run(tracer, "work")
        worker = configuration._deliveries._live._worker[None]
        backend.wait_for(lambda backend: bool(backend.requests))
        mt.shutdown(timeout=600)
        assert worker.wait(600)
    swallowed.clear()


def test_a_worker_that_breaks_says_so(tmp_path: Path, server: Backend, monkeypatch: pytest.MonkeyPatch, swallowed: list[str]) -> None:
    """Its thread ends, that is said, and what it has not sent is sent when all is shut down."""

    def broken(_self: Worker, _again: float | None) -> bool:
        raise OverflowError

    with monkeypatch.context() as patch:
        patch.setattr(Worker, "_goes_on", broken)
        run(mt.configure(root=tmp_path, otlp_endpoint=server.url, enabled=True), "work")
        assert mt.shutdown(timeout=600)
    assert set(swallowed) == {"otlp.worker"}
    assert server.names() == ["coordination.session", "work"]
    swallowed.clear()


def test_a_backend_that_is_away_is_not_sent_spans_until_it_answers(tmp_path: Path, swallowed: list[str]) -> None:
    """As long as it does not answer at all it is asked with an empty request, for which nothing has to be read or encoded."""
    with taking(always(Reply(how="reset"))) as backend:
        backend.empty = Reply(how="reset")
        tracer = mt.configure(root=tmp_path, otlp_endpoint=backend.url, enabled=True)
        run(tracer, "first")
        backend.wait_for(lambda backend: backend.knocks >= 3)
        assert len(backend.requests) == 1
        backend.script, backend.empty = always(Reply()), Reply()
        backend.wait_for(lambda backend: len(backend.taken) == 2)
        assert mt.shutdown(timeout=600)
    swallowed.clear()


def test_no_thread_begins_once_the_interpreter_ends(tmp_path: Path, server: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    """A first span that late is recorded, and that is all."""
    tracer = mt.configure(root=tmp_path, otlp_endpoint=server.url, enabled=True)
    with monkeypatch.context() as patch:
        patch.setattr(finalization, "begun", lambda: True)
        patch.setattr(worker, "start_new_thread", lambda *_: pytest.fail("a thread was started"))
        run(tracer, "late")
    assert ledgers(tmp_path) == []
    assert sorted(lines.names(*lines.recordings(tmp_path))) == ["coordination.session", "late"]


def test_a_point_record_may_be_the_first_outside_of_runs(tmp_path: Path, server: Backend) -> None:
    """It has no start, so nothing is recorded yet when it begins: its recording is owed all the same."""
    mt.configure(root=tmp_path, otlp_endpoint=server.url, enabled=True)
    trace.get_tracer("x").start_span("note", attributes={"logfire.span_type": "log"}).end()
    assert len(ledgers(tmp_path)) == 1
    assert mt.shutdown(timeout=600)
    assert server.names() == ["note"]


def test_a_recording_that_is_not_there_is_not_looked_for_at_each_span(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spans whose parent is in a run that their Context does not name; when it comes all the same, it is owed."""
    path, looks = tmp_path / "traces" / "trace.otlp.jsonl", []
    to = backends.otlp("http://localhost:4318", {})
    owed = owing.Owing(to, lambda _: path, None, to.entry())
    span = NonRecordingSpan(SpanContext(1, 2, is_remote=True))
    span.parent = span.get_span_context()  # type: ignore[attr-defined]
    is_there = layout.is_there

    def looked(each: Path) -> bool:
        looks.append(each)
        return is_there(each)

    with monkeypatch.context() as patch:
        patch.setattr(layout, "is_there", looked)
        patch.setattr(time, "monotonic", lambda: 1000.0)
        for _ in range(100):
            assert owed.start(span, Context()) is None  # type: ignore[arg-type]
    assert looks == [path]
    path.parent.mkdir()
    path.touch()
    owed.settle()
    assert list(owed.paths) == [path]
    assert len(ledgers(tmp_path)) == 1


def test_a_recording_that_has_been_sent_is_left_alone_until_it_grows(tmp_path: Path, server: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many finished runs, none is opened again and again."""
    opened = []

    class Opened(Spool):
        def __init__(self, path: Path, **options: Any) -> None:
            opened.append(path)
            super().__init__(path, **options)

    monkeypatch.setattr(deliver, "Spool", Opened)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "3600000")
    tracer = mt.configure(root=tmp_path, otlp_endpoint=server.url, enabled=True)
    for name in "abc":
        run(tracer, name)
    delivery = configuration._deliveries._live
    assert delivery is not None
    delivery._round()
    first = len(opened)
    with tracer.span("outside"):
        delivery._round()
    assert 3 <= first == len(opened) - 1
    run(tracer, "d")
    assert mt.shutdown(timeout=600)
    assert len(opened) == first + 3
    assert server.names() == ["a", "b", "c", *["coordination.session"] * 4, "d", "outside"]
    assert set(server.taken.values()) == {1}


def test_refusals_are_counted_and_not_repeated(tmp_path: Path, swallowed: list[str], caplog: pytest.LogCaptureFixture) -> None:
    """During the run as by a push."""
    with taking(then(Reply(400, {"Content-Type": "text/plain"}, b"no"), Reply(400), Reply(400))) as backend:
        run(mt.configure(root=tmp_path, otlp_endpoint=backend.url, enabled=True), "a", "b", "c")
        assert mt.shutdown(timeout=600)
    (path,) = lines.recordings(tmp_path)
    (entry,) = ledger.entries(path)
    assert entry.sent + entry.refused == 4
    assert entry.refused > 0
    assert entry.sent == len(backend.taken)
    assert "refuses spans for good" in caplog.text
    assert swallowed
    assert set(swallowed) == {"otlp.refused"}
    swallowed.clear()


def test_a_package_that_is_missing_is_seen_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though what sends is loaded later: also where the packages that it is in are missing."""
    package = "opentelemetry.proto.trace.v1"
    monkeypatch.delitem(sys.modules, f"{package}.trace_pb2", raising=False)
    monkeypatch.setitem(sys.modules, package, None)  # what Python has for a module that there is not
    with pytest.raises(MissingPackageError, match="opentelemetry-exporter-otlp"):
        Unopened(backends.otlp("http://127.0.0.1:9", {}))

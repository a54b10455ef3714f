"""What earlier runs owe to Logfire, sent beside a run whose own spans its SDK sends."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from massgen_tracing import ledger
from massgen_tracing.delivery import backend as backends
from massgen_tracing.delivery.backend import Backend
from massgen_tracing.delivery.earlier import EarlierRuns
from massgen_tracing.ledger import Ledger
from tests.delivery.backend import Backend as Server
from tests.delivery.backend import Reply, taking
from tests.delivery.recordings import record


@pytest.fixture
def server() -> Iterator[Server]:
    """A Logfire that takes everything."""
    with taking() as found:
        yield found


def owed_to(server: Server, *paths: Path) -> Backend:
    """Logfire, as that server, which is owed these recordings."""
    to = backends.logfire({"LOGFIRE_TOKEN": "t", "LOGFIRE_BASE_URL": server.url})
    for path in paths:
        with Ledger(ledger.path_for(path, to.name)) as book:
            book.write(to.entry())
    return to


def test_they_are_sent_but_for_those_of_this_run_and_of_runs_that_go_on(tmp_path: Path, server: Server) -> None:
    """Whose own SDKs send them."""
    earlier, own, others = (record(tmp_path, calls=number) for number in (1, 2, 3))
    to = owed_to(server, earlier, own, others)
    with others.open("rb") as file:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX)
        sending = EarlierRuns(to, tmp_path, {own})
        sending.begin()
        sending.begin()
        assert sending.wait(600)
    assert len(server.taken) == 3
    assert [entry.sent for path in (earlier, own, others) for entry in ledger.entries(path)] == [3, 0, 0]


def test_a_fork_interrupts_it_and_it_goes_on_in_the_parent(tmp_path: Path, server: Server) -> None:
    """Nothing is sent twice, nor by the child."""
    paths = [record(tmp_path, calls=1) for _ in range(3)]
    arrived, go_on = threading.Event(), threading.Event()

    def script(number: int, _spans: list[Span], _size: int) -> Reply:
        arrived.set()
        if number == 0:
            go_on.wait()
        return Reply()

    server.script = script
    sending = EarlierRuns(owed_to(server, *paths), tmp_path, ())
    sending.begin()
    arrived.wait()
    sending.pause()
    go_on.set()
    assert sending.wait(600)
    assert len(server.requests) == 1
    sending.go_on()
    assert sending.wait(600)
    sending.go_on()
    assert sending.wait(600)
    assert sorted(server.taken.values()) == [1] * 9
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    assert len(server.requests) == 3


def test_what_it_refuses_is_said(tmp_path: Path, server: Server, swallowed: list[str], caplog: pytest.LogCaptureFixture) -> None:
    """One that is told to stop does not begin."""
    to = owed_to(server, record(tmp_path, calls=1))
    server.script = lambda *_: Reply(400, {"Content-Type": "text/plain"}, b"bad")
    late = EarlierRuns(to, tmp_path, ())
    late.stop(0)
    late.begin()
    sending = EarlierRuns(to, tmp_path, ())
    sending.begin()
    assert sending.wait(600)
    assert "Logfire refuses spans of earlier runs for good (it answers 400: bad)" in caplog.text
    assert swallowed == ["delivery.refused"]
    swallowed.clear()

"""`massgen-tracing push`: whatever a backend does, each span is at it once in the end, or it is said why not."""

from __future__ import annotations

import os
import random
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from massgen_tracing import ledger
from massgen_tracing.delivery import backend as backends
from massgen_tracing.delivery import deliver, push, spool
from massgen_tracing.ledger import Ledger
from massgen_tracing.store.reading import liveness
from massgen_tracing.store.sealing import seal
from massgen_tracing.views.cli import main
from tests.delivery.backend import Backend, Reply, Script, always, black_hole, partly, taking, then
from tests.delivery.recordings import ledgers, record


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither this machine's settings nor its Logfire token are looked at, and nobody waits for another attempt."""
    for name in [name for name in os.environ if name.startswith(("OTEL_", "LOGFIRE_"))] + ["http_proxy", "HTTP_PROXY"]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(time, "sleep", lambda _: None)


@pytest.fixture
def server() -> Iterator[Backend]:
    """A backend that takes everything."""
    with taking() as backend:
        yield backend


def pushed(root: Path, backend: Backend, *more: str) -> int:
    """Push all of a root to a backend; returns the exit code."""
    return main(["push", "--root", str(root), "--to", backend.url, *more])


def has_number(spans: list[Span], number: int) -> bool:
    """Whether one of them is the model call of that number."""
    return any(pair.key == "number" and pair.value.int_value == number for span in spans for pair in span.attributes)


def test_everything_recorded_arrives_once(tmp_path: Path, server: Backend, capsys: pytest.CaptureFixture[str]) -> None:
    """All spans that have ended, with their tree, and the flags as they were recorded; starts are not spans."""
    record(tmp_path, calls=10)
    assert pushed(tmp_path, server) == 0
    assert server.names() == ["agent.a.round_0", "coordination.session", *["llm.openai.stream"] * 10]
    assert set(server.taken.values()) == {1}
    assert {span.flags for span in server.spans} == {259}
    by_id = {span.span_id: span.name for span in server.spans}
    assert {by_id.get(span.parent_span_id, "") for span in server.spans} == {"", "coordination.session", "agent.a.round_0"}
    assert "12 spans sent, from 1 recording" in capsys.readouterr().out


def test_what_was_taken_is_not_sent_again(tmp_path: Path, server: Backend) -> None:
    """A second push has nothing to send; a new run has."""
    record(tmp_path, calls=1)
    assert [pushed(tmp_path, server), pushed(tmp_path, server)] == [0, 0]
    assert len(server.requests) == 1
    record(tmp_path, calls=2)
    assert pushed(tmp_path, server) == 0
    assert sum(server.taken.values()) == len(server.taken) == 3 + 4


def test_each_backend_is_owed_for_itself(tmp_path: Path, server: Backend) -> None:
    """What one has taken, another still gets."""
    record(tmp_path, calls=1)
    with taking() as other:
        assert [pushed(tmp_path, server), pushed(tmp_path, other)] == [0, 0]
        assert server.names() == other.names() != []


GONE_AFTER_A_WHILE: dict[str, Script] = {
    "500": then(Reply(500), Reply(503)),
    "429": then(Reply(429)),
    "429 with Retry-After": then(Reply(429, {"Retry-After": "7"})),
    "408": then(Reply(408)),
    "reset": then(Reply(how="reset")),
    "reset in the body": then(Reply(how="reset in the body")),
}


@pytest.mark.parametrize("script", GONE_AFTER_A_WHILE.values(), ids=GONE_AFTER_A_WHILE.keys())
def test_what_passes_is_waited_for(tmp_path: Path, script: Script) -> None:
    """A backend that is down for a moment has each span once in the end."""
    record(tmp_path, calls=5)
    with taking(script) as backend:
        assert pushed(tmp_path, backend) == 0
        assert len(backend.taken) == 7
        assert set(backend.taken.values()) == {1}


def test_the_backends_own_time_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry-After in seconds or as a date says how long; without it each wait is about twice as long as the one before."""
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    record(tmp_path, calls=1)
    date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 30))
    with taking(then(Reply(503, {"Retry-After": "7"}), Reply(429), Reply(503, {"Retry-After": date}), Reply(429))) as backend:
        assert pushed(tmp_path, backend) == 0
    assert waited[0] == 7
    assert 1.6 <= waited[1] <= 2.4
    assert 20 <= waited[2] <= 30
    assert 6.4 <= waited[3] <= 9.6


@pytest.mark.parametrize("reply", [Reply(500), Reply(503), Reply(429), Reply(how="reset")])
def test_a_backend_that_stays_away_is_left_and_owed(tmp_path: Path, reply: Reply, capsys: pytest.CaptureFixture[str]) -> None:
    """Attempts are bounded; how many spans it is owed is said, and a later push without `--to` sends them."""
    record(tmp_path, calls=3)
    record(tmp_path, calls=3)
    with taking(always(reply)) as backend:
        assert pushed(tmp_path, backend) == 2
        assert len(backend.requests) <= 12
        assert "10 spans stay owed" in capsys.readouterr().err
        backend.script = always(Reply())
        assert main(["push", "--root", str(tmp_path)]) == 0
        assert main(["push", "--root", str(tmp_path)]) == 0
        assert list(backend.taken.values()) == [1] * 10


def test_nobody_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A port on which nobody listens is said."""
    record(tmp_path, calls=1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        assert main(["push", "--root", str(tmp_path), "--to", f"http://127.0.0.1:{taken.getsockname()[1]}"]) == 2
    assert "3 spans stay owed" in (said := capsys.readouterr().err)
    assert "connection refused" in said
    assert "Try again later; `massgen-tracing push --forget --to http://127.0.0.1:" in said


def test_a_black_hole_has_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Where not even a connection comes about, the spans are owed when a request's time is over."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.2")
    record(tmp_path, calls=1)
    with black_hole() as url:
        assert main(["push", "--root", str(tmp_path), "--to", url]) == 2
    said = capsys.readouterr().err
    assert "no answer in time" in said
    assert "3 spans stay owed" in said


@pytest.mark.parametrize("how", ["silent", "slow"])
def test_a_backend_that_does_not_come_to_an_end(
    tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No answer, or one byte after the other: a request has its time, and then the spans are owed."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.2")
    record(tmp_path, calls=1)
    with taking(always(Reply(how=how, takes=0))) as backend:
        assert pushed(tmp_path, backend) == 2
    assert "no answer in time" in capsys.readouterr().err


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_no_success(tmp_path: Path, server: Backend, status: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Status and Location are said; everything is still owed, and nothing was asked twice."""
    record(tmp_path, calls=2)
    with taking(always(Reply(status, {"Location": f"{server.url}/v1/traces"}))) as backend:
        assert pushed(tmp_path, backend) == 2
        assert len(backend.requests) == 1
        said = capsys.readouterr().err
        assert f"{status}, a redirect to {server.url}/v1/traces" in said
        assert "4 spans stay owed" in said
        assert server.requests == []
        backend.script = always(Reply())
        assert pushed(tmp_path, backend) == 0
        assert len(backend.taken) == 4


@pytest.mark.parametrize(
    "reply", [Reply(401, body=b"who?"), Reply(403), Reply(404), Reply(405), Reply(501), Reply(200, {"Content-Type": "text/html"}, b"<html>", 0)]
)
def test_what_is_not_about_the_spans_leaves_them_owed(tmp_path: Path, reply: Reply, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong address or token is asked once, said with what to do, and mended without a loss."""
    record(tmp_path, calls=2)
    with taking(always(reply)) as backend:
        assert pushed(tmp_path, backend) == 2
        assert len(backend.requests) == 1
        assert f"answers {reply.status}" in (said := capsys.readouterr().err)
        assert ("Is that a collector?" in said) == (reply.status in {404, 405, 501})
        assert "Check the token" in said or "Correct the URL" in said
        backend.script = always(Reply())
        assert pushed(tmp_path, backend) == 0
        assert set(backend.taken.values()) == {1}
        assert len(backend.taken) == 4


def test_a_refusal_is_recorded_said_and_not_tried_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A batch that is refused is taken apart; what cannot be taken is counted in the ledger with what was said."""

    def script(_number: int, spans: list[Span], _size: int) -> Reply:
        return Reply(400, {"Content-Type": "text/plain"}, b"number 3 is bad") if has_number(spans, 3) else Reply()

    path = record(tmp_path, calls=8)
    with taking(script) as backend:
        assert pushed(tmp_path, backend) == 2
        assert len(backend.taken) == 9
        assert set(backend.taken.values()) == {1}
        assert "1 span was refused for good (it answers 400: number 3 is bad)" in capsys.readouterr().err
        asked = len(backend.requests)
        assert pushed(tmp_path, backend) == 0
        assert len(backend.requests) == asked
    (entry,) = ledger.entries(path)
    assert (entry.sent, entry.refused, entry.why) == (9, 1, "it answers 400: number 3 is bad")


def test_a_backend_that_refuses_everything_is_asked_a_bounded_number_of_times(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Taking a batch apart ends, and all of it is counted."""
    record(tmp_path, calls=500)
    with taking(always(Reply(400))) as backend:
        assert pushed(tmp_path, backend) == 2
        assert len(backend.requests) <= 2 * deliver._FEW + 1
    assert "502 spans were refused" in capsys.readouterr().err


@pytest.mark.parametrize("number", [0, 3, 7, -1])
def test_a_span_that_breaks_the_backend_holds_up_no_other(tmp_path: Path, number: int) -> None:
    """One that always draws 500, where all else is taken, is refused in the end; wherever it stands, also at the end of all."""

    def script(_number: int, spans: list[Span], _size: int) -> Reply:
        poisoned = any(span.name == "coordination.session" for span in spans) if number < 0 else has_number(spans, number)
        return Reply(500, {"Content-Type": "text/plain"}, b"too long a key") if poisoned else Reply()

    path = record(tmp_path, calls=8)
    with taking(script) as backend:
        assert pushed(tmp_path, backend) == 2
        assert len(backend.taken) == 9
        assert set(backend.taken.values()) == {1}
    (entry,) = ledger.entries(path)
    assert (entry.sent, entry.refused) == (9, 1)


def poisoned(number: int, reply: Reply) -> Script:
    """All is taken but what has the model call of that number in it."""
    return lambda _number, spans, _size: reply if has_number(spans, number) else Reply()


@pytest.mark.parametrize(("number", "reply"), [(0, Reply(503)), (3, Reply(429, {"Retry-After": "1"})), (7, Reply(how="reset"))])
def test_a_span_that_a_backend_never_takes_holds_up_nothing_and_is_given_up_after_a_while(
    tmp_path: Path, number: int, reply: Reply, capsys: pytest.CaptureFixture[str]
) -> None:
    """Though it says that it passes: the rest of the recording is sent, and other recordings; it stays owed, and is refused at last."""
    path, other = record(tmp_path, calls=8), record(tmp_path, calls=1)
    with taking(poisoned(number, reply)) as backend:
        assert pushed(tmp_path, backend) == 2
        assert len(backend.taken) == 9 + 3 - (number == 0)  # the other recording has such a call too
        assert " owed: " in (said := capsys.readouterr().err)
        assert "push --forget" in said
        assert [(debt.spans, debt.aside) for debt in push.debts(tmp_path)] == [(1 + (number == 0),) * 2]
        assert seal.seal(path).sealed is None
        for _ in range(deliver._MOST_TRIES - 2):
            record(tmp_path, calls=0)
            assert pushed(tmp_path, backend) == 2
        assert [entry.refused for entry in ledger.entries(path)] == [0]
        record(tmp_path, calls=0)
        assert pushed(tmp_path, backend) == 2
        (entry,) = ledger.entries(path)
        assert (entry.sent, entry.refused) == (9, 1)
        assert entry.why
        asked = len(backend.requests)
        assert pushed(tmp_path, backend) == 0
        assert len(backend.requests) == asked
        assert set(backend.taken.values()) == {1}
    assert [seal.seal(each).sealed is not None for each in (path, other)] == [True, True]


def test_what_was_set_aside_is_sent_as_soon_as_it_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several spans side by side, alone at the end, in a sealed recording: each once, and nothing is refused while nothing else is taken."""
    path = record(tmp_path, calls=4)
    assert seal.seal(path).sealed is not None
    monkeypatch.setattr(spool, "MOST_SPANS", 2)
    with taking(lambda _number, spans, _size: Reply(503) if has_number(spans, 1) or has_number(spans, 2) else Reply()) as backend:
        assert pushed(tmp_path, backend) == 2
        assert len(backend.taken) == 4
        for _ in range(deliver._MOST_TRIES + 1):
            assert pushed(tmp_path, backend) == 2
        assert [(debt.spans, debt.refused) for debt in push.debts(tmp_path)] == [(2, 0)]
        backend.script = always(Reply())
        assert pushed(tmp_path, backend) == 0
        assert len(backend.taken) == 6
        assert set(backend.taken.values()) == {1}
    assert [(debt.spans, debt.refused) for debt in push.debts(tmp_path)] == [(0, 0)]


def test_what_a_backend_is_owed_can_be_given_up(tmp_path: Path, server: Backend, capsys: pytest.CaptureFixture[str]) -> None:
    """By one backend or all; it counts as refused, is never sent, and its recording is as any other."""
    path = record(tmp_path, calls=2)
    with taking(always(Reply(401))) as refusing, taking(poisoned(1, Reply(503))) as other:
        assert [pushed(tmp_path, each) for each in (refusing, other)] == [2, 2]
        assert main(["doctor", "--root", str(tmp_path)]) == 1
        said = capsys.readouterr().out
        assert "4 spans of 1 recording" in said
        assert "not 1 of these" in said
        assert main(["push", "--root", str(tmp_path), "--to", refusing.url, "--forget"]) == 0
        assert f"{refusing.url}: 4 spans given up" in capsys.readouterr().out
        assert main(["push", "--root", str(tmp_path), "--forget"]) == 0
        assert f"{other.url}: 1 span given up" in capsys.readouterr().out
        refusing.script = other.script = always(Reply())
        assert main(["push", "--root", str(tmp_path), "--forget"]) == main(["push", "--root", str(tmp_path)]) == 0
        assert (len(refusing.taken), len(other.taken)) == (0, 3)
    assert {(entry.url, entry.refused, entry.why) for entry in ledger.entries(path)} == {
        (refusing.url, 4, "given up by `push --forget`"),
        (other.url, 1, "given up by `push --forget`"),
    }
    assert seal.seal(path).sealed is not None
    assert pushed(tmp_path, server) == 0
    assert len(server.taken) == 4


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_backend_that_is_now_and_then_down_refuses_nothing(tmp_path: Path, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What OTLP has tried again is not about the spans, however often it comes between answers that take them."""
    monkeypatch.setattr(spool, "MOST_SPANS", 4)
    dice = random.Random(7)
    record(tmp_path, calls=60)
    (path,) = tmp_path.rglob("*.otlp.jsonl")
    with taking(lambda *_: Reply(status if dice.random() < 0.8 else 200)) as backend:
        while pushed(tmp_path, backend):
            pass
        assert len(backend.taken) == 62
        assert set(backend.taken.values()) == {1}
    (entry,) = ledger.entries(path)
    assert (entry.sent, entry.refused) == (62, 0)


def test_partial_success_counts_what_was_rejected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rejected spans are not counted as sent, and what the backend said of them is."""
    path = record(tmp_path, calls=4)
    with taking(then(partly(2, "no quota"))) as backend:
        assert pushed(tmp_path, backend) == 2
    (entry,) = ledger.entries(path)
    assert (entry.sent, entry.refused, entry.why) == (4, 2, "no quota")
    assert "2 spans were refused for good (no quota)" in capsys.readouterr().err


def test_a_batch_that_is_too_large_is_split(tmp_path: Path) -> None:
    """413 halves it until it is taken; a single span that is too large is refused."""
    path = record(tmp_path, calls=60)

    def script(_number: int, spans: list[Span], size: int) -> Reply:
        session = any(span.name == "coordination.session" for span in spans)
        return Reply(413) if size > 4000 or session else Reply()

    with taking(script) as backend:
        assert pushed(tmp_path, backend) == 2
        assert len(backend.taken) == 61
        assert set(backend.taken.values()) == {1}
    (entry,) = ledger.entries(path)
    assert (entry.sent, entry.refused) == (61, 1)


def test_requests_have_a_bounded_size(tmp_path: Path, server: Backend) -> None:
    """However much is recorded, no request has more bytes than every backend takes, and no span is missing."""
    record(tmp_path, calls=200, content=60_000)
    assert pushed(tmp_path, server) == 0
    assert len(server.taken) == 202
    assert len(server.sizes) > 3
    assert max(server.sizes) <= spool.MOST_BYTES * 1.01


def test_a_push_that_dies_loses_nothing_and_repeats_only_what_was_not_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between two batches, it goes on where the ledger says."""
    monkeypatch.setattr(spool, "MOST_SPANS", 10)
    record(tmp_path, calls=98)

    class Killed(BaseException):
        pass

    with taking() as backend:
        write = Ledger.write
        written = []

        def dies(self: Ledger, entry: ledger.Entry) -> None:
            write(self, entry)
            written.append(entry)
            if len(written) == 12:
                raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(Ledger, "write", dies)
            with pytest.raises(Killed):
                pushed(tmp_path, backend)
        assert 0 < len(backend.taken) < 100
        assert pushed(tmp_path, backend) == 0
        assert len(backend.taken) == 100
        assert set(backend.taken.values()) == {1}


def test_two_pushes_at_once_send_each_span_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A recording that one is sending, the other leaves alone and says so."""
    record(tmp_path, calls=5)
    arrived, go_on = threading.Event(), threading.Event()

    def script(*_: object) -> Reply:
        arrived.set()
        go_on.wait()
        return Reply()

    with taking(script) as backend:
        codes: list[int] = []
        first = threading.Thread(target=lambda: codes.append(pushed(tmp_path, backend)))
        first.start()
        arrived.wait()
        assert pushed(tmp_path, backend) == 0
        assert "1 recording is being sent by another process" in capsys.readouterr().err
        go_on.set()
        first.join()
        assert codes == [0]
        assert set(backend.taken.values()) == {1}
        assert len(backend.taken) == 7


@pytest.mark.parametrize("damage", ["one slot", "both", "empty", "garbage"])
def test_a_damaged_ledger_costs_a_repetition_at_most(tmp_path: Path, server: Backend, damage: str) -> None:
    """With one slot whole nothing is sent twice; with none everything is sent again, and nothing is lost."""
    record(tmp_path, calls=3)
    assert pushed(tmp_path, server) == 0
    (path,) = ledgers(tmp_path)
    entry = ledger.read(path)
    assert entry is not None
    content = bytearray(path.read_bytes())
    older = (entry.number + 1) % 2 * 2048
    match damage:
        case "one slot":
            content[older + 20] ^= 1
        case "both":
            content[20] ^= 1
            content[2048 + 20] ^= 1
        case "empty":
            content.clear()
        case "garbage":
            content = bytearray(os.urandom(5000))
    path.write_bytes(content)
    record(tmp_path, calls=1)
    assert pushed(tmp_path, server) == 0
    assert len(server.taken) == 5 + 3
    assert sum(server.taken.values()) == len(server.taken) + (0 if damage == "one slot" else 5)


def test_an_owed_recording_is_not_sealed_and_a_sealed_one_is_pushed(tmp_path: Path, server: Backend) -> None:
    """Sealing waits for what is owed; what is sealed counts as sent where it was, and is sent where it was not."""
    path = record(tmp_path, calls=3)
    with taking(always(Reply(401))) as refusing:
        assert pushed(tmp_path, refusing) == 2
        outcome = seal.seal(path)
        assert outcome.sealed is None
        assert f"{refusing.url} has not taken" in outcome.reason
        refusing.script = always(Reply())
        assert pushed(tmp_path, refusing) == 0
        assert seal.seal(path).sealed is not None
        assert pushed(tmp_path, refusing) == 0
        assert len(refusing.requests) == 2
    assert [pushed(tmp_path, server), pushed(tmp_path, server)] == [0, 0]
    assert len(server.requests) == 1
    assert {(span.trace_id, span.span_id, span.name, span.flags) for span in server.spans} == {
        (span.trace_id, span.span_id, span.name, span.flags) for span in refusing.spans
    }


def test_a_recording_that_was_replaced_is_sent_from_its_beginning(tmp_path: Path, server: Backend) -> None:
    """Another file of the same name has other spans."""
    path = record(tmp_path, calls=3)
    assert pushed(tmp_path, server) == 0
    other = record(tmp_path / "other", calls=20)
    os.replace(other, path)
    assert pushed(tmp_path, server) == 0
    assert len(server.taken) == 5 + 22


def test_lines_that_nobody_can_read_are_counted_and_hold_up_nothing(tmp_path: Path, server: Backend, capsys: pytest.CaptureFixture[str]) -> None:
    """Torn and foreign lines: what can be read of them is sent."""
    path = record(tmp_path, calls=2)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"garbage\n" + b"".join(lines[1:-1]) + lines[0][:100] + lines[-1] + lines[-1][:200])
    assert pushed(tmp_path, server) == 0
    assert len(server.taken) == 4
    assert set(server.taken.values()) == {1}
    assert "lines of the recordings could not be read" in capsys.readouterr().err


def test_a_line_that_is_finished_while_it_is_looked_at_is_sent(tmp_path: Path, server: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the reading of its first part and the question whether its writer is there."""
    path = record(tmp_path, calls=2)
    whole = path.read_bytes()
    path.write_bytes(whole[:-40])
    alive = liveness.writer_alive

    def late(asked: Path) -> bool:
        path.write_bytes(whole)
        return alive(asked)

    monkeypatch.setattr(liveness, "writer_alive", late)
    assert pushed(tmp_path, server) == 0
    assert len(server.taken) == 4
    assert set(server.taken.values()) == {1}


def test_a_killed_run_has_its_ended_spans_and_with_pending_its_root(tmp_path: Path, server: Backend) -> None:
    """What had ended is sent; on request the starts of what had not, as Logfire's pending spans."""
    path = record(tmp_path, calls=3)
    lines = [line for line in path.read_bytes().splitlines(keepends=True) if b'"name":"coordination.session"' not in line or b"pending_span" in line]
    path.write_bytes(b"".join(lines))
    assert pushed(tmp_path, server) == 0
    assert server.names() == ["agent.a.round_0", *["llm.openai.stream"] * 3]
    with taking() as other:
        assert pushed(tmp_path, other, "--otlp-pending") == 0
        assert other.names() == ["agent.a.round_0", "coordination.session", *["llm.openai.stream"] * 3]
        (root,) = (span for span in other.spans if span.name == "coordination.session")
        assert root.parent_span_id in {span.parent_span_id for span in other.spans if span.name == "agent.a.round_0"}


def test_only_what_was_written_since_then(tmp_path: Path, server: Backend) -> None:
    """`--since` leaves older recordings alone, and they stay unsent."""
    old = record(tmp_path, calls=1)
    record(tmp_path, calls=2)
    os.utime(old, (time.time() - 7200, time.time() - 7200))
    assert pushed(tmp_path, server, "--since", "1h") == 0
    assert len(server.taken) == 4
    assert pushed(tmp_path, server) == 0
    assert len(server.taken) == 7


def test_logfire_is_not_sent_what_it_would_drop(
    tmp_path: Path, server: Backend, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Spans that began more than 24 hours ago stay local, and how many is said; the token goes as Logfire takes it."""
    monkeypatch.setenv("LOGFIRE_TOKEN", "pylf_v1_us_abc")
    monkeypatch.setenv("LOGFIRE_BASE_URL", server.url)
    path = record(tmp_path, calls=6)
    for each in path.read_text().splitlines():
        if '"number","value":{"intValue":"3"}' in each:
            start = each.partition('"startTimeUnixNano":"')[2].partition('"')[0]
            path.write_text(path.read_text().replace(start, str(int(start) - 86_401 * 10**9)))
    assert main(["push", "--root", str(tmp_path), "--to", "logfire"]) == 0
    assert "1 span began more than 24 hours ago" in capsys.readouterr().err
    assert len(server.taken) == 7
    assert {headers["authorization"] for _, headers in server.requests} == {"pylf_v1_us_abc"}
    (entry,) = ledger.entries(path)
    assert (entry.kind, entry.url, entry.sent, entry.late) == ("logfire", "logfire", 7, 1)


def test_without_a_token_one_line_says_how_to_get_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is sent, nothing is marked."""
    record(tmp_path, calls=1)
    assert main(["push", "--root", str(tmp_path), "--to", "logfire"]) == 1
    assert "LOGFIRE_TOKEN" in capsys.readouterr().err
    assert ledgers(tmp_path) == []


def test_a_ledger_that_cannot_be_written_is_said_and_nothing_sent(
    tmp_path: Path, server: Backend, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a full disk spans would be sent again each time."""
    path = record(tmp_path, calls=1)

    def full(_self: Ledger, _entry: ledger.Entry) -> None:
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "write", full)
        assert pushed(tmp_path, server) == 1
    assert f"{path} was left out (No space left on device)" in capsys.readouterr().err
    assert server.requests == []
    assert pushed(tmp_path, server) == 0
    assert len(server.taken) == 3


def test_variables_of_opentelemetry_are_honoured(tmp_path: Path, server: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    """Headers and compression; those for traces win."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20t,x-team=blue")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "deflate")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "gzip")
    record(tmp_path, calls=1)
    assert pushed(tmp_path, server) == 0
    ((path, headers),) = server.requests
    assert path == "/v1/traces"
    assert (headers["authorization"], headers["x-team"], headers["content-encoding"]) == ("Bearer t", "blue", "gzip")
    assert len(server.taken) == 3


@pytest.mark.parametrize("named", ["", "https://otlp.mine.example"])
def test_credentials_go_to_the_endpoint_that_they_stand_beside(
    tmp_path: Path, server: Backend, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, swallowed: list[str], named: str
) -> None:
    """Not to whatever a ledger names, unless `--to` says so."""
    path = record(tmp_path, calls=1)
    owed = backends.otlp(server.url, {})
    with Ledger(ledger.path_for(path, owed.name)) as book:
        book.write(owed.entry())
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", named)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20t")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE", str(tmp_path / "mine.pem"))
    found = backends.of_entry(owed.entry(), os.environ)
    assert (found.headers, found.client_certificate) == ({}, "")
    assert main(["push", "--root", str(tmp_path)]) == 0
    assert ["authorization" in headers for _, headers in server.requests] == [False]
    assert f"{server.url} is not the endpoint" in caplog.text
    swallowed.clear()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.url)
    assert backends.of_entry(owed.entry(), os.environ).headers == {"authorization": "Bearer t"}
    assert swallowed == []


def test_requests_may_be_in_json(tmp_path: Path, server: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is recorded is sent as it stands, also what is sealed, and is the same at the backend."""
    path = record(tmp_path, calls=5)
    with taking() as other:
        assert pushed(tmp_path, other) == 0
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")
        assert pushed(tmp_path, server) == 0
        assert {span.span_id: span for span in server.spans} == {span.span_id: span for span in other.spans}
    assert {headers["content-type"] for _, headers in server.requests} == {"application/json"}
    assert seal.seal(path).sealed is not None
    with taking() as third:
        assert pushed(tmp_path, third) == 0
        assert {span.span_id: span.name for span in third.spans} == {span.span_id: span.name for span in server.spans}


@pytest.mark.parametrize("taken", [False, True])
def test_counting_what_is_owed_ends_in_time(tmp_path: Path, taken: bool) -> None:
    """However much is recorded: then there are at least so many."""
    path = record(tmp_path, calls=2)
    lines = path.read_bytes()
    with path.open("ab") as file:
        for _ in range(500):
            file.write(lines)
    name = backends.otlp("http://localhost:4318", {}).name
    if taken:
        ledger.note_taken(path, name, os.urandom(24))
    assert push.owed(path, name) == 501 * 4
    assert push.owed_at_least([path], name, 60) == (501 * 4, True, [])
    assert push.owed_at_least([path], name, -1) == (0, False, [])
    clock = iter([*range(10)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "monotonic", lambda: next(clock))
        count, whole, _ = push.owed_at_least([path], name, 5)
    assert not whole
    assert 0 < count < 501


def test_what_is_owed_is_counted_by_backend(tmp_path: Path, server: Backend) -> None:
    """For the doctor: how many spans, in which recordings, and what was said."""
    record(tmp_path, calls=2)
    assert pushed(tmp_path, server) == 0
    with taking(always(Reply(401, {"Content-Type": "text/plain"}, b"who?"))) as backend:
        assert pushed(tmp_path, backend) == 2
    debts = {debt.entry.url: (debt.spans, len(debt.paths), debt.why) for debt in push.debts(tmp_path)}
    assert debts == {server.url: (0, 0, ""), backend.url: (4, 1, "it answers 401: who?")}
    assert backends.of_entry(push.debts(tmp_path)[0].entry, {}).url.endswith("/v1/traces")

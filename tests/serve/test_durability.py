"""What was acknowledged is there, each once, whatever is killed and whenever."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, TracesData

from massgen_tracing import layout, store
from massgen_tracing.serve.ingest import lines, tidying
from massgen_tracing.serve.ingest.arrivals import framed
from massgen_tracing.serve.ingest.documents import from_json
from massgen_tracing.serve.ingest.requests import SIGNALS, from_protobuf
from massgen_tracing.serve.ingest.sorting import Sorter
from massgen_tracing.store.engine import execute
from massgen_tracing.store.reading import live
from massgen_tracing.store.roots import catalogue, reader
from massgen_tracing.store.sealing import seal
from massgen_tracing.views.cli import doctor, main
from tests.serve.client import PROTOBUF, protobuf, spans, trace_id
from tests.serve.test_ingest import logs, metrics
from tests.store import otlp

TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / layout.ARRIVALS_DIR).mkdir()
    return tmp_path


def arrive(root: Path, number: int, *requests: tuple[str, dict[str, Any]], as_json: bool = False) -> Path:
    """An arrival, as the server writes it."""
    path = root / layout.ARRIVALS_DIR / f"{number:016d}{layout.ARRIVAL_SUFFIX}"
    content = b""
    for name, document in requests:
        checked = from_json(SIGNALS[name], json.dumps(document).encode()) if as_json else from_protobuf(SIGNALS[name], protobuf(document, name))
        content += framed(checked.content)
    path.write_bytes(content)
    return path


def everything(root: Path) -> tuple[Any, ...]:
    """All that a root has, as it is counted."""
    of_records = store.query("SELECT kind, span_name, log_body, count(*) AS c FROM records GROUP BY 1, 2, 3 ORDER BY 1, 2, 3", root)
    of_metrics = store.query("SELECT metric_name, sum(scalar_value) AS s FROM metrics GROUP BY 1", root)
    assert not of_records.report.sentence
    return of_records.rows, of_metrics.rows


SENT = (
    ("traces", spans(otlp.pending(1, "root"), otlp.span(2, "child", parent=1), otlp.span(1, "root"))),
    ("logs", logs(TRACE, "a", "b", "b")),
    ("metrics", metrics("m", 1, 2)),
)


@pytest.mark.parametrize("as_json", [False, True], ids=["protobuf", "json"])
def test_arrivals_and_recordings_say_the_same(root: Path, as_json: bool) -> None:
    """Before they are sorted, when they are, and when they are gone."""
    arrive(root, 1, *SENT, as_json=as_json)
    arrived = everything(root)
    assert [row["c"] for row in arrived[0]] == [1, 2, 1, 1]
    sorter = Sorter(root)
    sorter.sort()
    assert everything(root) == arrived
    sorter.close()
    assert everything(root) == arrived
    Sorter(root)
    assert not list((root / layout.ARRIVALS_DIR).glob(f"*{layout.SORTED_SUFFIX}"))
    assert everything(root) == arrived


@pytest.mark.parametrize("step", ["sorted", "some", "synced", "noted"])
def test_a_sorter_that_dies_loses_and_doubles_nothing(root: Path, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it dies: the next one goes back to where recordings were last known to be on the disk, also with logs, which have no ids."""
    arrive(root, 1, *SENT)
    first = Sorter(root)
    first.sort()
    first.sync()
    arrive(root, 2, ("traces", spans(otlp.span(3, "later", parent=1))), ("logs", logs(TRACE, "c", "c")), ("metrics", metrics("m", 3)))
    expected = everything(root)
    if step == "some":  # of the second arrival
        with monkeypatch.context() as patched, contextlib.suppress(OSError):
            patched.setattr(lines, "of_signals", lines_that_fail(lines.of_signals))
            first.sort()
    else:
        first.sort()
    if step == "noted":
        first.sync()
    if step == "synced":
        with monkeypatch.context() as patched, contextlib.suppress(InterruptedError):
            patched.setattr(Sorter, "_write_note", interrupted)
            first.sync()
    first.abandon()
    Sorter(root).sort()
    assert everything(root) == expected


def lines_that_fail(of_signals: Any) -> Any:
    """Of the second request it is called with, nothing."""
    calls = iter(range(10))

    def failing(message: Any) -> Iterator[bytes]:
        if next(calls):
            raise OSError
        return of_signals(message)  # type: ignore[no-any-return]

    return failing


def interrupted(*_: object) -> None:
    raise InterruptedError


def test_what_was_listed_just_before_it_was_sorted_is_found(root: Path) -> None:
    """A reader knows the arrival by its name, and none of the recordings that have come since."""
    arrive(root, 1, *SENT)
    listed = catalogue.files(root)
    Sorter(root).sort()
    assert [span.name for span in reader.read(listed).spans] == ["root", "child"]


def test_a_question_that_loses_an_arrival_looks_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it was sorted and removed between being listed and being read."""
    arrive(root, 1, ("traces", spans(otlp.span(7, "before", trace=trace_id()))))
    Sorter(root).sort()
    arrival = arrive(root, 2, *SENT[:1])
    add_file = reader.Reader.add_file

    def late(self: reader.Reader, path: Path) -> None:
        if path == arrival and path.exists():
            Sorter(root).sort()
            layout.sorted_arrival(arrival).unlink()
        add_file(self, path)

    monkeypatch.setattr(reader.Reader, "add_file", late)
    asked: dict[str, Any] = {"params": {}, "min_us": None, "max_us": None, "limit": 10, "max_bytes": 2**20, "on_stage": lambda _: None}
    head, body, _ = execute.answer("SELECT span_name FROM records ORDER BY 1", [str(root)], **asked)
    assert pa.ipc.open_stream(body).read_all()["span_name"].to_pylist() == ["before", "child", "root"]
    assert head["report"]["lost"] == {}


def test_a_request_that_cannot_be_sorted_stops_no_other(root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Neither those that were acknowledged together with it nor those behind it. It is put aside as it came, and said there and by the doctor."""
    mixed = arrive(root, 1, *SENT[:2])
    broken = framed(b"{]")
    mixed.write_bytes(broken + mixed.read_bytes())
    arrive(root, 2, SENT[2])
    sorter = Sorter(root)
    sorter.sort()
    sorter.close()
    assert [row["c"] for row in everything(root)[0]] == [1, 2, 1, 1]
    kept = mixed.with_suffix(layout.BROKEN_SUFFIX)
    assert kept.read_bytes() == broken
    said = capfd.readouterr().err
    assert "JSONDecodeError" in said
    assert str(kept) in said
    assert [str(kept) in finding.value for finding in doctor.examine(str(root)).places if finding.name == "serve"] == [True]


def test_lines_are_read_as_fast_as_those_of_our_own_writer(root: Path) -> None:
    """Starts are known without being decoded, and ends by the fast way."""
    arrive(root, 1, *SENT[:1])
    Sorter(root).sort()
    (path,) = (root / layout.TRACES_DIR).iterdir()
    lines = path.read_bytes().splitlines(keepends=True)
    said = live.Said("x")
    kinds = [said._fast.start(line) or said._fast.span(line) for line in lines]
    assert len(lines) == 3
    assert None not in kinds
    assert kinds[0] == (TRACE, otlp.span_id(1))


def test_each_trace_is_a_run(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is listed by what began it, and its tree is drawn."""
    other = trace_id()
    arrive(root, 1, *SENT, ("traces", spans(otlp.span(1, "another", trace=other), resource={"service.name": "shop"})))
    Sorter(root).close()
    Sorter(root).sort()
    assert main(["logs", "list", "--root", str(root), "--format", "json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert sorted(run["work"] for run in listed) == ["root", "shop: another"]
    assert main(["trace", other[:10], "--root", str(root)]) == 0
    assert "another" in capsys.readouterr().out


def test_the_list_of_runs_says_what_it_does_not_have(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A server was killed before it had sorted what it was sent."""
    (root / layout.TRACES_DIR).mkdir()
    arrive(root, 1, *SENT)
    assert main(["logs", "list", "--root", str(root)]) == 0
    assert "`massgen-tracing serve` makes runs of it" in capsys.readouterr().err
    Sorter(root).sort()
    assert main(["logs", "list", "--root", str(root)]) == 0
    assert "serve" not in capsys.readouterr().err


def test_a_trace_that_goes_on_after_it_was_sealed_is_one_run(root: Path) -> None:
    """What comes later has a file beside the sealed one."""
    arrive(root, 1, ("traces", spans(otlp.span(2, "child", parent=1))))
    Sorter(root).close()
    Sorter(root).sort()
    (path,) = (root / layout.TRACES_DIR).iterdir()
    assert seal.seal(path).sealed
    arrive(root, 2, ("traces", spans(otlp.span(1, "root"))))
    Sorter(root).sort()
    assert len(catalogue.runs(root)) == 1
    assert store.query("SELECT count(*) AS c FROM records", root).rows == [{"c": 2}]


@contextlib.contextmanager
def serving(root: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command, as a user types it; killed at the end, if it still runs, with its children."""
    command = [sys.executable, "-m", "massgen_tracing", "serve", "--root", str(root), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=root) as process:
        assert process.stderr is not None
        url = process.stderr.readline().split()[0]
        try:
            yield process, url
        finally:
            process.kill()


def test_a_server_that_is_killed_has_everything_that_it_has_acknowledged(tmp_path: Path) -> None:
    """Four senders; SIGKILL in the middle; nobody else has looked yet. The next server goes on with it."""
    acknowledged: list[str] = []
    enough = threading.Event()

    def send(url: str) -> None:
        with httpx.Client(base_url=url, headers={"content-type": PROTOBUF}) as http, contextlib.suppress(httpx.TransportError):
            while True:
                trace = trace_id()
                body = protobuf(spans(*(otlp.span(number, "s", trace=trace) for number in range(1, 6))))
                if http.post("/v1/traces", content=body).status_code == 200:
                    acknowledged.append(trace)
                if len(acknowledged) > 40:
                    enough.set()

    def counted() -> dict[str, int]:
        rows = store.query("SELECT trace_id, count(*) AS c FROM records GROUP BY 1", tmp_path).rows
        return {row["trace_id"]: row["c"] for row in rows}

    with serving(tmp_path) as (process, url):
        senders = [threading.Thread(target=send, args=(url,)) for _ in range(4)]
        for sender in senders:
            sender.start()
        enough.wait()
        process.kill()
        for sender in senders:
            sender.join()
    found = counted()
    assert set(acknowledged) <= set(found)
    assert set(found.values()) == {5}
    with serving(tmp_path) as (process, url):
        assert httpx.post(f"{url}/v1/traces", content=protobuf(SENT[0][1]), headers={"content-type": PROTOBUF}).status_code == 200
        process.send_signal(signal.SIGINT)
        process.wait()
    assert counted() == found | {TRACE: 2}
    assert [name for name in os.listdir(tmp_path / layout.ARRIVALS_DIR) if name.endswith(layout.ARRIVAL_SUFFIX)] == []


def test_what_is_quiet_is_sealed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Soon, and by a process of its own; a trace with an open span stays as it is, and nothing is counted twice."""
    other = trace_id()
    arrive(root, 1, *SENT, ("traces", spans(otlp.pending(1, "open", trace=other))))
    expected = everything(root)
    sorter = Sorter(root)
    sorter.sort()
    for path in (root / layout.TRACES_DIR).iterdir():
        os.utime(path, (0, 0))
    monkeypatch.setattr(tidying, "_PAUSE_SECONDS", 0.0)
    sorter.sync()
    process = sorter._tidier._process
    assert process is not None
    assert process.wait() == 0
    assert sorted(path.suffix for path in (root / layout.TRACES_DIR).iterdir()) == [".jsonl", ".parquet"]
    assert everything(root) == expected
    sorter.close()


def test_schemas_are_kept() -> None:
    """That of a resource and that of a scope stand on each line, as our own writer has them."""
    message = TracesData.FromString(
        TracesData(
            resource_spans=[
                ResourceSpans(
                    schema_url="https://opentelemetry.io/schemas/1.38.0",
                    scope_spans=[ScopeSpans(schema_url="https://example.com/2", spans=[Span(trace_id=b"\1" * 16, span_id=b"\2" * 8, name="x")])],
                )
            ]
        ).SerializeToString()
    )
    (told,) = lines.of_spans(message)
    (resource,) = json.loads(told.line)["resourceSpans"]
    assert (resource["schemaUrl"], resource["scopeSpans"][0]["schemaUrl"]) == ("https://opentelemetry.io/schemas/1.38.0", "https://example.com/2")

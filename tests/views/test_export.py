"""`massgen-tracing export`: what is recorded, as OTLP again."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from massgen_tracing.model import SpanRecord
from massgen_tracing.store.roots import catalogue, reader
from massgen_tracing.store.sealing import seal
from massgen_tracing.views.cli import main
from tests.store import otlp


@pytest.fixture(params=[False, True], ids=["live", "sealed"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A root with one recorded run, the sample."""
    otlp.write_run(tmp_path)
    if request.param:
        [live] = catalogue.files(tmp_path)
        seal.seal(live)
        assert not live.exists()
    return tmp_path


def spans(*files: Path) -> dict[str, SpanRecord]:
    """Spans by id."""
    return {span.span_id: span for span in reader.read(files).spans}


def test_json_lines_have_every_span_as_it_was_recorded(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a live and of a sealed recording: a reader of OTLP/JSON finds the same spans with the same resource, scope, events and status."""
    out = tmp_path / "run.jsonl"
    assert main(["export", "--root", str(root), "-o", str(out)]) == 0
    assert capsys.readouterr() == ("", "")
    assert spans(out) == spans(*catalogue.files(root))
    assert all(json.loads(line)["resourceSpans"] for line in out.read_bytes().splitlines())


def test_protobuf_is_one_message_of_all_spans(root: Path, tmp_path: Path) -> None:
    """Ids, parents, names, times and events of each span; many spans, of which there are several parts, are one message too."""
    out = tmp_path / "run.binpb"
    assert main(["export", otlp.TRACE[:8], "--root", str(root), "--format", "otlp-proto", "-o", str(out)]) == 0
    message = TracesData.FromString(out.read_bytes())
    found = [span for resource in message.resource_spans for scope in resource.scope_spans for span in scope.spans]
    known = spans(*catalogue.files(root))
    assert {span.span_id.hex() for span in found} == set(known)
    for span in found:
        record = known[span.span_id.hex()]
        assert (span.parent_span_id.hex(), span.name, span.start_time_unix_nano, span.end_time_unix_nano) == (
            record.parent_span_id, record.name, record.start_ns, record.end_ns,
        )  # fmt: skip
        assert [event.name for event in span.events] == [event.name for event in record.events]


def test_more_spans_than_are_written_together_are_all_there(tmp_path: Path) -> None:
    """2,500 spans, of which 1,000 are written together."""
    otlp.write_run(tmp_path, "log_20270115_080000_000000", [otlp.line(otlp.span(number, "x")) for number in range(1, 2501)])
    for form, name in (("otlp-json", "run.jsonl"), ("otlp-proto", "run.binpb")):
        assert main(["export", "--root", str(tmp_path), "--format", form, "-o", str(tmp_path / name)]) == 0
    assert len(spans(tmp_path / "run.jsonl")) == 2500
    message = TracesData.FromString((tmp_path / "run.binpb").read_bytes())
    assert sum(len(scope.spans) for resource in message.resource_spans for scope in resource.scope_spans) == 2500


def test_unfinished_spans_are_there_without_an_end_and_it_is_said(tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """Spans of a killed run stand as they were begun, on standard output too."""
    otlp.write_run(tmp_path, "log_20270115_080000_000000", [otlp.line(otlp.pending(1, "killed")), otlp.line(otlp.span(2, "done", parent=1))])
    assert main(["export", "--root", str(tmp_path)]) == 0
    out, err = capsysbinary.readouterr()
    [line] = out.splitlines()
    found = {span["name"]: span for group in json.loads(line)["resourceSpans"] for scope in group["scopeSpans"] for span in scope["spans"]}
    assert {name: "endTimeUnixNano" in span for name, span in found.items()} == {"killed": False, "done": True}
    assert b"1 span of log_20270115_080000_000000 without an end" in err


def test_what_cannot_be_written_leaves_what_was_there(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A place that is none, a terminal for protobuf, and a root without runs are said with the next step, and exit with 1."""
    otlp.write_run(tmp_path)
    assert main(["export", "--root", str(tmp_path), "-o", str(tmp_path / "nowhere" / "x")]) == 1
    assert "Name another place with -o" in capsys.readouterr().err
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert main(["export", "--root", str(tmp_path), "--format", "otlp-proto"]) == 1
    assert "-o run.binpb" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert main(["export", "--root", str(tmp_path / "empty")]) == 1
    assert "no recorded runs" in capsys.readouterr().err

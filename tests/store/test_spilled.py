"""Large files of other programs, which the engine reads as Parquet: the rows are the reader's, and memory does not grow with the file."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings

from massgen_tracing import errors
from massgen_tracing.store.engine import execute, spilled
from massgen_tracing.store.reading import sources as wrapped
from massgen_tracing.store.reading import text
from tests.store import otlp, shapes
from tests.store.test_foreign import _FOUND, _LOG, _METRICS, _documents

_EVERYTHING = "SELECT * FROM records_all ORDER BY trace_id, span_id, kind, span_name, otel_resource_attributes, start_timestamp, attributes"


def ask(path: Path, sql: str = _EVERYTHING, **window: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The rows that a file gives, and the report."""
    given: dict[str, Any] = {"params": {}, "min_us": None, "max_us": None, "limit": 10_000, "max_bytes": 10**9} | window
    head, body, _ = execute.answer(sql, [str(path)], on_stage=lambda _stage: None, **given)
    return pa.ipc.open_stream(body).read_all().to_pylist(), head["report"]


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Files count as large; a test can take that back."""
    monkeypatch.setattr(spilled, "LARGE", 0)
    monkeypatch.setattr(spilled, "_TOGETHER", 5)
    monkeypatch.setattr(spilled, "_ROW_GROUP", 11)
    return monkeypatch


def same(path: Path, large: pytest.MonkeyPatch, sql: str = _EVERYTHING, **window: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The rows and the report of a large file, which are those of a small one."""
    rows, report = ask(path, sql, **window)
    with large.context() as small:
        small.setattr(spilled, "LARGE", 10**9)
        expected, said = ask(path, sql, **window)
    assert rows == expected
    assert report == said
    return rows, report


@settings(max_examples=8, phases=_FOUND)
@given(documents=_documents())
def test_a_large_file_has_the_rows_of_a_small_one(tmp_path: Path, large: pytest.MonkeyPatch, documents: list[dict[str, Any]]) -> None:
    """Whatever its spans say; also those with events and links, and ids that come twice."""
    path = tmp_path / "spans.json"
    path.write_bytes(shapes.pretty(copy.deepcopy(documents)))
    same(path, large)


_ODD: list[dict[str, Any]] = [
    {},
    {
        "attributes": [
            {"key": "http.request.method", "value": {"stringValue": "GET"}},
            {"key": "http.response.status_code", "value": {"intValue": "404"}},
        ]
    },
    {"kind": "SERVER", "status": {"code": "ERROR", "message": "no"}},
    {"traceId": "SvdlGRbNQ92ESOslHIAxnA==", "parentSpanId": "0000000000000000"},
    {"startTimeUnixNano": otlp.BASE_NS, "endTimeUnixNano": float(otlp.BASE_NS)},
    {"startTimeUnixNano": "", "status": None},
    {"attributes": otlp.key_values({"logfire.msg": "said", "logfire.tags": ["a"], "logfire.level_num": 13})},
    {"attributes": {"a": 1}, "name": None},
    {"attributes": [{"key": "k", "value": {"intValue": "many"}}]},
    {"kind": 77},
    {"spanId": "none"},
    {"endTimeUnixNano": None},
    {"startTimeUnixNano": "abc"},
    {"endTimeUnixNano": "abc"},
    {"events": [{"timeUnixNano": str(otlp.BASE_NS), "name": 'a "b"\n', "attributes": otlp.key_values({"x": 1, "y": "é"})}, {"name": "no time"}]},
    {"events": [{"timeUnixNano": otlp.BASE_NS + 1999, "name": "one"}, {"timeUnixNano": otlp.BASE_NS, "name": "two"}]},
    {"events": [{"timeUnixNano": "soon", "name": "late"}]},
    {"events": [{"timeUnixNano": otlp.BASE_NS, "name": "one", "attributes": otlp.key_values({"http.route": "/", "logfire.level_num": 17})}]},
    {"events": [{"timeUnixNano": otlp.BASE_NS, "name": "exception", "attributes": otlp.key_values({"exception.type": "E"})}, "none"]},
]


@pytest.mark.parametrize("fields", _ODD, ids=repr)
def test_odd_spans_among_others_are_the_same_rows(tmp_path: Path, large: pytest.MonkeyPatch, fields: dict[str, Any]) -> None:
    """What cannot be read is counted once."""
    spans = [otlp.span(number, "n", attributes={"x": number, "y": 1e-7, "z": "é"}) for number in range(1, 8)]
    spans[3] |= fields
    path = tmp_path / "odd.json"
    path.write_bytes(shapes.pretty([json.loads(otlp.line(*spans))]))
    rows, report = same(path, large)
    assert len(rows) + report["skipped"] >= 7


def test_starts_pending_spans_and_spans_that_are_told_of_twice_are_the_same_rows(tmp_path: Path, large: pytest.MonkeyPatch) -> None:
    """In one file, and across the files of a directory."""
    lines = [*otlp.sample_lines(), otlp.line(otlp.span(99, "twice")), otlp.line(otlp.span(98, "open") | {"endTimeUnixNano": None})]
    one = tmp_path / "one.json"
    one.write_bytes(shapes.pretty([json.loads(line) for line in lines]))
    assert len(same(one, large)[0]) > 10
    directory = tmp_path / "several"
    (directory / "deeper").mkdir(parents=True)
    (directory / "a.json").write_bytes(shapes.pretty([json.loads(line) for line in lines[::2]]))
    (directory / "deeper" / "a.json.1").write_bytes(shapes.lines([json.loads(line) for line in [*lines[1::2], lines[-2]]]))
    assert same(directory, large)[0] == same(one, large)[0]


def test_logs_metrics_and_windows_are_the_same(tmp_path: Path, large: pytest.MonkeyPatch) -> None:
    """Of a large file as of a small one."""
    path = tmp_path / "signals.json"
    path.write_bytes(shapes.pretty([_LOG, _METRICS, json.loads(otlp.line(*(otlp.span(n, "n", start_ms=n * 1000) for n in range(1, 9))))]))
    assert len(same(path, large)[0]) == 11
    assert same(path, large, "SELECT count(*) AS n FROM records_all", min_us=otlp.BASE_NS // 1000 + 3_500_000)[0] == [{"n": 5}]
    metrics = "SELECT metric_name, scalar_value, histogram_count FROM metrics ORDER BY 1, 2"
    assert len(same(path, large, metrics)[0]) == 6
    assert same(path, large, metrics, min_us=otlp.BASE_NS // 1000 + 1)[0] == []


def test_a_file_that_has_changed_is_read_anew(tmp_path: Path, large: pytest.MonkeyPatch) -> None:
    """And one that has not is not read again."""
    path = tmp_path / "grows.json"
    path.write_bytes(shapes.pretty([json.loads(otlp.line(otlp.span(1, "one")))]))
    assert len(ask(path)[0]) == 1
    with large.context() as unread:
        unread.setattr(spilled, "Document", None)
        assert len(ask(path)[0]) == 1
    path.write_bytes(path.read_bytes() + b"\n" + shapes.pretty([json.loads(otlp.line(otlp.span(2, "two")))]))
    assert len(ask(path)[0]) == 2


def test_files_of_a_directory_that_are_something_else_are_passed_over(tmp_path: Path, large: pytest.MonkeyPatch) -> None:
    """Named in the report; where there is nothing but such files, that is an error, of large files as of small ones."""
    (tmp_path / "package.json").write_bytes(b'{"name": "x"}')
    for size in (0, 10**9):
        large.setattr(spilled, "LARGE", size)
        with pytest.raises(errors.RecordingError, match="another kind"):
            ask(tmp_path)
    (tmp_path / "spans.jsonl").write_bytes(shapes.lines([{"batches": json.loads(otlp.line(otlp.span(1, "n")))["resourceSpans"]}]))
    rows, report = same(tmp_path, large)
    assert len(rows) == 1
    assert list(report["lost"]) == [str(tmp_path / "package.json")]


def test_no_more_than_a_block_of_a_file_is_in_memory(tmp_path: Path, large: pytest.MonkeyPatch) -> None:
    """The text that a reader holds is bounded, however long a line or document is."""
    spans = [otlp.span(number, "n", attributes={"text": "x" * 100}) for number in range(1, 600)]
    path = tmp_path / "long.json"
    held: list[int] = []
    more = text.Text.more

    def counting(self: text.Text, at_least: int = 1) -> bool:
        found = more(self, at_least)
        held.append(len(self._buffer))
        return found

    large.setattr(text.Text, "more", counting)
    large.setattr(wrapped, "_BLOCK", 2**13)
    large.setattr(text, "_AT_ONCE", 2**12)
    large.setattr(text, "_LINE", 2**12)
    for content in (json.dumps(json.loads(otlp.line(*spans))).encode(), shapes.pretty([json.loads(otlp.line(*spans))])):
        path.write_bytes(content)
        assert len(ask(path, "SELECT span_id FROM records")[0]) == 599
        assert max(held) < 2**15 < len(content) // 4

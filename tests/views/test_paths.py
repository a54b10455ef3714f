"""Whatever path `sql` takes, `trace` and `logs list` take: files of other programs, directories of them, saved answers, renamed sealed files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from massgen_tracing import errors
from massgen_tracing.store.engine import execute
from massgen_tracing.store.sealing import seal
from massgen_tracing.views.cli import EXIT_CONFIG, main
from tests.store import otlp, shapes

_ROWS = "SELECT * FROM records ORDER BY start_timestamp, span_id"


def ask(path: Path, sql: str = _ROWS) -> pa.Table:
    """The answer of one statement, given in this process."""
    _, body, _ = execute.answer(sql, [str(path)], params={}, min_us=None, max_us=None, limit=1000, max_bytes=10**8, on_stage=lambda _stage: None)
    return pa.ipc.open_stream(body).read_all()


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The sample run in places of every kind."""
    top = tmp_path_factory.mktemp("places")
    documents = [json.loads(line) for line in otlp.sample_lines()]
    root = top / "root"
    run = otlp.write_run(root)
    sealed = seal.seal(next(run.rglob("*.otlp.jsonl"))).sealed
    assert sealed is not None
    found = {"root": root, "run": run, "sealed": sealed}
    for name, content in {
        "pretty.json": shapes.pretty(documents),
        "lines.jsonl.gz": shapes.SHAPES["gzip"](documents),
        "messages.binpb.zst": shapes.SHAPES["zstd of messages"](documents),
        "rotated/traces.json": shapes.lines(documents[::2]),
        "rotated/traces-2026-01-31T00-00-00.000.json": shapes.lines(documents[1::2]),
        "grouped/a/traces.json": shapes.lines(documents[:3]),
        "grouped/b/deep/traces.json.1": shapes.pretty(documents[3:]),
    }.items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        found[name.split("/", maxsplit=1)[0]] = top / name.split("/", maxsplit=1)[0]
    found["renamed"] = Path(shutil.copy(sealed, top / "renamed.data"))
    parquet.write_table(ask(root), top / "answer.parquet")
    found["answer"] = top / "answer.parquet"
    return found


_PLACES = ["root", "run", "sealed", "pretty.json", "lines.jsonl.gz", "messages.binpb.zst", "rotated", "grouped", "renamed", "answer"]


@pytest.mark.parametrize("place", _PLACES)
def test_every_path_is_understood_by_every_command(places: dict[str, Path], place: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With the same spans."""
    path = places[place]
    expected = ask(places["root"], "SELECT span_name FROM records WHERE kind = 'span' ORDER BY span_name")
    assert ask(path, "SELECT span_name FROM records WHERE kind = 'span' ORDER BY span_name") == expected
    for arguments in (["trace", "--root", str(path), "--format", "json"], ["trace", str(path), "--format", "json"]):
        assert main(arguments) == 0
        assert "coordination.session" in capsys.readouterr().out
    assert main(["logs", "list", "--root", str(path), "--format", "json"]) == 0
    listed: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    assert {trace for run in listed for trace in run["trace_ids"]} == {otlp.TRACE}
    assert main(["trace", otlp.TRACE[:8], "--root", str(path), "--format", "json"]) == 0
    assert "coordination.session" in capsys.readouterr().out


@pytest.mark.parametrize("place", ["answer", "renamed"])
def test_a_saved_answer_and_a_renamed_file_have_the_same_rows(places: dict[str, Path], place: str) -> None:
    """All columns of them."""
    assert ask(places[place]) == ask(places["root"])


def test_a_saved_answer_is_read_into_the_same_rows_beside_other_files(places: dict[str, Path], tmp_path: Path) -> None:
    """Where the reader reads it, and not the engine; what of it another file has too is there once."""
    for name in ("answer", "pretty.json"):
        shutil.copy(places[name], tmp_path)
    columns = "span_id, span_name, kind, duration, level, message, tags, attributes, otel_events, otel_status_code, is_exception, exception_type"
    sql = f"SELECT {columns} FROM records ORDER BY start_timestamp, span_id"
    assert ask(tmp_path, sql) == ask(places["root"], sql)


def test_an_answer_with_few_columns_has_spans_all_the_same(places: dict[str, Path], tmp_path: Path) -> None:
    """As long as it says which spans; one that does not is an error that names what it lacks."""
    few = ask(places["root"], "SELECT trace_id, span_id, span_name, start_timestamp, end_timestamp, attributes FROM records WHERE kind = 'span'")
    parquet.write_table(few, tmp_path / "few.parquet")
    assert ask(tmp_path / "few.parquet", "SELECT count(*) AS n FROM records").to_pylist() == [{"n": len(few)}]
    parquet.write_table(few.select(["span_name"]), tmp_path / "fewer.parquet")
    with pytest.raises(errors.RecordingError, match="lacks trace_id, span_id, start_timestamp"):
        ask(tmp_path / "fewer.parquet")


@pytest.mark.parametrize("command", [["sql", "SELECT 1 FROM records"], ["trace"], ["logs", "list"]], ids=" ".join)
def test_a_file_that_is_no_recording_is_an_error_of_every_command(tmp_path: Path, command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """One line, that says what the file is."""
    path = tmp_path / "zipkin.json"
    path.write_bytes(b'[{"traceId":"1","id":"2","name":"x","timestamp":1,"duration":1}]')
    assert main([*command, "--root", str(path)]) == EXIT_CONFIG
    said = capsys.readouterr()
    assert "Zipkin" in said.err
    assert said.err.count("\n") == 1
    assert not said.out


def test_a_directory_without_recordings_says_so(tmp_path: Path) -> None:
    """As an error where it has other things; a root may be waiting for its first run."""
    (tmp_path / "notes.txt").write_text("words")
    with pytest.raises(errors.RecordingError, match="There are no recordings"):
        ask(tmp_path)
    (tmp_path / "massgen_logs").mkdir()
    head, _, _ = execute.answer(
        "SELECT 1 FROM records", [str(tmp_path)], params={}, min_us=None, max_us=None, limit=1, max_bytes=10**6, on_stage=lambda _stage: None
    )
    assert head["report"]["empty"] == [str(tmp_path)]


def test_a_recording_of_which_nothing_can_be_read_is_an_error(tmp_path: Path) -> None:
    """Under our own writer's name too, when its writer is gone."""
    (tmp_path / "trace.otlp.jsonl").write_bytes(b'{"resourceSpans":[{"resource":{"attr')
    with pytest.raises(errors.RecordingError, match="a torn line"):
        ask(tmp_path / "trace.otlp.jsonl")

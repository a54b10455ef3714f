"""Statements that want their first rows only read few files, and give the rows that all files would give."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from massgen_tracing.errors import RecordingError
from massgen_tracing.store.engine import execute, first, sources
from massgen_tracing.store.engine import tables as views
from massgen_tracing.store.engine.engines import Engine
from massgen_tracing.store.engine.first import First
from massgen_tracing.store.reading.report import Report
from massgen_tracing.store.roots import catalogue
from massgen_tracing.store.sealing import seal
from massgen_tracing.store.sql import dialect
from tests.store import otlp


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("SELECT span_name FROM records ORDER BY start_timestamp DESC LIMIT 20", First(20, newest=True, every=True)),
        (
            "SELECT r.span_name FROM records r WHERE level >= 'warn' ORDER BY r.start_timestamp DESC NULLS LAST, span_id LIMIT 5 OFFSET 2",
            First(5, newest=True, every=False),
        ),
        ("SELECT attributes->>'a', upper(span_name) FROM records_all WHERE span_name IN ('a', 'b') LIMIT 3", First(3, newest=False, every=False)),
        ("SELECT * FROM records", First(None, newest=False, every=True)),
        ("SELECT * FROM records ORDER BY start_timestamp DESC", First(None, newest=True, every=True)),
        ("SELECT CASE WHEN (duration > 1) THEN 'a' ELSE 'b' END AS x FROM records LIMIT 3", First(3, newest=False, every=True)),
        ("SELECT span_name FROM records ORDER BY start_timestamp LIMIT 20", None),
        ("SELECT span_name FROM records ORDER BY start_timestamp ASC LIMIT 20", None),
        ("SELECT span_name FROM records ORDER BY duration DESC LIMIT 20", None),
        ("SELECT duration AS start_timestamp FROM records ORDER BY start_timestamp DESC LIMIT 20", None),
        ("SELECT duration start_timestamp FROM records ORDER BY start_timestamp DESC LIMIT 20", None),
        ('SELECT duration "start_timestamp" FROM records ORDER BY start_timestamp DESC LIMIT 20', None),
        ("SELECT (duration) start_timestamp FROM records ORDER BY start_timestamp DESC LIMIT 20", None),
        ("SELECT span_name FROM records ORDER BY start_timestamp DESC LIMIT 2 + 3", None),
        ("SELECT span_name FROM records ORDER BY start_timestamp DESC + INTERVAL '1 day' LIMIT 2", None),
        ("SELECT count(*) FROM records LIMIT 1", None),
        ("SELECT row_number() OVER (ORDER BY start_timestamp) FROM records LIMIT 1", None),
        ("SELECT max(duration) FROM records LIMIT 1", None),
        ('SELECT "max"(duration) FROM records LIMIT 1', None),
        ("SELECT DISTINCT span_name FROM records LIMIT 3", None),
        ("SELECT span_name FROM records GROUP BY span_name LIMIT 3", None),
        ("SELECT span_name FROM records WHERE duration > (SELECT avg(duration) FROM records) LIMIT 3", None),
        ("SELECT a.span_name FROM records a JOIN records b ON a.span_id = b.parent_span_id LIMIT 3", None),
        ("WITH r AS (SELECT 1) SELECT span_name FROM records LIMIT 3", None),
        ("SELECT span_name FROM records UNION SELECT message FROM records LIMIT 3", None),
        ("SELECT 1 LIMIT 3", None),
    ],
)
def test_what_is_wanted(sql: str, found: First | None) -> None:
    """Only where each row counts by itself, and the latest come first or any will do."""
    assert first.wanted(dialect.translate(sql).text) == found


def seal_runs(root: Path, runs: list[list[int]]) -> None:
    """Sealed runs whose spans start at these times, in milliseconds."""
    number = 0
    for place, times in enumerate(runs):
        spans = []
        for time in times:
            number += 1
            spans.append(otlp.line(otlp.span(number, f"n{number % 3}", start_ms=time, end_ms=time + 1, trace=f"{place + 1:032x}")))
        path = otlp.write_run(root, f"log_202701{place + 10}_080000_000000", spans) / "turn_1" / "attempt_1" / "trace.otlp.jsonl"
        assert seal.seal(path).sealed


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few rows are worth asking for."""
    monkeypatch.setattr(first, "_LEAST", 1)
    monkeypatch.setattr(first, "_OF_A_FILE", 1)
    monkeypatch.setattr(first, "_GROWTH", 2)


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch, small: None) -> None:
    """A few runs are many."""
    monkeypatch.setattr(first, "_MANY_RUNS", 2)


@given(
    st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=5), min_size=2, max_size=9),
    st.integers(1, 6),
    st.sampled_from(["", "WHERE span_name = 'n1'", "WHERE duration > 5"]),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_newest_rows_are_those_of_all_files(
    tmp_path_factory: pytest.TempPathFactory, small: None, runs: list[list[int]], limit: int, where: str
) -> None:
    """However the files overlap in time, and their rows lie in it: the same starts as when every file is read."""
    root = tmp_path_factory.mktemp("root")
    seal_runs(root, runs)
    chosen = sources.choose(catalogue.files(root))

    def ask(sql: str) -> list[dict[str, object]]:
        rows: list[dict[str, object]] = execute.ask(dialect.translate(sql), chosen)[0].to_pylist()
        return rows

    newest = ask(f"SELECT start_timestamp FROM records {where} ORDER BY start_timestamp DESC LIMIT {limit}")
    # Without the rewritten order, nothing tells that the first rows are enough.
    assert newest == ask(f"SELECT start_timestamp FROM records {where} ORDER BY start_timestamp + INTERVAL '0 seconds' DESC LIMIT {limit}")
    assert len(ask(f"SELECT span_id FROM records {where} LIMIT {limit}")) == len(newest)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many sealed files each step asked."""
    counts: list[int] = []
    tables = views.tables

    def watched(engine: Engine, chosen: sources.Sources, **given: Any) -> AbstractContextManager[None]:
        counts.append(len(chosen.sealed))
        return tables(engine, chosen, **given)

    monkeypatch.setattr(execute, "tables", watched)
    return counts


def test_few_files_are_read(tmp_path: Path, small: None, read: list[int]) -> None:
    """Of many files the newest are enough for the newest rows, and any for any rows."""
    seal_runs(tmp_path, [[100 * run, 100 * run + 1] for run in range(12)])
    chosen = sources.choose(catalogue.files(tmp_path))
    table, *_ = execute.ask(dialect.translate("SELECT span_id FROM records ORDER BY start_timestamp DESC LIMIT 1"), chosen)
    assert (read, table.to_pylist()) == ([2], [{"span_id": otlp.span_id(24)}])
    execute.ask(dialect.translate("SELECT span_id FROM records LIMIT 1"), chosen)
    execute.ask(dialect.translate("SELECT span_id FROM records WHERE duration > 5 LIMIT 1"), chosen)
    assert read == [2, 2, 2, 4, 12]


def test_files_that_overlap_are_asked_for_their_newest_rows(tmp_path: Path, small: None, read: list[int]) -> None:
    """Also where many runs go on at once: those that ended long before the newest rows are left out."""
    seal_runs(tmp_path, [[100 * run, 100 * run + 150, 100 * run + 300] for run in range(12)])
    chosen = sources.choose(catalogue.files(tmp_path))
    table, *_ = execute.ask(dialect.translate("SELECT start_timestamp AS at FROM records ORDER BY start_timestamp DESC LIMIT 2"), chosen)
    assert [row["at"].microsecond // 1000 for row in table.to_pylist()] == [400, 300]
    assert read == [4]


def test_files_that_would_nearly_all_be_asked_are_asked_at_once(tmp_path: Path, read: list[int]) -> None:
    """A few small files are not worth asking one by one."""
    seal_runs(tmp_path, [[100 * run] for run in range(5)])
    execute.ask(dialect.translate("SELECT span_id FROM records ORDER BY start_timestamp DESC LIMIT 1"), sources.choose(catalogue.files(tmp_path)))
    assert read == [5]


def asked(root: Path, sql: str, *, limit: int = 100) -> tuple[list[dict[str, Any]], Report]:
    """The rows of an answer, and what was read for it."""
    head, body, _ = execute.answer(sql, [str(root)], params={}, min_us=None, max_us=None, limit=limit, max_bytes=2**20, on_stage=lambda _: None)
    return pa.ipc.open_stream(body).read_all().to_pylist(), Report(**head["report"])


@given(st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=3), min_size=2, max_size=9), st.integers(1, 12), st.booleans(), st.booleans())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_rows_are_as_many_as_all_files_have(
    tmp_path_factory: pytest.TempPathFactory, many: None, runs: list[list[int]], count: int, says: bool, copied: bool
) -> None:
    """With LIMIT or with the caller's; also where two runs have the same spans, which count once."""
    root = tmp_path_factory.mktemp("root")
    seal_runs(root, runs)
    if copied:
        shutil.copytree(root / "massgen_logs" / "log_20270110_080000_000000", root / "massgen_logs" / "log_20270199_080000_000000")
    sql = "SELECT span_id FROM records" + (f" LIMIT {count}" if says else "")
    rows, _ = asked(root, sql, limit=100 if says else count)
    known = {otlp.span_id(number + 1) for number in range(sum(map(len, runs)))}
    assert len(rows) == min(count, len(known))
    assert len({row["span_id"] for row in rows}) == len(rows)
    assert {row["span_id"] for row in rows} <= known


def test_any_rows_of_many_runs_are_the_newest_runs(tmp_path: Path, many: None) -> None:
    """Older ones are not even looked at, so one that is damaged is reported where its rows may be asked for."""
    seal_runs(tmp_path, [[100 * run, 100 * run + 1] for run in range(12)])
    oldest = next((tmp_path / "massgen_logs" / "log_20270110_080000_000000").rglob("*.parquet"))
    oldest.write_bytes(b"garbage")
    rows, report = asked(tmp_path, "SELECT span_id FROM records LIMIT 2")
    assert sorted(row["span_id"] for row in rows) == [otlp.span_id(23), otlp.span_id(24)]
    assert (report.files, report.lost) == (1, {})
    for sql in ("SELECT span_id FROM records", "SELECT span_id FROM records WHERE duration >= 0 LIMIT 2", "SELECT count(*) FROM records"):
        assert list(asked(tmp_path, sql)[1].lost) == [str(oldest)]


def test_where_the_newest_runs_turn_out_to_be_lost_others_are_read(tmp_path: Path, many: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """There are as many rows as can be read, and the report tells of what could not."""
    seal_runs(tmp_path, [[100 * run, 100 * run + 1] for run in range(12)])
    newest = next((tmp_path / "massgen_logs" / "log_20270121_080000_000000").rglob("*.parquet"))
    choose = sources.choose

    def deleted(paths: Iterable[Path], *more: Any, **given: Any) -> sources.Sources:
        chosen = choose(list(paths), *more, **given)
        newest.unlink(missing_ok=True)
        return chosen

    monkeypatch.setattr(execute, "choose", deleted)
    rows, _ = asked(tmp_path, "SELECT span_id FROM records LIMIT 2")
    assert len(rows) == 2


def test_every_source_has_to_be_there(tmp_path: Path, many: None) -> None:
    """Also where one of them has rows enough."""
    seal_runs(tmp_path, [[100 * run, 100 * run + 1] for run in range(12)])
    with pytest.raises(RecordingError, match="does not exist"):
        execute.answer(
            "SELECT span_id FROM records LIMIT 2", [str(tmp_path), str(tmp_path / "none")],
            params={}, min_us=None, max_us=None, limit=100, max_bytes=2**20, on_stage=lambda _: None,
        )  # fmt: skip

"""Statements that want their first rows only read few files, and give the rows that all files would give."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from massgen_tracing import store
from massgen_tracing.store.engine import execute, first, sources
from massgen_tracing.store.engine.first import First
from massgen_tracing.store.roots import catalogue
from massgen_tracing.store.sealing import seal
from massgen_tracing.store.sql import dialect
from tests.store import otlp


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("SELECT span_name FROM records ORDER BY start_timestamp DESC LIMIT 20", First(20, newest=True)),
        (
            "SELECT r.span_name FROM records r WHERE level >= 'warn' ORDER BY r.start_timestamp DESC NULLS LAST, span_id LIMIT 5 OFFSET 2",
            First(5, newest=True),
        ),
        ("SELECT attributes->>'a', upper(span_name) FROM records_all WHERE span_name IN ('a', 'b') LIMIT 3", First(3, newest=False)),
        ("SELECT * FROM records", First(None, newest=False)),
        ("SELECT * FROM records ORDER BY start_timestamp DESC", First(None, newest=True)),
        ("SELECT CASE WHEN (duration > 1) THEN 'a' ELSE 'b' END AS x FROM records LIMIT 3", First(3, newest=False)),
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


@given(
    st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=5), min_size=2, max_size=9),
    st.integers(1, 6),
    st.sampled_from(["", "WHERE span_name = 'n1'", "WHERE duration > 5"]),
)
@settings(max_examples=40, deadline=None)
def test_the_newest_rows_are_those_of_all_files(tmp_path_factory: pytest.TempPathFactory, runs: list[list[int]], limit: int, where: str) -> None:
    """However the files overlap in time: the same starts as when every file is read."""
    root = tmp_path_factory.mktemp("root")
    seal_runs(root, runs)
    newest = store.query(f"SELECT start_timestamp FROM records {where} ORDER BY start_timestamp DESC LIMIT {limit}", root).rows
    # Without the rewritten order, nothing tells that the first rows are enough.
    every = store.query(f"SELECT start_timestamp FROM records {where} ORDER BY start_timestamp + INTERVAL '0 seconds' DESC LIMIT {limit}", root).rows
    assert newest == every
    some = store.query(f"SELECT span_id FROM records {where} LIMIT {limit}", root)
    assert len(some) == len(newest)


def test_few_files_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many files the newest are enough for the newest rows, and any for any rows."""
    seal_runs(tmp_path, [[100 * run, 100 * run + 1] for run in range(12)])
    read: list[int] = []
    tables = sources.tables

    def watched(context: object, chosen: sources.Sources, **given: object) -> object:
        read.append(len(chosen.sealed))
        return tables(context, chosen, **given)  # type: ignore[arg-type]

    monkeypatch.setattr(execute, "tables", watched)
    chosen = sources.choose(catalogue.files(tmp_path))
    table, _ = execute.ask(dialect.translate("SELECT span_id FROM records ORDER BY start_timestamp DESC LIMIT 1"), chosen)
    assert (read, table.to_pylist()) == ([2], [{"span_id": otlp.span_id(24)}])
    execute.ask(dialect.translate("SELECT span_id FROM records LIMIT 1"), chosen)
    execute.ask(dialect.translate("SELECT span_id FROM records WHERE duration > 5 LIMIT 1"), chosen)
    assert read == [2, 2, 2, 12]

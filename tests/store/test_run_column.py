"""`massgen_run`: the run that a row belongs to, whatever its recording has become."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from massgen_tracing import layout, store
from massgen_tracing.errors import QueryError
from massgen_tracing.store.roots import compaction
from massgen_tracing.store.sealing import seal
from tests.store import otlp

BY_RUN = "SELECT massgen_run, count(*) AS n FROM records GROUP BY massgen_run ORDER BY massgen_run NULLS LAST"
MANY = 70
"""Runs; small ones share a file where they are so many."""


def run(root: Path, number: int, spans: int = 2) -> Path:
    """A run with so many spans; returns its directory."""
    lines = [otlp.line(otlp.span(number * 100 + each + 1, "work", trace=f"{number + 1:032x}")) for each in range(spans)]
    return otlp.write_run(root, f"log_20270115_08{number // 60:02}{number % 60:02}_000000", lines)


def by_run(root: Path) -> dict[str | None, int]:
    """How many rows each run has."""
    return {row["massgen_run"]: row["n"] for row in store.query(BY_RUN, root).rows}


@pytest.mark.parametrize("kept", ["live", "sealed", "in segments"])
def test_each_row_has_the_name_of_its_run(kept: str, tmp_path: Path) -> None:
    """Of live recordings, of sealed ones, and of many small ones that share a file; a directory's new name is the run's."""
    number = MANY if kept == "in segments" else 3
    runs = [run(tmp_path, each) for each in range(number)]
    if kept == "sealed":
        for each in runs:
            seal.seal(each / "turn_1" / "attempt_1" / "trace.otlp.jsonl")
    elif kept == "in segments":
        assert compaction.compact(tmp_path).runs == MANY
    assert by_run(tmp_path) == {each.name: 2 for each in runs}
    renamed = runs[1].rename(runs[1].with_name("log_of_tuesday"))
    assert by_run(tmp_path) == {each.name: 2 for each in (runs[0], renamed, *runs[2:])}
    shutil.rmtree(renamed)
    assert by_run(tmp_path) == {each.name: 2 for each in (runs[0], *runs[2:])}
    rows = store.query(
        "SELECT a.span_id FROM records a JOIN records_all b USING (massgen_run) WHERE a.massgen_run = $run", tmp_path, params={"run": runs[0].name}
    ).rows
    assert len(rows) == 4


def test_runs_within_runs_and_work_without_a_session(tmp_path: Path) -> None:
    """A run that was started in another one is that one's; work without a session has its recording's name; what is in no run has NULL."""
    outer, inner = run(tmp_path, 1), run(tmp_path, 2)
    layout.nest(layout.RunDirectory(inner), layout.RunDirectory(outer))
    traces = tmp_path / layout.TRACES_DIR
    traces.mkdir()
    for name in ("trace_20270115_080000_000000_7.otlp.jsonl", "trace_20270115_080000_000000_7.8.otlp.jsonl"):
        otlp.write(traces / name, [otlp.line(otlp.span(len(name), "plan", trace="a" * 32))])
    assert by_run(tmp_path) == {outer.name: 4, "trace_20270115_080000_000000_7": 2}
    elsewhere = tmp_path / "foreign.jsonl"
    shutil.copy(traces / name, elsewhere)
    assert by_run(elsewhere) == {None: 1}


def test_the_column_is_in_a_star_only_where_it_is_named(tmp_path: Path) -> None:
    """So that `SELECT *` has Logfire's columns; `SHOW COLUMNS` has it, with what it means."""
    run(tmp_path, 1)
    (row,) = store.query("SELECT * FROM records LIMIT 1", tmp_path).rows
    assert "massgen_run" not in row
    (row,) = store.query("SELECT * FROM records WHERE massgen_run LIKE 'log_%' LIMIT 1", tmp_path).rows
    assert row["massgen_run"] == "log_20270115_080001_000000"
    for beside in ("*, massgen_run", "massgen_run, *", "r.*, r.massgen_run", "DISTINCT *, massgen_run", "*, MASSGEN_RUN"):
        found = store.query(f"SELECT {beside} FROM records r WHERE span_name = 'work' LIMIT 1", tmp_path)
        assert found.columns.count("massgen_run") == 1
        assert found.rows[0]["massgen_run"] == "log_20270115_080001_000000"
    both = "SELECT *, massgen_run AS run, count(*) OVER () AS n FROM (SELECT *, massgen_run FROM records) x LIMIT 1"
    assert store.query(both, tmp_path).rows[0]["run"] == "log_20270115_080001_000000"
    (row,) = (row for row in store.query("SHOW COLUMNS FROM records", tmp_path).rows if row["column_name"] == "massgen_run")
    assert "ours" in row["description"]


def test_clickhouse_does_not_know_it(tmp_path: Path) -> None:
    """Which is said before anything is asked of it."""
    with pytest.raises(QueryError, match=r"massgen_run is known of recordings only.*gen_ai\.conversation\.id"):
        store.query(BY_RUN, backend=store.ClickHouse.named("http://127.0.0.1:9"))


def test_spans_of_many_runs_may_have_the_same_ids(tmp_path: Path) -> None:
    """As where a program has seeded its generator of ids: each run keeps its rows, before compaction and after it."""
    lines = [otlp.line(otlp.span(each + 1, "work", trace="{:032x}")) for each in range(2)]
    names = []
    for number in range(MANY):
        own = [line.replace(b"{:032x}", f"{number + 1:032x}".encode()) for line in lines]
        names.append(otlp.write_run(tmp_path, f"log_20270115_08{number // 60:02}{number % 60:02}_000000", own).name)
    before = by_run(tmp_path)
    assert before == dict.fromkeys(names, 2)
    compaction.compact(tmp_path)
    assert by_run(tmp_path) == before

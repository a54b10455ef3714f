"""What is kept from one query to the next makes the next one quick, and never its answer old."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from massgen_tracing import errors
from massgen_tracing.store.engine import engines, execute
from massgen_tracing.store.engine.engines import Engine
from massgen_tracing.store.sealing import seal
from tests.store import otlp

NAMES = "SELECT span_name FROM records ORDER BY span_name"


@pytest.fixture(autouse=True)
def kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Engine]]:
    """The engines that are kept: none at first."""
    idle: dict[bool, list[Engine]] = {False: [], True: []}
    monkeypatch.setattr(engines, "_idle", idle)
    yield idle[False]
    for each in idle.values():
        each.clear()


def names(*sources: Path, sql: str = NAMES, min_us: int | None = None) -> list[str | None]:
    """The first column of an answer that is given in this process."""
    _, body, _ = execute.answer(
        sql, [str(path) for path in sources], params={}, min_us=min_us, max_us=None, limit=100, max_bytes=2**20, on_stage=lambda _: None
    )
    table = pa.ipc.open_stream(body).read_all()
    rows: list[str | None] = table.column(0).to_pylist()
    return rows


def sealed_run(root: Path, number: int, name: str) -> Path:
    """A sealed run of one span; all of them have files of one size and time."""
    line = otlp.line(otlp.span(number, name, trace=f"{number:032x}"))
    outcome = seal.seal(otlp.write_run(root, f"log_2027011{number}_080000_000000", [line]) / "turn_1" / "attempt_1" / "trace.otlp.jsonl")
    assert outcome.sealed is not None, outcome.reason
    os.utime(outcome.sealed, (1_800_000_000, 1_800_000_000))
    return outcome.sealed


def test_an_engine_is_asked_again_and_knows_nothing_of_the_statement_before(tmp_path: Path, kept: list[Engine]) -> None:
    """The tables of one query are gone when it has its answer, also those that it has under other names."""
    sealed_run(tmp_path, 1, "a")
    sql = "SELECT attributes->>'massgen.agent_id' FROM records"
    assert names(tmp_path) == ["a"]
    assert names(tmp_path, sql=sql) == [None]
    (engine,) = kept
    assert engine.context.catalog().schema().names() == set()
    assert names(tmp_path) == ["a"]
    assert [id(each) for each in kept] == [id(engine)]


def test_an_engine_that_failed_is_not_asked_again(tmp_path: Path, kept: list[Engine]) -> None:
    """Whatever state it is in after an error, the next query has another one."""
    sealed_run(tmp_path, 1, "a")
    names(tmp_path)
    with pytest.raises(errors.QueryError):
        names(tmp_path, sql="SELECT 1 / 0")
    assert kept == []
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("runs", [1, 3])
def test_a_sealed_file_that_was_replaced_is_read_anew(tmp_path: Path, runs: int) -> None:
    """Also by one of the same name, size and time of change."""
    files = [sealed_run(tmp_path / "root", number + 1, name) for number, name in zip(range(runs), "abc", strict=False)]
    other = sealed_run(tmp_path / "elsewhere", 7, "x")
    assert names(tmp_path / "root") == list("abc"[:runs])
    before = files[0].stat()
    shutil.copy(other, tmp_path / "new")
    os.utime(tmp_path / "new", ns=(before.st_atime_ns, before.st_mtime_ns))
    os.replace(tmp_path / "new", files[0])
    after = files[0].stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert names(tmp_path / "root") == [*"abc"[1:runs], "x"]
    assert names(tmp_path / "root", sql="SELECT span_name FROM records WHERE span_name = 'x'") == ["x"]


def test_a_sealed_file_that_was_deleted_has_no_rows(tmp_path: Path) -> None:
    """And its deletion between two queries is no loss to report."""
    files = [sealed_run(tmp_path, number + 1, name) for number, name in enumerate("abc")]
    assert names(tmp_path) == ["a", "b", "c"]
    files[1].unlink()
    assert names(tmp_path) == ["a", "c"]
    files[0].unlink()
    files[2].unlink()
    assert names(tmp_path) == []


VALUES = [
    *(f"attributes->>'{key}'" for key in ("massgen.agent_id", "massgen.round", "own.1", "own.3", "none")),
    "(attributes->'massgen.round')::int::text",
    "json_length(attributes)::text",
    "attributes_json_schema",
    "duration::text",
    "span_name",
    "span_id",
]
CONDITIONS = [
    "",
    "WHERE duration > 0.002",
    "WHERE span_name = 'n1'",
    "WHERE trace_id = '00000000000000000000000000000002'",
    "WHERE attributes->>'own.3' = '3'",
    "WHERE (attributes->'massgen.round')::int > 0",
    "WHERE attributes ? 'own.2'",
    "WHERE start_timestamp > (SELECT min(start_timestamp) FROM records)",
]
SHAPES = [
    "SELECT {value} AS said FROM {table} {where} ORDER BY 1",
    "SELECT {value} AS said FROM {table} {where} ORDER BY start_timestamp DESC, 1 LIMIT 2",
    "SELECT max({value}) AS said FROM {table} {where}",
    "SELECT said FROM (SELECT {value} AS said, * FROM {table} {where}) ORDER BY 1",
    "SELECT count(*)::text || ({value}) AS said FROM {table} {where} GROUP BY {value} ORDER BY 1",
]
STATEMENTS = st.builds(
    lambda shape, value, table, where: shape.format(value=value, table=table, where=where),
    st.sampled_from(SHAPES),
    st.sampled_from(VALUES),
    st.sampled_from(["records", "records_all"]),
    st.sampled_from(CONDITIONS),
)


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root of five sealed runs that have some keys of their own."""
    root = tmp_path_factory.mktemp("root")
    for number in range(1, 6):
        lines = [
            otlp.line(otlp.span(number * 10 + n, f"n{n}", trace=f"{number:032x}", start_ms=1000 * number + n, end_ms=1000 * number + 2 * n + 1,
                                attributes={"massgen.agent_id": f"agent_{n}", "massgen.round": n, f"own.{number}": number}))
            for n in range(3)
        ]  # fmt: skip
        path = otlp.write_run(root, f"log_2027011{number}_080000_000000", lines) / "turn_1" / "attempt_1" / "trace.otlp.jsonl"
        assert seal.seal(path).sealed is not None
    return root


@given(st.lists(st.tuples(STATEMENTS, st.sampled_from([None, 3_000_000])), min_size=2, max_size=6))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_one_statement_leaves_does_not_mislead_the_next(several: Path, kept: list[Engine], asked: list[tuple[str, int | None]]) -> None:
    """Whatever is asked one after the other of the same files, an engine that has answered before says what a new one says."""
    kept.clear()
    again = [names(several, sql=sql, min_us=min_us) for sql, min_us in asked]
    assert len(kept) == 1
    for (sql, min_us), rows in zip(asked, again, strict=True):
        kept.clear()
        assert names(several, sql=sql, min_us=min_us) == rows

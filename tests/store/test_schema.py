"""What there is to ask: SHOW COLUMNS, DESCRIBE, information_schema."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from massgen_tracing import store
from massgen_tracing.errors import QueryError
from massgen_tracing.store.tables import metrics, records
from massgen_tracing.store.tables.meanings import RUN
from massgen_tracing.views.cli import main

SHOWN = ("table_catalog", "table_schema", "table_name", "column_name", "data_type", "is_nullable", "description")
DESCRIBED = ("column_name", "data_type", "is_nullable", "description")


@pytest.mark.parametrize(
    ("sql", "columns", "table"),
    [
        ("SHOW COLUMNS FROM records", SHOWN, records),
        ("show columns in records;", SHOWN, records),
        ("SHOW COLUMNS FROM metrics", SHOWN, metrics),
        ("DESCRIBE records", DESCRIBED, records),
        ("DESC public.records", DESCRIBED, records),
        ('DESCRIBE TABLE "records_all"', DESCRIBED, records),
    ],
)
def test_a_tables_columns_are_shown_with_what_they_mean(root: Path, sql: str, columns: tuple[str, ...], table: object) -> None:
    """In the order of the table, with the engine's names of their types."""
    result = store.query(sql, root)
    assert result.columns == columns
    assert [row["column_name"] for row in result.rows] == [
        *table.SCHEMA.names,  # type: ignore[attr-defined]
        *([RUN] if table is records else []),
    ]
    assert all(row["description"] for row in result.rows)


def test_types_and_null_are_those_of_the_table(root: Path) -> None:
    """As DataFusion's own information schema says them."""
    rows = {row["column_name"]: (row["data_type"], row["is_nullable"]) for row in store.query("DESCRIBE records", root).rows}
    assert rows["start_timestamp"] == ('Timestamp(µs, "UTC")', "NO")
    assert rows["duration"] == ("Float64", "YES")
    assert rows["tags"] == ("List(Utf8)", "YES")


def test_the_information_schema_is_asked_as_any_table(root: Path) -> None:
    """With conditions, in joins and beside records."""
    sql = "SELECT column_name FROM information_schema.columns WHERE table_name = 'records' AND data_type LIKE 'Timestamp%' ORDER BY ordinal_position"
    assert [row["column_name"] for row in store.query(sql, root).rows] == ["created_at", "end_timestamp", "start_timestamp"]
    tables = [row["table_name"] for row in store.query("SELECT * FROM information_schema.tables ORDER BY table_name", root).rows]
    assert tables == [row["table_name"] for row in store.query("SHOW TABLES", root).rows] == ["metrics", "records", "records_all"]
    beside = "SELECT count(*) AS n, (SELECT count(*) FROM information_schema.columns WHERE table_name = 'records') AS columns FROM records"
    assert store.query(beside, root).rows == [{"n": 17, "columns": len(records.SCHEMA) + 1}]


def test_columns_can_be_asked_before_there_are_recordings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No recording is read for them, and there need not be any."""
    assert len(store.query("SHOW COLUMNS FROM records", tmp_path / "none")) == len(records.SCHEMA) + 1
    assert main(["sql", "--schema", "--root", str(tmp_path / "none"), "--format", "csv"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "table_name,column_name,data_type,is_nullable,description"
    assert len(lines) == 1 + 2 * (len(records.SCHEMA) + 1) + len(metrics.SCHEMA)


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("DESCRIBE record", "There is no table record (line 1, column 10). Expected one of records, records_all, metrics. Perhaps you mean records."),
        ("SHOW COLUMNS FROM nope", "There is no table nope (line 1, column 19)"),
        ("SHOW ALL", "`SHOW` at line 1, column 1 is refused"),
        ("DESCRIBE SELECT 1", "`DESCRIBE` at line 1, column 1 is refused"),
        ("SELECT * FROM information_schema.df_settings", "table 'datafusion.information_schema.df_settings' not found"),
        ("SHOW COLUMNS FROM records; DROP TABLE records", "There is more than one statement"),
    ],
)
def test_nothing_else_is_shown(root: Path, sql: str, message: str) -> None:
    """Other tables, settings and statements are refused as before."""
    with pytest.raises(QueryError, match=re.escape(message)):
        store.query(sql, root)

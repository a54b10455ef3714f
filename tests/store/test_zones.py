"""Times with a zone in answers: `AT TIME ZONE` is what is printed."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from pyarrow import parquet

from massgen_tracing import store
from massgen_tracing.errors import QueryError
from massgen_tracing.store.engine import export
from massgen_tracing.views import formats

WEEK = "SELECT date_trunc('week', start_timestamp AT TIME ZONE 'Europe/Paris') AS week_start, count(*) AS n FROM records GROUP BY 1"
MONDAY = "2027-01-11T00:00:00.000000+01:00"


def test_a_value_with_a_zone_is_printed_with_its_offset(root: Path) -> None:
    """In a table, JSON, JSON lines and CSV."""
    result = store.query(WEEK, root)
    assert json.loads(formats.to_json(result)) == [{"week_start": MONDAY, "n": 17}]
    assert json.loads(formats.to_jsonl(result)) == {"week_start": MONDAY, "n": 17}
    assert formats.to_csv(result) == f"week_start,n\n{MONDAY},17\n"
    assert formats.cells(result) == [[MONDAY, "17"]]


def test_a_value_with_a_zone_keeps_it_in_python_arrow_and_parquet(root: Path) -> None:
    """The column has the zone, to the microsecond."""
    result = store.query(WEEK, root)
    wanted = pa.timestamp("us", "Europe/Paris")
    assert result.table.schema.field("week_start").type == wanted
    assert result.rows[0]["week_start"] == datetime(2027, 1, 11, tzinfo=ZoneInfo("Europe/Paris"))
    assert result.rows[0]["week_start"].utcoffset() == timedelta(hours=1)
    assert pa.ipc.open_stream(export.to_arrow(result)).read_all().schema.field("week_start").type == wanted
    assert parquet.read_table(io.BytesIO(export.to_parquet(result))).schema.field("week_start").type == wanted


def test_each_value_has_the_offset_of_its_own_day(root: Path) -> None:
    """Summer time changes it; offsets can be named too, and values in lists and structs have theirs."""
    sql = (
        "SELECT to_timestamp_seconds(1800000000) AT TIME ZONE 'America/New_York' AS winter,"
        " to_timestamp_seconds(1815000000) AT TIME ZONE 'America/New_York' AS summer,"
        " to_timestamp_seconds(1800000000) AT TIME ZONE '+05:30' AS named,"
        " ARRAY[to_timestamp_seconds(1800000000) AT TIME ZONE 'Asia/Kolkata'] AS listed,"
        " to_timestamp_seconds(1800000000) AS utc, to_timestamp_seconds(1800000000) AT TIME ZONE 'UTC' AS said, now() - now() AS nothing"
    )
    (row,) = formats.objects(store.query(sql, root))
    assert row == {
        "winter": "2027-01-15T03:00:00.000000-05:00",
        "summer": "2027-07-07T18:40:00.000000-04:00",
        "named": "2027-01-15T13:30:00.000000+05:30",
        "listed": ["2027-01-15T13:30:00.000000+05:30"],
        "utc": "2027-01-15T08:00:00.000000Z",
        "said": "2027-01-15T08:00:00.000000Z",
        "nothing": 0.0,
    }


@pytest.mark.parametrize("selected", ["start_timestamp AT TIME ZONE 'Nowhere/Land'", "ARRAY[start_timestamp AT TIME ZONE 'Nowhere/Land']"])
def test_a_zone_that_does_not_exist_is_refused_with_its_place(root: Path, selected: str) -> None:
    """Also where the engine itself would not look it up."""
    with pytest.raises(QueryError, match=r"no time zone 'Nowhere/Land' here \(line 1, column \d+\)\. Expected a name of the IANA database"):
        store.query(f"SELECT {selected} AS t FROM records", root)


def test_intervals_are_printed_and_not_written_where_they_have_no_type(root: Path) -> None:
    """Seconds, or ISO 8601 where there are months; Parquet, which has no such type, is refused with the next step."""
    result = store.query("SELECT INTERVAL '1 day 3.5 seconds' AS a, INTERVAL '2 months 1 day -0.25 seconds' AS b", root)
    assert json.loads(formats.to_json(result)) == [{"a": 86403.5, "b": "P2M1DT-0.25S"}]
    with pytest.raises(QueryError, match="Parquet has no type for the intervals of the column 'a'"):
        export.to_parquet(result)


def test_the_zone_of_a_question_is_that_of_its_times(root: Path) -> None:
    """Of columns, of `now()`, and of texts that name none; not of `time_bucket`; one that does not exist is refused."""
    sql = """SELECT min(start_timestamp)::text AS said, date_trunc('day', min(start_timestamp)) AS day, arrow_typeof(now()) AS now,
        time_bucket('1 day', min(start_timestamp)) AS bucket FROM records"""
    (row,) = store.query(sql, root, timezone="Asia/Tokyo").rows
    assert row["said"].endswith("+09:00")
    assert row["day"].isoformat() == f"{row['said'][:10]}T00:00:00+09:00"
    assert (row["now"], row["bucket"].isoformat()[10:]) == ('Timestamp(ns, "Asia/Tokyo")', "T09:00:00+09:00")
    count = f"SELECT count(*) AS n FROM records WHERE start_timestamp < '{row['said'].partition('+')[0]}'"
    assert store.query(count, root, timezone="Asia/Tokyo").rows == [{"n": 0}]
    assert store.query(count, root).rows == store.query("SELECT count(*) AS n FROM records", root).rows
    with pytest.raises(QueryError, match="no such time zone"):
        store.query(count, root, timezone="Mars/Olympus")


@pytest.mark.parametrize("zone", ["UTC", "-00:00", "+05:30", "+14:00", "-14:00", "EST5EDT", "Etc/GMT+12"])
def test_a_zone_is_the_same_as_that_of_a_question_and_in_a_statement(tmp_path: Path, zone: str) -> None:
    """Names of the database and offsets, as Python and Arrow have them too."""
    at = "to_timestamp_seconds(1800000000)"
    asked, said = store.query(f"SELECT {at} AS t", tmp_path, timezone=zone), store.query(f"SELECT {at} AT TIME ZONE '{zone}' AS t", tmp_path)
    assert asked.rows == said.rows == [{"t": datetime.fromtimestamp(1800000000, UTC)}]
    assert asked.rows[0]["t"].utcoffset() == said.rows[0]["t"].utcoffset()
    assert pa.ipc.open_stream(export.to_arrow(asked)).read_all().to_pylist() == asked.rows


NO_ZONES = ["+0530", "-0000", "+05", "+5:30", "+25:00", "+14:01", "+13:60", "٠+05:30", "localtime", "Factory", "posixrules", "posix/Europe/Paris"]


@pytest.mark.parametrize("zone", [*NO_ZONES, "europe/paris", " UTC", "../UTC"])
def test_what_is_no_zone_is_refused_in_a_question_and_in_a_statement(tmp_path: Path, zone: str) -> None:
    """Before anything is read in it; it is said what a zone can be."""
    for refused in (
        lambda: store.query("SELECT now()", tmp_path, timezone=zone),
        lambda: store.query(f"SELECT now() AT TIME ZONE '{zone}'", tmp_path),
    ):
        with pytest.raises(
            QueryError, match=r"no (such )?time zone .*Expected a name of the IANA database.* or an offset ±HH:MM of at most 14 hours"
        ):
            refused()


def test_a_plan_is_told_where_it_is_asked_for(root: Path) -> None:
    """What is done, and how; it is beside the rows."""
    told = store.query("SELECT count(*) AS n FROM records", root, explain=True)
    assert told.plan is not None
    assert "Aggregate" in told.plan.logical
    assert "AggregateExec" in told.plan.physical
    assert told.rows == store.query("SELECT count(*) AS n FROM records", root).rows
    assert store.query("SELECT 1 AS n", root).plan is None

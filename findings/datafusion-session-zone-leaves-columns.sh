#!/bin/sh
# DataFusion 55.0.0, seen on 2026-11-29: a session's time zone is that of now() and of texts that become times, but not of columns.
#
# The good guess, PostgreSQL's answer: in a session of Europe/Paris, 23:30 UTC of 15 January lies in the day that begins at 00:00+01:00 of the 16th, its
# hour is 0, and as a text it says 00:30:00+01:00.
# Seen: a column of Timestamp(µs, "UTC") keeps its own zone: date_trunc gives 15 January, the hour is 23, the text ends with Z; a text without a zone
# that becomes a time is read in the session's zone all the same. Told in the zone by a view that casts the column, all of it is as in PostgreSQL, and
# the condition is still asked of the column itself (no CAST in the filter of the plan), so that files are left out as before.
# Ends with 1 if any of this is no longer so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check datafusion==55.0.0 pyarrow==26.0.1 tzdata
"$folder/venv/bin/python" - <<'PYTHON'
import datetime
import sys

import datafusion
import pyarrow as pa

context = datafusion.SessionContext(datafusion.SessionConfig().set("datafusion.execution.time_zone", "Europe/Paris"))
late = datetime.datetime(2027, 1, 15, 23, 30, tzinfo=datetime.timezone.utc)
context.register_record_batches("column", [pa.table({"t": pa.array([late], pa.timestamp("us", "UTC"))}).to_batches()])
context.register_view("told", context.table("column").select(datafusion.col("t").cast(pa.timestamp("us", "Europe/Paris")).alias("t")))
expected = {
    "column": ("2027-01-15T00:00:00Z", "23", "2027-01-15T23:30:00Z"),
    "told": ("2027-01-16T00:00:00+01:00", "0", "2027-01-16T00:30:00+01:00"),
}
changed = False
for name, wanted in expected.items():
    asked = f"SELECT date_trunc('day', t)::text AS a, extract(hour FROM t)::text AS b, t::text AS c FROM \"{name}\""
    seen = tuple(column[0] for column in context.sql(asked).to_pydict().values())
    print(f"{name}: {seen}" + ("" if seen == wanted else f" (was {wanted})"))
    changed |= seen != wanted
literal = context.sql("SELECT arrow_typeof('2027-01-15T12:00:00'::timestamptz) AS a").to_pydict()["a"][0]
plan = context.sql("SELECT t FROM told WHERE t > '2027-01-16T00:15:00'").execution_plan().display_indent()
condition = next(line for line in plan.splitlines() if "FilterExec" in line)
print(literal, condition.strip(), sep="\n")
changed |= literal != 'Timestamp(ns, "Europe/Paris")' or "CAST" in condition
sys.exit(changed)
PYTHON

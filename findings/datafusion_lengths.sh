#!/bin/sh
# DataFusion 55.0.0, seen on 2026-11-28: parts of a difference of times are cut, and lengths are compared field by field.
#
# The good guess, PostgreSQL's answer: extract(epoch FROM b - a) of 9.93 s is 9.93, its microseconds are 9930000, the nanoseconds of 2.147 s are
# 2147000000, and 48 hours are more than INTERVAL '1 day'.
# Seen: the epoch is 9.0 (but 2.147 for 2.147 s: the fraction goes above 2^31 ns), the milliseconds are 9000, the nanoseconds of 2.147 s are 4147000000,
# the microseconds of an hour overflow, 48 hours are less than a day, and an INTERVAL of 70.5 s has 10000 milliseconds.
# Ends with 1 if any of this is no longer so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check datafusion==55.0.0
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import datafusion

context = datafusion.SessionContext()
seen = {
    "extract(epoch FROM b - a)": ("9930000", "9.0"),
    "extract(milliseconds FROM b - a)": ("9930000", "9000"),
    "extract(epoch FROM b - a) ": ("2147000", "2.147"),
    "extract(nanoseconds FROM b - a)": ("2147000", "4147000000"),
    "extract(microseconds FROM b - a)": ("3600000000", "-694967296"),
    "b - a > INTERVAL '1 day'": ("172800000000", "False"),
    "extract(milliseconds FROM INTERVAL '70.5 seconds')": ("0", "10000"),
}
changed = False
for asked, (length, expected) in seen.items():
    values = f"SELECT to_timestamp_micros(0) AS a, to_timestamp_micros({length}) AS b"
    answer = str(context.sql(f"SELECT {asked} AS v FROM ({values}) t").to_pydict()["v"][0])
    print(f"{asked.strip()} of {int(length) / 1e6} s: {answer}" + ("" if answer == expected else f" (was {expected})"))
    changed |= answer != expected
sys.exit(changed)
PYTHON

#!/bin/sh
# PyArrow 26.0.1, seen on 2026-11-29: match_substring_regex compiles its expression anew with each call, and an expression of some size takes longer
# to compile than thousands of texts take to be matched.
#
# The good guess, as Python's re does it: an expression is compiled once and remembered, so that a call with few texts costs little.
# Seen: with 60 alternatives of 20 to 40 digits each, a call with one text takes as long the tenth time as the first, and nearly all of the time of a call
# with 2,000 texts. So expressions are to be small (lengths are checked by numbers), or Python's, where texts are few.
# Ends with 1 if this is no longer so: if a call with one text takes less than a fifth of one with 2,000.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pyarrow==26.0.1
"$folder/venv/bin/python" - <<'PYTHON'
import re
import sys
import time

import pyarrow as pa
import pyarrow.compute as pc

expression = "^(?:" + "|".join(rf"{letter}{number}\d{{20,40}}" for letter in "abcdef" for number in range(10)) + ")$"


def seconds(texts, match):
    taken = []
    for _ in range(10):
        begin = time.process_time()
        match(texts)
        taken.append(time.process_time() - begin)
    return min(taken[1:])


one, many = ["a0" + "7" * 30], ["a0" + "7" * 30] * 2000
compiled = re.compile(expression)
python = seconds(one, lambda texts: [compiled.match(text) for text in texts]), seconds(many, lambda texts: [compiled.match(text) for text in texts])
arrow = seconds(pa.array(one), lambda texts: pc.match_substring_regex(texts, expression)), seconds(
    pa.array(many), lambda texts: pc.match_substring_regex(texts, expression)
)
print(f"one text and 2,000, in ms: by Arrow {arrow[0] * 1e3:.3f} and {arrow[1] * 1e3:.3f}, by Python {python[0] * 1e3:.3f} and {python[1] * 1e3:.3f}")
sys.exit(arrow[0] < arrow[1] / 5)
PYTHON

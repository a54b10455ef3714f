"""`make jaeger-demo` shows what it says."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tools.backends.binaries import REPOSITORY

pytestmark = pytest.mark.binaries


def test_the_demo_shows_the_run_as_jaeger_has_it() -> None:
    """Every recorded span is in Jaeger; its tree is shown, with where to look."""
    done = subprocess.run(
        [sys.executable, "-m", "tools.backends.demo"], cwd=REPOSITORY, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    counts = re.search(r"What Jaeger says of it: (\d+) spans, (\d+) were recorded", done.stdout)
    assert counts is not None
    assert counts[1] == counts[2] != "0"
    assert re.search(r"^coordination\.session .*\n   .*\n(   .*\n)*   agent\.agent_a\.presentation", done.stdout, re.MULTILINE)
    assert "/api/v3/traces/" in done.stdout

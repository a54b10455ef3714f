"""What a failing test says reaches whoever runs the tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

FAILING = {
    "an assertion": r"assert '\ud800 said' == ''",
    "an exception": r"raise ValueError('\ud800 said')",
    "an exception below another": r"""
    try:
        raise ValueError('\ud800 said')
    except ValueError as error:
        raise KeyError('outer') from error""",
    "a log": r"logging.getLogger('any').warning('%s said', '\ud800'); raise ValueError",
    "an output": r"print('\ud800 said'); raise ValueError",
    "a skip": r"pytest.skip('\ud800 said')",
    "a property": r"record_property('key', '\ud800 said'); raise ValueError('\ud800 said')",
}


def test_what_no_encoding_can_say_is_said_in_escapes(tmp_path: Path) -> None:
    """A lone surrogate in a report of a process beside this one fails the test that has it, and not the whole run; it can be read."""
    (tmp_path / "conftest.py").write_text("from tests.conftest import pytest_report_to_serializable\n")
    bodies = [f"def test_{number}(record_property):\n    {body}\n" for number, body in enumerate(FAILING.values())]
    (tmp_path / "test_failing.py").write_text("import logging\nimport pytest\n\n" + "\n\n".join(bodies))
    (tmp_path / "test_not_collected.py").write_text("raise ValueError('\\ud800 said')\n")
    words = [sys.executable, "-m", "pytest", "-n", "1", "-p", "no:randomly", "-p", "no:cacheprovider", "-rs", f"--rootdir={tmp_path}", str(tmp_path)]
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(words, cwd=tmp_path, env={**env, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False)
    assert "INTERNALERROR" not in done.stdout
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout
    assert f"{len(FAILING) - 1} failed, 1 skipped, 1 error" in done.stdout
    assert done.stdout.count(r"\ud800 said") >= len(FAILING) + 1

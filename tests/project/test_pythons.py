"""What finds the other versions of Python, and runs the tests on them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tools import pythons

OWN = f"{sys.version_info.major}.{sys.version_info.minor}"


def script(path: Path, *lines: str) -> Path:
    """A program."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)
    return path


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only directory on PATH."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path / "bin"


def test_the_versions_are_those_that_the_package_is_for_but_for_this_one() -> None:
    """As the classifiers have them."""
    assert {*pythons.others(), OWN} >= {"3.11", "3.12", "3.13"}
    assert OWN not in pythons.others()


def test_an_interpreter_must_really_run(on_path: Path, tmp_path: Path) -> None:
    """A stand-in that fails, and one that is of another version, are passed over for one that pyenv has."""
    script(on_path / "python3.99", "exit 127")
    assert pythons.find("3.99") is None
    script(on_path / "pyenv", f"echo {tmp_path / 'pyenv'}")
    script(tmp_path / "pyenv" / "versions" / "3.99.2" / "bin" / "python", "echo 3.98")
    assert pythons.find("3.99") is None
    there = script(tmp_path / "pyenv" / "versions" / "3.99.1" / "bin" / "python", "echo 3.99")
    assert pythons.find("3.99") == there
    first = script(on_path / "python3.99", "echo 3.99")
    assert pythons.find("3.99") == first


def test_a_version_that_is_missing_is_one_line_and_no_failure(
    on_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The others are run, with the options that were given; one that fails is the exit code, whatever comes after it."""
    monkeypatch.setattr(pythons, "others", lambda: ["3.97", "3.98", "3.99"])
    monkeypatch.setattr(pythons, "environment", lambda version, python: python)
    script(on_path / "python3.97", '[ "$1" = -c ] && echo 3.97 || { echo "$@"; exit 1; }')
    script(on_path / "python3.99", '[ "$1" = -c ] && echo 3.99 || echo "$@"')
    assert pythons.main(["-m", "not long"]) == 1
    ran, missing, last = (line for line in capfd.readouterr().out.splitlines() if line.startswith(("Python 3.98", "-m pytest")))
    assert missing == "Python 3.98: not found on PATH, among pyenv's versions or uv's; the tests were not run on it"
    assert ran == last == "-m pytest -m not long"

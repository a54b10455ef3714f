"""Hostile statements: each is refused in one clear line or answered within its limits, and the next query is answered."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from massgen_tracing import errors, store
from tests.store import hostile, otlp

LIMIT = 100
MAX_BYTES = 10_000_000
STOPPED = re.compile(r"was stopped after 1 seconds|needs more memory than the 2 GiB|is nested too deep")


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with one recorded run."""
    root = tmp_path_factory.mktemp("root")
    otlp.write_run(root)
    return root


def ask(sql: str, root: Path, *, timeout: float = 1) -> str:
    """The refusal's text, empty for an answer within the limits; the next query is always answered."""
    try:
        result = store.query(sql, root, limit=LIMIT, max_bytes=MAX_BYTES, timeout=timeout)
        text = ""
        assert len(result) <= LIMIT
        assert result.table.nbytes <= MAX_BYTES
    except errors.QueryError as error:
        text = str(error)
    assert store.query("SELECT count(*) AS n FROM records", root).rows == [{"n": 17}]
    return text


@pytest.mark.parametrize("name", hostile.REFUSED)
def test_what_is_refused_says_why_in_one_line(sample: Path, name: str) -> None:
    """Other statements, files, functions that reach out, tricks of quoting, nesting without end: each by its name, mostly with its place."""
    sql, words = hostile.REFUSED[name]
    said = ask(sql, sample, timeout=60)
    assert words in said
    assert "\n" not in said
    assert len(said) < 700


@pytest.mark.parametrize("name", hostile.LIMITED)
def test_what_takes_too_much_is_ended(sample: Path, name: str) -> None:
    """Time without end and memory without measure: ended at the deadline or at the limit, with a line that says which."""
    assert STOPPED.search(ask(hostile.LIMITED[name], sample))


@pytest.mark.parametrize("name", hostile.EITHER)
def test_what_is_large_is_answered_or_ended(sample: Path, name: str) -> None:
    """Thousands of columns, conditions and list entries do no harm."""
    said = ask(hostile.EITHER[name], sample)
    assert not said or STOPPED.search(said) or said.startswith("The statement failed: ")


@pytest.mark.parametrize("name", hostile.ANSWERED)
def test_what_only_looks_bad_is_answered(sample: Path, name: str) -> None:
    """Within the limits of rows and bytes."""
    assert ask(hostile.ANSWERED[name], sample, timeout=60) == ""

"""However a program ends, and whatever it leaves open: it ends as it does untraced, says the same, and nothing that had ended is lost."""

from __future__ import annotations

import shutil
import sys
from itertools import zip_longest
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.e2e.exits import BEFORE, ENDINGS, FINALIZED, PARTS, PROGRAMS, Program, faults, interpreter

MODES = ("configured", "exec")


def _each_at_least_once() -> list[Program]:
    """Few programs that have every part, every ending and every beginning."""
    parts, endings, before = list(PARTS), list(ENDINGS), list(BEFORE)
    groups = list(zip_longest(*(parts[start :: len(endings)] for start in range(len(endings)))))
    return [
        Program(tuple(filter(None, row)), ending, (before[number % len(before)],), inside=bool(number % 2))
        for number, (ending, row) in enumerate(zip(endings, zip(*groups, strict=True), strict=True))
    ]


@pytest.mark.parametrize("program", _each_at_least_once(), ids=lambda program: f"{program.ending}: {', '.join(program.parts)}")
def test_a_program_ends_as_it_does_untraced(program: Program, tmp_path: Path) -> None:
    """Each way to leave something open, and each way to end: exit code and output are the program's own, and its spans are in the recording."""
    assert faults(program, tmp_path / "program", sys.executable, MODES) == []


FORKED = "is multi-threaded, use of fork() may lead to deadlocks"
"""What Python warns of, from 3.12 on, where a process that forks has threads."""


@pytest.mark.long
@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_random_programs_end_as_they_do_untraced(version: str, tmp_path: Path) -> None:
    """Two hundred random programs on each Python."""
    python = interpreter(version)
    if python is None:
        pytest.skip(f"there is no environment of Python {version} (.venv-{version}), which `make test-versions` makes")

    # Of one that fails, a smaller one would be looked for by running hundreds, some of which may never end.
    @settings(max_examples=200, phases=[Phase.explicit, Phase.reuse, Phase.generate])
    @given(program=PROGRAMS, mode=st.sampled_from(MODES))
    def search(program: Program, mode: str) -> None:
        place = tmp_path / "program"
        for _ in range(2):
            try:
                found = faults(program, place, python, [mode])
            finally:
                shutil.rmtree(place)
            # A fork waits half a second at most for a sync that is under way, and the disk of a busy machine may take longer.
            if not found or not all(FORKED in fault or FINALIZED in fault for fault in found):
                break
        assert not found, "\n".join([*found, "", program.source()])

    search()

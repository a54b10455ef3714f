"""A run with damaged lines is drawn as the reader of all has it: without what cannot be read, and with the rest."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from benchmarks._spans import run_lines
from massgen_tracing.store.roots import outlines, reader
from massgen_tracing.store.sealing import seal
from massgen_tracing.views.web import columns
from tests.store.test_seal import live

LINES = [line.encode() for line in run_lines(seed=1, spans=24)][:-1]
"""The first one tells the start of a span that has no end."""

TEXT = b"".join(LINES)
NAMES, ATTRIBUTES, KEYS = (
    [match.end() for match in re.finditer(rb'"spans":[^\n]*?' + before, TEXT)] for before in (rb'"name":"', rb'"attr', rb'"key":"')
)
"""Where these are in each span's line."""

DAMAGE = st.lists(
    st.tuples(st.integers(0, len(TEXT) - 1), st.one_of(st.integers(0, 255), st.sampled_from(b'"\\{}[],:\0\x01\n\xff0'))), min_size=1, max_size=4
)


def drawn(path: Path) -> dict[str, Any]:
    """What the page gets of a file: from its outlines where there are any."""
    outlined = outlines.read([path], columns.ASKED)
    return columns.document((columns.drawn(outlined) if outlined else None) or columns.of(reader.read([path]).spans)[0], "")


def in_full(path: Path) -> dict[str, Any]:
    """The same of all that the file says."""
    return columns.document(columns.of(reader.read([path]).spans)[0], "")


@given(DAMAGE)
@example([(NAMES[1], 1)])
@example([(NAMES[1], 0xFF)])
@example([(KEYS[1], 0x80)])
@example([(KEYS[1], ord('"'))])
@example([(ATTRIBUTES[0], ord(" "))])
@example([(place, ord(" ")) for place in ATTRIBUTES])
@settings(max_examples=40, deadline=None)
def test_a_run_with_damaged_bytes_is_drawn_as_it_is_read(tmp_path_factory: pytest.TempPathFactory, damage: list[tuple[int, int]]) -> None:
    """Whatever bytes a disk has lost, in a live file and in the one that it is sealed to."""
    damaged = bytearray(TEXT)
    for place, byte in damage:
        damaged[place] = byte
    path = live(tmp_path_factory.mktemp("root"), bytes(damaged).splitlines(keepends=True))
    assert drawn(path) == in_full(path)
    sealed = seal.seal(path).sealed
    if sealed is not None:
        assert drawn(sealed) == in_full(sealed)


@given(st.floats(0, 0.999), st.integers(0, 255))
@settings(max_examples=15, deadline=None)
def test_a_damaged_sealed_file_does_not_stop_its_outlines(tmp_path_factory: pytest.TempPathFactory, where: float, byte: int) -> None:
    """The reader of all says then what can be had of it."""
    sealed = seal.seal(live(tmp_path_factory.mktemp("root"), LINES)).sealed
    assert sealed is not None
    damaged = bytearray(sealed.read_bytes())
    damaged[int(where * len(damaged))] = byte
    sealed.chmod(0o600)
    sealed.write_bytes(damaged)
    outlines.read([sealed], columns.ASKED)

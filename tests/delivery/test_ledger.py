"""Ledgers: whenever their writer dies, they say how far the backend is, or nothing."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from massgen_tracing import ledger
from massgen_tracing.ledger import Busy, Entry, Ledger

NUMBERS = st.integers(0, 2**63 - 1)
ENTRIES = st.builds(
    Entry,
    url=st.text(max_size=300),
    only=st.text("0123456789abcdef", max_size=32),
    pending=st.booleans(),
    inode=NUMBERS,
    position=NUMBERS,
    landmark=st.integers(0, 2**32 - 1),
    sent=NUMBERS,
    refused=NUMBERS,
    late=NUMBERS,
    why=st.text(max_size=2000),
)


@given(ENTRIES)
def test_an_entry_fits_its_slot_and_comes_back(entry: Entry) -> None:
    """Long texts are cut, numbers are not."""
    slot = entry.encode()
    back = Entry.decode(slot)
    assert len(slot) == 2048
    assert back is not None
    assert replace(back, url="", why="") == replace(entry, url="", why="")
    assert entry.url.startswith(back.url)
    assert entry.why.startswith(back.why)


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=5), st.data())
def test_one_damaged_slot_costs_the_last_step_at_most(tmp_path_factory: pytest.TempPathFactory, positions: list[int], data: st.DataObject) -> None:
    """A write that was torn anywhere leaves the entry before it."""
    path = tmp_path_factory.mktemp("ledger") / "ledger"
    with Ledger(path) as book:
        for position in positions[:-1]:
            book.write(Entry("u", position=position))
        before = path.read_bytes()
        book.write(Entry("u", position=positions[-1]))
    after = path.read_bytes()
    if before:
        torn = data.draw(st.integers(0, len(after)))
        path.write_bytes(after[:torn] + before[torn:])
    found = ledger.read(path)
    assert found is not None
    assert found.position in positions[-2:]


@given(st.binary(max_size=5000))
def test_garbage_says_nothing(content: bytes) -> None:
    """No content makes reading a ledger fail."""
    assert Entry.decode(content) is None


def test_only_one_holds_it(tmp_path: Path) -> None:
    """In this process as among several; readers are not kept from reading."""
    path = tmp_path / "ledger"
    with Ledger(path) as book:
        book.write(Entry("u", position=7))
        with pytest.raises(Busy):
            Ledger(path)
        assert ledger.read(path) == book.entry
    Ledger(path).close()


def test_a_forked_child_does_not_hold_it(tmp_path: Path) -> None:
    """Its parent lets go of it, and then it is free, however long the child lives."""
    path = tmp_path / "ledger"
    wake, go_on = os.pipe()
    born, say = os.pipe()
    book = Ledger(path)
    child = os.fork()
    if child == 0:
        os.close(go_on)
        os.write(say, b"!")
        os.read(wake, 1)
        os._exit(0)
    os.read(born, 1)
    book.close()
    try:
        Ledger(path).close()
    finally:
        for descriptor in (go_on, wake, born, say):
            os.close(descriptor)
        os.waitpid(child, 0)


def test_a_short_write_is_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said, and what was noted before, and is noted later, holds."""
    path = tmp_path / "trace.otlp.jsonl"
    path.touch()
    first, second = b"1" * 24, b"2" * 24
    ledger.note_taken(path, "b", first)
    write, pwrite = os.write, os.pwrite
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda descriptor, content: write(descriptor, content[:10]))
        patch.setattr(os, "pwrite", lambda descriptor, content, at: pwrite(descriptor, content[:10], at))
        with pytest.raises(OSError, match="No space left"):
            ledger.note_taken(path, "b", second)
        with Ledger(ledger.path_for(path, "b")) as book, pytest.raises(OSError, match="No space left"):
            book.write(Entry("http://localhost:4318"))
    ledger.note_taken(path, "b", second)
    assert ledger.taken(path, "b") == {first, second}
    assert list(ledger.entries(path)) == []

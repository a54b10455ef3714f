"""Writing the files of a run: whole or not at all, whoever else is at the same file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from massgen_tracing.projection.writer import ArtifactWriter


def test_a_file_that_another_thread_puts_in_its_place_meanwhile_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads write the same file at the end of a process: what is written last stands there, and nothing is said of it."""
    replace, others = os.replace, [True]

    def raced(source: Path, target: Path) -> None:
        if others.pop() if others else False:
            replace(source, target)  # the other thread's, of the file that both have written beside it
        replace(source, target)

    monkeypatch.setattr(os, "replace", raced)
    writer = ArtifactWriter()
    assert writer.write(tmp_path / "status.json", b"{}", remember=True)
    assert (tmp_path / "status.json").read_bytes() == b"{}"
    assert [path.name for path in tmp_path.iterdir()] == ["status.json"]
    assert (writer.saved.written, writer.saved.failed) == (1, 0)


def test_files_that_wait_are_written_in_their_order_as_time_and_memory_allow(tmp_path: Path) -> None:
    """When the time is over one more is written and the rest waits; more than a few megabytes do not wait."""
    writer = ArtifactWriter()
    for name in ("a", "b", "c"):
        writer.later(f"{tmp_path}/{name}", name.encode())
    assert not writer.catch_up(0.0)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    writer.later(f"{tmp_path}/d", b"d" * (6 << 20))
    writer.later(f"{tmp_path}/e", b"e")
    assert not writer.catch_up(0.0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c", "d"]
    assert writer.catch_up()
    assert (tmp_path / "e").read_bytes() == b"e"

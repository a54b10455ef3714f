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

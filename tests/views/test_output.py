"""Files that people name, of whatever kind."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from massgen_tracing.views import output


def test_a_link_stays_and_what_it_leads_to_is_written(tmp_path: Path) -> None:
    """Whole, in the place of what was there."""
    (tmp_path / "page.html").write_text("old")
    (tmp_path / "link").symlink_to("page.html")
    with output.writing(tmp_path / "link") as out:
        out.write(b"new")
        assert (tmp_path / "page.html").read_text() == "old"
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "page.html").read_text() == "new"
    assert sorted(os.listdir(tmp_path)) == ["link", "page.html"]


def test_a_pipe_is_written_into(tmp_path: Path) -> None:
    """And stays one."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    with output.writing(pipe) as out:
        out.write(b"whole")
    reader.join()
    assert read == [b"whole"]
    assert pipe.is_fifo()


def test_what_fails_leaves_what_was_there(tmp_path: Path) -> None:
    """And nothing beside it."""
    (tmp_path / "page.html").write_text("old")
    with pytest.raises(LookupError), output.writing(tmp_path / "page.html") as out:
        out.write(b"half")
        raise LookupError
    assert (tmp_path / "page.html").read_text() == "old"
    assert os.listdir(tmp_path) == ["page.html"]

"""`massgen-tracing view`: where it leads, and that it serves until it is told to end."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest

from massgen_tracing.errors import RecordingError
from massgen_tracing.serve import viewing
from tests.views.web.recorded import FAULTY, FRAMEWORK, TURNS


def test_it_prints_an_address_that_shows_the_run_and_ends_when_it_is_told_to(root: Path) -> None:
    """On this machine's own address, on a port that was free; ended by Ctrl-C, it ends well."""
    words = [sys.executable, "-m", "massgen_tracing", "view", FAULTY, "--root", str(root), "--no-browser"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            assert address.startswith("http://127.0.0.1:")
            assert address.endswith(f"/run?run={FAULTY}&turn=1")
            with urlopen(address) as answer:
                assert b'<div id="app">' in answer.read()
            process.send_signal(signal.SIGINT)
            assert process.wait() == 0
        finally:
            process.kill()


def test_a_run_is_shown_wherever_it_lies(root: Path, tmp_path: Path) -> None:
    """By its name, its directory, a part of it, its recording, its trace; under the root, or elsewhere."""
    directory = root / "massgen_logs" / TURNS
    recording = next((root / "traces").iterdir())
    assert viewing.wanted(str(root), None) == (str(root), "/")
    assert viewing.wanted(str(root), TURNS) == (str(root), f"/run?run={TURNS}&turn=2")
    assert viewing.wanted(str(root), str(directory / "turn_1")) == (str(root), f"/run?run={TURNS}&turn=1")
    assert viewing.wanted(str(tmp_path), str(directory)) == (str(root), f"/run?run={TURNS}&turn=2")
    assert viewing.wanted(str(root), FRAMEWORK) == (str(root), f"/run?run={FRAMEWORK}")
    assert viewing.wanted(str(root), str(recording)) == (str(root), f"/run?run={recording.name}")
    assert viewing.wanted(str(tmp_path), str(recording)) == (str(recording), "/run")
    assert viewing.wanted(str(recording), None) == (str(recording), "/run")


def test_what_is_not_there_is_said_before_anything_is_served(root: Path, tmp_path: Path) -> None:
    """A run, and a root."""
    with pytest.raises(RecordingError, match="no run or recording named nowhere"):
        viewing.wanted(str(root), "nowhere")
    with pytest.raises(RecordingError):
        viewing.wanted(str(tmp_path / "nothing"), None)

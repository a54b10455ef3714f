"""Sealing at a program's end: by a process of its own, where it is asked for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import massgen_tracing as mt
from massgen_tracing import guard
from massgen_tracing.sinks.recording import ended
from massgen_tracing.store.roots import catalogue, reader
from tests.sinks.test_recording import eventually

PROGRAM = """
import massgen_tracing as mt
tracer = mt.configure()
with tracer.session("A question", agents=["a"]) as session, session.agent_round("a"):
    pass
print("ended")
"""


@pytest.mark.parametrize("command", [[], ["-m", "massgen_tracing.views.cli", "exec", "--", sys.executable]], ids=["a program", "under exec"])
def test_a_recording_is_sealed_when_its_program_has_ended(command: list[str], tmp_path: Path) -> None:
    """Nothing of it is heard, the program does not wait for it, and every span is in the sealed file."""
    env = {**os.environ, "MASSGEN_TRACING_SEAL": "true", "MASSGEN_TRACING_ROOT": str(tmp_path)}
    done = subprocess.run([sys.executable, *command, "-c", PROGRAM], env=env, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("ended\n", "")
    eventually(None, lambda: [path.name for path in catalogue.files(tmp_path)] == ["trace.parquet"])
    assert {span.name for span in reader.read(catalogue.files(tmp_path)).spans} == {"coordination.session", "agent.a.round_0"}


def test_recordings_stay_as_they_are_without_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only where it is asked for: by default no process is started."""
    monkeypatch.setattr(ended, "seal_apart", lambda root: pytest.fail(f"sealed {root}"))
    tracer = mt.configure(root=tmp_path)
    with tracer.session("A question", agents=["a"]):
        pass
    mt.shutdown()
    assert [path.name for path in catalogue.files(tmp_path)] == ["trace.otlp.jsonl"]


def test_a_sealer_that_cannot_be_started_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, swallowed: list[str]) -> None:
    """The program ends as it would have; the recording stays as it is."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "gone"))
    mt.configure(root=tmp_path, seal=True)
    assert mt.shutdown()
    assert swallowed == ["recording.seal"]
    (problem,) = guard.problems()
    assert "massgen-tracing compact" in problem.message
    swallowed.clear()

"""MassGen's own readers on our run directories: `logs list`, `logs`, `logs tools`, `export --dry-run`, and what the viewer takes."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from massgen_tracing import layout, semconv
from massgen_tracing.projection.directory import RunFiles
from tests.massgen.conftest import NEWEST, Runs
from tests.projection.scenes import Scene, a_run, folded

pytestmark = pytest.mark.massgen

Said = dict[tuple[str, str], dict[str, Any]]


def failed() -> Scene:
    """Every agent failed, and nobody won."""
    scene = Scene()
    session = scene.session()
    scene.fail(scene.round(session, "b", 0))
    scene.fail(scene.round(session, "a", 0), "timeout")
    scene.end(session, True, **{semconv.FINISH_REASON: "error"})
    return scene


def midway() -> Scene:
    """One agent has failed, another one is at work."""
    scene = Scene()
    session = scene.session()
    a = scene.round(session, "a", 0)
    scene.fail(scene.round(session, "b", 0))
    scene.call(a, output="I look.")
    scene.tool(a)
    return scene


SCENES = {"ended": a_run, "failed": failed, "live": midway}


@pytest.fixture(scope="module")
def said(runs: Runs, tmp_path_factory: pytest.TempPathFactory) -> Said:
    """What each reader says of each directory, all asked in one process."""
    root = tmp_path_factory.mktemp("read")
    for name, scene in SCENES.items():
        files = RunFiles(layout.new_run(root / name / layout.DEFAULT_ROOT))
        folded(scene().steps, files.fold)
        if name == "live":
            files.update(0)
        else:
            files.finish()
    places = root / "places.json"
    places.write_text(json.dumps([str(root / name) for name in SCENES]))
    env = {**os.environ, "HOME": str(root), "COLUMNS": "200", "PYTHONWARNINGS": "ignore"}
    words = [*runs.preloaded(NEWEST).command(Path(__file__).with_name("reading.py")), str(places)]
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {(Path(each["place"]).name, each["reader"]): each for each in found}


@pytest.mark.parametrize("name", SCENES)
def test_no_reader_stumbles(said: Said, name: str) -> None:
    """Each ends with 0, live too, and where every agent has failed."""
    for reader in ("logs list", "logs", "logs tools", "export --dry-run"):
        each = said[name, reader]
        assert each["code"] in {0, None}, each["said"]
        assert "Error" not in each["said"].replace("Errors:", ""), each["said"]
        assert "Traceback" not in each["said"]


def test_the_log_commands_show_the_run(said: Said) -> None:
    """Question, winner, cost, tokens, rounds and tools, as they are in the run."""
    assert "What is AI?" in said["ended", "logs list"]["said"]
    assert "$0.20" in said["ended", "logs list"]["said"]
    summary = said["ended", "logs"]["said"]
    for part in ("Winner: b", "Agents: 3", "Input: 30", "Output: 15", "answer: 2 | vote: 3 | presentation: 1 | restarted: 1", "Errors: 1"):
        assert part in summary
    assert "mcp__fs__read" in said["ended", "logs tools"]["said"]
    assert "No metrics" in said["live", "logs list"]["said"]
    assert "Turn 1 - What is AI?" in said["ended", "export --dry-run"]["said"]


def test_the_viewer_takes_every_event(said: Said) -> None:
    """No line is lost on it, and it knows agents, models, question and whether the run goes on."""
    for name in SCENES:
        seen = said[name, "viewer"]
        assert seen["events"] == seen["lines"] > 0
        assert seen["question"] == "What is AI?"
        assert seen["complete"] is (name != "live")
    ended = said["ended", "viewer"]
    assert sorted(ended["agents"]) == ["a", "b", "c"]
    assert ended["models"] == dict.fromkeys("abc", "m")
    assert {"round_start", "text", "tool_start", "tool_complete", "answer_submitted", "vote", "final_presentation_start", "final_answer"} <= {
        *ended["types"]
    }
    assert ended["shown"] > 15

"""`massgen-tracing run --continue`: the next turn of a run, and one more attempt at its last one, each in a directory of its own."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from massgen_tracing import layout
from massgen_tracing.runs.coordinator.scripted import ScriptedEndpoint, Turn
from massgen_tracing.views import continuing
from massgen_tracing.views.cli import main


@pytest.fixture(scope="module")
def conversation(tmp_path_factory):
    """A run of one agent with two turns, and a second attempt at the second one: what each request asked, and the run's directory."""
    place = tmp_path_factory.mktemp("conversation")
    asked_for = []

    def script(asked):
        asked_for.append(asked.messages[1]["content"])
        question = re.search(r"<question>\n(.*)\n</question>", asked_for[-1])
        assert question is not None
        if not asked.tools:
            return Turn(f"final answer to {question[1]}")
        from tests.runs.conftest import answer, vote

        return vote("agent1") if "vote" in asked.tools else answer(f"draft for {question[1]}")

    with pytest.MonkeyPatch.context() as patch, ScriptedEndpoint(script) as endpoint:
        patch.chdir(place)
        agent = {"id": "a", "backend": {"type": "openai", "model": "gpt-5-mini", "base_url": endpoint.base_url("a")}}
        Path("a.yaml").write_text(json.dumps({"agents": [agent]}), encoding="utf-8")
        run = ["run", "--automation", "--config", "a.yaml"]
        assert main([*run, "First question?"]) == 0
        [log_dir] = place.glob(".massgen/massgen_logs/log_*")
        assert main([*run, "--continue", log_dir.name, "Second question?"]) == 0
        assert main([*run, "--continue", str(log_dir / "turn_1")]) == 0
        [same] = place.glob(".massgen/massgen_logs/log_*")
    assert same == log_dir
    return asked_for, log_dir


def test_directories(conversation):
    """A question more is a turn more, and no question is an attempt more at the last one; all in the run's directory, each with its recording."""
    _, log_dir = conversation
    attempts = layout.attempts(log_dir)
    assert [(attempt.turn, attempt.attempt) for attempt in attempts] == [(1, 1), (2, 1), (2, 2)]
    assert [continuing.question_of(attempt) for attempt in attempts] == ["First question?", "Second question?", "Second question?"]
    answers = [attempt.final_answer("a").read_text(encoding="utf-8") for attempt in attempts]
    assert answers == ["final answer to First question?", *["final answer to Second question?"] * 2]


def test_what_agents_are_told(conversation):
    """The agents are told what was asked and answered in the turns before, and nothing of other attempts at the same."""
    asked_for, _ = conversation
    assert len(asked_for) == 9
    assert not [prompt for prompt in asked_for[:3] if "<earlier>" in prompt]
    for prompt in asked_for[3:]:
        assert prompt.startswith("<earlier>\nFirst question?\n\nfinal answer to First question?\n</earlier>\n\n<question>\nSecond question?\n")
        assert prompt.count("<earlier>") == 1


def test_directories_for_several_at_once(tmp_path):
    """Whoever goes on with a run at the same moment gets a turn, or an attempt, of his own, also where numbers are missing."""
    run = layout.new_run(tmp_path)
    turns = [layout.next_turn(run.log_dir) for _ in range(3)]
    assert [turn.turn for turn in turns] == [2, 3, 4]
    (run.log_dir / "turn_9").mkdir()
    assert layout.next_turn(run.log_dir).turn == 10
    assert layout.next_attempt(run.log_dir, 3) == layout.RunDirectory(run.log_dir, 3, 2)
    assert layout.attempts(run.log_dir)[-1] == layout.RunDirectory(run.log_dir, 10, 1)
    assert layout.attempts(tmp_path / "nothing") == []


@pytest.mark.parametrize("written", ["query: What was it?\n", "query: [1]\n", "not: {yaml", None])
def test_run_that_was_not_traced(tmp_path, written):
    """Of a run that left no recording, MassGen's own file tells what was asked, where it does."""
    run = layout.new_run(tmp_path)
    answer = run.final_answer("a")
    answer.parent.mkdir(parents=True)
    answer.write_text("It was this.", encoding="utf-8")
    if written is not None:
        (run.attempt_dir / "execution_metadata.yaml").write_text(written, encoding="utf-8")
    asked = "What was it?" if written is not None and "What" in written else ""
    assert continuing.history(continuing.attempts_of(str(tmp_path), run.run_id), 2) == [(asked, "It was this.")]

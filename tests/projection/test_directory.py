"""The files of a run's directory: the same whatever order the records come in, live or afterwards."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from massgen_tracing import layout, semconv
from massgen_tracing.model import SpanRecord
from massgen_tracing.projection import artifacts, state
from massgen_tracing.projection.directory import RunFiles, rebuild
from massgen_tracing.projection.events import Event
from tests.projection.scenes import Scene, a_run, recorded, scenes


def contents(directory: Path) -> dict[str, bytes]:
    """Every file below a directory."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()}


def written_live(run: layout.RunDirectory, steps: list[SpanRecord], every: int = 3, seconds: float = math.inf) -> RunFiles:
    """The files as they are written while the steps come, by updates that may take so many seconds."""
    files = RunFiles(run)
    for count, step in enumerate(steps):
        if step.end_ns is None:
            files.fold.started(step)
        else:
            files.fold.ended(step)
        if count % every == 0:
            files.update(step.start_ns, seconds)
    files.finish()
    return files


def test_what_updates_have_no_time_for_is_written_at_the_end(tmp_path: Path) -> None:
    """Updates that may take no time at all leave files for later, and `status.json` is written all the same; at the end every file is there."""
    (tmp_path / "quick").mkdir()
    run, other = layout.new_run(tmp_path / "slow"), layout.new_run(tmp_path / "quick")
    steps = a_run().steps
    files = RunFiles(run)
    for step in steps[:-1]:
        (files.fold.started if step.end_ns is None else files.fold.ended)(step)
    files.update(steps[-1].start_ns, 0.0)
    assert files.behind
    assert run.status.exists()
    written_live(other, steps)
    assert len(contents(run.attempt_dir)) < len(contents(other.attempt_dir)) / 2
    (tmp_path / "again").mkdir()
    again = layout.new_run(tmp_path / "again")
    written_live(again, steps, every=1, seconds=0.0)
    assert contents(again.attempt_dir) == contents(other.attempt_dir)


def test_every_file_of_the_directory_is_there(tmp_path: Path) -> None:
    """One of everything, each with what it is for."""
    run = layout.new_run(tmp_path)
    written_live(run, a_run().steps)
    found = contents(run.attempt_dir)
    names = {"/".join(part for part in Path(name).parts if not part.startswith("2026")) for name in found}
    assert names == {
        "status.json", "metrics_summary.json", "coordination_events.json", "coordination_table.txt", "snapshot_mappings.json", "events.jsonl",
        "massgen.log",
        "streaming_debug.log", "execution_metadata.yaml", "final/manifest.json", "final/b/answer.txt",
        *(f"agent_outputs/{agent}.txt" for agent in "abc"), "a/answer.txt", "a/vote.json", "a/execution_trace.md",
        "b/answer.txt", "b/vote.json", "b/execution_trace.md", "c/execution_trace.md",
    }  # fmt: skip
    assert (run.log_dir / "status.json").samefile(run.status)
    assert (run.log_dir / "final/b/answer.txt").read_text() == "The final answer " * 20
    events = json.loads(found["coordination_events.json"])
    assert {"session_start", "new_answer", "vote_cast", "restart_triggered", "enforcement", "tool_call", "final_answer", "session_end"} <= {
        event["event_type"] for event in events["events"]
    }
    for line in found["events.jsonl"].splitlines():
        assert list(json.loads(line)) == ["timestamp", "event_type", "agent_id", "round_number", "data"]
    assert b'"command": "ls"' in found["streaming_debug.log"]
    trace = next(content.decode() for name, content in found.items() if name.startswith("a/") and b"Tool Call: 1" in content)
    assert trace.startswith("# Execution Trace: a\n\n**Model**: m | **Started**: ")
    assert "### Answer: agent1.1" in trace
    votes = [json.loads(content) for name, content in found.items() if name.endswith("vote.json")]
    assert {vote["voted_for_label"] for vote in votes} == {"agent1.1", "agent2.1"}
    manifest = json.loads(found["final/manifest.json"])
    assert (manifest["winner"], manifest["finish_reason"], manifest["agents"]["b"]["votes"]) == ("b", "completed", 2)
    assert all((run.attempt_dir / path).is_file() for agent in manifest["agents"].values() for path in agent["artifacts"])
    assert yaml.safe_load(found["execution_metadata.yaml"])["query"] == "What is AI?"
    mappings = json.loads(found["snapshot_mappings.json"])
    assert [each["type"] for each in mappings.values()][-1] == "final_answer"
    for label, each in mappings.items():
        assert each["label"] == label
        assert each["path"] in found
        assert each["timestamp"] == Path(each["path"]).parent.name or each["timestamp"] == "final"
    assert {label.partition(".")[2] for label in mappings} >= {"1", "vote1", "final"}
    summary = json.loads(found["metrics_summary.json"])
    assert (summary["totals"]["estimated_cost"], summary["totals"]["input_tokens"]) == (0.2, 30)


@given(scenes(), st.integers(1, 5), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_live_files_and_rebuilt_ones_are_the_same(tmp_path_factory: pytest.TempPathFactory, scene: Scene, every: int, chance: random.Random) -> None:
    """To the byte, of records in any order; a rebuild over what lies there changes nothing."""
    root = tmp_path_factory.mktemp("runs")
    run = layout.new_run(root)
    written_live(run, scene.steps, every)
    live = contents(run.attempt_dir)
    spans = recorded(scene.steps)
    chance.shuffle(spans)
    again = rebuild(run, spans)
    assert again is not None
    assert contents(run.attempt_dir) == live
    assert again.writer.saved.written == 0
    other = layout.RunDirectory(root / "log_other")
    assert rebuild(other, spans) is not None
    assert contents(other.attempt_dir) == live


def test_what_comes_late_is_in_no_file(tmp_path: Path) -> None:
    """A call that outlives the run has not ended in what was written at its end, nor in what is made of the recording."""
    scene = a_run()
    session = scene.steps[0]
    late = scene.begin("Tool execution: slow", session, **scene.of("a", 2), **{semconv.GEN_AI_TOOL_NAME: "slow"})
    scene.steps.insert(-2, scene.steps.pop())
    scene.steps[-3] = late = SpanRecord(
        late.trace_id, late.span_id, late.parent_span_id, late.name, session.start_ns + 1, None, attributes=late.attributes
    )
    live, later = layout.new_run(tmp_path), layout.new_run(tmp_path)
    written_live(live, scene.steps)
    scene.end(late)
    rebuild(later, recorded(scene.steps))
    assert contents(live.attempt_dir) == contents(later.attempt_dir)
    assert b"slow" not in contents(live.attempt_dir)["metrics_summary.json"]


def test_a_killed_run_is_rebuilt_as_it_was(tmp_path: Path) -> None:
    """Whenever it was killed: the state then, as a run that was interrupted; agents that were at work still are."""
    steps = a_run().steps
    for cut in range(1, len(steps), 7):
        run = layout.new_run(tmp_path)
        spans = [
            SpanRecord(s.trace_id, s.span_id, s.parent_span_id, s.name, s.start_ns, s.end_ns, attributes=s.attributes, status_code=s.status_code,
                       state="ended" if s.end_ns is not None else "interrupted")
            for s in recorded(steps[:cut])
        ]  # fmt: skip
        assert rebuild(run, spans) is not None
        found = json.loads(run.status.read_bytes())
        assert (found["finish_reason"], found["is_complete"]) == ("interrupted", True)
        assert found["coordination"]["completion_percentage"] < 100


def test_the_files_of_massgen_are_left_alone(tmp_path: Path) -> None:
    """What MassGen itself has run has files of its own, in the same directory, under the same names."""
    scene = Scene()
    scene.end(scene.session(**{semconv.MASSGEN_VERSION: "0.1.97"}))
    run = layout.new_run(tmp_path)
    assert rebuild(run, recorded(scene.steps)) is None
    assert contents(run.log_dir) == {}


@pytest.mark.parametrize("agent_id", ["../../etc", "a/b", "", ".", "..", "final", "agent_outputs", "x" * 300, "a\0b", "ä", "a\nb"])
def test_an_agent_of_any_name_has_a_directory_of_its_own(agent_id: str) -> None:
    """One name, no other's, and nowhere else."""
    name = layout.agent_folder(agent_id)
    assert Path(name).name == name
    assert len(name) <= 80
    assert name not in {".", "..", "final", "agent_outputs", agent_id}


def test_plain_ids_name_directories_as_they_are() -> None:
    """So that `final/$WINNER/answer.txt` is there."""
    assert [layout.agent_folder(name) for name in ("agent_a", "gpt-5.2", "Agent 1", "a@b")] == ["agent_a", "gpt-5.2", "Agent 1", "a@b"]


def test_an_event_is_the_line_that_tells_it() -> None:
    """What is read back is what was written; what is no event is none."""
    event = Event("2026-01-01T00:00:00.000000+00:00", "text", "a", 0, {"content": "ü\n\ud800"})
    assert Event.of(event.line()) == Event(event.timestamp, "text", "a", 0, {"content": "ü\n?"})
    assert Event.of(b'{"timestamp": 1}') is None
    assert Event.of(b"[]") is None


def test_of_a_very_long_round_the_trace_has_the_beginning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same live and rebuilt, and it says that it is cut; of a round that just fits all is there."""
    for module in (state, artifacts):
        monkeypatch.setattr(module, "MOST_DETAIL", 10)
    for number, tools in enumerate((4, 5, 6, 40)):  # each tells of its start and its end, after the round's own start
        run = layout.RunDirectory(tmp_path / f"log_{number}")
        scene = Scene(("a",))
        session = scene.session()
        rnd = scene.round(session, "a", 0)
        for _ in range(tools):
            scene.tool(rnd)
        scene.answer(rnd, "agent1.1", "found")
        scene.end(session)
        written_live(run, scene.steps, 1000)
        live = contents(run.attempt_dir)
        [trace] = [content.decode() for path, content in live.items() if path.endswith("execution_trace.md")]
        assert ("[cut; all of it is in events.jsonl]" in trace) == (tools > 4)
        assert trace.count("### Tool Call") in {min(tools, 4), min(tools, 5)}
        assert rebuild(run, recorded(scene.steps)) is not None
        assert contents(run.attempt_dir) == live

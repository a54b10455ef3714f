"""Real MassGen in programs that are out of the ordinary: interactive, from within other work, interrupted, restarted, changed, uninstrumented."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from massgen_tracing import layout
from massgen_tracing.runs.coordinator.scripted import Asked, ScriptedCall, Turn
from rehearsal.cases import NO_SERVER
from rehearsal.environments import Environment
from rehearsal.run import HERE, Setup, agents, stage
from rehearsal.script import SERVER, Part, Script
from tests.massgen import evidence
from tests.massgen.conftest import VERSIONS, Runs
from tests.massgen.evidence import Tree

pytestmark = pytest.mark.massgen

NO_TOOLS = Part(tools=0)


class Once(Script):
    """Whoever is the first that may makes one call that is not in the script."""

    call: ScriptedCall
    made = False

    def __call__(self, asked: Asked) -> Turn:
        if self.made or self.call.name not in asked.tools:
            return super().__call__(asked)
        self.made = True
        return replace(super().__call__(replace(asked, tools=())), text="First of all.", calls=(self.call,))


def test_a_tool_in_the_background_lies_in_the_round_that_started_it(newest_preloaded: Environment, tmp_path: Path) -> None:
    """It is marked as such, and lasts as long as it did: MassGen gives it up when the round's agent has voted or answered."""
    script = Once(agents(2), part=NO_TOOLS, seed=50)
    beside = {"tool_name": f"mcp__{SERVER}__note", "arguments": {"text": "beside", "seconds": 20}}
    script.call = ScriptedCall("custom_tool__start_background_tool", beside)
    with stage(newest_preloaded, script, place=tmp_path) as here:
        ran = here.run(here.massgen())
    tree = Tree(ran.spans)
    (call,) = tree.named("mcp.")
    assert call.attributes["massgen.background"] is True
    assert call.attributes["massgen.outcome"] == "cancelled"
    assert (evidence.end(call) - call.start_ns) / 1e9 < 20
    assert evidence.misplaced(tree) == []
    assert evidence.requests_and_spans(ran, tree)[1] == []


def test_lines_of_an_interactive_program_are_questions_of_their_own(newest_preloaded: Environment, tmp_path: Path) -> None:
    """Each is a session in a trace of its own, recorded beside MassGen's files of that turn."""
    questions = ["Which layout?", "And which colour?"]
    with stage(newest_preloaded, Script(agents(2), part=NO_TOOLS, seed=51), NO_SERVER, place=tmp_path) as here:
        words = [*newest_preloaded.command(newest_preloaded.massgen), "--config", str(here.config)]
        ran = here.run(words, stdin="\n".join([*questions, "/quit", ""]), env={"TERM": "dumb"})
    tree = Tree(ran.spans)
    assert [session.attributes["massgen.task"] for session in tree.sessions] == questions
    assert len({session.trace_id for session in tree.sessions}) == len(questions)
    assert evidence.misplaced(tree) == []
    assert evidence.requests_and_spans(ran, tree)[1] == []
    recordings = sorted(ran.place.glob(f"{layout.DEFAULT_ROOT}/{layout.LOGS_DIR}/*/*/*/{layout.recording_name()}"))
    assert [path.parent.parent.name for path in recordings] == ["turn_1", "turn_2"]


def test_within_a_span_of_the_program_a_session_is_its_child(newest_preloaded: Environment, tmp_path: Path) -> None:
    """OpenTelemetry's or ours; two questions at once do not mix; the program's span is current afterwards as before."""
    with stage(newest_preloaded, Script(agents(2), part=NO_TOOLS, seed=52), NO_SERVER, place=tmp_path) as here:
        ran = here.run([*newest_preloaded.command(HERE / "inside.py"), str(here.config)])
    assert ran.code == 0, ran.stderr
    tree = Tree(ran.spans)
    above = {str(session.attributes["massgen.task"]): getattr(tree.parent(session), "name", None) for session in tree.sessions}
    assert above == {"Alone?": "work", "Left?": "both", "Right?": "both"}
    ids = {session.span_id for session in tree.sessions}
    assert evidence.misplaced(Tree(replace(span, parent_span_id="") if span.span_id in ids else span for span in tree.named("co", "ag", "ll"))) == []
    assert evidence.requests_and_spans(ran, tree)[1] == []
    for request, span in evidence.requests_and_spans(ran, tree)[0]:
        session = tree.above(span, "coordination.session")
        assert session is not None
        assert str(session.attributes["massgen.task"]) in str(request["messages"])
    assert [process["left_current"] for process in ran.witness] == [[]]


def test_each_attempt_at_a_question_is_a_session(runs: Runs, tmp_path: Path) -> None:
    """A winner that is not content with its answer has everything done again, recorded as the second attempt.

    With the oldest version: the newest fails when it begins the second attempt, and those between repeat it without end, traced or not.
    """
    script = Once(agents(2), part=replace(NO_TOOLS, vote="agent1"), seed=53)
    script.call = ScriptedCall("restart_orchestration", {"reason": "too short", "instructions": "Make it longer."})
    setup = Setup(server=False, orchestrator={"coordination": {"max_orchestration_restarts": 1}})
    with stage(runs.preloaded(VERSIONS[-1]), script, setup, place=tmp_path) as here:
        ran = here.run(here.massgen())
    tree = Tree(ran.spans)
    assert len(tree.sessions) == len({session.trace_id for session in tree.sessions}) == 2
    assert evidence.misplaced(tree) == []
    assert evidence.requests_and_spans(ran, tree)[1] == []
    for session, attempt in zip(tree.sessions, ("attempt_1", "attempt_2"), strict=True):
        (recording,) = ran.place.glob(f"{layout.DEFAULT_ROOT}/{layout.LOGS_DIR}/*/turn_1/{attempt}/{layout.recording_name()}")
        assert session.span_id in recording.read_text()


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_has_the_effect_that_it_has_without_us(name: str, newest: Environment, tmp_path: Path) -> None:
    """The same exit code and output; what went on then is recorded as cancelled, or as interrupted where the process had no time to say so."""
    rans = []
    for traced in (True, False):
        reached = threading.Event()

        class Slow(Script):
            def __call__(self, asked: Asked, reached: threading.Event = reached) -> Turn:
                if asked.agent_id == "agent_b":
                    reached.set()
                return super().__call__(asked)

        place = tmp_path / str(traced)
        place.mkdir()
        script = Slow(agents(2), {"agent_b": Part(tools=0, seconds=(80, 80))}, Part(tools=0, seconds=(60, 60)), seed=54)
        with stage(newest, script, NO_SERVER, place=place) as here:
            rans.append(here.run(here.massgen(), traced=traced, interrupt=(reached, signal.Signals[name])))
    ours, plain = rans
    assert ours.code == plain.code
    for said in ("stdout", "stderr"):
        lines = [[re.sub(r"[\d.]+", "#", line) for line in getattr(ran, said).replace(str(ran.place), "").splitlines()] for ran in rans]
        assert lines[0] == lines[1]
    tree = Tree(ours.spans)
    unfinished = {span.name: span.attributes.get("massgen.outcome", span.state) for span in (*tree.sessions, *tree.rounds, *tree.model_calls)}
    assert set(unfinished.values()) == {"cancelled" if name == "SIGINT" else "interrupted"}
    assert set(unfinished) == {"coordination.session", "agent.agent_a.round_0", "agent.agent_b.round_0", "llm.chatcompletion.stream"}


def test_uninstrumented_everything_is_as_it_was(newest: Environment, tmp_path: Path) -> None:
    """The same objects, after a run too; a second `instrument()` changes nothing; the next provider gets the next question and nothing else."""
    with stage(newest, Script(agents(2), part=NO_TOOLS, seed=55), NO_SERVER, place=tmp_path) as here:
        ran = here.run([str(newest.python), str(HERE / "reinstrument.py"), str(here.config)], traced=False)
    assert ran.code == 0, ran.stderr
    assert "Traceback" not in ran.stderr
    said = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith('{"replaced"')]
    assert [(one["left alone"], one["twice"], one["not put back"]) for one in said] == [([], [], [])] * 2
    assert said[0]["replaced"] > 30
    tree = Tree(ran.spans)
    assert [session.attributes["massgen.task"] for session in tree.sessions] == ["Question 1?", "Question 2?"]
    for session, one in zip(tree.sessions, said, strict=True):
        assert sorted(one["spans"]) == sorted(span.name for span in tree.spans if span.trace_id == session.trace_id)


CHANGES: Mapping[str, tuple[str, str]] = {
    "coordination_tracker.py": ("track_restart_signal", "note_restart_signal"),
    "orchestrator.py": ("track_restart_signal", "note_restart_signal"),
    "backend/base.py": ("start_api_call_timing", "begin_api_call_timing"),
    "backend/chat_completions.py": ("start_api_call_timing", "begin_api_call_timing"),
    "backend/base_with_custom_tool_and_mcp.py": ("start_api_call_timing", "begin_api_call_timing"),
    "structured_logging.py": ("instrument_openai", "instrument_open_ai"),
}
"""What a version to come might call otherwise, by file."""


def test_a_version_that_is_not_known_is_traced_as_far_as_it_goes(newest_preloaded: Environment, tmp_path: Path) -> None:
    """Functions have other names: the run is as ever, one line tells of each part that is missing, and the rest is traced."""
    site = next(newest_preloaded.path.glob("lib/python3*/site-packages"))
    changed = tmp_path / "changed"
    changed.mkdir()
    _linked(site / "massgen", changed / "massgen", {Path(name): _renamed(*names) for name, names in CHANGES.items()})
    (known,) = site.glob("massgen-*.dist-info")
    shutil.copytree(known, changed / "massgen-9.9.9.dist-info")
    metadata = changed / "massgen-9.9.9.dist-info" / "METADATA"
    metadata.write_text(re.sub(r"^Version: .*$", "Version: 9.9.9", metadata.read_text(), count=1, flags=re.MULTILINE))
    with stage(newest_preloaded, Script(agents(2), seed=56), place=tmp_path) as here:
        ran = here.run(here.massgen(), env={"PYTHONPATH": os.pathsep.join([str(changed), here.variables()["PYTHONPATH"]])})
    assert ran.code == 0, ran.stderr
    said = [line for line in ran.stderr.splitlines() if "MassGen 9.9.9" in line]
    assert sorted(line.partition("will lack ")[2].partition(".")[0] for line in said) == [
        "model calls one by one",
        "what keeps Logfire from instrumenting the clients too",
        "who made whom restart",
    ]
    tree = Tree(ran.spans)
    assert evidence.misplaced(tree) == []
    assert evidence.tools_and_spans(ran, tree)[1] == []
    assert tree.model_calls
    (session,) = tree.sessions
    assert session.attributes["massgen.version"] == "9.9.9"
    assert session.attributes["massgen.winner"]


def _linked(source: Path, target: Path, changes: Mapping[Path, Callable[[str], str]]) -> None:
    """A package that is made of links to another's files, but for those that are changed."""
    target.mkdir()
    for entry in source.iterdir():
        within = {Path(*path.parts[1:]): change for path, change in changes.items() if path.parts[0] == entry.name}
        if not within:
            (target / entry.name).symlink_to(entry)
        elif entry.is_dir():
            _linked(entry, target / entry.name, within)
        else:
            (target / entry.name).write_text(within[Path()](entry.read_text()))


def _renamed(name: str, other: str) -> Callable[[str], str]:
    return lambda text: re.sub(rf"\b{name}\b", other, text)

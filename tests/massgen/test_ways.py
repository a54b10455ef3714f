"""The ways to real MassGen: from Python, with its own tracing too, under OpenTelemetry's launcher, as a child of another trace; and without us."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, TracesData

from massgen_tracing.delivery.encode import Protobuf
from rehearsal.cases import NO_SERVER
from rehearsal.environments import Environment
from rehearsal.run import HERE, Ran, Setup, agents, stage
from rehearsal.script import Part, Script
from tests.massgen import evidence
from tests.massgen.conftest import VERSIONS, Runs, environment
from tests.massgen.evidence import Tree
from tests.sinks.collector import collecting, texts

pytestmark = pytest.mark.massgen

EVERY_VERSION = pytest.mark.parametrize("version", VERSIONS)

STEADY = {agent_id: Part(tools=0, seconds=(0.1 + place, 0.1 + place), vote="agent1") for place, agent_id in enumerate(agents(3))}
"""Agents whose order does not hang on who wins a race of milliseconds."""


def whole(ran: Ran, *, sessions: int = 1) -> Tree:
    """The tree of a run in which everything is where it belongs, each thing once."""
    assert ran.code == 0, ran.stderr
    tree = Tree(ran.spans)
    assert len(tree.sessions) == sessions
    assert evidence.misplaced(tree) == []
    assert evidence.requests_and_spans(ran, tree)[1] == []
    assert evidence.tools_and_spans(ran, tree)[1] == []
    sums = evidence.tokens(ran, tree)
    assert sums["endpoint"] == sums["calls"] == sums["rounds"]
    assert [(process["failed_detaches"], process["left_current"]) for process in ran.witness] == [(0, [])] * len(ran.witness)
    return tree


@EVERY_VERSION
@pytest.mark.part("process")
@pytest.mark.parametrize("how", ["exec", "instrument"])
def test_two_questions_in_one_process_are_two_traces(version: str, how: str, runs: Runs, tmp_path: Path) -> None:
    """Each question is a session of its own in a trace of its own; afterwards nothing is current. With the instrumentor called by hand too."""
    if how == "instrument" and version != VERSIONS[0]:
        pytest.skip("by hand on the newest only")
    questions = ["Which layout?", "And which colour?"]
    used = environment(version) if how == "instrument" else runs.preloaded(version)
    with stage(used, Script(agents(2), seed=30), Setup(server=version == VERSIONS[0]), place=tmp_path) as here:
        words = [
            *used.command(HERE / "driver.py"),
            *(["--instrument"] if how == "instrument" else []),
            str(here.config),
            *questions,
        ]
        ran = here.run(words, traced=how == "exec")
    tree = whole(ran, sessions=2)
    lines = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith(("{", "null", '"'))]
    assert [line["question"] for line in lines[:-1]] == questions
    assert lines[-1] is None
    first, second = tree.sessions
    assert [first.attributes["massgen.task"], second.attributes["massgen.task"]] == questions
    assert [first.attributes["massgen.winner"], second.attributes["massgen.winner"]] == [line["winner"] for line in lines[:-1]]
    assert first.trace_id != second.trace_id
    assert evidence.end(first) <= second.start_ns
    assert {span.trace_id for span in tree.spans} == {first.trace_id, second.trace_id}


@EVERY_VERSION
@pytest.mark.part("logfire")
@pytest.mark.parametrize("ours", [True, False], ids=["exec --logfire", "exec"])
def test_with_massgens_own_logfire_each_thing_is_there_once(version: str, ours: bool, runs: Runs, tmp_path: Path) -> None:
    """In the recording and in Logfire: the same spans, none of MassGen's or Logfire's own beside them; where we send them, as they are recorded."""
    if not ours and version != VERSIONS[0]:
        pytest.skip("both flags on the older ones, theirs alone on the newest only")
    used, setup = runs.preloaded(version), Setup(server=version != "0.1.32")
    with collecting() as logfire, stage(used, Script(agents(3), seed=31), setup, place=tmp_path) as here:
        env = {"LOGFIRE_TOKEN": "scripted", "LOGFIRE_BASE_URL": logfire.url}
        ran = here.run(here.massgen("--logfire"), options=["--logfire"] if ours else [], env=env)
    tree = whole(ran)
    sent = [span for span in logfire.spans if texts(span).get("logfire.span_type") != "pending_span"]
    ids = Counter(span.span_id.hex() for span in sent)
    assert [span.name for span in sent if ids[span.span_id.hex()] > 1] == []
    recorded = {span.span_id: span.name for span in tree.spans}
    assert {span.span_id.hex(): span.name for span in sent if span.name.startswith(("coordination.", "agent.", "llm.", "mcp."))} == {
        span_id: name for span_id, name in recorded.items() if name.startswith(("coordination.", "agent.", "llm.", "mcp."))
    }
    assert _doubled(name for name in (span.name for span in sent)) == []
    assert _doubled(recorded.values()) == []
    if ours:
        _as_recorded({span.span_id.hex(): span for span in sent}, tree)
        begun = Counter(span.parent_span_id.hex() for span in logfire.spans if texts(span).get("logfire.span_type") == "pending_span")
        assert begun[tree.sessions[0].span_id] == 1  # its SDK leaves out the start of what ends in the same batch
        assert begun.keys() <= {span.span_id for span in tree.spans if span.attributes.get("logfire.span_type") != "log"}
        assert set(begun.values()) == {1}


def _as_recorded(sent: Mapping[str, Span], tree: Tree) -> None:
    """Every span of the tree is there with its parent, kind, times, status, message and attributes: nothing of ours is scrubbed for a word."""
    for record in tree.spans:
        theirs = sent[record.span_id]
        (group,) = TracesData.FromString(Protobuf().request([Protobuf().record(record)])).resource_spans
        ours = group.scope_spans[0].spans[0]
        for field in ("trace_id", "parent_span_id", "name", "kind", "start_time_unix_nano", "end_time_unix_nano", "status"):
            assert getattr(theirs, field) == getattr(ours, field), (record.name, field)
        said = {pair.key: pair.value for pair in theirs.attributes}
        assert {pair.key: said.get(pair.key) for pair in ours.attributes} == {pair.key: pair.value for pair in ours.attributes}, record.name
        assert [event.name for event in theirs.events] == [event.name for event in ours.events]


def _doubled(names) -> list[str]:
    """Names of what would say again what the tree says."""
    again = ("Chat Completion", "streaming response", "mcp_tool.", "custom_tool.", "tool.custom", "Agent round context")
    return [name for name in names if name.startswith(again)]


@EVERY_VERSION
@pytest.mark.part("launcher")
def test_opentelemetry_instrument_finds_the_instrumentor(version: str, tmp_path: Path) -> None:
    """`opentelemetry-instrument -- massgen …` gives the same tree, in the local recording.

    Without the `--` it takes MassGen's `--config` for an abbreviation of an option of its own, and refuses it as ambiguous.
    """
    here = environment(version)
    if not (here.path / "bin" / "opentelemetry-instrument").exists():
        pytest.skip("opentelemetry-instrumentation is not installed there")
    with stage(here, Script(agents(3), STEADY, seed=32), NO_SERVER, place=tmp_path) as place:
        ran = place.run([str(here.path / "bin" / "opentelemetry-instrument"), "--", *place.massgen()], traced=False)
    whole(ran)


def test_a_run_is_a_child_of_the_span_that_started_it(newest_preloaded: Environment, tmp_path: Path) -> None:
    """TRACEPARENT in the environment makes the session part of that trace."""
    trace_id, span_id = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    with stage(newest_preloaded, Script(agents(1), STEADY, seed=33), NO_SERVER, place=tmp_path) as here:
        ran = here.run(here.massgen(), env={"TRACEPARENT": f"00-{trace_id}-{span_id}-01"})
    (session,) = Tree(ran.spans).sessions
    assert (session.trace_id, session.parent_span_id) == (trace_id, span_id)
    assert {span.trace_id for span in ran.spans} == {trace_id}


def test_spans_go_to_a_collector_too(newest_preloaded: Environment, tmp_path: Path) -> None:
    """With --otlp the collector gets the recording's spans, each once."""
    with collecting() as collector, stage(newest_preloaded, Script(agents(2), seed=34), place=tmp_path) as here:
        ran = here.run(here.massgen(), options=["--otlp", collector.url])
    whole(ran)
    sent = Counter(span.span_id.hex() for span in collector.spans if texts(span).get("logfire.span_type") != "pending_span")
    assert sent == Counter(span.span_id for span in ran.spans)


TIMES = (
    (re.compile(r"\d{8}_\d{6}(_\d+)?"), "<time>"),
    (re.compile(r"\d{2}:\d{2}:\d{2}(\.\d+)?"), "<time>"),
    (re.compile(r"\b\d+(\.\d+)?s\b"), "<seconds>"),
)


def _timeless(text: str, place: Path) -> list[str]:
    """The lines of an output, without moments, durations and the name of the place."""
    text = text.replace(str(place), "<place>")
    for pattern, word in TIMES:
        text = pattern.sub(word, text)
    return text.splitlines()


MOST_RACES = 3
"""How often a run is compared with one without us: where the machine is busy, two runs of MassGen alone may differ in who votes before whom."""


def _did(ran: Ran) -> dict[str, Any]:
    """What a run did, apart from times."""
    return {
        "code": ran.code,
        "stdout": _timeless(ran.stdout, ran.place),
        "stderr": sorted(_timeless(ran.stderr, ran.place)),
        "files": Counter(_timeless("\n".join(sorted(ran.files)), ran.place)),
        "asked": Counter((entry["agent_id"], entry["status"], *entry["calls"]) for entry in ran.requests),
    }


@EVERY_VERSION
@pytest.mark.parametrize("case", ["answered", "one refused", "all refused"])
def test_massgen_does_the_same_with_and_without(version: str, case: str, runs: Runs, tmp_path: Path) -> None:
    """Output, errors, exit code, files, and what the model was asked are the same, apart from times."""
    if case != "answered" and version != VERSIONS[0]:
        pytest.skip("failures on the newest only")
    refused = {"answered": (), "one refused": ("agent_c",), "all refused": agents(3)}[case]
    parts = {agent_id: replace(part, status=400 if agent_id in refused else 200) for agent_id, part in STEADY.items()}
    for attempt in range(MOST_RACES):
        rans = []
        for traced in (True, False):
            place = tmp_path / f"{attempt}_{traced}"
            place.mkdir()
            with stage(runs.preloaded(version), Script(agents(3), parts, seed=35), NO_SERVER, place=place) as here:
                rans.append(here.run(here.massgen(), traced=traced))
        with_us, without = rans
        assert with_us.spans
        assert not without.spans
        if _did(with_us) == _did(without):
            break
    assert _did(with_us) == _did(without)

"""Subagents of real MassGen: processes of their own, below the call that started them, in the same recording."""

from __future__ import annotations

import shlex
import stat
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from massgen_tracing import layout
from massgen_tracing.model import SpanRecord
from massgen_tracing.runs.coordinator.scripted import Asked, ScriptedCall, Turn
from massgen_tracing.store.roots import lookup
from rehearsal.environments import Environment
from rehearsal.run import QUESTION, Ran, Setup, Stage, agents, stage
from rehearsal.script import Part, Script
from tests.massgen import evidence
from tests.massgen.conftest import VERSIONS, Runs
from tests.massgen.evidence import Tree

pytestmark = pytest.mark.massgen

TASK = "Look up how others do it."

UV = """#!/bin/sh
# MassGen starts subagents by `uv run massgen`; that is in this environment already.
shift 2
exec %s "$@"
"""

SETUP = Setup(
    workspaces=True,
    more={"exclude_file_operation_mcps": True},  # MassGen's own servers for files need Node.js and the network
    orchestrator={
        "coordination": {"enable_subagents": True, "subagent_runtime_mode": "inherited"},
        # An execution takes ten seconds, since the server for subagents loads MassGen each time: one is enough.
        "max_new_answers_per_agent": 1,
        "skip_voting": True,
        "skip_final_presentation": True,
    },
)


class Delegating(Script):
    """The agent has a subagent look something up before it does anything else."""

    here: Stage | None = None
    asked = False

    def __call__(self, asked: Asked) -> Turn:
        spawn = next((tool for tool in asked.tools if tool.endswith("__spawn_subagents")), None)
        if spawn is None or self.asked or self.here is None:
            return super().__call__(asked)
        self.asked = True
        for workspace in (*self.here.work.glob(".massgen/workspaces/*"), *self.here.work.glob("workspace_*")):
            (workspace / "CONTEXT.md").write_text("A small library.")  # MassGen asks for one, or for the argument below in older versions
        older = self.here.environment.version == VERSIONS[-1]
        return replace(
            super().__call__(replace(asked, tools=())),
            text="I have somebody look it up.",
            calls=(ScriptedCall(spawn, {"tasks": [{"task": TASK, "subagent_id": "helper"}], **({"context": "A small library."} if older else {})}),),
        )


def delegated(preloaded: Environment, place: Path) -> tuple[Ran, bool]:
    """A run of one agent that has a subagent, and whether MassGen offered it to have one and got that one to its first request."""
    launcher = place / "bin" / "uv"
    launcher.parent.mkdir(parents=True)
    launcher.write_text(UV % shlex.join(preloaded.command(preloaded.massgen)))
    launcher.chmod(launcher.stat().st_mode | stat.S_IXUSR)
    script = Delegating(agents(1), part=Part(tools=1), seed=40)
    with stage(preloaded, script, SETUP, place=place) as here:
        script.here = here
        keys = place / "home" / ".massgen" / ".env"  # a server's environment has no keys; users keep them here
        keys.parent.mkdir()
        keys.write_text("OPENAI_API_KEY=scripted\n")
        path = f"{launcher.parent}:{here.variables()['PATH']}"
        ran = here.run(here.massgen(), env={"PATH": path})
        return ran, script.asked and any(TASK in str(request["messages"][1]) for request in ran.requests)


PATIENCE = 3
"""Runs at most: MassGen gives its own server for subagents 30 seconds, in which a busy machine may not get it started, and goes on without; it gives
a subagent its time too."""


@pytest.mark.part("subagents")
@pytest.mark.parametrize("version", VERSIONS)
def test_a_subagent_lies_below_the_call_that_started_it(version: str, runs: Runs, tmp_path: Path) -> None:
    """Its session, with every request of its own, is part of the same trace and run; no other MCP server is told anything."""
    for attempt in range(PATIENCE):
        ran, asked = delegated(runs.preloaded(version), tmp_path / str(attempt))
        if asked:
            break
    assert asked, ran.stderr
    assert ran.code == 0, ran.stderr
    tree = Tree(ran.spans)
    own, sub = sorted(tree.sessions, key=lambda session: str(session.attributes["massgen.task"]) != QUESTION)
    call = tree.above(sub, "mcp.")
    assert call is not None
    assert call.name.endswith(".spawn_subagents")
    rnd = tree.above(call, "agent.")
    assert rnd is not None
    assert tree.parent(rnd) is own
    assert TASK in str(sub.attributes["massgen.task"])
    assert call.start_ns < sub.start_ns < evidence.end(sub) < evidence.end(call)

    below = {span.span_id for span in tree.spans if span is sub or above_session(tree, span) is sub}
    assert misplaced(span for span in tree.spans if span.span_id not in below) == []
    assert misplaced(replace(span, parent_span_id="") if span is sub else span for span in tree.spans if span.span_id in below) == []
    found, alone = evidence.requests_and_spans(ran, tree)
    assert alone == []
    assert any(TASK in str(request["messages"]) and span.span_id in below for request, span in found)
    assert all((TASK in str(request["messages"][1])) == (span.span_id in below) for request, span in found)

    assert {span.trace_id for span in tree.spans} == {own.trace_id}
    assert len(list((ran.place / layout.DEFAULT_ROOT / layout.LOGS_DIR).iterdir())) == 1
    assert len(lookup.trace(ran.place / layout.DEFAULT_ROOT, own.trace_id).spans) == len(tree.spans)
    assert ran.tool_calls
    for told in ran.tool_calls:
        assert [name for name in told["variables"] if name.startswith(("MASSGEN_TRACING", "OTEL", "TRACEPARENT", "PYTHONPATH"))] == []


def misplaced(spans: Iterable[SpanRecord]) -> list[str]:
    """What is not where it belongs; an answer that 0.1.65 gives without presenting it has no round to lie in."""
    return [wrong for wrong in evidence.misplaced(Tree(spans)) if not wrong.startswith("Final answer")]


def above_session(tree: Tree, span: SpanRecord) -> SpanRecord | None:
    """The session that a span lies in."""
    return tree.above(span, "coordination.session")

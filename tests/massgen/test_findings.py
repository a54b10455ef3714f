"""What is found in real runs of MassGen: the same in what was traced and in what is made of the same run's log files."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from massgen_tracing import layout
from massgen_tracing.insight.findings import Finding, find
from massgen_tracing.insight.parts import Parts
from massgen_tracing.model import SpanRecord
from massgen_tracing.runs.massgen import imports
from massgen_tracing.sinks.recording import whole
from massgen_tracing.store.roots.reader import Reader
from massgen_tracing.thresholds import Thresholds
from massgen_tracing.views.report import analysed, build, markdown
from rehearsal.run import Ran
from tests.massgen.conftest import NEWEST, RUNS

OF_NEWEST = [run for run in RUNS if run[0] == NEWEST]
CALLS = {"missing_usage", "unpriced_calls", "exception", "retry_storm"}
"""What only single model calls tell, which log files do not have."""

SHARES = {"wasted_round", "token_outlier", "cost_outlier", "cache_low"}
"""What is found from a share of time, tokens or cost on, which log files tell less exactly: at the threshold it may be found in one only."""

EXPECTED: dict[str, set[str]] = {
    "replies that need enforcement": {"enforcement"},
    "an agent that is refused": {"agent_error", "incomplete_coordination", "enforcement"},
    "all agents refused": {"agent_error", "incomplete_coordination"},
    "out of time": {"timeout", "incomplete_coordination", "wasted_round"},
    "out of time after an answer": {"timeout", "incomplete_coordination", "wasted_round"},
    "one agent": set(),
}
"""What must be found in some of them; each of the faults there was planted by the case."""

CHOICES = {"self_vote", "vote_split", "cache_low", "near_duplicate_answer", "token_outlier", "cost_outlier"}
"""What the scripted model's dice decide."""


def by_whom(found: list[Finding]) -> set[tuple[str, tuple[str, ...]]]:
    return {(each.code, each.agents) for each in found}


def imported(ran: Ran, tmp_path: Path) -> tuple[SpanRecord, ...]:
    """What the run's log files tell, without its recording."""
    files = ran.place / layout.DEFAULT_ROOT
    # MassGen clears workspaces that links in the logs lead to.
    copy = shutil.copytree(files, tmp_path / "logs", symlinks=True, ignore=shutil.ignore_patterns(f"{layout.RECORDING_STEM}*"))
    found = Reader()
    for place in imports.find(copy):
        found.add_lines(whole.encode(imports.read(place).spans).splitlines(keepends=True), source=str(place.directory))
    return found.recording().spans


@pytest.mark.massgen
@pytest.mark.parametrize("ran", OF_NEWEST, ids=[name for _, name in OF_NEWEST], indirect=True)
def test_the_same_is_found_in_the_trace_and_in_the_log_files(ran: Ran, tmp_path: Path) -> None:
    """Of the same agents; but for single model calls, what a failed run never wrote down, and tools whose failures MassGen logs as successes."""
    traced, logged = (by_whom(find(Parts(spans), Thresholds())) for spans in (ran.spans, imported(ran, tmp_path)))
    only_traced = {code for code, _ in traced - logged} - CALLS - SHARES
    only_logged = {code for code, _ in logged - traced} - CALLS - SHARES
    if any(span.attributes.get("massgen.winner") for span in ran.spans):
        assert only_traced == set()
    assert only_logged <= {"tool_false_success"}


@pytest.mark.massgen
@pytest.mark.parametrize("ran", OF_NEWEST, ids=[name for _, name in OF_NEWEST], indirect=True)
def test_what_a_case_has_planted_is_found(ran: Ran, request: pytest.FixtureRequest) -> None:
    """And in the others nothing but what the model's own choices amount to; each run has a report with all of its agents."""
    name = request.node.callspec.id
    found = {each.code for each in find(Parts(ran.spans), Thresholds())}
    if name in EXPECTED:
        assert found - CHOICES - CALLS >= EXPECTED[name]
    if name in {"3 agents", "3 agents, no MCP", "5 agents, no MCP", "8 agents", "workspaces", "one agent"}:
        assert found - CHOICES - {"wasted_round", "vote_ignored", "repeated_after_restart", "incomplete_coordination"} == set()
    subject = analysed.subject(analysed.find(str(ran.place / layout.DEFAULT_ROOT), None))
    written = markdown.render(build(subject))
    assert all(f"\n### {agent}\n" in written for agent in subject.analysis.summary.agents)

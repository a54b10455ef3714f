"""What a round came to, where it answered and voted: everybody who tells it tells the same."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import massgen_tracing as mt
from massgen_tracing.insight.tree import trees
from massgen_tracing.views import run_json, terminal
from massgen_tracing.views.report import analysed, build, markdown
from massgen_tracing.views.report.subject import Subject


def _subject(root: Path, decide: Callable[[Any], object]) -> Subject:
    """A run in which one agent answers, and the other one does as it is told, in one round."""
    tracer = mt.configure(root=root)
    with tracer.session("Why?", agents=["agent_a", "agent_b"]) as session:
        with session.agent_round("agent_a") as rnd:
            rnd.answer(text="A")
        with session.agent_round("agent_b") as rnd:
            decide(rnd)
        session.winner("agent_a", "agent1.1")
    mt.shutdown()
    return analysed.subject(analysed.find(str(root), None, None))


@pytest.mark.parametrize(
    ("decide", "came_to", "decision", "votes"),
    [
        (lambda rnd: (rnd.answer(text="B"), rnd.vote("agent_a", label="agent1.1")), "vote → agent1.1", "voted for agent1.1", "by 1 of 1 votes"),
        (lambda rnd: (rnd.vote("agent_a", label="agent1.1"), rnd.answer(text="B")), "answer agent2.1", "submitted agent2.1", "by 1 of 1 votes"),
        (lambda rnd: rnd.vote("agent_a"), "vote → agent_a", "voted for agent_a", "by 1 of 1 votes"),
        (lambda rnd: rnd.vote("agent_b"), "vote → agent_b", "voted for agent_b", "by 0 of 1 votes"),
    ],
    ids=["answer then vote", "vote then answer", "vote without a label", "vote for another one"],
)
def test_drawing_report_and_json_say_the_same_of_a_round(
    tmp_path: Path, decide: Callable[[Any], object], came_to: str, decision: str, votes: str
) -> None:
    """The last of an answer and a vote is what the round came to; a vote without a label is one for its agent, and counts for it."""
    subject = _subject(tmp_path, decide)
    parts = subject.analysis.parts
    (span,) = [span for span in parts.rounds if span.name == "agent.agent_b.round_0"]
    label = came_to.rsplit(maxsplit=1)[-1]
    assert run_json.of_span(span, 0)["label"] == label
    assert [rnd.label for rnd in subject.analysis.summary.rounds if rnd.agent_id == "agent_b"] == [label]
    drawing = io.StringIO()
    terminal.draw_trees(terminal.console(drawing, width=160), trees(parts.spans))
    (line,) = [line for line in drawing.getvalue().splitlines() if span.name in line]
    assert came_to in line
    report = markdown.render(build(subject))
    assert markdown.plain(f"{decision} (span {span.span_id})") in report
    assert votes in report

"""The display of a run on a terminal."""

from __future__ import annotations

import io
import re

import pytest

from massgen_tracing.runs.coordinator.progress import Progress
from massgen_tracing.views import terminal
from massgen_tracing.views.live import LiveRun

STORY = [
    Progress("started", "", "0" * 32),
    Progress("phase", "", "initial_answer"),
    Progress("round", "agent_a", "initial_answer"),
    Progress("round", "agent_b", "initial_answer"),
    Progress("text", "agent_a", "I think\nthat \x1b[31m[bold]red[/bold]"),
    Progress("tool", "agent_b", "mcp__filesystem__read_file"),
    Progress("spent", "agent_a", "", 12_345, 0.0123),
    Progress("answer", "agent_a", "agent1.1"),
    Progress("restart", "agent_b", "agent1.1"),
    Progress("round", "agent_b", "voting"),
    Progress("retry", "agent_b", "no_tool_calls"),
    Progress("phase", "", "enforcement"),
    Progress("vote", "agent_b", "agent1.1: it is good"),
    Progress("failed", "agent_a", "agent_a: bad key"),
    Progress("phase", "", "presentation"),
    Progress("winner", "agent_a", "agent1.1: only answer, 1 of 1 votes"),
    Progress("final", "agent_a", "the answer"),
]


def frames(width: int) -> list[str]:
    """The display after each step of the story."""
    out = terminal.console(io.StringIO(), width=width)
    live = LiveRun(out, "What is AI, and what is it good for in a small company?", ["agent_b", "agent_a"])
    drawn = []
    for progress in STORY:
        live(progress)
        with out.capture() as capture:
            out.print(live.drawing())
        drawn.append(capture.get())
    return drawn


@pytest.mark.parametrize("width", [20, 40, 72, 100, 200])
def test_it_fits(width):
    """No line is wider than the terminal, nor has it more of them than it needs, and no control character of a model gets through."""
    for frame in frames(width):
        lines = frame.splitlines()
        assert max(map(len, lines)) <= width
        assert len(lines) <= 6
        assert "\x1b" not in frame


def test_what_is_shown():
    """Phase, agents, tools, votes, tokens and cost, as they come."""
    drawn = frames(120)
    assert "initial_answer" in drawn[1]
    assert re.search(r"agent_a +writing +I think↵that �\[31m\[bold\]red", drawn[4])
    assert re.search(r"agent_b +tool +mcp__filesystem__read_file +0 +1 +0", drawn[5])
    assert re.search(r"12\.3k +\$0\.0123", drawn[6])
    assert re.search(r"12\.3k tok · \$0\.0123", drawn[6])
    assert re.search(r"agent_a +answered +agent1\.1", drawn[7])
    assert re.search(r"agent_b +restarted +has seen agent1\.1", drawn[8])
    assert re.search(r"agent_b +asked again +no_tool_calls", drawn[10])
    assert re.search(r"agent_b +voted +agent1\.1: it is good +1 +1 +0 +agent1\.1", drawn[12])
    assert re.search(r"agent_a +failed +agent_a: bad key", drawn[13])
    assert "agent_a wins with agent1.1" in drawn[15]
    assert re.search(r"agent_a +winner", drawn[16])


@pytest.mark.parametrize("no_color", [True, False])
def test_on_a_terminal(monkeypatch, no_color):
    """It is drawn anew in its place, and the last state stays; NO_COLOR is obeyed."""
    if no_color:
        monkeypatch.setenv("NO_COLOR", "1")
    else:
        monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    with LiveRun(terminal.console(stream, width=100), "What?", ["agent_a", "agent_b"]) as live:
        for progress in STORY:
            live(progress)
    shown = stream.getvalue()
    assert "\x1b[?25h" in shown  # the cursor is back
    assert bool(re.search(r"\x1b\[[0-9;]*3[0-9]m", shown)) is not no_color
    assert "agent_a wins with agent1.1" in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)

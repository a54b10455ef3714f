"""`massgen-tracing run` where a person looks at it: at a terminal, in a pipe, without colours, in a narrow window."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import sys
from pathlib import Path

import pytest

from massgen_tracing.runs.coordinator.scripted import ScriptedEndpoint, Turn
from massgen_tracing.views.cli import main


class Terminal(io.StringIO):
    """A terminal as far as a program can tell."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def at_terminal(tmp_path, monkeypatch, capsys):
    """The command with its stderr at a terminal; gives its exit code, its stdout, and what the terminal was sent."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)

    def run(script, *options: str, columns: int = 100):
        monkeypatch.setenv("COLUMNS", str(columns))
        with ScriptedEndpoint(script) as endpoint:
            agents = [{"id": name, "backend": {"type": "openai", "model": "gpt-5-mini", "base_url": endpoint.base_url(name)}} for name in ("a", "b")]
            Path("agents.yaml").write_text(json.dumps({"agents": agents}), encoding="utf-8")
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(sys, "stderr", terminal := Terminal())
                code = main(["run", "--config", "agents.yaml", *options, "What is AI?"])
        return code, capsys.readouterr().out, terminal.getvalue()

    return run


def plain(shown: str) -> str:
    """What was sent to a terminal without its control sequences."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)


def settled(kit):
    def script(asked):
        if kit.presenting(asked):
            return Turn("The final answer.")
        if kit.seen(asked):
            return kit.vote("agent1")
        # Whoever is not the first waits for its answer.
        return kit.answer("by a") if asked.agent_id == "a" else Turn("slow", seconds=100_000)

    return script


@pytest.mark.parametrize("columns", [40, 100])
def test_display(at_terminal, kit, columns):
    """The agents are drawn while they work, and the answer goes to stdout alone."""
    code, out, shown = at_terminal(settled(kit), columns=columns)
    assert code == 0, plain(shown)[-1500:]
    assert out.startswith("The final answer.\ntrace: ")
    assert "\x1b" not in out
    assert re.search(r"\x1b\[[0-9;]*3[0-9]m", shown)
    assert "\x1b[?25l" in shown
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")  # the cursor is back
    assert re.search(r"^a +winner", plain(shown), re.MULTILINE)
    assert all(len(line.rpartition("\r")[2]) <= columns for line in plain(shown).split("\n"))


def test_no_color(at_terminal, kit, monkeypatch):
    """NO_COLOR leaves the display without colours."""
    monkeypatch.setenv("NO_COLOR", "1")
    _, _, shown = at_terminal(settled(kit))
    assert re.search(r"^a +winner", plain(shown), re.MULTILINE)
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", shown)


def test_dumb_terminal(at_terminal, kit, monkeypatch):
    """A terminal that cannot draw gets lines."""
    monkeypatch.setenv("TERM", "dumb")
    _, _, shown = at_terminal(settled(kit))
    assert "\x1b" not in shown
    assert "a wins with agent1.1" in shown


@pytest.mark.usefixtures("heeds_interrupts")
def test_interrupt(at_terminal, kit):
    """Ctrl-C ends the display and the run; what there is by then is kept."""

    def script(asked):
        if asked.agent_id == "a" and not kit.seen(asked):
            return kit.answer("in time")
        if kit.seen(asked) and asked.agent_id == "b":
            os.kill(os.getpid(), signal.SIGINT)
        return Turn("slow", seconds=100_000)

    code, _, shown = at_terminal(script)
    assert code == 4
    assert "\x1b[?25h" in shown
    assert "interrupted; what there was by then is kept" in plain(shown)
    assert {path.read_text(encoding="utf-8") for path in Path.cwd().glob(".massgen/massgen_logs/*/turn_1/attempt_1/final/a/answer.txt")} == {
        "in time"
    }


def test_stderr_that_is_gone(at_terminal, kit, monkeypatch):
    """Where nobody reads the progress any more, the run goes on."""

    class Gone(Terminal):
        def isatty(self) -> bool:
            return False

        def write(self, _text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(f"{__name__}.Terminal", Gone)
    code, out, _ = at_terminal(settled(kit))
    assert code == 0
    assert out.startswith("The final answer.")

"""A run while it goes on, on a terminal: its phase, and of each agent what it does, its answers and votes, its tokens and its cost."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from massgen_tracing.views import text

if TYPE_CHECKING:
    from massgen_tracing.runs.coordinator.progress import Progress

_A_SECOND: Final = 8
"""Times that the drawing is made anew."""

_ROOMY: Final = 72
"""Columns from which on everything is shown."""

_TAIL: Final = 48
"""Characters of what an agent writes that are shown: the last ones."""

_STYLES: Final[Mapping[str, str]] = {
    "answered": "bold green",
    "voted": "bold blue",
    "restarted": "yellow",
    "asked again": "yellow",
    "failed": "bold red",
    "out of time": "bold red",
    "winner": "bold green",
}


@dataclass(slots=True)
class _Agent:
    """What is known of an agent."""

    state: str = "waiting"
    doing: str = ""
    rounds: int = 0
    tools: int = 0
    answers: int = 0
    vote: str = ""
    tokens: int = 0
    cost: float | None = None


class LiveRun:
    """Draws a run; a context manager, in which it is told of the run's progress.

    Args:
        out: where to; a terminal.
        question: what is asked.
        agents: the agents' ids.
    """

    def __init__(self, out: Console, question: str, agents: Sequence[str]) -> None:
        self._out = out
        self._question = question
        self._agents = {agent_id: _Agent() for agent_id in sorted(agents)}
        self._began = time.monotonic()
        self._phase = "starting"
        self._note = ""
        self._live = Live(get_renderable=self.drawing, console=out, refresh_per_second=_A_SECOND)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._live.__exit__(kind, error, trace)

    def __call__(self, progress: Progress) -> None:
        """Take note of what happened; it is drawn in a moment."""
        agent = self._agents.get(progress.agent_id)
        if agent is not None:
            _take(agent, progress)
        elif progress.kind == "phase":
            self._phase = progress.text
        elif progress.kind in {"timeout", "budget"}:
            self._note = progress.text
        if progress.kind == "winner":
            self._note = f"{progress.agent_id} wins with {progress.text}"

    def drawing(self) -> RenderableType:
        """The run as it is now."""
        roomy = self._out.width >= _ROOMY
        grid = Table(box=box.SIMPLE_HEAD, show_edge=False, expand=True, pad_edge=False, padding=(0, 1))
        grid.add_column("agent", no_wrap=True, max_width=16, overflow="ellipsis")
        grid.add_column("", no_wrap=True, max_width=11, overflow="ellipsis")
        if roomy:
            grid.add_column("doing", no_wrap=True, ratio=1, overflow="ellipsis")
        for title in ("round", "tools", "answers") if roomy else ("ans",):
            grid.add_column(title, justify="right", no_wrap=True)
        if roomy:
            grid.add_column("vote", no_wrap=True)
        grid.add_column("tokens", justify="right", no_wrap=True)
        grid.add_column("cost", justify="right", no_wrap=True)
        for agent_id, agent in self._agents.items():
            name, state = Text(agent_id), Text(agent.state, style=_STYLES.get(agent.state, ""))
            used = (text.number(agent.tokens), text.cost(agent.cost))
            if roomy:
                counts = (str(max(agent.rounds - 1, 0)), str(agent.tools), str(agent.answers))
                grid.add_row(name, state, Text(text.clean(agent.doing.strip()), style="dim"), *counts, Text(agent.vote), *used)
            else:
                grid.add_row(name, state, str(agent.answers), *used)
        return Group(self._headline(), grid, *([Text(text.shorten(self._note, self._out.width), style="bold")] if self._note else []))

    def _headline(self) -> Text:
        costs = [agent.cost for agent in self._agents.values() if agent.cost is not None]
        tokens = sum(agent.tokens for agent in self._agents.values())
        facts = [self._phase, text.duration(time.monotonic() - self._began), f"{text.number(tokens)} tok", text.cost(sum(costs)) if costs else ""]
        facts = [fact for fact in facts if fact]
        line = Text(" · ".join(facts), no_wrap=True, overflow="ellipsis", style="bold")
        room = self._out.width - len(line) - 3
        return line.append(f" · {text.shorten(self._question, room)}", style="not bold italic") if room > 12 else line


def _take(agent: _Agent, progress: Progress) -> None:
    """What happened to one agent."""
    match progress.kind:
        case "round":
            agent.rounds += 1
            agent.state, agent.doing, agent.vote = "thinking", "", ""
        case "text" if progress.text:
            agent.state = "writing"
            agent.doing = (agent.doing + progress.text)[-_TAIL:]
        case "tool":
            agent.tools += 1
            agent.state, agent.doing = "tool", progress.text
        case "spent":
            agent.tokens, agent.cost = progress.tokens, progress.cost
        case "answer":
            agent.answers += 1
            agent.state, agent.doing = "answered", progress.text
        case "vote":
            agent.state, agent.doing = "voted", progress.text
            agent.vote = progress.text.partition(":")[0]
        case "restart":
            agent.state, agent.doing = "restarted", f"has seen {progress.text}"
        case "retry":
            agent.state, agent.doing = "asked again", progress.text
        case "failed" | "timeout":
            agent.state, agent.doing = "failed" if progress.kind == "failed" else "out of time", progress.text
        case "winner" | "final":
            agent.state, agent.doing = "winner", ""

"""The runs that are rehearsed: what agents do in each, and how MassGen is set up for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from .run import Setup, agents
from .script import Part, Script


@dataclass(frozen=True, slots=True)
class Case:
    """One run.

    Attributes:
        agents: how many.
        parts: what some of them do.
        part: what the others do.
        answered: whether it comes to an answer.
        options: of MassGen's command line.
        older: whether older versions are tried with it too.
    """

    agents: int = 3
    parts: Mapping[str, Part] = field(default_factory=dict)
    part: Part = field(default_factory=Part)
    setup: Setup = field(default_factory=Setup)
    seed: int = 0
    answered: bool = True
    options: tuple[str, ...] = ()
    older: bool = False

    def script(self) -> Script:
        """A script of its own for each run: it keeps count."""
        return Script(agents(self.agents), self.parts, self.part, self.seed)


NO_SERVER: Final = Setup(server=False)
THREE_BACKENDS: Final = Setup(backends={"agent_a": "openai", "agent_b": "claude", "agent_c": "gemini"})
"""Three interfaces, by three HTTP clients where the installed ones differ."""

CASES: Final[Mapping[str, Case]] = MappingProxyType(
    {
        "3 agents": Case(setup=Setup(library=True), older=True),
        "3 agents, no MCP": Case(setup=NO_SERVER, part=Part(tools=0), seed=1, older=True),
        "3 agents, another seed": Case(seed=2, part=Part(tools=2, answers=2, seconds=(0.01, 0.4))),
        "5 agents": Case(agents=5, seed=3),
        "5 agents, no MCP": Case(agents=5, setup=NO_SERVER, part=Part(tools=0, answers=2), seed=4),
        "8 agents": Case(agents=8, seed=5),
        "8 agents, no MCP": Case(agents=8, setup=NO_SERVER, part=Part(tools=0), seed=6),
        "an answer that restarts others": Case(
            setup=NO_SERVER, part=Part(tools=0), parts={"agent_a": Part(tools=0, answers=2, seconds=(0.4, 0.6))}, seed=7, older=True
        ),
        "an answer that is told to agents at work": Case(part=Part(tools=3, seconds=(0.2, 0.5)), parts={"agent_b": Part(tools=0)}, seed=8),
        "votes that come too late": Case(
            setup=NO_SERVER,
            part=Part(tools=0, seconds=(0.05, 0.1)),
            parts={"agent_c": Part(tools=0, answer_seconds=2.0)},
            seed=9,
            older=True,
        ),
        "parallel tool calls": Case(part=Part(tools=3, parallel=True), seed=10, older=True),
        "replies that need enforcement": Case(
            parts={
                "agent_a": Part(detours=("text only",)),
                "agent_b": Part(detours=("unknown tool", "vote for nobody")),
                "agent_c": Part(answers=2, detours=("vote and answer",)),
            },
            seed=11,
        ),
        "tools that fail": Case(parts={"agent_b": Part(detours=("failing tool",))}, seed=12),
        "a stream that is cut and a slow one": Case(
            setup=NO_SERVER,
            part=Part(tools=0),
            parts={"agent_a": Part(tools=0, detours=("cut stream",)), "agent_b": Part(tools=0, detours=("slow stream",))},
            seed=13,
        ),
        "an agent that is refused": Case(parts={"agent_b": Part(status=400)}, seed=14, older=True),
        "an agent whose endpoint fails": Case(setup=NO_SERVER, part=Part(tools=0), parts={"agent_c": Part(status=500)}, seed=15),
        "an agent that is limited": Case(setup=NO_SERVER, part=Part(tools=0), parts={"agent_a": Part(status=429)}, seed=16),
        "all agents refused": Case(setup=NO_SERVER, part=Part(tools=0, status=400), answered=False, seed=17),
        "out of time": Case(setup=Setup(server=False, timeout=6), part=Part(tools=0, seconds=(20.0, 20.0)), answered=False, seed=18),
        "out of time after an answer": Case(
            setup=Setup(server=False, timeout=8), part=Part(tools=0, seconds=(20.0, 20.0)), parts={"agent_a": Part(tools=0)}, seed=19
        ),
        "a tool in the presentation": Case(part=Part(present_with_tool=True), seed=20),
        "evaluated afterwards": Case(
            setup=Setup(server=False, orchestrator={"coordination": {"max_orchestration_restarts": 1}}), part=Part(tools=0), seed=21
        ),
        "workspaces": Case(setup=Setup(workspaces=True), seed=22),
        "one agent": Case(agents=1, seed=23),
        "three backends": Case(setup=THREE_BACKENDS, parts={"agent_b": Part(tools=2, parallel=True)}, seed=24, older=True),
        "providers by address": Case(
            setup=Setup(backends={"agent_a": "azure_openai", "agent_b": "openrouter", "agent_c": "grok"}), part=Part(present_with_tool=True), seed=25
        ),
        "backends that are limited": Case(setup=THREE_BACKENDS, part=Part(tools=0, detours=("limited",)), seed=26),
        "connections that break": Case(
            setup=Setup(backends={"agent_a": "openai", "agent_b": "azure_openai", "agent_c": "gemini"}),
            part=Part(tools=0, detours=("broken stream",)),
            seed=27,
        ),
    }
)
"""Each of them end to end on the newest MassGen, those marked `older` on the older ones too."""

"""What the scripted model answers, so that MassGen's agents answer, vote, work with tools, and fail, as a test wants them to.

MassGen tells a model what it may do by the tools that it offers: `vote` and, until its answers are used up, `new_answer` in a round, `submit` and
`restart_orchestration` in a post-evaluation, `new_answer` (or nothing, in older versions) in a presentation; tools of MCP servers are called
`mcp__<server>__<tool>` everywhere. Answers that an agent sees stand in its messages as `<agent1> … <end of agent1>` (or `<agent1.1>`).
"""

from __future__ import annotations

import json
import random
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from massgen_tracing.runs.coordinator.protocol import NEW_ANSWER, VOTE, Usage
from massgen_tracing.runs.coordinator.scripted import Asked, ScriptedCall, Turn

SUBMIT: Final = "submit"
SERVER: Final = "notes"
"""Name of the MCP server; `tool_server.py` beside this file."""

_SEEN: Final = re.compile(r"<(agent\d+)(?:\.\d+)?> ")


@dataclass(frozen=True, slots=True)
class Part:
    """What one agent does in a run.

    Attributes:
        tools: tool calls before each answer and before the first vote; none where the agent has no server.
        parallel: make them in one reply, not one after the other.
        answers: how many answers the agent gives, each but the first when it has seen another's.
        seconds: how long each reply takes, at least and at most.
        answer_seconds: how long the reply with an answer takes, where it is another time.
        detours: replies that come before the first answer, one a request, in order; names of `DETOURS`.
        status: HTTP status of every reply; other than 200, the agent never gets further.
        vote: whom the agent votes for, `agent1` say; None: one of those that it sees, by chance.
        present_with_tool: call one tool while presenting.
    """

    tools: int = 1
    parallel: bool = False
    answers: int = 1
    seconds: tuple[float, float] = (0.02, 0.15)
    answer_seconds: float | None = None
    detours: tuple[str, ...] = ()
    status: int = 200
    vote: str | None = None
    present_with_tool: bool = False


DETOURS: Final[Mapping[str, Turn]] = {
    "text only": Turn("I am thinking about it, and call nothing."),
    "unknown tool": Turn("I call something.", (ScriptedCall("paint_picture", {"of": "a cat"}),)),
    "vote for nobody": Turn("I vote for somebody who is not there.", (ScriptedCall(VOTE, {"agent_id": "agent99", "reason": "a guess"}),)),
    "vote and answer": Turn(
        "Both at once.",
        (ScriptedCall(VOTE, {"agent_id": "agent1", "reason": "good"}), ScriptedCall(NEW_ANSWER, {"content": "And yet another way to see it."})),
    ),
    "cut stream": Turn("This reply ends in the middle of", cut=True),
    "broken stream": Turn("This reply breaks off in the middle of", broken=True),
    "failing tool": Turn("I call a tool that fails.", (ScriptedCall(f"mcp__{SERVER}__fail", {"why": "it was asked to"}),)),
    "limited": Turn("Too many requests.", status=429),
    "overloaded": Turn("Overloaded.", status=503),
    "slow stream": Turn(" ".join(f"word{n}" for n in range(40)), seconds=1.2),
}
"""Replies that are not what MassGen asked for, or not at once."""


@dataclass(slots=True)
class _Agent:
    """What an agent has done so far; touched by the endpoint's thread only."""

    answers: int = 0
    detours: int = 0
    tools: int = 0


@dataclass
class Script:
    """Plays all agents of a run (of several runs of one process, one after the other).

    Args:
        agent_ids: all of them.
        parts: what some of them do; the others do *part*.
        part: what an agent does by default.
        seed: of everything that is left to chance: times, tokens, whom to vote for.
    """

    agent_ids: Sequence[str]
    parts: Mapping[str, Part] = field(default_factory=dict)
    part: Part = field(default_factory=Part)
    seed: int = 0

    def __post_init__(self) -> None:
        # One generator an agent: who asks first does not change what anybody gets.
        self._random = {agent_id: random.Random(f"{self.seed} {agent_id}") for agent_id in self.agent_ids}
        self._agents: dict[tuple[str, str], _Agent] = defaultdict(_Agent)
        self._told: dict[str, Sequence[Mapping[str, Any]]] = {}

    def __call__(self, asked: Asked) -> Turn:
        """The reply to one request."""
        if not _question(asked):  # OpenAI's Responses keeps the conversation, and is sent what is new
            asked = replace(asked, messages=[*self._told.get(asked.agent_id, ()), *asked.messages])
        self._told[asked.agent_id] = asked.messages
        part = self.parts.get(asked.agent_id, self.part)
        chance = self._random[asked.agent_id]
        turn = self._reply(asked, part, chance)
        return replace(turn, seconds=turn.seconds or chance.uniform(*part.seconds), usage=_usage(asked, turn, chance))

    def _reply(self, asked: Asked, part: Part, chance: random.Random) -> Turn:
        if part.status != 200:
            return Turn(f"{asked.agent_id} is refused", status=part.status)
        if SUBMIT in asked.tools:
            return Turn("It is good as it is.", (ScriptedCall(SUBMIT, {"confirmed": True}),))
        mine = self._agents[asked.agent_id, _question(asked)]
        if VOTE not in asked.tools:
            return self._present(asked, part, mine)
        return self._work(asked, part, mine, chance)

    def _work(self, asked: Asked, part: Part, mine: _Agent, chance: random.Random) -> Turn:
        seen = _seen(asked)
        if mine.detours < len(part.detours):
            mine.detours += 1
            return DETOURS[part.detours[mine.detours - 1]]
        due = min(part.tools, part.tools * (mine.answers + 1) - mine.tools)
        if due > 0 and (tool := _tool(asked)):
            count = due if part.parallel else 1
            calls = tuple(self._tool_call(tool, asked, mine.tools + n) for n in range(count))
            mine.tools += count
            return Turn(f"{asked.agent_id} looks something up.", calls)
        if NEW_ANSWER in asked.tools and (mine.answers == 0 or not seen or (mine.answers < part.answers and len(seen) > 1)):
            mine.answers += 1
            content = f"Answer {mine.answers} of {asked.agent_id}, after {len(seen)} others: keep it small, and write down why."
            return Turn(f"{asked.agent_id} has an answer.", (ScriptedCall(NEW_ANSWER, {"content": content}),), part.answer_seconds or 0.0)
        voted = part.vote or chance.choice(sorted(seen))
        return Turn(
            f"{asked.agent_id} votes.", (ScriptedCall(VOTE, {"agent_id": voted, "reason": f"{voted} says it best, {asked.agent_id} thinks."}),)
        )

    def _present(self, asked: Asked, part: Part, mine: _Agent) -> Turn:
        tool = _tool(asked)
        if part.present_with_tool and tool and not any(message.get("role") == "tool" for message in asked.messages[-2:]):
            mine.tools += 1
            return Turn("One last look.", (self._tool_call(tool, asked, mine.tools),))
        text = f"The final answer, presented by {asked.agent_id}: keep it small, and write down why."
        if NEW_ANSWER in asked.tools:
            return Turn("This is it.", (ScriptedCall(NEW_ANSWER, {"content": text}),))
        return Turn(text)

    @staticmethod
    def _tool_call(tool: str, asked: Asked, number: int) -> ScriptedCall:
        return ScriptedCall(tool, {"text": f"{asked.agent_id}, note {number + 1}", "seconds": 0.01 * (number % 3)})


def _tool(asked: Asked) -> str | None:
    name = f"mcp__{SERVER}__note"
    return name if name in asked.tools else None


def _texts(asked: Asked) -> str:
    """All of the conversation's text, the rules for the model left out: they show what answers look like."""
    return "\n".join(_flat(message.get("content")) for message in asked.messages if message.get("role") != "system")


def _flat(content: Any) -> str:
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, Mapping))
    return str(content or "")


def _seen(asked: Asked) -> set[str]:
    return set(_SEEN.findall(_texts(asked)))


def _question(asked: Asked) -> str:
    """Which question it is about, where one process asks several: the text between MassGen's own marks."""
    found = re.search(r"<ORIGINAL MESSAGE>(.*?)<END OF ORIGINAL MESSAGE>", _texts(asked), re.DOTALL)
    return found[1].strip() if found else ""


def _usage(asked: Asked, turn: Turn, chance: random.Random) -> Usage:
    """Tokens that no two requests share, so that a sum that is right is right for each."""
    prompt = len(json.dumps(list(asked.messages), default=str)) // 4 + chance.randrange(1000)
    output = 20 + len(turn.text) // 4 + sum(len(json.dumps(dict(call.arguments))) for call in turn.calls) // 4 + chance.randrange(200)
    return Usage(input=prompt, output=output, reasoning=chance.randrange(output), cached_input=chance.randrange(prompt))

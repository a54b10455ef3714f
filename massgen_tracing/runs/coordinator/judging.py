"""Three agents that judge what was computed of another run: their views, their tools, what they are asked, and the script of the dry run."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from massgen_tracing.errors import ConfigError

from .config import AgentConfig, Limits, RunConfig, ToolServerConfig
from .protocol import ANSWER_HEADER, NEW_ANSWER, VOTE
from .script import usage_of
from .scripted import Asked, ScriptedCall, Turn

VIEWS: Final[Mapping[str, str]] = {
    "correctness": "Look at the course of the coordination: what it lacks at its end, how the votes came about, what failed and why.",
    "efficiency": "Look at time and cost: what the run waited for, what was done twice, thrown away or read again, and what of it could be spared.",
    "behaviour": "Look at how the agents worked: their strategies, how they took failures and each other's answers, and how they decided.",
}
"""What each of the agents looks at."""

SERVER: Final = "facts"

_TASK: Final = """Judge a run of several agents, by what was computed of it: {run}. The tools list_facts, read_facts and read_finding tell it.

Write, in a few short paragraphs or lists, what these facts and findings mean from where you look: which have the same cause, what is serious and
what is not, what you would change first. Questions that need judgement:
{questions}

{rules}"""

_PLACE: Final = re.compile(ANSWER_HEADER.format(place=r"agent(\d+)", label=r"agent\d+\.\d+"))
_LOOK: Final = re.compile(r"^(\d+)\. (\w+) \((\w+)\)", re.MULTILINE)


def question(run: str, questions: Sequence[str], rules: str) -> str:
    """What the agents are asked."""
    return _TASK.format(run=run, questions="\n".join(f"- {each}" for each in questions), rules=rules)


def configured(config: RunConfig | None, facts: Path, python: str) -> RunConfig:
    """The three agents, each with the facts over MCP.

    Args:
        config: whose endpoints and models they have, one after the other; None: those of a dry run.
        facts: the file with what was computed.
        python: the interpreter that starts the server.

    Raises:
        ConfigError: if it has agents for fewer views than there are.
    """
    if config is None:
        given = tuple(AgentConfig(view, "openai", "gpt-5-mini", "https://api.openai.com/v1") for view in VIEWS)
    elif len(config.agents) < len(VIEWS):
        raise ConfigError("There are too few agents for the analysis", expected=f"{len(VIEWS)}: {', '.join(VIEWS)}", got=len(config.agents))
    else:
        given = config.agents
    server = ToolServerConfig(SERVER, python, ("-m", "massgen_tracing.runs.coordinator.facts_server", "--facts", str(facts)))
    agents = tuple(
        dataclasses.replace(agent, id=view, system_message=f"{looks} {agent.system_message}".strip(), tool_servers=(*agent.tool_servers, server))
        for agent, (view, looks) in zip(given, VIEWS.items(), strict=False)
    )
    # Each has a view of its own, so that none has to begin again for another one's answer.
    limits = dataclasses.replace(config.limits if config is not None else Limits(), max_restarts=0)
    return RunConfig(agents, limits, () if config is None else config.warnings)


class JudgingScript:
    """Plays the three agents: each reads what there is and its worst finding, says which it is, and votes for the first answer."""

    def __call__(self, asked: Asked) -> Turn:
        """The reply to one request."""
        turn = self._reply(asked)
        return dataclasses.replace(turn, usage=usage_of(asked, turn))

    def _reply(self, asked: Asked) -> Turn:
        if NEW_ANSWER not in asked.tools and VOTE not in asked.tools:
            return Turn("The agents looked at the run from three sides; what they say stands below each of their names.")
        results = [str(message["content"]) for message in asked.messages if message["role"] == "tool"]
        places = _PLACE.findall(str(asked.messages[1]["content"]))
        if VOTE in asked.tools and str(sorted(VIEWS).index(asked.agent_id) + 1) in places:
            reason = "All three look at the run from another side; none is to be left out."
            return Turn(calls=(ScriptedCall(VOTE, {"agent_id": f"agent{min(places)}", "reason": reason}),))
        if not results:
            return Turn(calls=(ScriptedCall(f"mcp__{SERVER}__list_facts", {}),))
        found = _LOOK.findall(results[0])
        if len(results) == 1 and found:
            return Turn(calls=(ScriptedCall(f"mcp__{SERVER}__read_finding", {"number": int(found[0][0])}),))
        return Turn(calls=(ScriptedCall(NEW_ANSWER, {"content": self._judgement(asked.agent_id, results)}),))

    @staticmethod
    def _judgement(view: str, results: Sequence[str]) -> str:
        codes = list(dict.fromkeys(code for _, code, _ in _LOOK.findall(results[0])))
        if not codes:
            return f"From the side of {view} nothing stands out: no finding was computed."
        first = json.loads(results[1]) if len(results) > 1 and results[1].startswith("{") else {}
        worst = f"The first to look at is {first.get('code', codes[0])}: {first.get('what', '')}"
        return (
            f"From the side of {view} these stand out:\n\n- {', '.join(codes)}\n- {worst}\n\nWhat to change first: {first.get('recommendation', '')}"
        )

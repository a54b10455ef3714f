"""The script of the dry run: agents that use their tools, answer, improve, ask again and vote, the same way in every run.

Each reply follows from what the request holds: which agent asks, which answers it sees, which tool results it has. In every state of the
answers one agent is quick to answer while the others still work with their tools, so that an answer restarts them in the middle of
something; the order of events does not hang on who wins a race of milliseconds.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from .config import AgentConfig, RunConfig, ToolServerConfig
from .protocol import ANSWER_HEADER, NEW_ANSWER, VOTE, Usage
from .scripted import Asked, ScriptedCall, Turn

QUICK: Final = 0.15
"""Seconds of a quick reply."""

SLOW: Final = (0.25, 1.0, 1.0)
"""Seconds of each reply of an agent that is about to be restarted: it uses its tools once, and is interrupted well within the second."""

_HEADER: Final = re.compile(ANSWER_HEADER.format(place=r"agent(\d+)", label=r"agent\d+\.(\d+)"))
_QUESTION: Final = re.compile(r"<question>\n(.*?)\n</question>", re.DOTALL)

_TRAITS: Final = ("a short, exact definition first", "a worked example and its limits", "what follows from it in practice")


def dry_run_config(python: str) -> RunConfig:
    """Three agents with different models and the MCP server that ships, started with the interpreter *python*."""
    server = ToolServerConfig("filesystem", python, ("-m", "massgen_tracing.runs.coordinator.tool_server", "--root", "${cwd}"))
    models = {"agent_a": "gpt-5-mini", "agent_b": "gpt-5-nano", "agent_c": "gpt-4.1-mini"}
    return RunConfig(
        tuple(
            AgentConfig(agent_id, "openai", model, "https://api.openai.com/v1", system_message=f"You are {agent_id}.", tool_servers=(server,))
            for agent_id, model in models.items()
        )
    )


class DryRunScript:
    """Plays all agents of one run.

    Args:
        agent_ids: all agents; their places are those of the sorted ids.
    """

    def __init__(self, agent_ids: Sequence[str]) -> None:
        self._ids = sorted(agent_ids)

    def __call__(self, asked: Asked) -> Turn:
        """The reply to one request."""
        turn = self._reply(asked)
        return Turn(turn.text, turn.calls, turn.seconds, usage_of(asked, turn))

    def _reply(self, asked: Asked) -> Turn:
        prompt = str(asked.messages[1]["content"])
        seen = {int(place): int(count) for place, count in _HEADER.findall(prompt)}
        place = self._ids.index(asked.agent_id) + 1
        found = _QUESTION.search(prompt)
        question = found.group(1) if found else ""
        if NEW_ANSWER not in asked.tools and VOTE not in asked.tools:
            return Turn(_final(question, len(seen)), seconds=0.4)
        step = sum(message["role"] == "assistant" for message in asked.messages)
        if place == self._next_to_answer(seen):
            return self._answer(asked, place, seen, question, step)
        if place not in seen:
            return self._work(asked, place, question, step) or self._answer(asked, place, seen, question, step)
        if len(seen) == len(self._ids) and seen[1] > 1:
            return self._vote(asked, place, seen, step)
        if place == 1:
            # Votes at once, and loses the vote to the next answer.
            return Turn("So far mine is the best.", (_vote(1, f"It is the most complete of {len(seen)} so far."),), QUICK)
        return self._work(asked, place, question, step) or self._vote(asked, place, seen, step)

    def _next_to_answer(self, seen: dict[int, int]) -> int | None:
        """The place whose turn it is to answer quickly: each agent once, then the first again."""
        missing = [place for place in range(1, len(self._ids) + 1) if place not in seen]
        if missing:
            return missing[0]
        return 1 if seen[1] == 1 else None

    def _answer(self, asked: Asked, place: int, seen: dict[int, int], question: str, step: int) -> Turn:
        version = seen.get(place, 0) + 1
        notes = f"notes_{version}.md"
        if step == 0:
            calls = _offered(
                asked,
                ("write_file", {"path": notes, "content": f"# {question}\n\nPlan: {_trait(place)}.\n"}),
                ("list_directory", {"path": "."}),
            )
            if calls:
                return Turn("I write down a plan and look at what is there.", calls, QUICK)
        if step == 1 and (calls := _offered(asked, ("execute_command", {"command": f"wc -l {notes} && head -1 {notes}"}))):
            return Turn("I check my notes.", calls, QUICK)
        points = (f"It puts {_trait(place)}.", f"It takes up {len(seen)} earlier answer(s).", f"Sources: {notes}.")
        text = f"Answer {version} to: {question}\n\n" + "\n".join(f"- {point}" for point in points)
        return Turn("This can be said better." if seen else "Here is a first answer.", (ScriptedCall(NEW_ANSWER, {"content": text}),), QUICK)

    def _work(self, asked: Asked, place: int, question: str, step: int) -> Turn | None:
        """A slow piece of work with the tools; None when there is nothing left to do, or no tool."""
        plan = (
            (("list_directory", {"path": "."}), ("write_file", {"path": f"draft_{place}.md", "content": f"{question}\n{_trait(place)}\n"})),
            (("read_file", {"path": f"draft_{place}.md"}), ("execute_command", {"command": "ls | wc -l"})),
            (("execute_command", {"command": f"grep -c . draft_{place}.md"}),),
        )
        calls = _offered(asked, *plan[step]) if step < len(plan) else ()
        return Turn(f"I go through it step by step ({step + 1}).", calls, SLOW[step]) if calls else None

    def _vote(self, asked: Asked, place: int, seen: dict[int, int], step: int) -> Turn:
        last = place == len(self._ids)
        if last and step == 0:
            # Forgets the workflow tools once: the coordinator asks again.
            return Turn("The first answer is the most complete, I have nothing to add.", seconds=3 * QUICK)
        if place == 1 and step == 0 and (calls := _offered(asked, ("read_file", {"path": "notes_1.md"}), ("list_directory", {"path": "."}))):
            return Turn("I compare once more.", calls, QUICK)
        choice = place if place == 2 and len(self._ids) > 2 else 1
        reason = "It has the worked example." if choice == 2 else "It is complete and takes up the others."
        return Turn("I have compared the answers.", (_vote(choice if choice in seen else min(seen), reason),), QUICK)


def _vote(place: int, reason: str) -> ScriptedCall:
    return ScriptedCall(VOTE, {"agent_id": f"agent{place}", "reason": reason})


def _offered(asked: Asked, *wanted: tuple[str, dict[str, Any]]) -> tuple[ScriptedCall, ...]:
    """Those of the wanted calls whose tool is offered, under the name that it has there."""
    names = {name.rsplit("__", 1)[-1]: name for name in asked.tools if name.startswith("mcp__")}
    return tuple(ScriptedCall(names[tool], arguments) for tool, arguments in wanted if tool in names)


def _trait(place: int) -> str:
    return _TRAITS[(place - 1) % len(_TRAITS)]


def _final(question: str, answers: int) -> str:
    points = "\n".join(f"- {trait}" for trait in _TRAITS[: max(answers, 1)])
    return f"Final answer to: {question}\n\nDrawn together from {answers} answer(s):\n{points}"


def usage_of(asked: Asked, turn: Turn) -> Usage:
    """Tokens as a provider would count them, about four characters each; earlier turns of a conversation are read from the cache."""
    sizes = [len(str(message.get("content") or "")) + len(str(message.get("tool_calls") or "")) for message in asked.messages]
    fresh = 1200 + sum(sizes) // 4  # the tools' descriptions count too
    cached = (1200 + sum(sizes[:-2]) // 4) // 128 * 128 if len(sizes) > 2 else 0
    written = sum(len(str(dict(call.arguments))) for call in turn.calls)
    reasoning = 64 * (1 + len(turn.calls)) if asked.model.startswith("gpt-5") else 0
    return Usage(input=fresh, output=(len(turn.text) + written) // 4 + 1 + reasoning, reasoning=reasoning, cached_input=cached)

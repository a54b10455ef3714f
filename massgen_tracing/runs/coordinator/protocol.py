"""What agents are told and what their replies mean: the workflow tools, the prompts, and the reading of a reply."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from massgen_tracing.trace import conversation

from .board import Answer, Board, Refusal, View

NEW_ANSWER: Final = "new_answer"
VOTE: Final = "vote"
WORKFLOW_TOOLS: Final = frozenset({NEW_ANSWER, VOTE})

ANSWER_HEADER: Final = '<answer agent="{place}" label="{label}">'
"""Opens an answer in the prompt; agents know each other as agent1, agent2, …, so that no id biases a vote."""

Message = dict[str, Any]
"""One message of a chat completion request."""

_RULES: Final = """You work on the user's question together with other agents, who see your answers as you see theirs.
Work with the tools that you have. Then finish this turn with exactly one of:
- new_answer, when you can give an answer that is better than every one there is: complete, on its own;
- vote, when one of the answers is already as good as you could make it.
Text outside these two calls is seen by nobody."""

_PRESENT: Final = """The agents have chosen your answer. Present the final answer to the user now: complete, on its own, and taking up
what the other answers do better. Reply with the answer itself; call no tools and do not mention the agents or the vote."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One tool call of a model's reply; *arguments* is the JSON text as the model wrote it."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one model call, None where the provider did not say; *cost* in USD only if the provider reports one."""

    input: int | None = None
    output: int | None = None
    reasoning: int | None = None
    cached_input: int | None = None
    cost: float | None = None
    raw: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reply:
    """One whole reply of a model.

    Attributes:
        finish_reason: None when the stream ended before the provider said why.
        usage: None when the provider reported none.
    """

    text: str
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str | None = None
    model: str | None = None
    id: str | None = None
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class Exchange:
    """What was asked in an earlier turn, and the final answer to it."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class GiveAnswer:
    """The agent gives this answer."""

    text: str


@dataclass(frozen=True, slots=True)
class CastVote:
    """The agent votes for this answer."""

    answer: Answer
    reason: str


Move = GiveAnswer | CastVote


def workflow_tools(view: View, board: Board) -> list[dict[str, Any]]:
    """The tools by which an agent ends its turn: `new_answer` while it has answers left, `vote` once there are answers."""
    tools = []
    if view.may_answer:
        content = {"type": "string", "description": "The whole answer."}
        tools.append(_function(NEW_ANSWER, "Give a new answer, better than every one there is.", {"content": content}))
    if view.answers:
        places = [board.place(answer.agent_id) for answer in view.answers]
        properties = {
            "agent_id": {"type": "string", "enum": places, "description": "Whose answer is the best."},
            "reason": {"type": "string", "description": "Why, in a sentence."},
        }
        tools.append(_function(VOTE, "Vote for the best of the answers.", properties))
    return tools


def _function(name: str, description: str, properties: dict[str, Any]) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


def opening(question: str, system_message: str, view: View, board: Board, history: Sequence[Exchange] = ()) -> list[Message]:
    """The messages that a round starts with."""
    return [_system(system_message, _RULES), {"role": "user", "content": _question(question, view, board, history)}]


def presenting(question: str, system_message: str, view: View, board: Board, winner: Answer, history: Sequence[Exchange] = ()) -> list[Message]:
    """The messages that the winner's presentation starts with."""
    yours = f"Your answer is that of {board.place(winner.agent_id)}."
    return [_system(system_message, _PRESENT), {"role": "user", "content": f"{_question(question, view, board, history)}\n\n{yours}"}]


def _system(system_message: str, rules: str) -> Message:
    return {"role": "system", "content": f"{system_message.strip()}\n\n{rules}".strip()}


def _question(question: str, view: View, board: Board, history: Sequence[Exchange]) -> str:
    earlier = [f"<earlier>\n{turn.question}\n\n{turn.answer}\n</earlier>" for turn in history]
    answers = [f"{ANSWER_HEADER.format(place=board.place(answer.agent_id), label=answer.label)}\n{answer.text}\n</answer>" for answer in view.answers]
    return "\n\n".join([*earlier, f"<question>\n{question}\n</question>", *(answers or ["There is no answer yet."])])


def said(reply: Reply) -> Message:
    """A reply as a message of the conversation."""
    message: Message = {"role": "assistant", "content": reply.text or None}
    if reply.tool_calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}} for call in reply.tool_calls
        ]
    return message


def tool_result(call: ToolCall, text: str) -> Message:
    """A tool's result as a message of the conversation."""
    return {"role": "tool", "tool_call_id": call.id, "content": text}


def genai_messages(messages: Sequence[Message], finish_reason: str | None = None) -> list[dict[str, Any]]:
    """Messages as OpenTelemetry's GenAI conventions write them (`gen_ai.input.messages`, `gen_ai.output.messages`)."""
    told = {"finish_reason": conversation.finish_reason(finish_reason)} if finish_reason else {}
    return [{**conversation.message(message), **told} for message in messages]


def writable(text: str) -> str:
    """*text* as UTF-8 can write it: halves of a character that came apart are put together, and what has no other half is replaced."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def read_arguments(call: ToolCall) -> dict[str, Any] | str:
    """A call's arguments; a sentence for the model if they are not a JSON object."""
    try:
        arguments = json.loads(call.arguments or "{}")
    except ValueError as error:
        return f"The arguments of {call.name} are not valid JSON: {error}."
    if not isinstance(arguments, dict):
        return f"The arguments of {call.name} must be a JSON object."
    return arguments


def read_move(calls: Sequence[ToolCall], agent_id: str, view: View, board: Board) -> Move | Refusal:
    """What the workflow calls of one reply amount to; of several calls of the same tool the first counts."""
    names = {call.name for call in calls}
    if {NEW_ANSWER, VOTE} <= names:
        return Refusal("vote_and_answer", "You called both new_answer and vote. Call exactly one of them.")
    call = calls[0]
    arguments = read_arguments(call)
    if isinstance(arguments, str):
        return Refusal("no_workflow_tool", arguments)
    if call.name == NEW_ANSWER:
        text = arguments.get("content")
        if not isinstance(text, str) or not text.strip():
            return Refusal("no_workflow_tool", "new_answer needs the whole answer as `content`.")
        text = writable(text)
        return board.refuse_answer(agent_id, text) or GiveAnswer(text)
    found = board.find(view, str(arguments.get("agent_id", "")))
    return found if isinstance(found, Refusal) else CastVote(found, writable(str(arguments.get("reason", ""))))

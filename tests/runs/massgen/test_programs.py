"""Claude Code and Codex: one model call for all of a question, and each tool that the program used, from its messages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from massgen_tracing import semconv
from massgen_tracing.runs.massgen.model_calls import ModelCalls
from massgen_tracing.runs.massgen.programs import Programs
from massgen_tracing.testing import Captured, capture


class Backend:
    """What is asked of a backend of MassGen's."""

    def __init__(self) -> None:
        self.config = {"model": "claude-x"}

    def get_provider_name(self) -> str:
        return "claude_code"


def _uses(call_id: str, name: str, parent: str | None = None, **given: Any) -> Any:
    return SimpleNamespace(model="claude-x-1", content=[SimpleNamespace(id=call_id, name=name, input=given)], parent_tool_use_id=parent)


def _used(call_id: str, content: Any, is_error: bool | None = None) -> Any:
    return SimpleNamespace(content=[SimpleNamespace(tool_use_id=call_id, content=content, is_error=is_error)], parent_tool_use_id=None)


TEXT = SimpleNamespace(model="claude-x-1", content=[SimpleNamespace(text="I look it up.")], parent_tool_use_id=None)
RESULT = SimpleNamespace(
    usage={"input_tokens": 5, "cache_read_input_tokens": 10, "cache_creation_input_tokens": 2, "output_tokens": 4},
    total_cost_usd=0.25,
    stop_reason="end_turn",
    is_error=False,
    result="done",
)


@dataclass
class Stage:
    models: ModelCalls
    captured: Captured

    async def receive(self, *messages: Any, read: int | None = None) -> list[Any]:
        """Read the messages of one question as the backend does; only the first *read* of them if given."""
        backend = Backend()

        async def stream(_client: object) -> AsyncIterator[Any]:
            for message in messages:
                yield message

        with self.captured.tracer.session("Which?", agents=["a"]) as session, session.agent_round("a"):
            self.models._begin(backend, "claude-x")
            got = []
            answers = Programs(lambda: self.captured.tracer, self.models).receive_response(stream, None)
            async for message in answers:
                got.append(message)
                if len(got) == read:
                    await answers.aclose()
                    break
            self.models.finish(backend)
        return got

    def said(self, name: str) -> dict[str, Any]:
        return dict(self.captured.find(name).attributes or {})


@pytest.fixture
def stage() -> Iterator[Stage]:
    with capture() as captured:
        yield Stage(ModelCalls(lambda: captured.tracer), captured)


async def test_a_question_is_one_call_with_all_that_it_used(stage: Stage) -> None:
    """Tokens, cost and reason come with the last message, the model with each; the reader gets every message as it is."""
    assert await stage.receive(TEXT, RESULT) == [TEXT, RESULT]
    said = stage.said("llm.claude_code.stream")
    assert (said[semconv.GEN_AI_INPUT_TOKENS], said[semconv.GEN_AI_CACHE_READ_TOKENS], said[semconv.GEN_AI_OUTPUT_TOKENS]) == (17, 10, 4)
    assert (said[semconv.OPERATION_COST], said[semconv.GEN_AI_RESPONSE_MODEL], said[semconv.GEN_AI_FINISH_REASONS]) == (
        0.25,
        "claude-x-1",
        ["end_turn"],
    )
    assert semconv.OUTCOME not in said


async def test_a_question_that_fails_is_an_error(stage: Stage) -> None:
    """The program says so with its last message."""
    await stage.receive(SimpleNamespace(usage=None, total_cost_usd=None, is_error=True, result="no credit"))
    call = stage.captured.find("llm.claude_code.stream")
    assert not call.status.is_ok
    assert call.status.description == "no credit"


async def test_each_tool_is_one_span_of_the_round(stage: Stage) -> None:
    """MCP tools and the program's own, those of its helpers below the tool that runs them; MassGen's own tools are seen where they run."""
    await stage.receive(
        TEXT,
        _uses("1", "mcp__notes__note", text="a"),
        _used("1", [{"type": "text", "text": "noted"}]),
        _uses("2", "Task", prompt="look"),
        _uses("3", "Read", parent="2", path="x"),
        _used("3", "no such file", is_error=True),
        _used("2", "nothing"),
        _uses("4", "mcp__massgen_custom_tools__custom_tool__x"),
        _used("4", "seen elsewhere"),
        _uses("5", "mcp__massgen_workflow_tools__vote", agent_id="agent1"),
        RESULT,
    )
    spans = {span.name: span for span in stage.captured.ended}
    rnd = spans["agent.a.round_0"]
    assert stage.captured.parent(spans["mcp.notes.note"]) is rnd
    assert stage.captured.parent(spans["Tool execution: Task"]) is rnd
    assert stage.captured.parent(spans["Tool execution: Read"]) is spans["Tool execution: Task"]
    assert (stage.said("mcp.notes.note")[semconv.GEN_AI_TOOL_CALL_ID], stage.said("mcp.notes.note")[semconv.AGENT_ID]) == ("1", "a")
    assert "noted" in stage.said("mcp.notes.note")[semconv.GEN_AI_TOOL_RESULT]
    assert stage.said("Tool execution: Read")[semconv.ERROR_TYPE] == semconv.TOOL_ERROR
    assert not [name for name in spans if "massgen_" in name]


async def test_what_is_given_up_is_cancelled(stage: Stage) -> None:
    """Who stops reading leaves no open span, and no error."""
    await stage.receive(_uses("1", "Read", path="x"), RESULT, read=1)
    assert not stage.captured.open
    for name in ("Tool execution: Read", "llm.claude_code.stream"):
        assert stage.said(name)[semconv.OUTCOME] == "cancelled"


async def test_messages_that_belong_to_no_call_are_left_alone(stage: Stage) -> None:
    """A program that uses the SDK itself gets what it got before."""
    stream = object()
    assert Programs(lambda: stage.captured.tracer, stage.models).receive_response(lambda _client: stream, None) is stream


def test_codex_names_its_tools_in_its_output(stage: Stage) -> None:
    """An MCP tool and a command are a span each; what it decides is none, and what has no result when the call ends is cancelled."""
    backend, seen = Backend(), []
    events = [
        {"type": "thread.started", "thread_id": "t"},
        {"type": "item.started", "item": {"id": "1", "type": "mcp_tool_call", "server": "notes", "tool": "note", "arguments": {"text": "a"}}},
        {"type": "item.completed", "item": {"id": "1", "type": "mcp_tool_call", "result": {"content": [{"type": "text", "text": "noted"}]}}},
        {"type": "item.started", "item": {"id": "2", "type": "command_execution", "command": "false"}},
        {"type": "item.completed", "item": {"id": "2", "type": "command_execution", "aggregated_output": "", "exit_code": 1}},
        {"type": "item.started", "item": {"id": "3", "type": "mcp_tool_call", "server": "massgen_workflow_tools", "tool": "vote"}},
        {"type": "item.started", "item": {"id": "4", "type": "mcp_tool_call", "server": "notes", "tool": "slow"}},
        {"type": "item.completed", "item": "of a later version"},
    ]
    programs = Programs(lambda: stage.captured.tracer, stage.models)
    with stage.captured.tracer.session("Which?", agents=["a"]) as session, session.agent_round("a"):
        stage.models._begin(backend, "gpt-x")
        for event in events:
            programs.codex_event(lambda _backend, given: seen.append(given), backend, event)
        stage.models.finish(backend)
    assert seen == events
    assert stage.captured.parent(stage.captured.find("mcp.notes.note")) is stage.captured.find("agent.a.round_0")
    assert "noted" in stage.said("mcp.notes.note")[semconv.GEN_AI_TOOL_RESULT]
    assert stage.said("Tool execution: shell")[semconv.ERROR_TYPE] == semconv.TOOL_ERROR
    assert stage.said("mcp.notes.slow")[semconv.OUTCOME] == "cancelled"
    assert not [span.name for span in stage.captured.ended if "vote" in span.name]

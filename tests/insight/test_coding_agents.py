"""Coding agents' own OpenTelemetry: what they say of tokens in several places, and as texts, counts once."""

from __future__ import annotations

import pytest

from massgen_tracing.insight.calls import Tree, model_calls, tool_calls
from massgen_tracing.insight.tools import calls_of
from tests.insight.test_calls import span, totals

_SERVED = {"gen_ai.usage.input_tokens": 1500, "gen_ai.usage.output_tokens": 50}


def test_claude_code() -> None:
    """A request has its tokens with and without the cache; a tool's execution within the tool is no other one."""
    request = {"input_tokens": 1000, "output_tokens": 50, "model": "claude-x", **_SERVED}
    spans = (
        span(1, "claude_code.interaction", end=100),
        span(2, "claude_code.llm_request", 1, 0, 40, attributes=request),
        span(3, "claude_code.tool", 1, 41, 90, attributes={"tool_name": "Bash"}),
        span(4, "claude_code.tool.execution", 3, 42, 90),
    )
    found = totals(*spans)
    assert (found.llm_calls, found.usage.input, found.usage.output) == (1, 1500, 50)
    assert [call.name for call in tool_calls(Tree(spans))] == ["claude_code.tool"]


def test_claude_codes_tokens_from_and_to_its_cache_count_at_their_prices() -> None:
    """What was sent is told in three parts, without a word of the conventions': all of it counts, and each part at its price."""
    parts = {"input_tokens": 692, "cache_read_tokens": 100, "cache_creation_tokens": 345, "output_tokens": 61}
    found = totals(
        span(1, "claude_code.llm_request", attributes={"span.type": "llm_request", "gen_ai.request.model": "claude-sonnet-4-5", **parts}),
        span(2, "other", attributes=parts),
    )
    assert (found.llm_calls, found.usage.input, found.usage.output, found.usage.cached_input) == (1, 1137, 61, 100)
    assert found.usage.cost == pytest.approx(0.00431475)  # as it says itself


def test_codex() -> None:
    """Numbers are texts; a turn has the sum of its requests again; a span of that name without tokens is none of a model."""
    texts = {key: str(value) for key, value in _SERVED.items()}
    twice = {key: str(2 * value) for key, value in _SERVED.items()}
    found = totals(
        span(1, "session_task.turn", attributes=twice),
        span(2, "handle_responses", 1, 0, 40, attributes=texts),
        span(3, "handle_responses", 1, 50, 90, attributes=texts),
        span(4, "handle_responses", 1, 95, 99),
    )
    assert (found.llm_calls, found.usage.input, found.usage.output) == (2, 3000, 100)


def test_codexs_spans_are_none_of_the_facades() -> None:
    """Names that look like an MCP call's are its own work; a tool's call is one; the turn says which model its requests are of."""
    own = {"code.module.name": "codex_core::session::turn"}
    spans = (
        span(1, "session_task.turn", attributes={**own, "model": "gpt-5-mini"}),
        span(2, "mcp.runtime.refresh_wait", 1, attributes=own),
        span(3, "exec_command", 1, attributes={**own, "codex.tool.phase": "dispatch", "tool_name": "exec_command"}),
        span(4, "handle_responses", 1, attributes={**own, **_SERVED}),
    )
    (tool,), (request,) = calls_of(Tree(spans)), model_calls(Tree(spans))
    assert (tool.tool, request.model) == ("exec_command", "gpt-5-mini")
    assert request.usage.cost is not None


def test_opencode() -> None:
    """The AI SDK's outer span says what the inner one says."""
    found = totals(
        span(1, "ai.streamText", attributes={"ai.usage.inputTokens": 1500, "ai.usage.outputTokens": 50, **_SERVED}),
        span(2, "ai.streamText.doStream", 1, 0, 40, attributes={"gen_ai.request.model": "m", "gen_ai.system": "openai", **_SERVED}),
        span(3, "ai.toolCall", 1, 41, 60),
    )
    assert (found.llm_calls, found.tool_calls, found.usage.input, found.usage.output) == (1, 1, 1500, 50)


def test_gemini_cli() -> None:
    """Its operation is a word of its own."""
    found = totals(span(1, "llm_call", attributes={"gen_ai.operation.name": "llm_call", "gen_ai.request.model": "gemini-x", **_SERVED}))
    assert (found.llm_calls, found.usage.input, found.usage.output) == (1, 1500, 50)
    tool = {"gen_ai.operation.name": "tool_call", "gen_ai.tool.name": "run_shell_command"}
    spans = (span(1, "schedule_tool_calls", attributes={"gen_ai.operation.name": "schedule_tool_calls"}), span(2, "tool_call", 1, attributes=tool))
    assert [call.tool for call in calls_of(Tree(spans))] == ["run_shell_command"]

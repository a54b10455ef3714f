"""What a span is, whoever made it: a model call, a tool call or an agent's work; and what it says of tokens, cost and model.

The conventions that are understood, each by its attributes, with the versions that they were read from:

| convention | how a span says what it is | version |
| --- | --- | --- |
| OpenTelemetry GenAI, and MassGen's facade | `gen_ai.operation.name` | semantic conventions 1.38 and their development version of 2026 |
| OpenTelemetry MCP | `mcp.method.name` | the same |
| Logfire's integrations, pydantic-ai | `gen_ai.operation.name` | logfire 5.4, pydantic-ai 2.68 |
| OpenInference | `openinference.span.kind` | openinference-semantic-conventions 0.1.42 |
| coding agents' own | names: `claude_code.…`, `handle_responses`, `llm_call`, `ai.….do…` | Claude Code 2, Codex 0.171, Gemini CLI 0.61, OpenCode 1 |
| names of the facade | `llm.…`, `mcp.…`, `Tool execution: …`, `agent.…` | recordings without any of these attributes |
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, Literal

from massgen_tracing import semconv
from massgen_tracing.model import Usage

Kind = Literal["model", "tool", "agent"]

OPENINFERENCE_KIND: Final = "openinference.span.kind"

OPERATIONS: Final[Mapping[str, Kind]] = {
    "chat": "model",
    "generate_content": "model",
    "text_completion": "model",
    "embeddings": "model",
    "execute_tool": "tool",
    "invoke_agent": "agent",
    "create_agent": "agent",
}
"""Values of `gen_ai.operation.name`; `invoke_workflow`, a session's, is none of the three."""

_OPERATION_OF: Final = {"LLM": "chat", "EMBEDDING": "embeddings", "TOOL": "execute_tool", "AGENT": "invoke_agent"}
"""By `openinference.span.kind`."""

_KINDS: Final[Mapping[str, Kind]] = {kind: OPERATIONS[operation] for kind, operation in _OPERATION_OF.items()}

_NAMES: Final[tuple[tuple[str, Kind], ...]] = (
    (semconv.LLM_PREFIX, "model"),
    (semconv.MCP_PREFIX, "tool"),
    (semconv.TOOL_PREFIX, "tool"),
    (semconv.AGENT_PREFIX, "agent"),
)
_TOOLS_CALL: Final = "tools/call"

_OF_CODING_AGENTS: Final[Mapping[str, Kind]] = {
    "claude_code.interaction": "agent",
    "claude_code.llm_request": "model",
    "claude_code.tool": "tool",
    **{f"ai.{what}": "model" for what in ("generateObject.doGenerate", "generateText.doGenerate", "streamObject.doStream", "streamText.doStream")},
    "ai.embed.doEmbed": "model",
    "ai.toolCall": "tool",
}
"""Names of spans that coding agents make themselves, those of Vercel's AI SDK among them, which OpenCode is made with: its `ai.streamText` says again
what the `doStream` within it says."""

_WITH_USAGE: Final = frozenset({"handle_responses", "llm_call"})
"""The same, of Codex and Gemini CLI, where tokens are said; Codex' `session_task.turn` has their sum again."""

_CLAUDES_TYPE: Final = "span.type"
_CLAUDES_INPUT: Final = ("input_tokens", "cache_read_tokens", "cache_creation_tokens")
"""Claude Code's words for what was sent: apart from what was read from a cache, and from what was written to one."""

_GEMINIS_TOOL: Final = "tool_call"
"""Gemini CLI's word for what a tool's call does, and the name of its span."""

_CODEXS_PHASE: Final = "codex.tool.phase"
_OF_RUST: Final = "code.module.name"
"""What Rust's `tracing` says of each of its spans, whose names (`mcp.runtime.refresh`) may look like the facade's."""

# Where each thing is said, the newest name first.
INPUT_TOKENS: Final = (semconv.GEN_AI_INPUT_TOKENS, "gen_ai.usage.prompt_tokens", "llm.token_count.prompt")
OUTPUT_TOKENS: Final = (semconv.GEN_AI_OUTPUT_TOKENS, "gen_ai.usage.completion_tokens", "llm.token_count.completion")
REASONING_TOKENS: Final = (
    semconv.GEN_AI_REASONING_TOKENS, "gen_ai.usage.details.reasoning_tokens", "llm.token_count.completion_details.reasoning",
    "codex.usage.reasoning_output_tokens", "ai.usage.reasoningTokens")  # fmt: skip
CACHED_TOKENS: Final = (
    semconv.GEN_AI_CACHE_READ_TOKENS, "gen_ai.usage.details.cache_read_tokens", "llm.token_count.prompt_details.cache_read",
    "ai.usage.cachedInputTokens", "cache_read_tokens")  # fmt: skip
WRITTEN_TOKENS: Final = ("gen_ai.usage.cache_creation.input_tokens", "gen_ai.usage.cache_write.input_tokens", "cache_creation_tokens")
COST: Final = (semconv.OPERATION_COST, "llm.cost.total")
MODEL: Final = (semconv.GEN_AI_REQUEST_MODEL, semconv.GEN_AI_RESPONSE_MODEL, "llm.model_name", "embedding.model_name")
TURNS_MODEL: Final = ("model",)
"""Where Codex says it: not on the requests."""

PROVIDER: Final = (semconv.GEN_AI_PROVIDER, semconv.GEN_AI_SYSTEM, "llm.provider", "llm.system")
TOOL: Final = (semconv.GEN_AI_TOOL_NAME, "tool.name", "tool_name", "ai.toolCall.name")
AGENT: Final = (semconv.AGENT_ID, semconv.GEN_AI_AGENT, "agent.name")

KIND_BY: Final = (semconv.GEN_AI_OPERATION, OPENINFERENCE_KIND, semconv.MCP_METHOD, semconv.LOGFIRE_SPAN_TYPE)
"""The attributes by which a span says what it is; `is_told_by_usage` says whose usage does, too."""

_SAME: Final = (INPUT_TOKENS, OUTPUT_TOKENS, REASONING_TOKENS, CACHED_TOKENS, COST, MODEL, PROVIDER, TOOL, AGENT[1:])


_CONTENT: Final = frozenset({
    semconv.GEN_AI_INPUT_MESSAGES, semconv.GEN_AI_OUTPUT_MESSAGES, semconv.GEN_AI_TOOL_ARGUMENTS, semconv.GEN_AI_TOOL_RESULT,
    "gen_ai.system_instructions", "gen_ai.tool.definitions", "gen_ai.prompt", "gen_ai.completion", "gen_ai.event.content",
    "input.value", "output.value", "llm.prompts", "llm.invocation_parameters", "tool.parameters",
    "request_data", "response_data", "all_messages", "all_messages_events", "pydantic_ai.all_messages", "final_result",
    "tool_arguments", "tool_response",
})  # fmt: skip
_CONTENT_OF: Final = (
    *("gen_ai.prompt.", "gen_ai.completion.", "llm.input_messages.", "llm.output_messages.", "llm.prompts.", "llm.tools."),
    *("retrieval.documents.", "embedding.embeddings.", "reranker.input_documents.", "reranker.output_documents."),
)
"""What the keys begin with where each part of a message has one of its own."""


def is_content(key: str) -> bool:
    """Whether what people and models said stands under a key: messages, arguments and results of tools, documents."""
    return key in _CONTENT or key.startswith(_CONTENT_OF)


def in_otel_terms(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """What a span of OpenInference says, by the keys of OpenTelemetry's GenAI conventions; without those that it has already."""
    said = {keys[0]: attributes[key] for keys in _SAME if keys[0] not in attributes for key in reversed(keys) if key in attributes}
    operation = _OPERATION_OF.get(kind) if isinstance(kind := attributes.get(OPENINFERENCE_KIND), str) else None
    if operation is not None and semconv.GEN_AI_OPERATION not in attributes:
        said[semconv.GEN_AI_OPERATION] = operation
    return said


def kind_of(name: str, attributes: Mapping[str, Any]) -> Kind | None:
    """What a span of this name and these attributes is; None for anything else."""
    said = _of(OPERATIONS, attributes.get(semconv.GEN_AI_OPERATION)) or _of(_KINDS, attributes.get(OPENINFERENCE_KIND))
    if said is None and attributes.get(semconv.MCP_METHOD) == _TOOLS_CALL:
        return "tool"
    if said is None and name == _GEMINIS_TOOL == attributes.get(semconv.GEN_AI_OPERATION):
        return "tool"
    if said is None and name in _WITH_USAGE and usage_of(attributes) != Usage():
        return "model"
    if said is None and semconv.GEN_AI_OPERATION not in attributes and OPENINFERENCE_KIND not in attributes:
        if name in _OF_CODING_AGENTS:
            return _OF_CODING_AGENTS[name]
        if _OF_RUST in attributes:
            return "tool" if _CODEXS_PHASE in attributes else None
        return next((kind for prefix, kind in _NAMES if name.startswith(prefix)), None)
    return said


def is_told_by_usage(name: str) -> bool:
    """Whether a span of this name is a model call only where it says what it used."""
    return name in _WITH_USAGE


def usage_of(attributes: Mapping[str, Any]) -> Usage:
    """What a model call's attributes say that it used."""
    tokens = [_first_integer(attributes, keys) for keys in (INPUT_TOKENS, OUTPUT_TOKENS, REASONING_TOKENS, CACHED_TOKENS)]
    if tokens[0] is None and attributes.get(_CLAUDES_TYPE) == "llm_request":
        parts = [_integer(attributes.get(key)) for key in _CLAUDES_INPUT]
        tokens[:2] = None if parts[0] is None else sum(part or 0 for part in parts), _integer(attributes.get("output_tokens"))
    cost = next((cost for key in COST if (cost := number(attributes.get(key))) is not None), None)
    return Usage(tokens[0], tokens[1], tokens[2], tokens[3], cost)


def written_to_cache(attributes: Mapping[str, Any]) -> int:
    """How many of the tokens sent were written to a cache, which has a price of its own."""
    return _first_integer(attributes, WRITTEN_TOKENS) or 0


def models_of(attributes: Mapping[str, Any]) -> list[str]:
    """The names of a call's model, as far as its span says them: the one that was asked for first."""
    return [name for key in MODEL if (name := text_of(attributes, (key,)))]


def text_of(attributes: Mapping[str, Any], keys: tuple[str, ...]) -> str:
    """The first of the *keys* that has a text: the model's name by `MODEL`, say; empty where none has."""
    return next((value for key in keys if isinstance(value := attributes.get(key), str) and value), "")


def number(value: object) -> float | None:
    """A number; None for anything else, and for what is none (NaN, infinity), which other writers may have recorded."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) else None


def is_record(attributes: Mapping[str, Any]) -> bool:
    """Whether it is a point record, which Logfire calls a log."""
    return attributes.get(semconv.LOGFIRE_SPAN_TYPE) == semconv.SPAN_TYPE_LOG


def _of(kinds: Mapping[str, Kind], value: object) -> Kind | None:
    return kinds.get(value) if isinstance(value, str) else None


def _first_integer(attributes: Mapping[str, Any], keys: tuple[str, ...]) -> int | None:
    return next((value for key in keys if key in attributes and (value := _integer(attributes[key])) is not None), None)


def _integer(value: object) -> int | None:
    """A whole number, also as a text, as Codex has it."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < _LONGEST_NUMBER:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


_LONGEST_NUMBER: Final = 19

"""Claude Code, a program of its own: what it asks its model and its tools is seen in the messages that it sends back.

All of one question to it is one model call. Its tools run in the program, those of MCP servers too; their calls last from the message that names them
to the one that has their result.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from massgen_tracing import guard

if TYPE_CHECKING:
    from massgen_tracing.trace.calls import ToolCall
    from massgen_tracing.trace.tracer import Tracer

    from .model_calls import ModelCall, ModelCalls

_MCP: Final = "mcp__"
"""How the names of MCP tools begin: `mcp__server__tool`."""

_MASSGENS: Final = f"{_MCP}massgen_custom_tools__"
"""MassGen's own tools, which run in its process and are seen there."""


class ClaudeCode:
    """The wrapper of its SDK.

    Args:
        tracer: gives the tracer in force.
        models: the open model calls.
    """

    def __init__(self, tracer: Callable[[], Tracer], models: ModelCalls) -> None:
        self._tracer = tracer
        self._models = models

    def receive_response(self, original: Callable[..., Any], client: Any, *args: Any, **kwargs: Any) -> Any:
        """`ClaudeSDKClient.receive_response`: the messages up to the one with the result."""
        stream, call = original(client, *args, **kwargs), self._models.current
        return stream if call is None else self._seen(stream, call)

    async def _seen(self, stream: Any, call: ModelCall) -> AsyncIterator[Any]:
        tools: dict[str, ToolCall] = {}
        try:
            async with contextlib.aclosing(stream) as messages:
                async for message in messages:
                    try:
                        self._message(message, call, tools)
                    except Exception as error:  # noqa: BLE001 - telemetry never breaks the run
                        guard.swallow("massgen.claude_code", error)
                    yield message
        finally:
            for tool in tools.values():
                tool.end(GeneratorExit())

    def _message(self, message: Any, call: ModelCall, tools: dict[str, ToolCall]) -> None:
        if hasattr(message, "total_cost_usd"):
            usage = getattr(message, "usage", None)
            if isinstance(usage, Mapping):
                call.used({**usage, "cost": message.total_cost_usd})
            call.stopped(getattr(message, "stop_reason", None))
            call.over(success=not getattr(message, "is_error", False), error=getattr(message, "result", None))
            return
        call.answered_by(getattr(message, "model", None))
        content = getattr(message, "content", None)
        for block in content if isinstance(content, list) else ():
            result_of = getattr(block, "tool_use_id", None)
            if result_of is not None:
                tool = tools.pop(result_of, None)
                if tool is not None:
                    tool.record_result(_text_of(block.content), is_error=bool(getattr(block, "is_error", False)))
                    tool.end()
            elif hasattr(block, "input") and not block.name.startswith(_MASSGENS):
                tools[block.id] = self._tool(block, tools.get(str(getattr(message, "parent_tool_use_id", None))))

    def _tool(self, block: Any, parent: ToolCall | None) -> ToolCall:
        """The call that a block asks for; below *parent* where an agent of Claude Code's own asks."""
        opener = parent or self._tracer()
        if block.name.startswith(_MCP):
            server, _, name = block.name.removeprefix(_MCP).partition("__")
            call: ToolCall = opener.mcp_call(server, name, arguments=block.input, call_id=block.id)
        else:
            call = opener.tool_call(block.name, arguments=block.input, call_id=block.id)
        return call.start()


def _text_of(content: Any) -> str | None:
    """The text of a tool's result."""
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, Mapping))
    return None if content is None else str(content)

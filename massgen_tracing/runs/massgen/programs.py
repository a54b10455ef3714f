"""Claude Code and Codex, programs of their own: what they ask their models and their tools is seen in the messages that they send back.

All of one question to such a program is one model call. Its tools run in it, those of MCP servers too; their calls last from the message that names
them to the one that has their result.
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
"""How Claude Code's names of MCP tools begin: `mcp__server__tool`."""

_WORKFLOW: Final = "massgen_workflow_tools"
"""MassGen's server of `new_answer` and `vote`, which are no tools of a round but its result."""

_CUSTOM: Final = "massgen_custom_tools"
"""MassGen's server of its own tools; Claude Code asks for them in MassGen's process, where they are seen."""


class Programs:
    """The wrappers of what speaks with the programs.

    Args:
        tracer: gives the tracer in force.
        models: the open model calls.
    """

    def __init__(self, tracer: Callable[[], Tracer], models: ModelCalls) -> None:
        self._tracer = tracer
        self._models = models

    # --- Claude Code ---------------------------------------------------------------------------------------------------------------

    def receive_response(self, original: Callable[..., Any], client: Any, *args: Any, **kwargs: Any) -> Any:
        """`ClaudeSDKClient.receive_response`: the messages up to the one with the result."""
        stream, call = original(client, *args, **kwargs), self._models.current
        return stream if call is None else self._seen(stream, call)

    async def _seen(self, stream: Any, call: ModelCall) -> AsyncIterator[Any]:
        async with contextlib.aclosing(stream) as messages:
            async for message in messages:
                with guard.guarded("massgen.program"):
                    self._message(message, call)
                yield message

    def _message(self, message: Any, call: ModelCall) -> None:
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
                _ended(call, result_of, _text_of(block.content), is_error=bool(getattr(block, "is_error", False)))
            elif hasattr(block, "input"):
                server, _, tool = block.name.removeprefix(_MCP).partition("__") if block.name.startswith(_MCP) else (None, "", block.name)
                if server not in {_WORKFLOW, _CUSTOM}:
                    parent = call.tools.get(str(getattr(message, "parent_tool_use_id", None)))
                    self._began(call, block.id, server, tool, block.input, parent)

    # --- Codex ---------------------------------------------------------------------------------------------------------------------

    def codex_event(self, original: Callable[..., Any], backend: Any, event: Any, *args: Any, **kwargs: Any) -> Any:
        """`CodexBackend._parse_codex_event`: a line of the program's output."""
        call = self._models.current
        if call is not None:
            with guard.guarded("massgen.program"):
                self._event(event, call)
        return original(backend, event, *args, **kwargs)

    def _event(self, event: Any, call: ModelCall) -> None:
        item = event.get("item")
        if not isinstance(item, Mapping) or not item.get("id"):
            return
        item_id, kind = str(item["id"]), item.get("type")
        if event.get("type") == "item.started" and kind == "mcp_tool_call" and item.get("server") != _WORKFLOW:
            self._began(call, item_id, str(item.get("server")), str(item.get("tool")), item.get("arguments"))
        elif event.get("type") == "item.started" and kind == "command_execution":
            self._began(call, item_id, None, "shell", {"command": item.get("command")})
        elif event.get("type") == "item.completed":
            result, error = item.get("result"), item.get("error")
            text = _text_of(result.get("content")) if isinstance(result, Mapping) else item.get("aggregated_output")
            _ended(call, item_id, text or error, is_error=bool(error or item.get("exit_code") or item.get("status") == "failed"))

    # --- both ----------------------------------------------------------------------------------------------------------------------

    def _began(self, call: ModelCall, call_id: str, server: str | None, tool: str, arguments: object, parent: ToolCall | None = None) -> None:
        """A tool is used; below *parent* where an agent of the program's own uses it."""
        opener = parent or self._tracer()
        begun: ToolCall = (
            opener.tool_call(tool, arguments=arguments, call_id=call_id)
            if server is None
            else opener.mcp_call(server, tool, arguments=arguments, call_id=call_id)
        )
        call.tools[call_id] = begun.start()


def _ended(call: ModelCall, call_id: str, result: object, *, is_error: bool) -> None:
    """The result of a tool is there."""
    tool = call.tools.pop(call_id, None)
    if tool is not None:
        tool.record_result(result, is_error=is_error)
        tool.end()


def _text_of(content: Any) -> str | None:
    """The text of a tool's result."""
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, Mapping))
    return None if content is None else str(content)

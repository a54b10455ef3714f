"""Tool calls, each once: MCP calls where MassGen's client makes the request, custom tools where its tool manager runs them."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import AsyncIterator, Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from massgen_tracing import guard, semconv
from massgen_tracing.trace.borders import bind_stream

if TYPE_CHECKING:
    from massgen_tracing.trace.calls import McpCall
    from massgen_tracing.trace.tracer import Tracer

    from .coordination import Coordinations
    from .model_calls import ModelCalls

_FAILED: Final = ("Error:", "ToolNotFound:")
"""How MassGen's tool manager begins the result of a custom tool that failed."""

_MAX_TEXT: Final = 65536
"""Characters of a tool's result that are looked at."""


class ToolCalls:
    """The wrappers that see tool calls.

    Args:
        tracer: gives the tracer in force.
        models: the open model calls; an agent that uses a tool has its answer.
        coordinations: knows which round started what.
    """

    def __init__(self, tracer: Callable[[], Tracer], models: ModelCalls, coordinations: Coordinations) -> None:
        self._tracer = tracer
        self._models = models
        self._coordinations = coordinations
        self._call_id: ContextVar[str | None] = ContextVar("massgen_tracing.call_id", default=None)
        self._background: ContextVar[bool] = ContextVar("massgen_tracing.background", default=False)
        self._mcp: ContextVar[McpCall | None] = ContextVar("massgen_tracing.mcp_call", default=None)

    def execute_tool_with_logging(self, original: Callable[..., Any], backend: Any, call: Any, *args: Any, **kwargs: Any) -> Any:
        """`CustomToolAndMCPBackend._execute_tool_with_logging`: knows the model's id of the call."""
        return bind_stream(self._known(call, original(backend, call, *args, **kwargs)))

    async def _known(self, call: Any, stream: Any) -> AsyncIterator[Any]:
        self._models.settle()
        call_id = call.get("call_id") if isinstance(call, dict) else None
        self._call_id.set(str(call_id) if call_id else None)
        async with contextlib.aclosing(stream) as chunks:
            async for chunk in chunks:
                yield chunk

    async def call_tool(self, original: Callable[..., Any], client: Any, tool_name: str, arguments: Any, *args: Any, **kwargs: Any) -> Any:
        """`MCPClient.call_tool`: one MCP call; none where no server has such a tool, for which MassGen asks now and then on its own account."""
        self._models.settle()
        offered = getattr(client, "tools", None)
        if isinstance(offered, dict) and tool_name not in offered:
            return await original(client, tool_name, arguments, *args, **kwargs)
        server, tool = _mcp_name(client, tool_name)
        call = self._tracer().mcp_call(server, tool, arguments=arguments, call_id=self._call_id.get(), transport=_transport(client, server))
        with call:
            self._started(call)
            self._mcp.set(call)
            try:
                result = await original(client, tool_name, arguments, *args, **kwargs)
            finally:
                self._mcp.set(None)
            with guard.guarded("massgen.tool"):
                call.record_result(_text_of(result), is_error=bool(getattr(result, "isError", False)))
        return result

    async def session_call_tool(self, original: Callable[..., Any], session: Any, *args: Any, **kwargs: Any) -> Any:
        """`mcp.ClientSession.call_tool`: the request takes the trace along (MCP SEP-414)."""
        call = self._mcp.get()
        if call is not None and "meta" in inspect.signature(original).parameters and kwargs.get("meta") is None:
            with guard.guarded("massgen.tool"):
                kwargs["meta"] = call.meta()
        return await original(session, *args, **kwargs)

    def execute_tool(self, original: Callable[..., Any], manager: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        """`ToolManager.execute_tool`: one custom tool."""
        return bind_stream(self._custom(request, original(manager, request, *args, **kwargs)))

    async def _custom(self, request: Any, stream: Any) -> AsyncIterator[Any]:
        self._models.settle()
        name = str(request.get("name", "unknown"))
        call = self._tracer().tool_call(name, arguments=request.get("input"), call_id=self._call_id.get())
        with call:
            self._started(call)
            text = ""
            async with contextlib.aclosing(stream) as results:
                async for result in results:
                    if len(text) < _MAX_TEXT:
                        text += _blocks(result)
                    yield result
            with guard.guarded("massgen.tool"):
                call.record_result(text, is_error=text.startswith(_FAILED))

    async def run_background_tool_job(self, original: Callable[..., Any], backend: Any, *args: Any, **kwargs: Any) -> Any:
        """`CustomToolAndMCPBackend._run_background_tool_job`: a tool that runs beside its round, in a task of its own."""
        self._background.set(True)
        return await original(backend, *args, **kwargs)

    def _started(self, call: Any) -> None:
        if self._background.get():
            call.set(semconv.BACKGROUND, True)
            execution = self._coordinations.execution(call.round)
            if execution is not None:
                execution.background.append(call)


def _mcp_name(client: Any, tool_name: str) -> tuple[str, str]:
    """Server and tool of MassGen's name for both, `mcp__server__tool`."""
    servers = getattr(client, "_tool_to_server", None)
    server = servers.get(tool_name) if isinstance(servers, dict) else None
    if server is None:
        _, _, rest = tool_name.partition("mcp__")
        server, _, tool = rest.partition("__")
        return (server or "unknown", tool or tool_name)
    return server, tool_name.removeprefix(f"mcp__{server}__")


def _transport(client: Any, server: str) -> str | None:
    """OpenTelemetry's `network.transport` of a server."""
    for config in getattr(client, "_server_configs", None) or ():
        if isinstance(config, dict) and config.get("name") == server:
            return "pipe" if config.get("type", "stdio") == "stdio" else "tcp"
    return None


def _text_of(result: Any) -> str | None:
    """The text of an MCP result."""
    content = getattr(result, "content", None)
    if not isinstance(content, list):
        return None if result is None else str(result)[:_MAX_TEXT]
    return "\n".join(str(item.text) for item in content if getattr(item, "text", None))[:_MAX_TEXT]


def _blocks(result: Any) -> str:
    """The text of a custom tool's result."""
    return "".join(str(block.data) for block in getattr(result, "output_blocks", None) or () if hasattr(block, "data"))

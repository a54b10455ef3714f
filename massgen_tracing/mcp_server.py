"""A Model Context Protocol server of a table of tools, by either generation of the `mcp` package. The only place that serves by it.

Tools and results are given as the protocol has them on the wire, so that they are the same for both generations.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

Answer = Callable[[str, Mapping[str, Any], Mapping[str, Any]], Awaitable[Mapping[str, Any]]]
"""Answers a call: told the tool's name, its arguments and the request's `_meta`; gives the result (`content`, `structuredContent`, `isError`)."""


def make(name: str, tools: Sequence[Mapping[str, Any]], answer: Answer, *, version: str = "", instructions: str | None = None) -> Any:
    """A server.

    Args:
        name: what it calls itself.
        tools: its tools, as `tools/list` gives them.
        answer: answers calls, also of tools that there are not.
        version: its version.
        instructions: what its clients are told of it.
    """
    from mcp import types
    from mcp.server.lowlevel import Server

    listed = types.ListToolsResult.model_validate({"tools": list(tools)})

    async def answered(tool: str, arguments: Mapping[str, Any] | None, meta: Mapping[str, Any]) -> Any:
        return types.CallToolResult.model_validate(dict(await answer(tool, arguments or {}, meta)))

    about = {"name": name, "version": version, "instructions": instructions}
    if hasattr(Server, "call_tool"):
        return _of_mcp_1(Server, types, listed, answered, about)
    return _of_mcp_2(Server, listed, answered, about)


def _of_mcp_2(server_class: Any, listed: Any, answered: Callable[..., Awaitable[Any]], about: Mapping[str, Any]) -> Any:
    async def list_tools(_context: Any, _params: Any) -> Any:
        return listed

    async def call_tool(context: Any, params: Any) -> Any:
        return await answered(params.name, params.arguments, dict(context.meta or {}))

    return server_class(**about, on_list_tools=list_tools, on_call_tool=call_tool)


def _of_mcp_1(server_class: Any, types: Any, listed: Any, answered: Callable[..., Awaitable[Any]], about: Mapping[str, Any]) -> Any:
    # The decorators would hide the request, and with it `_meta`; the table of handlers is what they fill.
    async def list_tools(_request: Any) -> Any:
        return types.ServerResult(listed)

    async def call_tool(request: Any) -> Any:
        meta = request.params.meta
        return types.ServerResult(await answered(request.params.name, request.params.arguments, meta.model_dump() if meta else {}))

    server = server_class(**about)
    server.request_handlers[types.ListToolsRequest] = list_tools
    server.request_handlers[types.CallToolRequest] = call_tool
    return server


async def over_stdio(server: Any) -> None:
    """Serve over stdin and stdout until stdin ends."""
    from mcp.server.stdio import stdio_server

    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


async def over_http(server: Any, scope: Any, receive: Any, send: Any) -> None:
    """Answer one request of streamable HTTP (ASGI): each stands for itself, with an answer in JSON, so that nothing is kept between them."""
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

    # A manager has the tasks of what it serves, and has to be open around them: one a request needs no place in the life of the application.
    manager = StreamableHTTPSessionManager(app=server, json_response=True, stateless=True)
    async with manager.run():
        await manager.handle_request(scope, receive, send)

"""One agent's MCP servers, through the `mcp` package: the only file of the client side that imports it."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from massgen_tracing.errors import ToolServerError
from massgen_tracing.layout import TOOL_LOG_VARIABLE
from massgen_tracing.trace.environment import child_env

from .config import ToolServerConfig

START_TIMEOUT: Final = 60.0
"""Seconds that a server has to start and to list its tools."""

STOP_TIMEOUT: Final = 10.0
"""Seconds for a server to end; its process is killed by then, so more would not help."""

CALL_TIMEOUT: Final = 120.0
"""Seconds for one tool call."""

MAX_RESULT: Final = 200_000
"""Characters of a result that the model is shown; the rest is cut, and said to be."""

PASSED_ENV: Final = (TOOL_LOG_VARIABLE, "TMPDIR", "LANG", "LC_ALL", "VIRTUAL_ENV", "PYTHONPATH")
"""Variables that a server inherits besides mcp's own short list: no keys."""


def load() -> None:
    """Import the package, which takes a second, before it would stand in the way of a run."""
    import mcp  # noqa: F401


class ToolServerGone(Exception):
    """The server died, or does not answer any more."""


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as its server describes it."""

    name: str
    description: str
    schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool call gave."""

    text: str
    is_error: bool


class ToolServer:
    """One MCP server process and the session with it.

    The session lives in a task of its own, from start to end: its cancel scopes must be left by the task that entered them, while
    calls come from whichever task drives an agent's stream.
    """

    def __init__(self, config: ToolServerConfig, workspace: Path, env: Mapping[str, str] | None = None) -> None:
        self.name = config.name
        self.specs: tuple[ToolSpec, ...] = ()
        self._config = config
        self._workspace = workspace
        self._env = env or {}
        self._session: Any = None
        self._closing = asyncio.Event()
        self._owner: asyncio.Task[None] | None = None
        self._stderr = tempfile.TemporaryFile(mode="w+", encoding="utf-8", errors="replace")  # noqa: SIM115 - closed by stop()

    async def start(self) -> None:
        """Start the process and list its tools.

        Raises:
            ToolServerError: if it does not start, does not speak MCP, or takes too long; with the end of its stderr.
        """
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._owner = asyncio.create_task(self._own(ready), name=f"mcp server {self.name}")
        done, _ = await asyncio.wait({ready, self._owner}, timeout=START_TIMEOUT, return_when=asyncio.FIRST_COMPLETED)
        if ready in done:
            return
        failure = self._owner.exception() if self._owner in done else TimeoutError(f"no answer within {START_TIMEOUT:.0f} s")
        ready.cancel()
        tail = self._stderr_tail()
        await self.stop()
        raise ToolServerError(
            f"The MCP server {self.name!r} did not start: {_first_cause(failure)}",
            hint=f"Try it by hand: {' '.join([self._config.command, *self._arguments()])}" + (f". Its stderr ends with:\n{tail}" if tail else ""),
        )

    async def call(self, tool: str, arguments: dict[str, Any], meta: dict[str, Any]) -> ToolResult:
        """Call a tool, with *meta* as the request's `params._meta`.

        Raises:
            ToolServerGone: if the server died before or during the call.
            TimeoutError: if the call took longer than `CALL_TIMEOUT`.
        """
        if self._owner is None or self._owner.done() or self._session is None:
            raise ToolServerGone(f"Server {self.name!r} not connected")
        # In a task of its own beside the owner's: mcp 1 leaves a call waiting for ever when the pipe breaks, only its owner hears of it.
        request = asyncio.create_task(self._session.call_tool(tool, arguments, meta=meta))
        try:
            await asyncio.wait({request, self._owner}, timeout=CALL_TIMEOUT, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not request.done():
                request.cancel()
                await asyncio.wait({request}, timeout=1.0)
        if request.cancelled() or not request.done():
            if self._owner.done():
                raise ToolServerGone(f"Server {self.name!r} not connected: it died during {tool}")
            raise TimeoutError(f"{tool} gave no result within {CALL_TIMEOUT:.0f} s")
        error = request.exception()
        if error is None:
            return _result(request.result())
        if _is_disconnect(error):
            self._session = None
            raise ToolServerGone(f"Server {self.name!r} not connected: it died during {tool}") from error
        if _is_protocol_error(error):
            return ToolResult(f"{tool}: {error}", is_error=True)
        raise error

    async def stop(self) -> None:
        """End the process; bounded, never raises."""
        self._closing.set()
        if self._owner is not None:
            # One that has not even started has nothing to bring to its end.
            await asyncio.wait({self._owner}, timeout=STOP_TIMEOUT if self._session is not None else 0)
            if not self._owner.done():
                self._owner.cancel()
                await asyncio.wait({self._owner}, timeout=STOP_TIMEOUT)
            if self._owner.done() and not self._owner.cancelled():
                self._owner.exception()  # a server that died has been reported by the calls that needed it
        self._stderr.close()

    async def _own(self, ready: asyncio.Future[None]) -> None:
        from mcp.client.session import ClientSession
        from mcp.client.stdio import StdioServerParameters, stdio_client

        env = child_env({**_inherited(), **self._env, **self._config.env})
        parameters = StdioServerParameters(command=self._config.command, args=self._arguments(), env=env, cwd=self._workspace)
        async with stdio_client(parameters, errlog=self._stderr) as (read, write), ClientSession(read, write) as session:
            await session.initialize()
            listed = (await session.list_tools()).model_dump(by_alias=True)
            self.specs = tuple(ToolSpec(tool["name"], tool.get("description") or "", tool["inputSchema"]) for tool in listed["tools"])
            self._session = session
            if not ready.done():
                ready.set_result(None)
            await self._closing.wait()
            self._session = None

    def _arguments(self) -> list[str]:
        return [arg.replace("${cwd}", str(self._workspace)) for arg in self._config.args]

    def _stderr_tail(self) -> str:
        self._stderr.flush()
        self._stderr.seek(0)
        return "\n".join(self._stderr.read()[-4000:].splitlines()[-12:])


class Toolbox:
    """All MCP servers of one agent.

    Args:
        servers: their configurations.
        workspace: existing directory in which they work.
        env: added to their environment.
    """

    def __init__(self, servers: tuple[ToolServerConfig, ...], workspace: Path, env: Mapping[str, str] | None = None) -> None:
        self._servers = [ToolServer(config, workspace, env) for config in servers]
        self._tools: dict[str, tuple[ToolServer, ToolSpec]] = {}

    async def start(self) -> None:
        """Start all servers at once.

        Raises:
            ToolServerError: if one does not start; the others are ended by `stop`.
        """
        results = await asyncio.gather(*(server.start() for server in self._servers), return_exceptions=True)
        for error in results:
            if isinstance(error, BaseException):
                raise error
        self._tools = {f"mcp__{server.name}__{spec.name}": (server, spec) for server in self._servers for spec in server.specs}

    async def stop(self) -> None:
        """End all servers; bounded, never raises."""
        await asyncio.gather(*(server.stop() for server in self._servers))

    def functions(self) -> list[dict[str, Any]]:
        """The tools as a chat completion request offers them, named `mcp__<server>__<tool>`."""
        return [
            {"type": "function", "function": {"name": name, "description": spec.description, "parameters": dict(spec.schema)}}
            for name, (_, spec) in self._tools.items()
        ]

    def find(self, name: str) -> tuple[ToolServer, str] | None:
        """The server and the tool's own name; None for a name that no server offers."""
        found = self._tools.get(name)
        return (found[0], found[1].name) if found else None


def _inherited() -> dict[str, str]:
    return {name: os.environ[name] for name in PASSED_ENV if name in os.environ}


def _result(result: Any) -> ToolResult:
    data = result.model_dump(by_alias=True)
    texts = [part["text"] if part.get("type") == "text" else f"[{part.get('type')}]" for part in data.get("content") or ()]
    text = "\n".join(texts)
    if len(text) > MAX_RESULT:
        text = f"{text[:MAX_RESULT]}\n(cut: {len(text):,} characters in all)"
    return ToolResult(text, bool(data.get("isError")))


def _is_protocol_error(error: BaseException) -> bool:
    from mcp.shared import exceptions

    # mcp 1 spells it McpError, mcp 2 MCPError.
    kind: type[Exception] = getattr(exceptions, "MCPError", None) or getattr(exceptions, "McpError")  # noqa: B009 - unknown to one of the two
    return isinstance(error, kind)


def _is_disconnect(error: BaseException) -> bool:
    import anyio

    if isinstance(error, (anyio.ClosedResourceError, anyio.BrokenResourceError, anyio.EndOfStream, ConnectionError)):
        return True
    code = getattr(getattr(error, "error", None), "code", None)
    return _is_protocol_error(error) and code == _CONNECTION_CLOSED


_CONNECTION_CLOSED: Final = -32000
"""mcp's own JSON-RPC code for a session whose transport closed."""


def _first_cause(error: BaseException | None) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}" if error is not None else "it ended at once"

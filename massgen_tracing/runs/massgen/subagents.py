"""Subagents: MassGen processes that an agent starts, below the tool call that asked for them.

An agent asks for them by a tool of an MCP server of MassGen's own, which is a process with an environment that MassGen has cleaned; that one starts
`massgen` again. So that server alone of all MCP servers is given what it takes to be traced. The call's span comes with the request (MCP SEP-414),
is current while the server handles it, and goes into the environment of what is started then. MassGen also starts subagents without a server.
"""

from __future__ import annotations

import contextlib
import inspect
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from opentelemetry import context as otel_context

from massgen_tracing import guard, semconv
from massgen_tracing.trace import carriers
from massgen_tracing.trace.borders import bind

SERVER: Final = "_subagent_mcp_server.py"
"""The file of MassGen's server, which stands in the command that starts it."""

PROGRAM: Final = "massgen"
"""A word of the command that starts a subagent: `uv run massgen …`, behind whatever prefix is configured."""


class Subagents:
    """The wrappers that see them on their way.

    Args:
        child_environment: an environment as a traced child process gets it.
    """

    def __init__(self, child_environment: Callable[[Mapping[str, str]], dict[str, str]]) -> None:
        self._child_environment = child_environment

    def create_transport_context(self, original: Callable[..., Any], client: Any, config: Any, *args: Any, **kwargs: Any) -> Any:
        """`MCPClient._create_transport_context`: an MCP server is started. MassGen's configuration stays as it is, since it writes that to files."""
        with guard.guarded("massgen.subagents"):
            if any(SERVER in str(word) for word in config.get("args") or ()):
                env = self._child_environment(config.get("env") or {})
                # MassGen replaces ${NAME} in the values, and does not start the server where there is no NAME.
                config = {**config, "env": {name: value for name, value in env.items() if "${" not in value or name in (config.get("env") or {})}}
        return original(client, config, *args, **kwargs)

    async def handle_request(self, original: Callable[..., Any], server: Any, message: Any, *args: Any, **kwargs: Any) -> Any:
        """`mcp.server.lowlevel.Server._handle_request`: what a server does for a request belongs to the span that has sent it."""
        with _sent_by(getattr(message, "request_meta", None)):
            return await original(server, message, *args, **kwargs)

    def run_async_safely(self, original: Callable[..., Any], work: Any, *args: Any, **kwargs: Any) -> Any:
        """`run_async_safely`: from within an event loop it runs *work* in a thread, which would know of no span."""
        return original(bind(work) if inspect.iscoroutine(work) else work, *args, **kwargs)

    def create_subprocess_exec(self, original: Callable[..., Any], *words: Any, **options: Any) -> Any:
        """`asyncio.create_subprocess_exec`: MassGen starts itself. Older versions give no environment, and with it their own."""
        if PROGRAM in words:
            with guard.guarded("massgen.subagents"):
                options["env"] = self._child_environment(options.get("env") or os.environ)
        return original(*words, **options)


@contextlib.contextmanager
def _sent_by(meta: Any) -> Iterator[None]:
    """The span in a request's metadata is current in the block, if there is one."""
    sent = getattr(meta, "model_extra", None) or {}
    if semconv.TRACEPARENT not in sent:
        yield
        return
    before = otel_context.get_current()
    otel_context.attach(carriers.extract({name: value for name, value in sent.items() if isinstance(value, str)}))
    try:
        yield
    finally:
        otel_context.attach(before)

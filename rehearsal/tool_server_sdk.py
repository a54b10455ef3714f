"""The MCP server of a rehearsal as MCP's own library makes it: what `tool_server.py` is, but two seconds of processor time later.

    python tool_server_sdk.py AGENT LOG

One JSON line a call: agent, tool, arguments, `_meta` of the request, `began_ns` and `ended_ns` (Unix nanoseconds), the names of its variables.
"""

# mypy: ignore-errors
# It runs in an environment of MassGen, with the mcp 1.x that is there; here 2.x may be installed, which has no FastMCP.

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from typing import Any

from mcp.server.fastmcp import Context, FastMCP


def main(agent: str, path: str) -> None:
    """Serve until stdin ends."""
    server = FastMCP("notes", log_level="ERROR")

    def log(context: Context[Any, Any, Any], tool: str, began: int, **arguments: Any) -> None:
        meta = context.request_context.meta
        line = {
            "agent": agent,
            "tool": tool,
            "arguments": arguments,
            "meta": meta.model_dump() if meta else {},
            "began_ns": began,
            "ended_ns": time.time_ns(),
            "pid": os.getpid(),
            "variables": sorted(os.environ),
        }
        with open(path, "a", encoding="utf-8") as file:  # one write in append mode: lines of several servers do not mix
            file.write(json.dumps(line, default=str) + "\n")

    @server.tool()
    async def note(text: str, context: Context[Any, Any, Any], seconds: float = 0.0) -> str:
        """Keep a note; takes as long as it is told to."""
        began = time.time_ns()
        await asyncio.sleep(seconds)
        log(context, "note", began, text=text, seconds=seconds)
        return f"noted: {text}"

    @server.tool()
    async def fail(why: str, context: Context[Any, Any, Any]) -> str:
        """Fail."""
        log(context, "fail", time.time_ns(), why=why)
        raise ValueError(why)

    server.run()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])

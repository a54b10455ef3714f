# mypy: ignore-errors
# It runs in an environment that has the library.

import asyncio
import os
import sys

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client


async def ask_at_once() -> None:
    server = StdioServerParameters(command=sys.executable, args=[os.environ["TOOL_SERVER"], "any", os.environ["TOOL_LOG"]])
    async with stdio_client(server) as streams, ClientSession(*streams) as session:
        await session.initialize()
        await asyncio.gather(*(session.call_tool("note", {"text": f"{number}", "seconds": 0.1}) for number in range(3)))


asyncio.run(ask_at_once())

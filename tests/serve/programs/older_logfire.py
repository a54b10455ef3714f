"""Run where Logfire 4 and logfire-mcp are: asks servers for assistants the same, one after the other, and Logfire's query clients; prints it all."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from datetime import datetime
from typing import Any

from logfire.query_client import AsyncLogfireQueryClient, LogfireQueryClient
from mcp import ClientSession, StdioServerParameters, stdio_client


async def answers(server: list[str], calls: list[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    """What a server gives to each of the calls."""
    parameters = StdioServerParameters(command=server[0], args=server[1:], env=dict(os.environ))
    async with stdio_client(parameters) as streams, ClientSession(*streams) as session:
        await session.initialize()
        # As the protocol has it: the names of Python's attributes are others in the package's second generation.
        found = [(await session.call_tool(name, arguments)).model_dump(by_alias=True) for name, arguments in calls]
    return [
        {
            "is_error": each["isError"],
            "result": (each["structuredContent"] or {}).get("result"),
            "blocks": [block["text"] for block in each["content"]],
        }
        for each in found
    ]


async def rows(url: str, sql: str) -> list[Any]:
    """The rows that the query client and its asynchronous twin are answered with."""
    since = datetime.fromisoformat("2020-01-01T00:00:00+00:00")
    with LogfireQueryClient("any", base_url=url) as client:
        one = client.query_json_rows(sql, min_timestamp=since)
    async with AsyncLogfireQueryClient("any", base_url=url) as twin:
        other = await twin.query_json_rows(sql, min_timestamp=since)
    return [one, other]


asked = json.loads(sys.argv[1])
print(
    json.dumps(
        {"rows": asyncio.run(rows(asked["url"], asked["sql"])), "servers": [asyncio.run(answers(each, asked["calls"])) for each in asked["servers"]]}
    )
)

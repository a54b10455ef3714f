#!/bin/sh
# MCP's Python SDK 2.3.0 with OpenTelemetry's SDK 1.45.2, seen on 2026-11-28: a `traceparent` that a caller gives a request is replaced once a
# tracer provider is set.
#
# The good guess: what a caller puts into a request's `_meta` (`call_tool(…, meta={"traceparent": …})`) is what the server gets, as it is without a
# provider, so that a caller who carries its own trace context decides what the server's work is a child of.
# Seen: over stdio the client makes a span of its own for every request, "MCP send tools/call …", of whatever is current there, and writes that span's
# ids over the ones that were given. The server's work lies below the client's span, in a trace that the caller did not name. The client that is
# connected to a server in its own process makes no such span and changes nothing.
# Ends with 1 if any of this is no longer so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check mcp==2.3.0 opentelemetry-sdk==1.45.2
cat >"$folder/server.py" <<'PYTHON'
from mcp.server import MCPServer
from mcp.server.mcpserver import Context

server = MCPServer("one tool")


@server.tool()
def traceparent(context: Context) -> str:
    return str(dict(context.request_context.meta or {}).get("traceparent"))


if __name__ == "__main__":
    server.run("stdio")
PYTHON
cat >"$folder/client.py" <<'PYTHON'
import asyncio
import sys
from pathlib import Path

from mcp import Client, ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from server import server

GIVEN = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"


async def over_stdio():
    here = StdioServerParameters(command=sys.executable, args=[str(Path(__file__).with_name("server.py"))])
    async with stdio_client(here) as (read, write), ClientSession(read, write) as session:
        await session.initialize()
        return (await session.call_tool("traceparent", {}, meta={"traceparent": GIVEN})).content[0].text


async def in_process():
    async with Client(server) as client:
        return (await client.call_tool("traceparent", {}, meta={"traceparent": GIVEN})).content[0].text


without = asyncio.run(over_stdio())
kept = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(kept))
trace.set_tracer_provider(provider)
beside = asyncio.run(in_process())
kept.clear()
replaced = asyncio.run(over_stdio())
spans = {span.name: f"{span.context.trace_id:032x}-{span.context.span_id:016x}" for span in kept.get_finished_spans()}
print("given:                       ", GIVEN)
print("arrived without a provider:  ", without)
print("arrived with one, in process:", beside)
print("arrived with one, over stdio:", replaced)
print("the client's own spans:      ", ", ".join(f"{name} {ids}" for name, ids in spans.items()))
own = spans.get("MCP send tools/call traceparent")
sys.exit(not (without == beside == GIVEN and own is not None and replaced[3:52] == own))
PYTHON
"$folder/venv/bin/python" "$folder/client.py"

#!/bin/sh
# logfire-mcp 0.8.0 with Logfire 4.41.0 and the MCP SDK 1.30.0, seen on 2026-11-29: what the server for stdio does with what it is given, and 0.9.0.
#
# The good guess: a path is bound or escaped, an age of "at most 30 days" is held to that, an answer without rows says so, the schema is SQL, the
# reference that a tool's description names is there, and `@latest` is the one to start.
# Seen: find_exceptions_in_file pastes the path between quotes, so that a path with an apostrophe breaks the statement, and % and _ match anything. An
# age of 302,400 minutes (210 days) passes the check. An answer without rows has no content at all, not even a text. In the schema each comma stands
# behind the comment of its column, and so in it: the statements are no SQL. There is no tool sql_reference. No limit is sent: the API's own 100 rows are
# answered without a word that there are more. 0.9.0 only prints that it is deprecated, and ends with 1.
# Ends with 1 if any of this is no longer so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check logfire-mcp==0.8.0 logfire==4.41.0 mcp==1.30.0
cat >"$folder/asked.py" <<'PYTHON'
import asyncio
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from mcp import ClientSession, StdioServerParameters, stdio_client

ASKED = []


class Api(BaseHTTPRequestHandler):
    def answer(self, document):
        content = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self):
        columns = {name: {"data_type": "TEXT", "nullable": True, "description": f"about {name}"} for name in ("one", "two")}
        self.answer({"tables": [{"name": "records", "schema": columns}]})

    def do_POST(self):
        ASKED.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.answer({"schema": {"fields": []}, "data": []})

    def log_message(self, *_):
        pass


async def main():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    words = ["-m", "logfire_mcp", "--read-token", "t", "--base-url", f"http://127.0.0.1:{server.server_port}"]
    async with stdio_client(StdioServerParameters(command=sys.executable, args=words)) as streams, ClientSession(*streams) as session:
        await session.initialize()
        tools = {tool.name: tool for tool in (await session.list_tools()).tools}
        assert "sql_reference" in tools["arbitrary_query"].description
        assert "sql_reference" not in tools
        await session.call_tool("find_exceptions_in_file", {"filepath": "o'brien.py", "age": 5})
        assert "like '%o'brien.py%'" in ASKED[-1]["sql"]
        empty = await session.call_tool("arbitrary_query", {"query": "SELECT 1", "age": 302_400})
        assert (empty.isError, empty.content, empty.structuredContent) == (False, [], {"result": []})
        assert "limit" not in ASKED[-1]
        refused = await session.call_tool("arbitrary_query", {"query": "SELECT 1", "age": 302_401})
        assert refused.isError
        schema = (await session.call_tool("schema_reference", {})).content[0].text
        assert schema == "CREATE TABLE records (\n    one TEXT -- about one,\n    two TEXT -- about two\n);"


asyncio.run(main())
PYTHON
"$folder/venv/bin/python" "$folder/asked.py" 2>/dev/null
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps logfire-mcp==0.9.0
if "$folder/venv/bin/python" -m logfire_mcp --read-token t >"$folder/said" 2>&1 </dev/null; then exit 1; fi
grep --quiet --ignore-case deprecated "$folder/said"
echo "as seen"

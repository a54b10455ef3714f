"""The MCP server of a rehearsal, over stdio: it notes each call, with its times, in a file that belongs to nobody else.

    python tool_server.py AGENT LOG

One JSON line a call: agent, tool, arguments, `_meta` of the request, `began_ns` and `ended_ns` (Unix nanoseconds), the names of its variables.
MassGen starts a server for each agent, some of them more than once; this one is there at once, for it needs the standard library only.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any, Final

_TEXT: Final = {"type": "string"}
TOOLS: Final = (
    {
        "name": "note",
        "description": "Keep a note; takes as long as it is told to.",
        "inputSchema": {"type": "object", "properties": {"text": _TEXT, "seconds": {"type": "number", "default": 0.0}}, "required": ["text"]},
    },
    {"name": "fail", "description": "Fail.", "inputSchema": {"type": "object", "properties": {"why": _TEXT}, "required": ["why"]}},
)

_NO_SUCH_METHOD: Final = -32601


class Server:
    """Answers one client.

    Args:
        agent: whose server it is.
        path: the file that calls are noted in.
    """

    def __init__(self, agent: str, path: str) -> None:
        self._agent = agent
        self._path = path
        self._lock = threading.Lock()

    def serve(self) -> None:
        """Until stdin ends. Each request has a thread, for calls of tools may take long and come side by side."""
        for line in sys.stdin:
            message = json.loads(line)
            if "id" in message and "method" in message:
                threading.Thread(target=self._answer, args=(message,), daemon=True).start()

    def _answer(self, message: Mapping[str, Any]) -> None:
        parameters = message.get("params") or {}
        match message["method"]:
            case "initialize":
                about = {"serverInfo": {"name": "notes", "version": "1"}, "capabilities": {"tools": {}}}
                self._send(message, result={"protocolVersion": parameters["protocolVersion"], **about})
            case "ping":
                self._send(message, result={})
            case "tools/list":
                self._send(message, result={"tools": TOOLS})
            case "tools/call":
                self._send(message, result=self._call(parameters))
            case other:
                self._send(message, error={"code": _NO_SUCH_METHOD, "message": f"no such method: {other}"})

    def _call(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        began = time.time_ns()
        tool, arguments = parameters["name"], parameters.get("arguments") or {}
        if tool == "note":
            time.sleep(arguments.get("seconds", 0.0))
        line = {
            "agent": self._agent,
            "tool": tool,
            "arguments": arguments,
            "meta": parameters.get("_meta") or {},
            "began_ns": began,
            "ended_ns": time.time_ns(),
            "pid": os.getpid(),
            "variables": sorted(os.environ),
        }
        with open(self._path, "a", encoding="utf-8") as file:  # one write in append mode: lines of several servers do not mix
            file.write(json.dumps(line) + "\n")
        failed = tool != "note"
        text = f"Error executing tool {tool}: {arguments.get('why')}" if failed else f"noted: {arguments['text']}"
        return {"content": [{"type": "text", "text": text}], "isError": failed}

    def _send(self, request: Mapping[str, Any], **answer: Any) -> None:
        line = json.dumps({"jsonrpc": "2.0", "id": request["id"], **answer})
        with self._lock:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    Server(sys.argv[1], sys.argv[2]).serve()

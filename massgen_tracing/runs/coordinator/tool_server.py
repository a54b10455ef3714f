"""The MCP server that ships: files and a shell inside one directory, over stdio.

    python -m massgen_tracing.runs.coordinator.tool_server --root DIR

With MASSGEN_TRACING_TOOL_LOG=FILE it appends one JSON line a tool call to FILE: tool, arguments, the request's `_meta`, its own process
id and TRACEPARENT.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from massgen_tracing.layout import TOOL_LOG_VARIABLE
from massgen_tracing.semconv import TRACEPARENT

NAME: Final = "massgen-tracing-tools"
_TRACE_CONTEXT: Final = (TRACEPARENT, "tracestate", "baggage")
MAX_OUTPUT: Final = 20_000
"""Characters of a result; the rest is cut, and said to be."""

MAX_COMMAND_SECONDS: Final = 60.0


class ToolFailure(Exception):
    """A tool could not do what was asked; the message is its result."""


class Tools:
    """The four tools.

    Args:
        root: existing directory; nothing outside of it is read or written by the file tools, and commands start in it.
        meta: the `_meta` of the request; what a command traces lies below the span that it names.
    """

    def __init__(self, root: Path, meta: Mapping[str, Any] | None = None) -> None:
        self._root = root.resolve()
        self._meta = meta or {}

    async def write_file(self, arguments: Mapping[str, Any]) -> str:
        """Write a text file, with its directories."""
        path = self._inside(_text(arguments, "path"))
        content = _text(arguments, "content")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
        return f"Wrote {len(content)} characters to {path.relative_to(self._root)}"

    async def read_file(self, arguments: Mapping[str, Any]) -> str:
        """Read a text file."""
        return self._inside(_text(arguments, "path")).read_text(encoding="utf-8", errors="replace")

    async def list_directory(self, arguments: Mapping[str, Any]) -> str:
        """List a directory, directories with a slash."""
        directory = self._inside(str(arguments.get("path", ".")))
        names = sorted(entry.name + ("/" if entry.is_dir() else "") for entry in directory.iterdir())
        return "\n".join(names) or "(empty)"

    async def execute_command(self, arguments: Mapping[str, Any]) -> str:
        """Run a shell command in the root directory; a status other than 0 is a failure."""
        command = _text(arguments, "command")
        seconds = min(float(arguments.get("timeout", 30.0)), MAX_COMMAND_SECONDS)
        process = await asyncio.create_subprocess_shell(
            command,
            cwd=self._root,
            env=self._environment(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(seconds):
                output = await _read_bounded(process)
                status = await process.wait()
        except TimeoutError:
            raise ToolFailure(f"The command took longer than {seconds:g} s and was ended") from None
        finally:
            await _end_group(process)
        if status != 0:
            raise ToolFailure(f"{output}\n(exit status {status})".strip())
        return output or "(no output)"

    def _environment(self) -> dict[str, str]:
        """The environment of a command: this call's trace context, and where this interpreter's own commands are."""
        env = dict(os.environ)
        if isinstance(self._meta.get(TRACEPARENT), str):
            for name in _TRACE_CONTEXT:
                env.pop(name.upper(), None)  # a stranger's tracestate must not go with our traceparent
                if isinstance(self._meta.get(name), str):
                    env[name.upper()] = self._meta[name]
        env["PATH"] = os.pathsep.join([*filter(None, [env.get("PATH")]), os.path.dirname(sys.executable)])
        return env

    def _inside(self, name: str) -> Path:
        """*name* as a path inside the root, symbolic links followed."""
        path = (self._root / name).resolve()
        if not path.is_relative_to(self._root):
            raise ToolFailure(f"{name} lies outside of the workspace; use a path inside of it")
        return path


Tool = tuple[str, dict[str, Any], tuple[str, ...], Callable[[Any, Mapping[str, Any]], Awaitable[str]]]
"""A tool's description, its properties, the required ones, and the method."""

TOOLS: Final[Mapping[str, Tool]] = {
    "write_file": (
        "Write a text file in the workspace.",
        {"path": {"type": "string"}, "content": {"type": "string"}},
        ("path", "content"),
        Tools.write_file,
    ),
    "read_file": ("Read a text file of the workspace.", {"path": {"type": "string"}}, ("path",), Tools.read_file),
    "list_directory": ("List a directory of the workspace.", {"path": {"type": "string", "default": "."}}, (), Tools.list_directory),
    "execute_command": (
        "Run a shell command in the workspace.",
        {"command": {"type": "string"}, "timeout": {"type": "number", "description": "seconds"}},
        ("command",),
        Tools.execute_command,
    ),
}
"""By name."""


async def call(tools: Any, name: str, arguments: Mapping[str, Any], table: Mapping[str, Tool] = TOOLS) -> tuple[str, bool]:
    """One tool call; returns the bounded text and whether it is an error."""
    if name not in table:
        return f"There is no tool {name}; there are {', '.join(table)}", True
    try:
        text = await table[name][3](tools, arguments)
    except ToolFailure as failure:
        return _bounded(str(failure)), True
    except (OSError, ValueError, TypeError) as error:
        return _bounded(f"{type(error).__name__}: {error}"), True
    return _bounded(text), False


def _text(arguments: Mapping[str, Any], key: str) -> str:
    value = arguments.get(key)
    if not isinstance(value, str):
        raise ToolFailure(f"{key} is missing, or no text")
    return value


def _bounded(text: str) -> str:
    return text if len(text) <= MAX_OUTPUT else f"{text[:MAX_OUTPUT]}\n(cut: {len(text)} characters in all)"


async def _read_bounded(process: asyncio.subprocess.Process) -> str:
    """The output's beginning; the rest is read and dropped, so that the command does not block on a full pipe."""
    assert process.stdout is not None
    kept, total = bytearray(), 0
    while block := await process.stdout.read(65536):
        total += len(block)
        kept += block[: max(0, 4 * MAX_OUTPUT - len(kept))]
    text = kept.decode("utf-8", errors="replace").strip()
    return text if total <= len(kept) else f"{text}\n(cut: {total} bytes in all)"


async def _end_group(process: asyncio.subprocess.Process) -> None:
    """End what the command left running, and see it ended."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(TimeoutError):
        # Bounded: a process that left the group may hold the pipe open for as long as it likes.
        async with asyncio.timeout(1.0):
            await process.wait()


def _log(name: str, arguments: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
    path = os.environ.get(TOOL_LOG_VARIABLE)
    if not path:
        return
    line = {"tool": name, "arguments": dict(arguments), "meta": dict(meta), "pid": os.getpid(), "env": os.environ.get("TRACEPARENT")}
    with Path(path).open("a", encoding="utf-8") as log:  # one write in append mode: lines of several servers do not mix
        log.write(json.dumps(line, default=str) + "\n")


async def serve(tools: Callable[[Mapping[str, Any]], Any], table: Mapping[str, Tool] = TOOLS) -> None:
    """Serve MCP over stdin and stdout until stdin ends.

    Args:
        tools: gives what the methods of the table are called on, told the `_meta` of the request.
        table: the tools by name.
    """
    from massgen_tracing import mcp_server

    listed = [
        {"name": name, "description": text, "inputSchema": {"type": "object", "properties": properties, "required": list(required)}}
        for name, (text, properties, required, _) in table.items()
    ]

    async def answer(name: str, arguments: Mapping[str, Any], meta: Mapping[str, Any]) -> Mapping[str, Any]:
        _log(name, arguments, meta)
        text, is_error = await call(tools(meta), name, arguments, table)
        return {"content": [{"type": "text", "text": text}], "isError": is_error}

    await mcp_server.over_stdio(mcp_server.make(NAME, listed, answer))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the server; returns its exit code."""
    parser = argparse.ArgumentParser(prog="tool_server", description="An MCP server over stdio: files and a shell inside one directory.")
    parser.add_argument("--root", type=Path, default=Path(), help="the directory (default: the current one)")
    args = parser.parse_args(argv)
    if not args.root.is_dir():
        print(f"tool_server: {args.root} is not a directory; create it, or give another --root", file=sys.stderr)  # noqa: T201 - stdout is MCP's
        return 1
    return until_stdin_ends(serve(lambda meta: Tools(args.root, meta)))


def until_stdin_ends(serving: Coroutine[Any, Any, None]) -> int:
    """Serve in this process; returns its exit code."""
    # Logfire installs a plugin for pydantic; loading it would take a third of this process's start.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    try:
        asyncio.run(serving)
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The MCP server that ships: its tools, and their confinement."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from massgen_tracing.errors import ToolServerError
from massgen_tracing.runs.coordinator.config import ToolServerConfig
from massgen_tracing.runs.coordinator.tool_server import MAX_OUTPUT, Tools, call, main
from massgen_tracing.runs.coordinator.tools import Toolbox, ToolServerGone
from tests.processes import gone

SERVER = ("-m", "massgen_tracing.runs.coordinator.tool_server", "--root", "${cwd}")
TRACEPARENT = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"


@pytest.fixture
def tools(tmp_path):
    """The tools on a fresh directory, with a file beside it that they must not reach."""
    (tmp_path / "secret.txt").write_text("secret")
    root = tmp_path / "root"
    root.mkdir()
    return Tools(root)


async def test_files(tools):
    """A file that was written can be read and listed."""
    assert await call(tools, "write_file", {"path": "d/a.txt", "content": "hi"}) == ("Wrote 2 characters to d/a.txt", False)
    assert await call(tools, "read_file", {"path": "d/a.txt"}) == ("hi", False)
    assert await call(tools, "list_directory", {}) == ("d/", False)


@pytest.mark.parametrize("path", ["../secret.txt", "/etc/passwd", "d/../../secret.txt", "link/secret.txt"])
async def test_files_outside_are_refused(tools, tmp_path, path):
    """No path leads out of the root: not upwards, not absolute, not through a symbolic link."""
    (tmp_path / "root" / "link").symlink_to(tmp_path)
    for tool, arguments in (("read_file", {"path": path}), ("write_file", {"path": path, "content": "x"}), ("list_directory", {"path": path})):
        text, is_error = await call(tools, tool, arguments)
        assert is_error
        assert "lies outside" in text
    assert (tmp_path / "secret.txt").read_text() == "secret"


async def test_command(tools, tmp_path):
    """A command runs in the root; a status other than 0 is an error that shows the output."""
    assert await call(tools, "execute_command", {"command": "pwd"}) == (str((tmp_path / "root").resolve()), False)
    assert await call(tools, "execute_command", {"command": "echo no; exit 3"}) == ("no\n(exit status 3)", True)


async def test_command_is_told_its_trace(tmp_path, monkeypatch):
    """A command has the trace context of its call, and of nobody else; and finds the commands of the interpreter that serves it."""
    monkeypatch.setenv("TRACEPARENT", "00-fedcba9876543210fedcba9876543210-fedcba9876543210-01")
    monkeypatch.setenv("TRACESTATE", "strange=1")
    ask = {"command": 'echo "$TRACEPARENT $TRACESTATE"; echo "$PATH"'}
    text, _ = await call(Tools(tmp_path, {"traceparent": TRACEPARENT}), "execute_command", ask)
    said, path = text.split("\n")
    assert said == f"{TRACEPARENT} "
    assert path.split(":")[-1] == str(Path(sys.executable).parent)
    text, _ = await call(Tools(tmp_path, {"traceparent": TRACEPARENT, "tracestate": "ours=1"}), "execute_command", ask)
    assert text.split("\n")[0] == f"{TRACEPARENT} ours=1"
    text, _ = await call(Tools(tmp_path), "execute_command", ask)
    assert text.startswith("00-fedcba")


async def test_command_that_takes_too_long(tools):
    """A command is ended at its timeout, with what it started."""
    text, is_error = await call(tools, "execute_command", {"command": "sleep 100000 & echo $! $$ > pids; wait", "timeout": 0.2})
    assert is_error
    assert "longer than 0.2 s" in text
    # Where the time was up before the shell had come to that, there was nothing to end.
    for pid in (tools._root / "pids").read_text().split() if (tools._root / "pids").exists() else ():
        gone(int(pid))


async def test_output_is_bounded(tools):
    """Output is cut, and says how long it was."""
    text, is_error = await call(tools, "execute_command", {"command": "head -c 200000 /dev/zero | tr '\\0' x"})
    assert not is_error
    assert len(text) < MAX_OUTPUT + 100
    assert "cut" in text


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("nothing", {}),
        ("read_file", {}),
        ("read_file", {"path": "none"}),
        ("write_file", {"path": "a", "content": 3}),
        ("list_directory", {"path": "none"}),
        ("execute_command", {"command": "ls", "timeout": "soon"}),
    ],
)
async def test_wrong_calls_are_results(tools, tool, arguments):
    """A call that cannot be carried out gives an error as its result, never a fault of the server."""
    text, is_error = await call(tools, tool, arguments)
    assert is_error
    assert text


def test_missing_root(tmp_path, capsys):
    """A root that is not there ends the server at once, with a reason."""
    assert main(["--root", str(tmp_path / "none")]) == 1
    assert "is not a directory" in capsys.readouterr().err


async def test_over_mcp(tmp_path, monkeypatch):
    """Over MCP the tools are listed with their server's name, and the request's `_meta` arrives as it was sent."""
    log = tmp_path / "log.jsonl"
    monkeypatch.setenv("MASSGEN_TRACING_TOOL_LOG", str(log))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    box = Toolbox((ToolServerConfig("fs", sys.executable, SERVER),), tmp_path)
    await box.start()
    try:
        names = [tool["function"]["name"] for tool in box.functions()]
        assert names == ["mcp__fs__write_file", "mcp__fs__read_file", "mcp__fs__list_directory", "mcp__fs__execute_command"]
        found = box.find("mcp__fs__execute_command")
        assert found is not None
        server, tool = found
        assert (await server.call(tool, {"command": "echo $OPENAI_API_KEY."}, {"traceparent": TRACEPARENT})).text == "."
        assert (await server.call("nothing", {}, {})).is_error
        assert json.loads(log.read_text().splitlines()[0])["meta"]["traceparent"] == TRACEPARENT
    finally:
        await box.stop()


async def test_server_that_dies(tmp_path):
    """The call during which a server dies, and every later one, says that it is gone; at once."""
    box = Toolbox((ToolServerConfig("fs", sys.executable, SERVER),), tmp_path)
    await box.start()
    try:
        found = box.find("mcp__fs__execute_command")
        assert found is not None
        server, tool = found
        for _ in range(2):
            with pytest.raises(ToolServerGone, match="'fs' not connected"):
                await server.call(tool, {"command": "kill -9 $PPID"}, {})
    finally:
        await box.stop()


async def test_cancelled_call_leaves_the_server_usable(tmp_path):
    """A call that is cancelled does not disturb the next one."""
    box = Toolbox((ToolServerConfig("fs", sys.executable, SERVER),), tmp_path)
    await box.start()
    try:
        found = box.find("mcp__fs__execute_command")
        assert found is not None
        server, tool = found
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await server.call(tool, {"command": "sleep 30"}, {})
        assert (await server.call(tool, {"command": "echo on"}, {})).text == "on"
    finally:
        await box.stop()


def _children() -> set[str]:
    """This process's children, those included that nobody has waited for."""
    return {pid for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()}


@pytest.mark.parametrize(
    ("command", "args", "message"),
    [
        ("/no/such/program", (), "FileNotFoundError"),
        (sys.executable, ("-c", "import sys; sys.exit('no licence')"), "no licence"),
    ],
)
async def test_server_that_cannot_start(tmp_path, command, args, message):
    """A server that does not start is an error with its stderr and the command to try by hand; no process stays."""
    before = _children()
    box = Toolbox((ToolServerConfig("broken", command, args),), tmp_path)
    with pytest.raises(ToolServerError, match=r"'broken' did not start.*Try it by hand") as caught:
        await box.start()
    assert message in str(caught.value)
    await box.stop()
    assert _children() <= before

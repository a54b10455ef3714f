"""The tools by the protocol: a real client, over stdio and over HTTP."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from mcp import Client, StdioServerParameters
from starlette.applications import Starlette

from massgen_tracing.views.cli import main
from massgen_tracing.views.mcp import mounted
from massgen_tracing.views.mcp.tools import TOOLS
from tests.views.mcp.conftest import FAULTY
from tests.views.mcp.logfire_api import TOKEN, serving

OLDER = Path(__file__).resolve().parents[3] / ".venv-older-logfire"
COMMAND = ["-m", "massgen_tracing.views.cli", "mcp"]


def _given(name: str, run: str, span_id: str) -> dict[str, Any]:
    """Arguments with which a tool answers."""
    known = {"query": "SELECT COUNT(*) AS spans FROM records", "filepath": "x.py", "age": 60, "span_id": span_id, "first": run, "second": run}
    known["trace_id"] = "0af7651916cd43dd8448eb211c80319c"
    return {each: known[each] for each in TOOLS[name].listed(is_elsewhere=False)["inputSchema"]["required"]}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory in which three agents have run."""
    words = [sys.executable, *COMMAND[:-1], "run", "--dry-run", "Which layout?"]
    ran = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return tmp_path


async def test_every_tool_answers_of_a_real_run(place: Path) -> None:
    """Started as an assistant starts it, the command serves every tool on a run of three agents, and nothing but the protocol is on its output."""
    async with Client(StdioServerParameters(command=sys.executable, args=COMMAND, cwd=place, env=dict(os.environ))) as client:
        listed = (await client.list_tools()).tools
        assert {each.name for each in listed} == set(TOOLS)
        assert all(each.annotations is not None and each.annotations.read_only_hint for each in listed)
        tree = (await client.call_tool("run_tree", {"depth": 0})).structured_content
        assert tree is not None
        run, span_id = tree["recorded"]["run"], tree["recorded"]["spans"][0][1]
        for name in TOOLS:
            # The client holds what is answered against the schema of the answer.
            answered = await client.call_tool(name, _given(name, run, span_id))
            assert not answered.is_error, (name, answered)
            if "recorded" in (answered.structured_content or {}):
                assert json.loads(answered.content[0].text) == answered.structured_content  # type: ignore[union-attr]
        summary = (await client.call_tool("run_summary", {"run": run})).structured_content
        assert summary is not None
        assert (summary["recorded"]["question"], summary["recorded"]["winner"]) == ("Which layout?", "agent_a")


@pytest.fixture
def first_generation(tmp_path: Path) -> Path:
    """A directory with the protocol's package in its first generation, and what only that needs, to be imported before the other."""
    if not OLDER.exists():
        pytest.skip("the first generation of `mcp` is not installed: `make older-logfire` does it (50 MB)")
    [packages] = OLDER.glob("lib/python*/site-packages")
    for name in ("mcp", "httpx_sse", "pydantic_settings", "dotenv"):
        (tmp_path / name).symlink_to(packages / name)
    return tmp_path


async def test_either_generation_of_the_package_serves(first_generation: Path, root: Path) -> None:
    """The server is the same by the package's first generation: tools, answers, errors."""
    env = {**os.environ, "PYTHONPATH": str(first_generation)}
    async with Client(StdioServerParameters(command=sys.executable, args=[*COMMAND, "--root", str(root)], env=env)) as client:
        listed = (await client.list_tools()).tools
        assert [each.name for each in listed] == list(TOOLS)
        summary = (await client.call_tool("run_summary", {"run": FAULTY})).structured_content
        assert summary is not None
        assert summary["recorded"]["winner"] == "a"
        assert (await client.call_tool("run_summary", {"run": "nothing"})).is_error


async def test_hosted_logfire_by_the_command(root: Path, tmp_path: Path) -> None:
    """With a read token in the environment, the command asks Logfire."""
    with serving(root) as logfire:
        env = {**os.environ, "LOGFIRE_READ_TOKEN": TOKEN, "LOGFIRE_BASE_URL": logfire.url}
        server = StdioServerParameters(command=sys.executable, args=[*COMMAND, "--backend", "logfire"], cwd=tmp_path, env=env)
        async with Client(server) as client:
            listed = (await client.list_tools()).tools
            assert all(each.annotations is not None and each.annotations.open_world_hint for each in listed)
            rows = (await client.call_tool("arbitrary_query", {"query": "SELECT COUNT(*) AS many FROM records", "age": 30})).structured_content
            assert rows is not None
            assert rows["result"][0]["many"] > 0


class Listening(uvicorn.Server):
    """A server that says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listens = threading.Event()

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self.listens.set()


@pytest.fixture
def address(root: Path) -> Iterator[str]:
    """An application with the tools mounted."""
    server = Listening(uvicorn.Config(Starlette(routes=[mounted(root)]), port=0, log_level="warning", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run)
    thread.start()
    server.listens.wait()
    [listening] = server.servers
    yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


async def test_over_http(address: str) -> None:
    """Streamable HTTP, several clients beside each other, with links to the pages of the server that is asked."""
    async with Client(f"{address}/mcp") as client, Client(f"{address}/mcp") as other:
        for each in (client, other):
            assert {tool.name for tool in (await each.list_tools()).tools} == set(TOOLS)
        summary = (await client.call_tool("run_summary", {"run": FAULTY})).structured_content
        assert summary is not None
        trace_id = summary["recorded"]["trace_id"]
        link = await other.call_tool("logfire_link", {"trace_id": trace_id})
        assert link.structured_content == {"result": f"{address}/local/massgen?q=trace_id%3D%27{trace_id}%27"}
        refused = await other.call_tool("run_summary", {"run": "nothing"})
        assert refused.is_error
        assert "There is no run or recording named nothing" in refused.content[0].text  # type: ignore[union-attr]


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_nothing_is_told_without_being_asked(address: str, method: str) -> None:
    """There is no stream to listen to, and no session to end."""
    assert httpx.request(method, f"{address}/mcp").status_code == 405


def test_it_ends_with_its_input(root: Path) -> None:
    """At once and in order, also where there is none."""
    done = subprocess.run(
        [sys.executable, *COMMAND, "--root", str(root)], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_without_the_extra(address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Where the package of the protocol is not installed, the command and the server say how it is."""
    monkeypatch.setitem(sys.modules, "mcp", None)
    assert main(["mcp"]) == 1
    assert 'pip install "massgen_tracing[mcp]"' in capsys.readouterr().err
    answered = httpx.post(f"{address}/mcp", json={})
    assert answered.status_code == 501
    assert "massgen_tracing[mcp]" in answered.json()["detail"]

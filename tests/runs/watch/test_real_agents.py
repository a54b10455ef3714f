"""Real coding agents under `watch --record`, which nobody has told to emit anything: what is recorded is what their model's endpoint served."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from massgen_tracing import store
from massgen_tracing.runs.coordinator.scripted import Asked, ScriptedEndpoint
from rehearsal.coding_agents import CODING_AGENTS, MISSING, PROGRAMS, Prepared
from rehearsal.interfaces import INTERFACES

REQUESTS = {"claude": 2, "codex": 2, "gemini": 2, "opencode": 3}
"""OpenCode has a model give the conversation a title, which stands in no transcript."""

CALLS = (
    "SELECT attributes->>'massgen.watch.source' AS source, (attributes->>'gen_ai.usage.input_tokens')::int AS sent, "
    "(attributes->>'gen_ai.usage.output_tokens')::int AS got FROM records WHERE attributes->>'massgen.imported' = 'true' AND span_name LIKE 'llm.%'"
)


def _silent(prepared: Prepared, home: Path) -> Mapping[str, str]:
    """The program's variables without those that switch its telemetry on; its settings are mended likewise."""
    codex, opencode = home / ".codex" / "config.toml", home / ".config" / "opencode" / "opencode.json"
    if codex.exists():
        codex.write_text(codex.read_text().partition("[otel]")[0])
    if opencode.exists():
        opencode.write_text(json.dumps({key: value for key, value in json.loads(opencode.read_text()).items() if key != "experimental"}))
    switches = ("OTEL_", "GEMINI_TELEMETRY_", "CLAUDE_CODE_ENABLE_TELEMETRY", "CLAUDE_CODE_ENHANCED_TELEMETRY")
    return {name: value for name, value in prepared.variables.items() if not name.startswith(switches)}


@pytest.mark.parametrize("name", CODING_AGENTS)
def test_what_the_endpoint_served_is_what_is_recorded(name: str, tmp_path: Path) -> None:
    """Each request once, by the program's own telemetry; the last one by its transcript, where it ends before it has sent it."""
    agent, home, work = CODING_AGENTS[name], tmp_path / "home", tmp_path / "work"
    if not (PROGRAMS / agent.program).exists():
        pytest.skip(MISSING)
    home.mkdir()
    work.mkdir()
    with ScriptedEndpoint(agent.script, INTERFACES) as endpoint:
        prepared = agent.prepare(home, endpoint.address("a"), "http://nowhere.invalid")
        env = {"PATH": os.environ["PATH"], "HOME": str(home), "TERM": "dumb", "LANG": "C.UTF-8", **_silent(prepared, home)}
        words = [sys.executable, "-m", "massgen_tracing", "watch", "--record", "--root", str(tmp_path / "root"), "--"]
        ran = subprocess.run(
            [*words, str(PROGRAMS / agent.program), *prepared.words],
            cwd=work, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )  # fmt: skip
        served = endpoint.log
    assert ran.returncode == 0, ran.stderr
    assert len(served) == REQUESTS[name]
    rows = store.query(CALLS, root=str(tmp_path / "root")).table.to_pylist()
    assert "telemetry" in {row["source"] for row in rows}
    assert len(rows) == len(served)
    scripted = [agent.script(Asked("a", number, "", (), ())).usage for number in range(1, len(served) + 1)]
    assert sorted((row["sent"], row["got"]) for row in rows) == sorted((used.input, used.output) for used in scripted if used is not None)

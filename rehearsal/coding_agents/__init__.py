"""Real coding agents, of their makers' packages, asked one thing: at an endpoint of ours, with their own OpenTelemetry sent where it is said.

make agents    installs them, from `package-lock.json`, into `.agents`
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from massgen_tracing.runs.coordinator.protocol import Usage
from massgen_tracing.runs.coordinator.scripted import Asked, ScriptedCall, Turn

PROGRAMS: Final = Path(__file__).resolve().parents[2] / ".agents" / "node_modules" / ".bin"
MISSING: Final = "the coding agents are not installed: `make agents` does it (1.1 GB, by npm)"
TASK: Final = "Say hello"
_SECONDS: Final = 300.0


@dataclass(frozen=True, slots=True)
class Prepared:
    """How a program is started: its words after its name, and its environment."""

    words: Sequence[str]
    variables: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class CodingAgent:
    """One of the programs.

    Attributes:
        program: the command.
        tool: what the model calls once, and with what.
        model: which model is asked.
        prepare: given its home, where the model is and where telemetry goes (URLs), how it is started.
    """

    program: str
    tool: ScriptedCall
    model: str
    prepare: Callable[[Path, str, str], Prepared]

    def run(self, place: Path, endpoint: str, telemetry: str, variables: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run it on one task, to its end, in a home and a directory of its own below *place*."""
        home, work = place / "home", place / "work"
        home.mkdir()
        work.mkdir()
        prepared = self.prepare(home, endpoint, telemetry)
        env = {"PATH": os.environ["PATH"], "HOME": str(home), "TERM": "dumb", "LANG": "C.UTF-8", **prepared.variables, **(variables or {})}
        return subprocess.run(
            [str(PROGRAMS / self.program), *prepared.words],
            cwd=work,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )

    def script(self, asked: Asked) -> Turn:
        """One call of the tool, and an end; each reply uses other tokens than those before it."""
        number = asked.number
        is_due = self.tool.name in asked.tools and not any(message.get("role") == "tool" for message in asked.messages)
        usage = Usage(input=1000 + 137 * number, output=50 + 11 * number, reasoning=7 * number, cached_input=100 * number)
        return Turn("hello there", (self.tool,) if is_due else (), usage=usage)


def _claude(_home: Path, endpoint: str, telemetry: str) -> Prepared:
    words = ("-p", TASK, "--output-format", "json", "--model", "claude-sonnet-4-5", "--allowedTools", "Bash(echo:*)")
    variables = {
        "ANTHROPIC_BASE_URL": endpoint,
        "ANTHROPIC_API_KEY": "scripted",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "CLAUDE_CODE_ENABLE_TELEMETRY": "1",
        "CLAUDE_CODE_ENHANCED_TELEMETRY_BETA": "1",  # without it there are no spans
        **{f"OTEL_{signal}_EXPORTER": "otlp" for signal in ("TRACES", "LOGS", "METRICS")},
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_EXPORTER_OTLP_ENDPOINT": telemetry,
    }
    return Prepared(words, variables)


def _codex(home: Path, endpoint: str, telemetry: str) -> Prepared:
    def exporter(signal: str) -> str:
        return f'{{ otlp-http = {{ endpoint = "{telemetry}/v1/{signal}", protocol = "json" }} }}'

    (home / ".codex").mkdir()
    (home / ".codex" / "config.toml").write_text(
        f"""
        model = "gpt-5-mini"
        model_provider = "scripted"
        [model_providers.scripted]
        name = "scripted"
        base_url = "{endpoint}/v1"
        wire_api = "responses"
        env_key = "SCRIPTED_KEY"
        [otel]
        exporter = {exporter("logs")}
        trace_exporter = {exporter("traces")}
        metrics_exporter = {exporter("metrics")}
        """,
        encoding="utf-8",
    )
    words = ("exec", "--json", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", TASK)
    return Prepared(words, {"SCRIPTED_KEY": "scripted"})


def _gemini(home: Path, endpoint: str, telemetry: str) -> Prepared:
    (home / ".gemini").mkdir()
    settings = {"security": {"auth": {"selectedType": "gemini-api-key"}}}
    (home / ".gemini" / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    variables = {
        "GOOGLE_GEMINI_BASE_URL": endpoint,
        "GEMINI_API_KEY": "scripted",
        "GEMINI_CLI_TRUST_WORKSPACE": "true",
        "GEMINI_TELEMETRY_ENABLED": "true",
        "GEMINI_TELEMETRY_TRACES_ENABLED": "true",
        "GEMINI_TELEMETRY_TARGET": "local",
        "GEMINI_TELEMETRY_OTLP_PROTOCOL": "http",
        "GEMINI_TELEMETRY_OTLP_ENDPOINT": telemetry,
    }
    return Prepared(("-y", "-m", "gemini-2.5-flash", "-p", TASK, "--output-format", "json"), variables)


def _opencode(home: Path, endpoint: str, telemetry: str) -> Prepared:
    place = home / ".config" / "opencode"
    place.mkdir(parents=True)
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "scripted",
        "options": {"baseURL": f"{endpoint}/v1", "apiKey": "scripted"},
        "models": {"gpt-5-mini": {"name": "scripted"}},
    }
    settings = {
        "experimental": {"openTelemetry": True},
        "autoupdate": False,
        "model": "scripted/gpt-5-mini",
        "provider": {"scripted": provider},
    }
    (place / "opencode.json").write_text(json.dumps(settings), encoding="utf-8")
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": telemetry, "OPENCODE_DISABLE_MODELS_FETCH": "1"}
    return Prepared(("run", "--format", "json", TASK), variables)


CODING_AGENTS: Final[Mapping[str, CodingAgent]] = {
    "claude": CodingAgent("claude", ScriptedCall("Bash", {"command": "echo hello", "description": "greet"}), "claude-sonnet-4-5", _claude),
    "codex": CodingAgent("codex", ScriptedCall("exec_command", {"cmd": "echo hello"}), "gpt-5-mini", _codex),
    "gemini": CodingAgent("gemini", ScriptedCall("run_shell_command", {"command": "echo hello"}), "gemini-2.5-flash", _gemini),
    "opencode": CodingAgent("opencode", ScriptedCall("bash", {"command": "echo hello", "description": "greet"}), "gpt-5-mini", _opencode),
}
"""Claude Code, Codex, Gemini CLI and OpenCode."""

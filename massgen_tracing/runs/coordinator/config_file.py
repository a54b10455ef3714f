"""Reads what a run is made of from MassGen-style YAML.

A key that this coordinator does not use is warned about, since MassGen's own files have many more; everything that it does use is
checked here, before anything is started.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from massgen_tracing.errors import ConfigError, one_of
from massgen_tracing.semconv import RoundType

from .config import PROVIDERS, AgentConfig, Limits, Provider, RunConfig, ToolServerConfig

NOVELTY_LIMITS: Final[Mapping[str, float]] = {"lenient": 1.0, "balanced": 0.7, "strict": 0.5}
"""Share of a new answer's words that may already stand in one existing answer."""

_REQUEST_OPTIONS: Final = ("temperature", "top_p", "max_tokens", "max_completion_tokens", "reasoning_effort", "seed", "extra_body")

_FROM_ZERO: Final = frozenset({"max_restarts", "run_restarts"})
"""Limits that may be 0."""

_Kind = type[int] | tuple[type[int], type[float]]

_PHASES: Final[Mapping[str, RoundType]] = {"planning": "initial_answer", "voting": "voting", "synthesis": "presentation"}
"""What a model profile may name, and which rounds that is."""


def load_config(path: Path, *, keys_needed: bool = True) -> RunConfig:
    """Read and check a YAML file.

    Args:
        path: the file.
        keys_needed: False when no real endpoint will be asked, so that no key has to be set.

    Raises:
        ConfigError: if it cannot be read, is not YAML, or does not describe a run.
    """
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The configuration {path} cannot be read: {error}", hint="Give the path of a YAML file with --config") from None
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error)
        raise ConfigError(f"The configuration {path} is not valid YAML{place}: {problem}", hint="Correct that place") from None
    return parse_config(data, where=str(path), keys_needed=keys_needed)


def parse_config(data: Any, *, where: str = "the configuration", keys_needed: bool = True) -> RunConfig:
    """Check what a YAML file holds.

    Raises:
        ConfigError: if it does not describe a run.
    """
    return _Reader(where, keys_needed).run(data)


class _Reader:
    """Reads one document; collects warnings, raises on the first error. Paths such as `agents[0].backend` name the place."""

    def __init__(self, where: str, keys_needed: bool) -> None:
        self._where = where
        self._keys_needed = keys_needed
        self._warnings: list[str] = []

    def run(self, data: Any) -> RunConfig:
        top = self._mapping(data, "the document")
        self._warn_unknown(top, "", {"agent", "agents", "mcp_servers", "orchestrator", "timeout_settings"})
        if ("agent" in top) == ("agents" in top):
            raise self._error("it must name its agents once", expected="a list `agents:` or one `agent:`", got=sorted(map(str, top)))
        entries = [top["agent"]] if "agent" in top else top["agents"]
        if not isinstance(entries, list) or not entries:
            raise self._error("`agents` has no agent", expected="a list with at least one agent", got=entries)
        shared = self._servers(top.get("mcp_servers"), "mcp_servers")
        single = "agent" in top
        agents = tuple(self._agent(entry, "agent" if single else f"agents[{n}]", shared) for n, entry in enumerate(entries))
        ids = [agent.id for agent in agents]
        if twice := sorted({agent_id for agent_id in ids if ids.count(agent_id) > 1}):
            raise self._error("two agents have the same id", expected="each id once", got=", ".join(twice))
        limits = self._limits(top)
        return RunConfig(agents, limits, tuple(self._warnings))

    def _agent(self, entry: Any, path: str, shared: tuple[ToolServerConfig, ...]) -> AgentConfig:
        agent = self._mapping(entry, path)
        self._warn_unknown(agent, path, {"id", "backend", "system_message", "timeout_seconds", "max_restarts"})
        agent_id = agent.get("id")
        if not isinstance(agent_id, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_\-]*", agent_id):
            # It becomes a directory, a part of span names and a part of URLs.
            raise self._error(f"{path}.id is missing or unusable", expected="letters, digits, _ and -", got=agent_id)
        where = f"{path}.backend"
        backend = self._mapping(agent.get("backend"), where)
        kind = backend.get("type")
        if not isinstance(kind, str) or kind not in PROVIDERS:
            raise self._error(f"{where}.type is not known", expected=one_of(PROVIDERS), got=kind)
        provider = PROVIDERS[kind]
        options = {key: backend[key] for key in _REQUEST_OPTIONS if key in backend}
        known = {"type", "model", "base_url", "api_key", "api_key_env", "mcp_servers", "system_message", "model_profile", *_REQUEST_OPTIONS}
        self._warn_unknown(backend, where, known)
        base_url = self._text(backend.get("base_url"), f"{where}.base_url") or provider.base_url or ""
        if not re.match(r"https?://", base_url):
            raise self._error(f"{where}.base_url is missing or no URL", expected="http(s)://host/v1", got=base_url or None)
        model, models = self._models(backend, where)
        variable, key = self._key(backend, where, provider)
        own = self._servers(backend.get("mcp_servers"), f"{where}.mcp_servers")
        names = {server.name for server in own}
        return AgentConfig(
            id=agent_id,
            provider=kind,
            model=model,
            base_url=base_url,
            api_key_env=variable,
            api_key=key,
            system_message=self._text(agent.get("system_message", backend.get("system_message")), f"{path}.system_message"),
            tool_servers=own + tuple(server for server in shared if server.name not in names),
            options=options,
            models=models,
            timeout=self._optional(agent, "timeout_seconds", path, (int, float), 0.001),
            max_restarts=self._optional(agent, "max_restarts", path, int, 0),
        )

    def _models(self, backend: Mapping[str, Any], where: str) -> tuple[str, dict[RoundType, str]]:
        """The model, and those of single phases."""
        path = f"{where}.model_profile"
        profile = self._mapping(backend.get("model_profile") or {}, path)
        named = {key: self._text(value, f"{path}.{key}") for key, value in profile.items()}
        if wrong := sorted(str(key) for key, value in named.items() if not value or key not in {"default", *_PHASES}):
            raise self._error(f"{path} is wrong", expected=f"models of {', '.join(('default', *_PHASES))}", got=", ".join(wrong))
        model = self._text(backend.get("model"), f"{where}.model") or named.get("default", "")
        if not model:
            raise self._error(f"{where}.model is missing", expected="the model's name")
        return named.get("default", model), {phase: named[key] for key, phase in _PHASES.items() if key in named}

    def _key(self, backend: Mapping[str, Any], where: str, provider: Provider) -> tuple[str | None, str]:
        if "api_key" in backend:
            named = re.fullmatch(r"\$\{(\w+)\}", str(backend["api_key"]))
            return (named.group(1) if named else None), self._text(backend["api_key"], f"{where}.api_key")
        variable = self._text(backend.get("api_key_env"), f"{where}.api_key_env") or None
        if variable is None and "base_url" in backend and provider.base_url is not None:
            # An endpoint of one's own: the provider's key must not be sent there unasked, and most local ones want none.
            return None, ""
        variable = variable or provider.api_key_env
        if variable is None:
            return None, ""
        key = os.environ.get(variable, "")
        if not key and self._keys_needed:
            raise self._error(f"{where} needs a key, and the variable {variable} is not set", hint=f"export {variable}=...")
        return variable, key

    def _servers(self, value: Any, path: str) -> tuple[ToolServerConfig, ...]:
        if value is None:
            return ()
        if isinstance(value, dict):
            entries: list[Mapping[str, Any]] = [{"name": name, **self._mapping(entry, f"{path}.{name}")} for name, entry in value.items()]
        elif isinstance(value, list):
            entries = [self._mapping(entry, f"{path}[{n}]") for n, entry in enumerate(value)]
        else:
            raise self._error(f"{path} is wrong", expected="a list or a map of servers", got=value)
        servers = tuple(self._server(entry, f"{path}[{n}]") for n, entry in enumerate(entries))
        names = [server.name for server in servers]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise self._error(f"{path} has two servers of the same name", expected="each name once", got=", ".join(twice))
        return servers

    def _server(self, entry: Mapping[str, Any], path: str) -> ToolServerConfig:
        self._warn_unknown(entry, path, {"name", "type", "command", "args", "env"})
        name = entry.get("name")
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9](?:[A-Za-z0-9\-]|_(?!_))*", name):
            raise self._error(f"{path}.name is missing or unusable", expected="letters, digits, - and single _", got=name)
        if entry.get("type", "stdio") != "stdio":
            raise self._error(f"{path}.type is not known", expected="stdio", got=entry["type"])
        command = self._text(entry.get("command"), f"{path}.command")
        if not command:
            raise self._error(f"{path}.command is missing", expected="the program that is the server")
        args = entry.get("args") or []
        env = self._mapping(entry.get("env") or {}, f"{path}.env")
        if not isinstance(args, list):
            raise self._error(f"{path}.args is wrong", expected="a list of arguments", got=args)
        return ToolServerConfig(
            name=name,
            command=command,
            args=tuple(self._text(arg, f"{path}.args") for arg in args),
            env={str(key): self._text(text, f"{path}.env.{key}") for key, text in env.items()},
        )

    def _limits(self, top: Mapping[str, Any]) -> Limits:
        orchestrator = self._mapping(top.get("orchestrator") or {}, "orchestrator")
        timeouts = self._mapping(top.get("timeout_settings") or orchestrator.get("timeout_settings") or {}, "timeout_settings")
        counts = {
            "max_new_answers_per_agent": "max_answers",
            "max_restarts_per_agent": "max_restarts",
            "enforcement_max_attempts": "max_attempts",
            "max_total_tokens": "max_tokens",
            "max_orchestration_restarts": "run_restarts",
        }
        seconds = {
            "orchestrator_timeout_seconds": "overall_timeout",
            "agent_timeout_seconds": "agent_timeout",
            "idle_timeout_seconds": "idle_timeout",
        }
        self._warn_unknown(orchestrator, "orchestrator", {"timeout_settings", "answer_novelty_requirement", "max_cost_usd", *counts})
        self._warn_unknown(timeouts, "timeout_settings", set(seconds))
        found: dict[str, Any] = {}
        for key, name in counts.items():
            if orchestrator.get(key) is not None:
                found[name] = self._number(orchestrator[key], f"orchestrator.{key}", int, 0 if name in _FROM_ZERO else 1)
        for key, name in seconds.items():
            if timeouts.get(key) is not None:
                found[name] = float(self._number(timeouts[key], f"timeout_settings.{key}", (int, float), 0.001))
        if orchestrator.get("max_cost_usd") is not None:
            found["max_cost"] = float(self._number(orchestrator["max_cost_usd"], "orchestrator.max_cost_usd", (int, float), 0.0, "USD, 0 or more"))
        novelty = orchestrator.get("answer_novelty_requirement", "lenient")
        if novelty not in NOVELTY_LIMITS:
            raise self._error("orchestrator.answer_novelty_requirement is not known", expected=one_of(NOVELTY_LIMITS), got=novelty)
        return Limits(novelty=NOVELTY_LIMITS[novelty], **found)

    def _optional(self, mapping: Mapping[str, Any], key: str, path: str, kind: _Kind, least: float) -> Any:
        return None if mapping.get(key) is None else self._number(mapping[key], f"{path}.{key}", kind, least)

    def _number(self, value: Any, path: str, kind: _Kind, least: float, what: str = "seconds, more than 0") -> Any:
        if isinstance(value, bool) or not isinstance(value, kind) or not least <= value < float("inf"):
            raise self._error(f"{path} is wrong", expected=f"a whole number from {least}" if kind is int else what, got=value)
        return value

    def _mapping(self, value: Any, path: str) -> Mapping[str, Any]:
        if not isinstance(value, dict):
            raise self._error(f"{path} is missing or of the wrong kind", expected="a map of keys and values", got=value)
        return value

    def _text(self, value: Any, path: str) -> str:
        """*value* as text with `${VARIABLE}` replaced; `${python}` is this interpreter, `${cwd}` is left for the start of the server."""
        if value is None:
            return ""
        if isinstance(value, (dict, list)):
            raise self._error(f"{path} is wrong", expected="text", got=value)

        def replace(match: re.Match[str]) -> str:
            name = match.group(1)
            if name == "cwd":
                return match.group(0)
            if name == "python":
                return sys.executable
            if name not in os.environ and self._keys_needed:
                raise self._error(f"{path} uses the variable {name}, which is not set", hint=f"export {name}=...")
            return os.environ.get(name, "")

        return re.sub(r"\$\{(\w+)\}", replace, str(value))

    def _warn_unknown(self, mapping: Mapping[str, Any], path: str, known: set[str]) -> None:
        prefix = f"{path}." if path else ""
        self._warnings.extend(f"{self._where}: {prefix}{key} is not used here" for key in mapping if key not in known)

    def _error(self, problem: str, *, expected: str | None = None, got: object | None = None, hint: str | None = None) -> ConfigError:
        return ConfigError(f"{self._where}: {problem}", expected=expected, got=got, hint=hint)

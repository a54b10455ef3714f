"""Reading a run's configuration."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest

from massgen_tracing.errors import ConfigError
from massgen_tracing.runs.coordinator.config_file import load_config, parse_config

EXAMPLES = Path(__file__).parents[2] / "examples"

AGENT: dict[str, Any] = {"id": "agent_a", "backend": {"type": "ollama", "model": "qwen3"}}


def profiled(**models: str) -> dict[str, Any]:
    """An agent with a model profile."""
    return {"id": "agent_a", "backend": {"type": "ollama", "model": "qwen3", "model_profile": models}}


def read(tmp_path, text, **options):
    """What a file with this text describes."""
    path = tmp_path / "config.yaml"
    path.write_text(textwrap.dedent(text))
    return load_config(path, **options)


def test_massgen_style_file(tmp_path, monkeypatch):
    """A MassGen-style file gives agents with endpoint, key, servers and limits; shared servers come after an agent's own."""
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-secret")
    monkeypatch.setenv("HOST", "example.org")
    config = read(
        tmp_path,
        """
        agents:
          - id: agent_a
            system_message: Be brief.
            backend:
              type: openrouter
              model: x/y
              temperature: 0.2
              mcp_servers:
                - {name: files, command: files-server, args: ["--root", "${cwd}"], env: {A: "${HOST}"}}
          - id: agent_b
            backend: {type: chatcompletion, model: m, base_url: "http://${HOST}:8000/v1"}
        mcp_servers:
          files: {command: other}
          web: {type: stdio, command: web-server}
        orchestrator: {max_new_answers_per_agent: 2, enforcement_max_attempts: 4, max_restarts_per_agent: 0}
        timeout_settings: {orchestrator_timeout_seconds: 60, agent_timeout_seconds: 7.5}
        """,
    )
    first, second = config.agents
    assert (first.provider, first.model, first.base_url) == ("openrouter", "x/y", "https://openrouter.ai/api/v1")
    assert (first.api_key_env, first.api_key) == ("OPENROUTER_API_KEY", "sk-secret")
    assert first.options == {"temperature": 0.2}
    assert [(server.name, server.command) for server in first.tool_servers] == [("files", "files-server"), ("web", "web-server")]
    assert first.tool_servers[0].args == ("--root", "${cwd}")
    assert first.tool_servers[0].env == {"A": "example.org"}
    assert (second.base_url, second.api_key) == ("http://example.org:8000/v1", "")
    assert [server.command for server in second.tool_servers] == ["other", "web-server"]
    limits = config.limits
    assert (limits.max_answers, limits.max_attempts, limits.max_restarts) == (2, 4, 0)
    assert (limits.overall_timeout, limits.agent_timeout) == (60.0, 7.5)
    assert config.warnings == ()


def test_single_agent():
    """MassGen's single `agent:` is a run of one."""
    assert [agent.id for agent in parse_config({"agent": AGENT}).agents] == ["agent_a"]


def test_secrets_are_not_shown(monkeypatch):
    """Neither a key nor a server's environment appears in a configuration's repr."""
    monkeypatch.setenv("KEY", "sk-secret")
    backend = {**AGENT["backend"], "api_key": "${KEY}", "mcp_servers": [{"name": "x", "command": "c", "env": {"T": "sk-secret"}}]}
    config = parse_config({"agent": {**AGENT, "backend": backend}})
    assert config.agents[0].api_key == "sk-secret"
    assert config.agents[0].api_key_env == "KEY"
    assert "sk-secret" not in repr(config)


def test_provider_key_stays_from_other_endpoints(monkeypatch):
    """An endpoint of one's own does not get the provider's key unless the file says so."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    backend = {"type": "openai", "model": "m", "base_url": "http://localhost:9/v1"}
    assert parse_config({"agent": {"id": "a", "backend": backend}}).agents[0].api_key == ""
    named = {**backend, "api_key_env": "OPENAI_API_KEY"}
    assert parse_config({"agent": {"id": "a", "backend": named}}).agents[0].api_key == "sk-secret"


def test_unknown_keys_are_warnings():
    """What MassGen's files have more is named and does no harm."""
    data = {"agents": [{**AGENT, "backend": {**AGENT["backend"], "cwd": "w"}}], "ui": {}, "orchestrator": {"snapshot_storage": "s"}}
    assert parse_config(data).warnings == (
        "the configuration: ui is not used here",
        "the configuration: agents[0].backend.cwd is not used here",
        "the configuration: orchestrator.snapshot_storage is not used here",
    )


def test_missing_key_is_named(monkeypatch):
    """A provider whose key is not set is an error that names the variable; a dry run does not need it."""
    monkeypatch.delenv("GROQ_API_KEY", raising=False)
    data = {"agent": {"id": "a", "backend": {"type": "groq", "model": "m"}}}
    with pytest.raises(ConfigError, match=r"GROQ_API_KEY is not set.*export GROQ_API_KEY"):
        parse_config(data)
    assert parse_config(data, keys_needed=False).agents[0].api_key == ""


def test_invalid_yaml_says_where(tmp_path):
    """A file that is not YAML is an error with line and column."""
    with pytest.raises(ConfigError, match=r"not valid YAML at line 3, column \d+"):
        read(tmp_path, "agents:\n  - id: a\n  backend: [\n")


def test_missing_file(tmp_path):
    """A file that is not there is a configuration error."""
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "the document is missing or of the wrong kind"),
        ({}, "it must name its agents once"),
        ({"agents": [], "x": 1}, "has no agent"),
        ({"agent": AGENT, "agents": [AGENT]}, "it must name its agents once"),
        ({"agents": [AGENT, AGENT]}, "two agents have the same id.*'agent_a'"),
        ({"agents": [{"backend": AGENT["backend"]}]}, r"agents\[0\].id is missing"),
        ({"agents": [{**AGENT, "id": "a/b"}]}, r"agents\[0\].id is missing or unusable"),
        ({"agents": [{"id": "a", "backend": {"type": "cluade", "model": "m"}}]}, "is not known. Expected one of openai, .*got 'cluade'"),
        ({"agents": [{"id": "a", "backend": {"type": "ollama"}}]}, "model is missing"),
        ({"agents": [{"id": "a", "backend": {"type": "chatcompletion", "model": "m"}}]}, "base_url is missing"),
        ({"agents": [{"id": "a", "backend": {"type": "ollama", "model": "${NOT_SET_ANYWHERE}"}}]}, "NOT_SET_ANYWHERE, which is not set"),
        ({"agents": [AGENT], "mcp_servers": [{"name": "x"}]}, "command is missing"),
        ({"agents": [AGENT], "mcp_servers": [{"name": "a__b", "command": "c"}]}, "name is missing or unusable"),
        ({"agents": [AGENT], "mcp_servers": [{"name": "a", "command": "c", "type": "sse"}]}, "Expected stdio, got 'sse'"),
        ({"agents": [AGENT], "mcp_servers": 3}, "a list or a map of servers"),
        ({"agents": [AGENT], "timeout_settings": {"agent_timeout_seconds": 0}}, "seconds, more than 0, got 0"),
        ({"agents": [AGENT], "orchestrator": {"max_new_answers_per_agent": True}}, "a whole number from 1, got True"),
        ({"agents": [AGENT], "orchestrator": {"answer_novelty_requirement": "high"}}, "one of lenient, balanced, strict"),
        ({"agents": [AGENT], "orchestrator": {"max_cost_usd": -1}}, "max_cost_usd is wrong. Expected USD, 0 or more, got -1"),
        ({"agents": [AGENT], "orchestrator": {"max_total_tokens": 1.5}}, "a whole number from 1, got 1.5"),
        ({"agents": [{**AGENT, "timeout_seconds": "10"}]}, r"agents\[0\].timeout_seconds is wrong. Expected seconds, more than 0, got '10'"),
        ({"agents": [{**AGENT, "max_restarts": -1}]}, r"agents\[0\].max_restarts is wrong"),
        ({"agents": [profiled(finishing="x")]}, "model_profile is wrong. Expected models of default, planning, voting, synthesis, got 'finishing'"),
        ({"agents": [profiled(synthesis="")]}, "model_profile is wrong.*got 'synthesis'"),
    ],
)
def test_errors_name_the_place(data, message):
    """Every error names the place, what was expected, and what was found."""
    with pytest.raises(ConfigError, match=message):
        parse_config(data)


def test_models_of_phases():
    """A profile names models of phases; its default takes the place of the model, and what it does not name is asked of that."""
    [agent] = parse_config({"agent": profiled(planning="small", synthesis="large", default="middle")}).agents
    assert agent.model == "middle"
    assert [agent.model_for(phase) for phase in ("initial_answer", "voting", "presentation")] == ["small", "middle", "large"]
    [agent] = parse_config({"agent": profiled(voting="judge")}).agents
    assert [agent.model_for(phase) for phase in ("initial_answer", "voting", "presentation")] == ["qwen3", "judge", "qwen3"]
    backend = {"type": "ollama", "model_profile": {"default": "middle"}}
    assert parse_config({"agent": {"id": "a", "backend": backend}}).agents[0].model == "middle"


def test_bounds():
    """What a run may use and take, and an agent's own time and restarts."""
    data = {
        "agents": [{**AGENT, "timeout_seconds": 7, "max_restarts": 0}],
        "orchestrator": {"max_cost_usd": 0.5, "max_total_tokens": 1000},
        "timeout_settings": {"idle_timeout_seconds": 30},
    }
    config = parse_config(data)
    assert config.warnings == ()
    assert (config.limits.max_cost, config.limits.max_tokens, config.limits.idle_timeout) == (0.5, 1000, 30)
    assert (config.agents[0].timeout, config.agents[0].max_restarts) == (7, 0)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_examples_are_right(path):
    """Every example describes a run, and says nothing that is not used."""
    config = load_config(path, keys_needed=False)
    assert config.warnings == ()
    assert len(config.agents) > 1

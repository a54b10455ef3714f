"""What a run is made of: agents, their endpoints and tool servers, limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from massgen_tracing.semconv import RoundType


@dataclass(frozen=True, slots=True)
class Provider:
    """An OpenAI-compatible service: where it listens and which variable holds its key; None where there is no usual one."""

    base_url: str | None
    api_key_env: str | None


PROVIDERS: Final[Mapping[str, Provider]] = {
    "openai": Provider("https://api.openai.com/v1", "OPENAI_API_KEY"),
    "chatcompletion": Provider(None, None),
    "openrouter": Provider("https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
    "groq": Provider("https://api.groq.com/openai/v1", "GROQ_API_KEY"),
    "together": Provider("https://api.together.xyz/v1", "TOGETHER_API_KEY"),
    "fireworks": Provider("https://api.fireworks.ai/inference/v1", "FIREWORKS_API_KEY"),
    "cerebras": Provider("https://api.cerebras.ai/v1", "CEREBRAS_API_KEY"),
    "deepseek": Provider("https://api.deepseek.com/v1", "DEEPSEEK_API_KEY"),
    "grok": Provider("https://api.x.ai/v1", "XAI_API_KEY"),
    "mistral": Provider("https://api.mistral.ai/v1", "MISTRAL_API_KEY"),
    "ollama": Provider("http://localhost:11434/v1", None),
    "lmstudio": Provider("http://localhost:1234/v1", None),
    "vllm": Provider("http://localhost:8000/v1", None),
    "sglang": Provider("http://localhost:30000/v1", None),
}
"""Backend types. The type is also the provider's name on spans."""


@dataclass(frozen=True, slots=True)
class ToolServerConfig:
    """One stdio MCP server, started once for each agent that has it, in the agent's workspace.

    Attributes:
        name: as it stands in tool names (`mcp__<name>__<tool>`) and spans.
        command, args: what to start; `${cwd}` in *args* is the agent's workspace.
        env: added to a minimal environment; not shown in a repr, since keys live there.
    """

    name: str
    command: str
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """One agent: its endpoint, its model and its tool servers.

    Attributes:
        provider: backend type, one of `PROVIDERS`.
        model: the model of every phase that `models` does not name.
        models: models of single phases.
        base_url: the endpoint up to and with `/v1`.
        api_key_env: variable that holds the key, for messages; None when none is needed or the key stood in the file.
        api_key: the key itself; never in a repr, a message or a file.
        options: further request parameters (temperature and the like).
        timeout, max_restarts: bounds of its own, in the place of `Limits.agent_timeout` and `Limits.max_restarts`.
    """

    id: str
    provider: str
    model: str
    base_url: str
    api_key_env: str | None = None
    api_key: str = field(default="", repr=False)
    system_message: str = ""
    tool_servers: tuple[ToolServerConfig, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    models: Mapping[RoundType, str] = field(default_factory=dict)
    timeout: float | None = None
    max_restarts: int | None = None

    def model_for(self, phase: RoundType) -> str:
        """The model that is asked in a phase."""
        return self.models.get(phase, self.model)


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a run; every wait has one.

    Attributes:
        overall_timeout: seconds for the whole run.
        agent_timeout: seconds for one round of one agent, and for the presentation.
        max_answers: answers that one agent may give.
        max_restarts: how often new answers of others may interrupt one agent; after that it finishes the round it is in.
        max_attempts: attempts that one round has at a valid move.
        max_steps: model calls in one round.
        novelty: share of words that a new answer may have in common with one that exists, 1.0 for no bound.
        idle_timeout: seconds without any sign of life of any agent, after which the run is brought to its end; more than `agent_timeout`, a single
            agent that is silent drops out, and the others go on.
        run_restarts: how often a run that has failed without any answer is tried once more.
        max_cost, max_tokens: USD and tokens that all agents together may use until the run is brought to its end; None for no bound. What models
            have used in a call that was broken off, nobody knows.
    """

    overall_timeout: float = 1800.0
    agent_timeout: float = 600.0
    max_answers: int = 5
    max_restarts: int = 20
    max_attempts: int = 3
    max_steps: int = 40
    novelty: float = 1.0
    idle_timeout: float = 900.0
    run_restarts: int = 0
    max_cost: float | None = None
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class RunConfig:
    """A checked configuration; *warnings* name what the file says and this coordinator does not use."""

    agents: tuple[AgentConfig, ...]
    limits: Limits = field(default_factory=Limits)
    warnings: tuple[str, ...] = ()

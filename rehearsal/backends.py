"""The backends of MassGen that a rehearsal's agents may have, and how each is led to the scripted endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Backend:
    """One backend.

    Attributes:
        type: MassGen's name of it.
        provider: what the trace calls its provider.
        models: models that the price list knows; the agents have them in turn.
        below: what its address has below the agent's own.
        address: where it takes its address from: a key of its configuration, or a variable, which all agents of a process share.
        variables: what else it wants to find in the environment.
        options: more of its configuration.
        server: whether it can use an MCP server.
    """

    type: str
    provider: str
    models: tuple[str, ...]
    below: str = "/v1"
    address: str = "base_url"
    variables: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    server: bool = True

    @property
    def by_variable(self) -> bool:
        """Whether its address is a variable of the environment."""
        return self.address.isupper()


GPT: Final = ("gpt-5-mini", "gpt-5-nano", "gpt-4.1-mini")
CHAT: Final = "chatcompletion"

BACKENDS: Final[Mapping[str, Backend]] = MappingProxyType(
    {
        CHAT: Backend("chatcompletion", "chatcompletion", GPT, variables={"OPENAI_API_KEY": "scripted"}),
        "openai": Backend("openai", "openai", GPT, "/v1", "OPENAI_BASE_URL", {"OPENAI_API_KEY": "scripted"}),
        "claude": Backend("claude", "anthropic", ("claude-sonnet-4-5",), "", "ANTHROPIC_BASE_URL", {"ANTHROPIC_API_KEY": "scripted"}),
        "gemini": Backend("gemini", "gcp.gemini", ("gemini-2.5-flash",), "", "GOOGLE_GEMINI_BASE_URL", {"GEMINI_API_KEY": "scripted"}),
        "grok": Backend("grok", "x_ai", ("grok-4",), variables={"XAI_API_KEY": "scripted"}),
        "azure_openai": Backend("azure_openai", "azure.ai.openai", GPT, "", variables={"AZURE_OPENAI_API_KEY": "scripted"}, server=False),
        "openrouter": Backend("chatcompletion", "openrouter", GPT, "/openrouter.ai/v1", variables={"OPENROUTER_API_KEY": "scripted"}),
        "groq": Backend("groq", "groq", ("llama-3.3-70b-versatile",), "/groq.com/v1", variables={"GROQ_API_KEY": "scripted"}),
        "together": Backend("together", "together_ai", ("meta-llama/Llama-3.3-70B",), "/together.xyz/v1", variables={"TOGETHER_API_KEY": "scripted"}),
        "vllm": Backend("vllm", "vllm", ("some/model",)),
        "sglang": Backend("sglang", "sglang", ("some/model",)),
    }
)
"""By the name that a `Setup` gives."""

"""The interfaces of the providers that MassGen talks to, beside OpenAI's chat completions."""

from __future__ import annotations

from typing import Final

from massgen_tracing.runs.coordinator.scripted import ChatCompletions, Interface

from .gemini import GenerateContent
from .messages import Messages
from .responses import Responses

INTERFACES: Final[tuple[Interface, ...]] = (
    ChatCompletions(),
    ChatCompletions("/{provider}/v1/chat/completions"),  # MassGen tells providers by what is in their address
    ChatCompletions("/openai/deployments/{deployment}/chat/completions"),  # Azure's address
    Responses(),
    Messages(),
    GenerateContent(),
)
"""All that a rehearsal's endpoint understands."""

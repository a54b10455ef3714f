"""A tool: what clients are told of it, and who answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from massgen_tracing.views.mcp import parameters
from massgen_tracing.views.mcp.answers import Answer
from massgen_tracing.views.mcp.backend import Backend
from massgen_tracing.views.mcp.parameters import Parameter


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool.

    Attributes:
        name: its name.
        title: what people see.
        what: what models are told.
        takes: its arguments.
        gives: the schema of what it gives.
        answer: answers, told who is asked and the arguments, each of which there is.
        instead: what to do where a question is refused, and the error does not say it.
    """

    name: str
    title: str
    what: str
    takes: tuple[Parameter, ...]
    gives: Mapping[str, Any]
    answer: Callable[[Backend, Mapping[str, Any]], Answer]
    instead: str = "The schema of its arguments says what it takes"

    def listed(self, *, is_elsewhere: bool) -> dict[str, Any]:
        """What clients are told, as the protocol has it."""
        return {
            "name": self.name,
            "title": self.title,
            "description": self.what,
            "inputSchema": parameters.schema(self.takes),
            "outputSchema": dict(self.gives),
            "annotations": {
                "title": self.title,
                "readOnlyHint": True,
                "destructiveHint": False,
                "idempotentHint": True,
                "openWorldHint": is_elsewhere,
            },
        }

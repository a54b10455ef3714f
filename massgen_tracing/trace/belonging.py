"""Which session and which agent's round work belongs to: what a Context says of it, and what work asks of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

from opentelemetry.context import Context

from massgen_tracing.layout import RunDirectory
from massgen_tracing.trace.usage import Usage

SESSION_KEY: Final = "massgen_tracing.session"
ROUND_KEY: Final = "massgen_tracing.round"
"""Keys in the OpenTelemetry Context whose values are the session and the agent's round that work belongs to."""

_NOTHING: Final[Mapping[str, Any]] = {}


def of_round(context: Context) -> Mapping[str, Any]:
    """The attributes that everything done in the round of a Context carries; none outside of rounds."""
    around: InRound | None = context.get(ROUND_KEY)  # type: ignore[assignment]
    return _NOTHING if around is None else around.identity


class InSession(Protocol):
    """The session that work belongs to."""

    run: RunDirectory | None

    @property
    def context(self) -> Context | None:
        """Where its rounds start."""

    def expect(self, agent_id: str) -> None:
        """Tell the caller where an id is none of the session's agents'."""

    def next_round(self, agent_id: str, number: int | None = None) -> int:
        """The number of an agent's next round; *number* where it is given."""

    def next_answer(self, agent_id: str) -> str:
        """The label of an answer that an agent gives now."""

    def count_answer(self, agent_id: str) -> None:
        """Note that an agent has answered, under a label of its own."""

    def take_winner_label(self) -> str | None:
        """The winner's label, for the one event that announces it."""


class InRound(Protocol):
    """The agent's round that work belongs to."""

    agent_id: str
    session: InSession | None

    @property
    def identity(self) -> Mapping[str, Any]:
        """The attributes that everything done in it carries."""

    def add_usage(self, usage: Usage) -> None:
        """Add one model call's usage to the round's."""

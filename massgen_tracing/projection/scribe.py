"""Who writes down what happens in a run: whose it is, and what is to be told of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from massgen_tracing import semconv
from massgen_tracing.model import SpanRecord
from massgen_tracing.projection.events import Event, iso
from massgen_tracing.projection.state import AgentState, RoundState, RunState, Said
from massgen_tracing.projection.values import integer, text

Place = tuple[AgentState, RoundState]
"""Whose something is, and of which round."""


class Scribe:
    """Has the state of a run, and tells what happens.

    Args:
        turn, attempt: which of the run's it is.
        on_event: told what happened.

    Attributes:
        state: what is known by now.
        due: what is to be written of rounds: something that was said in one, or None for the whole of one that has ended.
        changed: whether something has happened since this was set to False that whoever watches a run wants to know at once.
    """

    def __init__(self, turn: int = 1, attempt: int = 1, on_event: Callable[[Event], None] | None = None) -> None:
        self.state = RunState(turn, attempt)
        self.changed = False
        self.due: list[tuple[AgentState, RoundState, Said | None]] = []
        self._on_event = on_event

    def seen(self, span: SpanRecord, ns: int) -> None:
        """A span, at a time of its life: the last of it that is known."""
        state = self.state
        state.last_ns = max(state.last_ns, ns)
        agent_id = text(span.attributes.get(semconv.AGENT_ID))
        if agent_id:
            agent = state.agent(agent_id)
            agent.last_ns = max(agent.last_ns, ns)

    def place(self, span: SpanRecord) -> Place | None:
        """Whose it is, and of which round; None where it does not say."""
        agent_id, number = text(span.attributes.get(semconv.AGENT_ID)), integer(span.attributes.get(semconv.ROUND))
        if not agent_id or number is None:
            return None
        agent = self.state.agent(agent_id)
        return agent, agent.at(number)

    def telling(self, ns: int, agent: AgentState, rnd: RoundState) -> Callable[[str, Mapping[str, Any]], None]:
        """Tells of something in a round, which keeps it for its trace."""

        def tell(kind: str, data: Mapping[str, Any]) -> None:
            event = self.tell(ns, kind, agent.id, rnd.number, data)
            rnd.keep(event)

        return tell

    def tell(self, ns: int, kind: str, agent_id: str | None, number: int, data: Mapping[str, Any]) -> Event:
        """Tell of something."""
        event = Event(iso(ns, self.state.offset), kind, agent_id, number, data)
        if self._on_event is not None:
            self._on_event(event)
        return event

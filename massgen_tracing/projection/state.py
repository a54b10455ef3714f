"""What is kept of a run: counters, and little of each round. What one write of `status.json` reads of it grows with the agents only."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from massgen_tracing import layout
from massgen_tracing.projection.events import Event, stamp
from massgen_tracing.projection.spread import Spread
from massgen_tracing.projection.usage import Used
from massgen_tracing.semconv import RoundType

MOST_NAMES: Final = 1000
"""Tools and models that are counted by name; a model may call tools that do not exist by any name."""

OTHER: Final = "(other)"
"""Under what is counted beyond that."""

MOST_DETAIL: Final = 20_000
"""Events of one round that its trace has: the first ones."""

PRESENTATION: Final[RoundType] = "presentation"


@dataclass(slots=True)
class ToolStats:
    """How one tool was used: times in nanoseconds, and characters."""

    mcp: bool = False
    calls: int = 0
    failures: int = 0
    ns: Spread = field(default_factory=Spread)
    input_chars: Spread = field(default_factory=Spread)
    output_chars: Spread = field(default_factory=Spread)

    def add(self, ns: int, input_chars: int, output_chars: int, *, failed: bool) -> None:
        """Add a call."""
        self.calls += 1
        self.failures += failed
        self.ns.add(ns)
        self.input_chars.add(input_chars)
        self.output_chars.add(output_chars)


@dataclass(slots=True)
class Tools:
    """How tools were used, all together and by name."""

    total: ToolStats = field(default_factory=ToolStats)
    by_name: dict[str, ToolStats] = field(default_factory=dict)


@dataclass(slots=True)
class Said:
    """An answer or a vote.

    Attributes:
        ns: when, in Unix nanoseconds.
        label: of the answer that was given, or that was voted for.
        text: the answer, or the reason.
        voted_for: whose answer was voted for; empty for an answer.
        iteration: of the coordination loop.
        seen: labels of the answers that the agent had before it.
    """

    ns: int
    span_id: str
    agent_id: str
    label: str
    text: str
    voted_for: str
    round: int
    iteration: int | None = None
    seen: tuple[str, ...] = ()

    @property
    def moment(self) -> tuple[int, str]:
        """What it is put in order by."""
        return self.ns, self.span_id


@dataclass(slots=True)
class RoundState:
    """One execution of an agent.

    Attributes:
        span_id: of the span with its number that has started last; `ended_by`: of the one that has ended last.
        detail: its events, until they are written down.
    """

    number: int
    start_ns: int = 0
    end_ns: int | None = None
    span_id: str = ""
    ended_by: str = ""
    kind: str = ""
    outcome: str = ""
    error: str = ""
    model: str = ""
    iteration: int | None = None
    labels: tuple[str, ...] = ()
    tools: int = 0
    used: Used = field(default_factory=Used)
    said: list[Said] = field(default_factory=list)
    detail: list[Event] | None = field(default_factory=list)

    def keep(self, event: Event) -> None:
        """Keep an event for the round's trace: of many the earliest, whatever order they come in, and one more, which tells that there are more."""
        if self.detail is not None:
            self.detail.append(event)
            if len(self.detail) > 2 * MOST_DETAIL:
                self.detail = sorted(self.detail, key=Event.line)[: MOST_DETAIL + 1]

    @property
    def presents(self) -> bool:
        """Whether it is the presentation."""
        return self.kind == PRESENTATION


@dataclass(slots=True)
class Enforced:
    """One enforcement; *order* puts them in order."""

    order: tuple[int, int, str]
    values: Mapping[str, Any]


@dataclass(slots=True)
class AgentState:
    """One agent.

    Attributes:
        model: of the latest round that names one, which began at `model_from`.
        rounds: by number; `numbers`: theirs, in order.
        latest: its latest round that is no presentation.
        working: its rounds that have not ended, by span id.
        votes: rounds that have ended with a vote; `restarts`: those that another's answer has ended; `failures`: in an error or for want of time.
        attempts: its latest enforcements, of those that were `enforced`; `reasons`: how many there were, by round and reason.
    """

    id: str
    model: str = ""
    model_from: tuple[int, str] = (0, "")
    rounds: dict[int, RoundState] = field(default_factory=dict)
    numbers: list[int] = field(default_factory=list)
    latest: RoundState | None = None
    working: dict[str, RoundState] = field(default_factory=dict)
    presentation: RoundState | None = None
    answers: int = 0
    answer: Said | None = None
    vote: Said | None = None
    votes: int = 0
    restarts: int = 0
    failures: int = 0
    last_ns: int = 0
    used: Used = field(default_factory=Used)
    tools: Tools = field(default_factory=Tools)
    attempts: list[Enforced] = field(default_factory=list)
    reasons: dict[int, dict[str, int]] = field(default_factory=dict)
    workflow_errors: set[str] = field(default_factory=set)
    unknown_tools: set[str] = field(default_factory=set)
    enforced: int = 0
    lost_chars: int = 0

    def at(self, number: int) -> RoundState:
        """Its round of that number."""
        known = self.rounds.get(number)
        if known is None:
            known = self.rounds[number] = RoundState(number)
            insort(self.numbers, number)
        return known


@dataclass(slots=True)
class RunState:
    """One coordination.

    Attributes:
        turn, attempt: which of the run's it is.
        trace_id, span_id: its session's.
        begun: the session's attributes at its start; `about`: what is known of them by now.
        agents: by id; the first `named` are those that the session names.
        used: by all model calls, each once; `in_rounds`: by those of them that were made in a round.
        interrupted: whether its process has died before it ended.
        final: the final answer, as an answer of the agent that presented it.
    """

    turn: int
    attempt: int
    trace_id: str = ""
    span_id: str = ""
    start_ns: int = 0
    end_ns: int | None = None
    last_ns: int = 0
    offset: int = 0
    about: Mapping[str, Any] = field(default_factory=dict)
    failed: bool = False
    interrupted: bool = False
    agents: dict[str, AgentState] = field(default_factory=dict)
    named: int = 0
    by_model: dict[str, Used] = field(default_factory=dict)
    by_backend: dict[str, Used] = field(default_factory=dict)
    by_round: dict[int, Used] = field(default_factory=dict)
    used: Used = field(default_factory=Used)
    in_rounds: Used = field(default_factory=Used)
    tools: Tools = field(default_factory=Tools)
    outcomes: dict[str, int] = field(default_factory=dict)
    rounds: int = 0
    answers: list[Said] = field(default_factory=list)
    final: Said | None = None
    winner_label: str = ""
    coordination: set[str] = field(default_factory=set)

    def said(self) -> Iterator[Said]:
        """The answers and votes, by agent and round."""
        for agent in self.agents.values():
            for rnd in agent.rounds.values():
                yield from rnd.said

    def place_of(self, said: Said) -> str:
        """The directory of an answer or a vote, below the attempt's."""
        return f"{layout.agent_folder(said.agent_id)}/{stamp(said.ns, self.offset)}"

    def agent(self, agent_id: str) -> AgentState:
        """One agent; whoever does something is one. Those that the session names come first, then the others by name."""
        known = self.agents.get(agent_id)
        if known is None:
            known = self.agents[agent_id] = AgentState(agent_id)
            ids = list(self.agents)
            self.agents = {name: self.agents[name] for name in (*ids[: self.named], *sorted(ids[self.named :]))}
        return known

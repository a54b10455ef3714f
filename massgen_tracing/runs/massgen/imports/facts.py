"""What is known of a run, before it becomes spans. Times are Unix nanoseconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from massgen_tracing.runs.massgen.imports.places import Place
from massgen_tracing.trace.usage import Usage

ActKind = Literal["answer", "vote", "ignored_vote", "error", "timeout", "cancelled"]
"""What ends a round. An ignored vote does: the agent starts again."""


@dataclass(slots=True)
class Act:
    """How an agent ended one of its rounds.

    Attributes:
        at: None while only its place in the order is known.
        estimated: whether *at* is a guess.
        label: of the answer that was given or voted for; empty where it is not known.
        target: the agent that was voted for; empty where it is not known.
        text: the answer, the vote's reason, or the error's message.
    """

    kind: ActKind
    agent: str
    at: int | None = None
    estimated: bool = False
    label: str = ""
    target: str = ""
    text: str = ""

    def complete(self, other: Act) -> None:
        """Take over from a less exact source what is not known yet."""
        if self.at is None:
            self.at, self.estimated = other.at, other.estimated
        self.label = self.label or other.label
        self.target = self.target or other.target
        self.text = self.text or other.text


@dataclass(slots=True)
class Happening:
    """A point event that ends nothing; *agent* is empty for one of the whole run."""

    type: str
    at: int
    agent: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Tool:
    """One tool call; *server* is empty for a tool that is not MCP's, *error* where it did not fail."""

    agent: str
    name: str
    server: str
    tool: str
    call_id: str
    start: int
    end: int
    failed: bool = False
    error: str = ""
    arguments: object = None
    result: object = None
    estimated: tuple[str, ...] = ()


@dataclass(slots=True)
class Sums:
    """One round as MassGen's metrics tell it; *outcome* is MassGen's word."""

    agent: str
    start: int
    end: int
    round_type: str
    outcome: str
    usage: Usage
    raw_usage: Mapping[str, Any]


@dataclass(slots=True)
class Start:
    """That an agent began a round, and what it was shown (*labels*; None where that is not known)."""

    agent: str
    at: int
    labels: list[str] | None = None
    iteration: int | None = None
    presentation: bool = False
    estimated: bool = False


@dataclass(slots=True)
class Round:
    """One execution of an agent.

    Attributes:
        type: one of `semconv.ROUND_TYPES`.
        sums: its metrics, where they are known.
        ended: how it ended; None for one that was given up, or of which that is not known.
        outcome: for one without *ended*: one of `semconv.OUTCOMES`, or empty where it is not known.
        message: why, for the outcomes `error` and `timeout`.
        restarted_by: the agent whose answer made it start again; empty where it is not known.
        estimated: of `semconv.ESTIMATES`.
    """

    start: Start
    end: int
    type: str = ""
    sums: Sums | None = None
    ended: Act | None = None
    outcome: str = ""
    message: str = ""
    restarted_by: str = ""
    usage: Usage = field(default_factory=Usage)
    happenings: list[Happening] = field(default_factory=list)
    tools: list[Tool] = field(default_factory=list)
    estimated: set[str] = field(default_factory=set)

    @property
    def agent(self) -> str:
        """The agent's id."""
        return self.start.agent


@dataclass(slots=True)
class Run:
    """One coordination.

    Attributes:
        known: whether anything at all is known of it.
        models, backends: by agent.
        final_answers: texts by agent.
        subagents: coordinations that agents have started, by the subagent's id; each with where it lies.
        missing: what the files do not tell, in words.
    """

    known: bool = False
    question: str = ""
    agents: list[str] = field(default_factory=list)
    start: int = 0
    end: int = 0
    version: str = ""
    models: dict[str, str] = field(default_factory=dict)
    backends: dict[str, str] = field(default_factory=dict)
    rounds: list[Round] = field(default_factory=list)
    happenings: list[Happening] = field(default_factory=list)
    tools: list[Tool] = field(default_factory=list)
    winner: str = ""
    winner_at: int | None = None
    winner_label: str = ""
    winner_reason: str = ""
    votes: dict[str, int] = field(default_factory=dict)
    final_answers: dict[str, str] = field(default_factory=dict)
    final_at: int | None = None
    model_calls: int | None = None
    subagents: list[tuple[str, Place, Run]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    estimated: set[str] = field(default_factory=set)

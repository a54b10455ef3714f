"""The handle of a session: one coordination of several agents on one question."""

from __future__ import annotations

import difflib
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final, Self

from opentelemetry.context import Context
from opentelemetry.trace import Span as ApiSpan

from massgen_tracing import finalization, semconv
from massgen_tracing.errors import one_of
from massgen_tracing.layout import RunDirectory
from massgen_tracing.model import RUN_CONTEXT_KEY
from massgen_tracing.trace import arguments
from massgen_tracing.trace.arguments import identifier, identifiers, optional
from massgen_tracing.trace.belonging import ROUND_KEY, SESSION_KEY
from massgen_tracing.trace.calls import Work
from massgen_tracing.trace.factory import SpanFactory
from massgen_tracing.trace.lenient import lenient
from massgen_tracing.trace.opener import OpenerSpan
from massgen_tracing.trace.payload import answered
from massgen_tracing.trace.round import Presentation, Round
from massgen_tracing.trace.usage import count

_NAMED: Final = 8
"""Agents that a message names."""


@lenient
class RoundOpeners:
    """Opens agents' rounds, below one session: itself, or on the tracer the current one."""

    _spans: SpanFactory

    def agent_round(
        self,
        agent_id: str,
        number: int | None = None,
        round_type: str = "initial_answer",
        iteration: int | None = None,
        backend: str | None = None,
        context_labels: Sequence[str] | str | None = (),
        model: str | None = None,
        attributes: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> Round:
        """One execution of an agent: `agent.{agent_id}.round_{number}`, a direct child of the session wherever it is called.

        Args:
            agent_id: the agent.
            number: which execution of this agent it is, from 0; None: the next one.
            round_type: `initial_answer`, `voting` or `presentation`.
            iteration: iteration of the coordination loop.
            backend: name of the backend's provider.
            context_labels: labels of the answers that the agent sees.
            model: the model that the round asks for.
            attributes: more of the caller's own, as a mapping or as pairs.
            more: attributes too.
        """
        agent_id, round_type = identifier(agent_id), identifier(round_type)
        session = self._session(f"agent_round({agent_id!r})")
        session.expect(agent_id)
        if round_type not in semconv.ROUND_TYPES:
            self._spans.misuse("round_type", "Unknown round_type", expected=one_of(semconv.ROUND_TYPES), got=round_type, about=round_type)
        labels = identifiers(context_labels)
        own = {
            semconv.ROUND_TYPE: round_type,
            semconv.ITERATION: self._number("iteration", iteration),
            semconv.NUM_CONTEXT_ANSWERS: len(labels) or None,
            semconv.CONTEXT_LABELS: labels or None,
            **self._spans.attributes(attributes, more),
        }
        return Round(self._spans, session, agent_id, self._number("number", number), optional(backend), optional(model), own)

    def presentation(
        self,
        agent_id: str,
        backend: str | None = None,
        number: int | None = None,
        iteration: int | None = None,
        model: str | None = None,
        attributes: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> Presentation:
        """The winner's final presentation: `agent.{agent_id}.presentation`; arguments as for `agent_round`."""
        agent_id = identifier(agent_id)
        session = self._session(f"presentation({agent_id!r})")
        session.expect(agent_id)
        own = {
            semconv.ROUND_TYPE: "presentation",
            semconv.ITERATION: self._number("iteration", iteration),
            semconv.IS_WINNER: True,
            **self._spans.attributes(attributes, more),
        }
        return Presentation(self._spans, session, agent_id, self._number("number", number), optional(backend), optional(model), own)

    def _session(self, what: str) -> Session:
        """The session that *what* happens in."""
        raise NotImplementedError

    def _number(self, name: str, value: object) -> int | None:
        return None if value is None else self._spans.take(name, value, count, None)


@lenient
class Session(Work, RoundOpeners):
    """One coordination (one turn, one attempt), `coordination.session`.

    Attributes:
        run: the directory that its recording goes to; None where nothing is recorded.
        agents: the agents' ids, as given.
    """

    _has_own_scope: ClassVar[bool] = True

    span: OpenerSpan

    def __init__(
        self,
        spans: SpanFactory,
        question: object,
        agents: Iterable[str],
        run: RunDirectory | None,
        attributes: Mapping[str, Any] | None,
        base: Context | None,
    ) -> None:
        super().__init__(spans, semconv.SESSION, attributes, base)
        self._question = question
        self.agents = tuple(agents)
        self.run = self._given_run = run
        self._lock = finalization.Lock()
        self._rounds: dict[str, int] = {}
        self._answers: dict[str, int] = {}
        self._winner_label: str | None = None

    # --- events ------------------------------------------------------------------------------------------------------------------

    def event(self, event_type: str, attributes: Mapping[str, Any] | None = None, **more: Any) -> None:
        """A point event, `Coordination event: {event_type}`; attributes as for `Tracer.span`."""
        event_type = identifier(event_type)
        own = {semconv.EVENT_TYPE: event_type, **self._spans.attributes(attributes, more)}
        self._point(semconv.EVENT_NAME.format(type=event_type), own)

    def winner(
        self,
        agent_id: str,
        label: str | None = None,
        votes: Mapping[str, int] | Iterable[str] | Iterable[tuple[str, int]] | None = None,
        reason: str | None = None,
    ) -> None:
        """Note who won, with which answer, by how many votes for each label, and why.

        `Winner selected: {label}` appears under the presentation; under the session where none follows.
        """
        self._check_open("winner()")
        if agent_id is not None:
            self.expect(agent_id)
        self._winner_label = label = optional(label)
        self._put(semconv.WINNER, optional(agent_id))
        self._put(semconv.WINNER_LABEL, label)
        self._put(semconv.VOTES, self._spans.take("votes", votes, arguments.votes, None) or None)
        self._put(semconv.WINNER_REASON, reason)

    def finished(self, reason: str, details: str | None = None) -> None:
        """Note how the coordination ended; the last word counts.

        Args:
            reason: `completed`, `error`, `timeout` or `interrupted`.
            details: more about it, in words.
        """
        self._check_open("finished()")
        reason = identifier(reason)
        if reason not in semconv.FINISH_REASONS:
            self._spans.misuse("finish_reason", "Unknown finish reason", expected=one_of(semconv.FINISH_REASONS), got=reason, about=reason)
        self._put(semconv.FINISH_REASON, reason)
        self._put(semconv.FINISH_DETAILS, details)

    def final_answer(self, agent_id: str, text: object = "") -> None:
        """The final answer stands, without a presentation: event `Final answer from {agent}`."""
        agent_id = identifier(agent_id)
        said = answered(text, full=self._spans.full_content, whole=self.run is not None)
        self._point(semconv.FINAL_ANSWER_NAME.format(agent_id=agent_id), {semconv.AGENT_ID: agent_id, **said})

    def answer_label(self, agent_id: str, count: int | None = None) -> str:
        """The label of an agent's answer, `agent{i}.{k}`: i its place (from 1) among the ids sorted by name, k its how-many-th answer.

        Args:
            agent_id: one of the session's agents; an unknown one sorts in among them.
            count: k, from 1; None: the next one.
        """
        agent_id = identifier(agent_id)
        place = sorted({*self.agents, agent_id}).index(agent_id) + 1
        count = self._number("count", count)
        return semconv.ANSWER_LABEL.format(place=place, count=self._answers.get(agent_id, 0) + 1 if count is None else count)

    def expect(self, agent_id: str) -> None:
        """Tell the caller where an id is none of the session's agents'; of a session without agents, any may be."""
        agent_id = identifier(agent_id)
        if not self.agents or agent_id in self.agents:
            return
        near = difflib.get_close_matches(agent_id, self.agents, 1, 0.5)
        hint = f"Did you mean {near[0]}?" if near else "Name all of them: session(question, agents=[…])"
        if arguments.is_label(agent_id):
            hint = "It is the label of an answer: name the agent first, as in vote(agent_id, label)"
        self._spans.misuse(
            "agent",
            "An agent is none of the session's",
            expected=one_of(self.agents[:_NAMED]),
            got=agent_id,
            hint=hint,
            instead=", and is taken as it is",
            about=agent_id,
        )

    # --- for rounds --------------------------------------------------------------------------------------------------------------

    def next_answer(self, agent_id: str) -> str:
        """The label of an answer that the agent gives now, which is counted."""
        agent_id = identifier(agent_id)
        with self._lock.held():
            self.count_answer(agent_id)
            return self.answer_label(agent_id, self._answers[agent_id])

    def count_answer(self, agent_id: str) -> None:
        """Note that an agent has answered, under a label of its own."""
        agent_id = identifier(agent_id)
        with self._lock.held():
            self._answers[agent_id] = self._answers.get(agent_id, 0) + 1

    def take_winner_label(self) -> str | None:
        """The winner's label, for the one event that announces it; None once that has happened."""
        with self._lock.held():
            label, self._winner_label = self._winner_label, None
        return label

    def _session(self, what: str) -> Session:  # noqa: ARG002 - it is the session itself
        return self

    def next_round(self, agent_id: str, number: int | None = None) -> int:
        """The number of an agent's next round, from 0; *number* where it is given, and the ones after it go on from there."""
        agent_id, number = identifier(agent_id), self._number("number", number)
        with self._lock.held():
            number = self._rounds.get(agent_id, 0) if number is None else number
            self._rounds[agent_id] = max(self._rounds.get(agent_id, 0), number + 1)
        return number

    # --- inner -------------------------------------------------------------------------------------------------------------------

    def _point(self, name: str, attributes: Mapping[str, Any]) -> None:
        if self._check_open(repr(name)):
            self._spans.point(name, attributes, base=self.context)

    def _begin(self) -> Mapping[str, Any]:
        self.run = self._spans.open_run(self.run, None if self.session is None else self.session.run)
        own: dict[str, Any] = {
            semconv.TASK: self._question,
            semconv.NUM_AGENTS: len(self.agents) or None,
            semconv.AGENT_IDS: list(self.agents) or None,
            semconv.GEN_AI_OPERATION: "invoke_workflow",
            semconv.GEN_AI_WORKFLOW: self._spans.service_name,
        }
        if self.run is not None:
            own[semconv.LOG_DIR] = str(self.run.log_dir)
            own[semconv.GEN_AI_CONVERSATION] = self.run.run_id
            own[semconv.UTC_OFFSET] = time.localtime().tm_gmtoff
        self.session = self
        self.round = None
        return {**own, **self._given}

    def _within(self, base: Context) -> Context:
        keys: dict[str, object] = {SESSION_KEY: self}
        if self.run is not None:
            keys[RUN_CONTEXT_KEY] = self.run
        return Context({**{key: value for key, value in base.items() if key != ROUND_KEY}, **keys})

    def _renew(self) -> None:
        self.run = self._given_run
        with self._lock.held():
            self._rounds, self._answers, self._winner_label = {}, {}, None

    def _portable(self) -> dict[str, Any]:
        """Without its run: another process records into files of its own."""
        return {
            "name": self.name,
            "agents": self.agents,
            "run": None,
            "_question": "",
            "_rounds": dict(self._rounds),
            "_answers": dict(self._answers),
            "_winner_label": None,
        }

    @classmethod
    def _received(cls, carrier: Mapping[str, str], known: Mapping[str, Any]) -> Self:
        session = super()._received(carrier, known)
        session._lock = finalization.Lock()  # noqa: SLF001 - of this class
        return session

    def _opened(self, span: ApiSpan) -> ApiSpan:
        return OpenerSpan(span, self, self._spans)

    def _finish(self) -> None:
        label = self.take_winner_label()
        if label is not None:
            self._spans.point(semconv.WINNER_NAME.format(label=label), {semconv.WINNER_LABEL: label}, base=self.context)

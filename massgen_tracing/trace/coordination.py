"""Handles of a coordination: the session, an agent's rounds, the winner's presentation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from opentelemetry.context import Context
from opentelemetry.trace import Span as ApiSpan
from opentelemetry.trace import SpanContext, Status, StatusCode

from massgen_tracing import semconv
from massgen_tracing.errors import one_of
from massgen_tracing.layout import RunDirectory
from massgen_tracing.model import RUN_CONTEXT_KEY
from massgen_tracing.trace.calls import Usage, Work
from massgen_tracing.trace.exceptions import describe
from massgen_tracing.trace.handle import ROUND_KEY, SESSION_KEY, Handle
from massgen_tracing.trace.payload import preview

if TYPE_CHECKING:
    from massgen_tracing.trace.tracer import Tracer


class OpenerSpan(ApiSpan):
    """The OpenTelemetry span of a session or round, which, called, opens a span below it: `rnd.span("parse", attributes={…})`.

    Everything else is the span itself.
    """

    def __init__(self, span: ApiSpan, handle: Handle, tracer: Tracer) -> None:
        self._span = span
        self._handle = handle
        self._tracer = tracer

    def __call__(self, name: str, attributes: Mapping[str, Any] | None = None) -> Work:
        """A span below this one; see `Tracer.span`."""
        return self._tracer.span(name, attributes, base=self._handle.context)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._span, name)

    def get_span_context(self) -> SpanContext:
        return self._span.get_span_context()

    def is_recording(self) -> bool:
        return self._span.is_recording()

    def set_attribute(self, key: str, value: Any) -> None:
        self._span.set_attribute(key, value)

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        self._span.set_attributes(attributes)

    def add_event(self, name: str, attributes: Mapping[str, Any] | None = None, timestamp: int | None = None) -> None:
        self._span.add_event(name, attributes, timestamp)

    def add_link(self, context: SpanContext, attributes: Mapping[str, Any] | None = None) -> None:
        self._span.add_link(context, attributes)

    def update_name(self, name: str) -> None:
        self._span.update_name(name)

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        self._span.set_status(status, description)

    def record_exception(
        self,
        exception: BaseException,
        attributes: Mapping[str, Any] | None = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        self._span.record_exception(exception, attributes, timestamp, escaped)

    def end(self, end_time: int | None = None) -> None:
        self._span.end(end_time)


class Session(Handle):
    """One coordination (one turn, one attempt), `coordination.session`.

    Attributes:
        run: the directory that its recording goes to; None where nothing is recorded.
        agents: the agents' ids, as given.
    """

    __slots__ = ("_answers", "_question", "_rounds", "_winner_label", "agents", "run")

    span: OpenerSpan

    def __init__(
        self,
        tracer: Tracer,
        question: str,
        agents: Sequence[str],
        run: RunDirectory | None,
        attributes: Mapping[str, Any] | None,
        base: Context | None,
    ) -> None:
        super().__init__(tracer, semconv.SESSION, attributes, base)
        self._question = question
        self.agents = tuple(agents)
        self.run = run
        self._rounds: dict[str, int] = {}
        self._answers: dict[str, int] = {}
        self._winner_label: str | None = None

    # --- openers -----------------------------------------------------------------------------------------------------------------

    def agent_round(
        self,
        agent_id: str,
        number: int | None = None,
        round_type: str = "initial_answer",
        iteration: int | None = None,
        backend: str | None = None,
        context_labels: Sequence[str] = (),
        model: str | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> Round:
        """One execution of an agent: `agent.{agent_id}.round_{number}`, a direct child of this session wherever it is called.

        Args:
            agent_id: the agent.
            number: which execution of this agent it is, from 0; None: the next one.
            round_type: `initial_answer`, `voting` or `presentation`.
            iteration: iteration of the coordination loop.
            backend: name of the backend's provider.
            context_labels: labels of the answers that the agent sees.
            model: the model that the round asks for.
            attributes: more of the caller's own.
        """
        if round_type not in semconv.ROUND_TYPES:
            self._tracer.misuse("round_type", "Unknown round_type", expected=one_of(semconv.ROUND_TYPES), got=round_type)
        name = semconv.ROUND_NAME.format(agent_id=agent_id, number=self._number(agent_id, number))
        labels = list(context_labels)
        own = {
            semconv.ROUND_TYPE: round_type,
            semconv.ITERATION: iteration,
            semconv.NUM_CONTEXT_ANSWERS: len(labels) or None,
            semconv.CONTEXT_LABELS: labels or None,
        }
        return Round(self._tracer, name, self, agent_id, self._rounds[agent_id] - 1 if number is None else number, backend, model,
                     {**own, **(attributes or {})})  # fmt: skip

    def presentation(
        self,
        agent_id: str,
        backend: str | None = None,
        number: int | None = None,
        iteration: int | None = None,
        model: str | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> Presentation:
        """The winner's final presentation: `agent.{agent_id}.presentation`; arguments as for `agent_round`."""
        number = self._number(agent_id, number)
        own = {semconv.ROUND_TYPE: "presentation", semconv.ITERATION: iteration, semconv.IS_WINNER: True, **(attributes or {})}
        name = semconv.PRESENTATION_NAME.format(agent_id=agent_id)
        return Presentation(self._tracer, name, self, agent_id, number, backend, model, own)

    # --- events ------------------------------------------------------------------------------------------------------------------

    def event(self, event_type: str, attributes: Mapping[str, Any] | None = None) -> None:
        """A point event, `Coordination event: {event_type}`."""
        self._tracer.point(semconv.EVENT_NAME.format(type=event_type), {semconv.EVENT_TYPE: event_type, **(attributes or {})}, base=self._context)

    def winner(self, agent_id: str, label: str | None = None, votes: Mapping[str, int] | None = None, reason: str | None = None) -> None:
        """Note who won, with which answer, by how many votes for each label, and why.

        `Winner selected: {label}` appears under the presentation; under the session where none follows.
        """
        self._winner_label = label
        self.set(semconv.WINNER, agent_id)
        self.set(semconv.WINNER_LABEL, label)
        self.set(semconv.VOTES, dict(votes) if votes else None)
        self.set(semconv.WINNER_REASON, reason)

    def answer_label(self, agent_id: str, count: int | None = None) -> str:
        """The label of an agent's answer, `agent{i}.{k}`: i its place (from 1) among the ids sorted by name, k its how-many-th answer.

        Args:
            agent_id: one of the session's agents; an unknown one sorts in among them.
            count: k, from 1; None: the next one.
        """
        place = sorted({*self.agents, agent_id}).index(agent_id) + 1
        return semconv.ANSWER_LABEL.format(place=place, count=self._answers.get(agent_id, 0) + 1 if count is None else count)

    # --- for rounds --------------------------------------------------------------------------------------------------------------

    def count_answer(self, agent_id: str) -> None:
        """Note that an agent has answered."""
        self._answers[agent_id] = self._answers.get(agent_id, 0) + 1

    def take_winner_label(self) -> str | None:
        """The winner's label, for the one event that announces it; None once that has happened."""
        label, self._winner_label = self._winner_label, None
        return label

    def _number(self, agent_id: str, number: int | None) -> int:
        number = self._rounds.get(agent_id, 0) if number is None else number
        self._rounds[agent_id] = max(self._rounds.get(agent_id, 0), number + 1)
        return number

    def _prepare(self, base: Context) -> Context:
        if self.run is None:
            self.run = self._tracer.open_run()
        own: dict[str, Any] = {
            semconv.TASK: self._question,
            semconv.NUM_AGENTS: len(self.agents) or None,
            semconv.AGENT_IDS: list(self.agents) or None,
            semconv.GEN_AI_OPERATION: "invoke_workflow",
            semconv.GEN_AI_WORKFLOW: self._tracer.service_name,
        }
        keys: dict[str, object] = {SESSION_KEY: self}
        if self.run is not None:
            own[semconv.LOG_DIR] = str(self.run.log_dir)
            own[semconv.GEN_AI_CONVERSATION] = self.run.run_id
            keys[RUN_CONTEXT_KEY] = self.run
        self._attributes = {**own, **self._attributes}
        self.session = self
        self.round = None
        return Context({**{key: value for key, value in base.items() if key != ROUND_KEY}, **keys})

    def _opened(self, span: ApiSpan) -> ApiSpan:
        return OpenerSpan(span, self, self._tracer)

    def _finish(self) -> None:
        if self.span.is_recording():
            label = self.take_winner_label()
            if label is not None:
                self._tracer.point(semconv.WINNER_NAME.format(label=label), {semconv.WINNER_LABEL: label}, base=self._context)


class Round(Work):
    """One execution of an agent.

    Attributes:
        agent_id: the agent.
        identity: the attributes that everything done in this round carries.
    """

    __slots__ = ("_outcome", "_used", "agent_id", "identity")

    span: OpenerSpan

    def __init__(
        self,
        tracer: Tracer,
        name: str,
        session: Session | None,
        agent_id: str,
        number: int,
        backend: str | None,
        model: str | None,
        attributes: Mapping[str, Any],
    ) -> None:
        self.agent_id = agent_id
        self.identity: dict[str, Any] = {
            semconv.AGENT_ID: agent_id,
            semconv.ROUND: number,
            semconv.ROUND_TYPE: attributes.get(semconv.ROUND_TYPE),
        }
        own = {
            **self.identity,
            semconv.BACKEND: backend,
            semconv.GEN_AI_OPERATION: "invoke_agent",
            semconv.GEN_AI_AGENT: agent_id,
            semconv.GEN_AI_REQUEST_MODEL: model,
            **attributes,
        }
        if session is not None and session.run is not None:
            own[semconv.GEN_AI_CONVERSATION] = session.run.run_id
        super().__init__(tracer, name, own, None if session is None else session.context)
        self._outcome: str | None = None
        self._used: list[Usage] = []

    # --- how the round ends ------------------------------------------------------------------------------------------------------

    def answer(self, label: str | None = None, text: str = "") -> str:
        """The agent answered: event `Agent answer: {label}`, outcome `answer`; returns the label.

        Args:
            label: `agent{i}.{k}`; None: the session's next one for this agent.
            text: the answer, kept as a bounded preview.
        """
        if label is None:
            label = self._label()
        if self.session is not None:
            self.session.count_answer(self.agent_id)
        self._event(semconv.ANSWER_NAME.format(label=label), {semconv.ANSWER_LABEL_KEY: label, semconv.ANSWER_PREVIEW: self._preview(text)})
        self._end_as("answer", {semconv.ANSWER_LABEL_KEY: label})
        return label

    def vote(self, voted_for: str, label: str | None = None, reason: str | None = None) -> None:
        """The agent voted: event `Agent vote: {agent} -> {label}`, outcome `vote`.

        Args:
            voted_for: id of the agent whose answer it chose.
            label: that answer's label.
            reason: why, kept as a bounded preview.
        """
        chosen = {semconv.VOTED_FOR: voted_for, semconv.VOTED_FOR_LABEL: label}
        self._event(
            semconv.VOTE_NAME.format(agent_id=self.agent_id, label=label or voted_for),
            {**chosen, semconv.VOTE_REASON: self._preview(reason)},
        )
        self._end_as("vote", chosen)

    def error(self, message: object) -> None:
        """The round failed, without an exception that leaves its block: outcome `error`, status ERROR."""
        self._fail("error", message)

    def timeout(self, message: object = "timed out") -> None:
        """The round ran out of time: outcome `timeout`, status ERROR."""
        self._fail("timeout", message)

    def restarted(self, by: str | None = None) -> None:
        """The round was given up because another agent answered: event `Agent restart: {agent}`, outcome `restarted`.

        Args:
            by: the agent whose new answer made this one start again.
        """
        self._event(semconv.RESTART_NAME.format(agent_id=self.agent_id), {semconv.RESTART_BY: by})
        self._end_as("restarted", {semconv.RESTART_BY: by})

    def cancelled(self) -> None:
        """The round was given up for another reason: outcome `cancelled`."""
        self._end_as("cancelled", {})

    # --- what happens in it ------------------------------------------------------------------------------------------------------

    def event(self, event_type: str, attributes: Mapping[str, Any] | None = None) -> None:
        """A point event of this agent, `Coordination event: {event_type}`."""
        self._event(semconv.EVENT_NAME.format(type=event_type), {semconv.EVENT_TYPE: event_type, **(attributes or {})})

    def enforcement(
        self,
        reason: str,
        attempt: int | None = None,
        max_attempts: int | None = None,
        tool_calls: Sequence[str] = (),
        error_message: str | None = None,
        buffer_preview: str | None = None,
        buffer_chars: int | None = None,
    ) -> None:
        """The agent broke the protocol and is asked again: event `Coordination event: enforcement`.

        Args:
            reason: one of MassGen's eleven codes, `semconv.ENFORCEMENT_REASONS`.
            attempt: which retry it is, from 1.
            max_attempts: how many there may be.
            tool_calls: names of the tools that the agent called instead.
            error_message: what the agent is told.
            buffer_preview: the beginning of what it had written and is lost.
            buffer_chars: how many characters that was.
        """
        if reason not in semconv.ENFORCEMENT_REASONS:
            self._tracer.misuse("enforcement", "Unknown enforcement reason", expected=one_of(semconv.ENFORCEMENT_REASONS), got=reason)
        self.event(
            "enforcement",
            {
                semconv.ENFORCEMENT_REASON: reason,
                semconv.ENFORCEMENT_ATTEMPT: attempt,
                semconv.ENFORCEMENT_MAX_ATTEMPTS: max_attempts,
                semconv.ENFORCEMENT_TOOL_CALLS: list(tool_calls) or None,
                semconv.ERROR_MESSAGE: error_message,
                semconv.ENFORCEMENT_BUFFER_PREVIEW: self._preview(buffer_preview),
                semconv.ENFORCEMENT_BUFFER_CHARS: buffer_chars,
            },
        )

    def add_usage(self, usage: Usage) -> None:
        """Add one model call's usage to the round's; the calls themselves do this when they end."""
        self._used.append(usage)

    # --- inner -------------------------------------------------------------------------------------------------------------------

    def _prepare(self, base: Context) -> Context:
        self.round = self
        return Context({**base, ROUND_KEY: self})

    def _opened(self, span: ApiSpan) -> ApiSpan:
        return OpenerSpan(span, self, self._tracer)

    def _finish(self) -> None:
        total = sum(self._used, Usage())
        for key, value in _usage_attributes(total):
            self.set(key, value)
        if self._outcome is not None:
            self.set(semconv.OUTCOME, self._outcome)

    def _label(self) -> str:
        if self.session is not None:
            return self.session.answer_label(self.agent_id)
        return semconv.ANSWER_LABEL.format(place=1, count=1)

    def _preview(self, text: object) -> object:
        return preview(text, full=self._tracer.full_content) if text else None

    def _event(self, name: str, attributes: Mapping[str, Any]) -> None:
        if not self._check_open(name):
            return
        self._tracer.point(name, {**self.identity, **attributes}, base=self._context)

    def _check_open(self, what: str) -> bool:
        """Whether the round has a place for it; a round that has ended still has, though it is not the right one."""
        if self._context is not None and self.span.is_recording():
            return True
        state = "has not started" if self._context is None else "has ended"
        self._tracer.misuse("round", f"{what!r} came outside of its round: {self.name} {state}", hint="Call it inside the round's with block")
        return self._context is not None

    def _end_as(self, outcome: str, attributes: Mapping[str, Any]) -> None:
        self._outcome = outcome
        self.set(semconv.OUTCOME, outcome)  # at once, so that a run that is killed now has it in its next record
        for key, value in attributes.items():
            self.set(key, value)

    def _fail(self, outcome: str, message: object) -> None:
        self._check_open(outcome)
        text = self._tracer.clean_text(str(message))
        self._end_as(outcome, {semconv.ERROR_MESSAGE: text})
        self.span.set_status(Status(StatusCode.ERROR, text))

    def _failed(self, error: Exception) -> None:
        super()._failed(error)
        self._end_as("timeout" if isinstance(error, TimeoutError) else "error", {semconv.ERROR_MESSAGE: describe(error)})

    def _cancelled(self) -> None:
        if self._outcome is None:
            self._end_as("cancelled", {})


class Presentation(Round):
    """The winner's final presentation; announces the winner when it starts."""

    __slots__ = ()

    def start(self) -> Presentation:
        """Start the span, and announce the winner below it."""
        super().start()
        label = None if self.session is None else self.session.take_winner_label()
        if label is not None:
            self._event(semconv.WINNER_NAME.format(label=label), {semconv.WINNER_LABEL: label})
        return self

    def final_answer(self, text: str = "") -> None:
        """The final answer stands: event `Final answer from {agent}`, outcome `answer`."""
        self._event(semconv.FINAL_ANSWER_NAME.format(agent_id=self.agent_id), {semconv.ANSWER_PREVIEW: self._preview(text)})
        self._end_as("answer", {})


def _usage_attributes(usage: Usage) -> Iterator[tuple[str, int | float | None]]:
    yield semconv.USAGE_INPUT, usage.input
    yield semconv.USAGE_OUTPUT, usage.output
    yield semconv.USAGE_REASONING, usage.reasoning
    yield semconv.USAGE_CACHED_INPUT, usage.cached_input
    yield semconv.USAGE_COST, usage.cost

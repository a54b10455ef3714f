"""The handles of an agent's rounds, and of the winner's presentation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from opentelemetry.context import Context
from opentelemetry.trace import Span as ApiSpan
from opentelemetry.trace import Status, StatusCode

from massgen_tracing import semconv
from massgen_tracing.errors import one_of
from massgen_tracing.trace.calls import Usage, Work
from massgen_tracing.trace.exceptions import describe
from massgen_tracing.trace.handle import ROUND_KEY
from massgen_tracing.trace.opener import OpenerSpan
from massgen_tracing.trace.payload import preview

if TYPE_CHECKING:
    from massgen_tracing.trace.session import Session
    from massgen_tracing.trace.tracer import Tracer


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
        *,
        any_reason: bool = False,
    ) -> None:
        """The agent broke the protocol and is asked again: event `Coordination event: enforcement`.

        Args:
            reason: one of MassGen's codes, `semconv.ENFORCEMENT_REASONS`.
            attempt: which retry it is, from 1.
            max_attempts: how many there may be.
            tool_calls: names of the tools that the agent called instead.
            error_message: what the agent is told.
            buffer_preview: the beginning of what it had written and is lost.
            buffer_chars: how many characters that was.
            any_reason: the codes are not the caller's own, so that one which is not known is not its mistake.
        """
        if not any_reason and reason not in semconv.ENFORCEMENT_REASONS:
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

    @property
    def usage(self) -> Usage:
        """What the round's model calls have used so far."""
        return sum(self._used, Usage())

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
        for key, value in _usage_attributes(self.usage):
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

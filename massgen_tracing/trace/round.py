"""The handles of an agent's rounds, and of the winner's presentation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from opentelemetry.context import Context
from opentelemetry.trace import Span as ApiSpan
from opentelemetry.trace import Status, StatusCode

from massgen_tracing import semconv
from massgen_tracing.errors import one_of
from massgen_tracing.trace import outside
from massgen_tracing.trace.arguments import identifier, identifiers, is_label, is_true, optional
from massgen_tracing.trace.belonging import ROUND_KEY, InSession
from massgen_tracing.trace.calls import Work
from massgen_tracing.trace.exceptions import describe, is_timeout
from massgen_tracing.trace.factory import SpanFactory
from massgen_tracing.trace.lenient import lenient
from massgen_tracing.trace.opener import OpenerSpan
from massgen_tracing.trace.payload import answered, preview, text_of
from massgen_tracing.trace.reported import reported, usage_of
from massgen_tracing.trace.usage import Unfit, Usage, amount, count


@lenient
class Round(Work):
    """One execution of an agent.

    Attributes:
        agent_id: the agent.
        identity: the attributes that everything done in this round carries.
    """

    _has_own_scope: ClassVar[bool] = True

    span: OpenerSpan

    def __init__(
        self,
        spans: SpanFactory,
        session: InSession,
        agent_id: str,
        number: int | None,
        backend: str | None,
        model: str | None,
        attributes: Mapping[str, Any],
    ) -> None:
        self.agent_id = agent_id
        self._number = number
        own = {
            semconv.BACKEND: backend,
            semconv.GEN_AI_OPERATION: "invoke_agent",
            semconv.GEN_AI_AGENT: agent_id,
            semconv.GEN_AI_REQUEST_MODEL: model,
            **attributes,
        }
        super().__init__(spans, "", own, session.context)
        self._take_number(session)
        self._outcome: str | None = None
        self._used: list[Usage] = []

    def _take_number(self, session: InSession) -> None:
        number = session.next_round(self.agent_id, self._number)
        self.name = self._named(number)
        self.identity: dict[str, Any] = {
            semconv.AGENT_ID: self.agent_id,
            semconv.ROUND: number,
            semconv.ROUND_TYPE: self._given.get(semconv.ROUND_TYPE),
        }

    def _named(self, number: int) -> str:
        return semconv.ROUND_NAME.format(agent_id=self.agent_id, number=number)

    # --- how the round ends ------------------------------------------------------------------------------------------------------

    def answer(self, label: str | None = None, text: object = "") -> str:
        """The agent answered: event `Agent answer: {label}`, outcome `answer`; returns the label.

        Args:
            label: `agent{i}.{k}`, or one of the caller's own; None: the session's next one for this agent. Given alone, what is not of that form is
                the text.
            text: the answer, kept as a bounded preview; where the session has a directory, in full too, for the files there are made of it.
        """
        if label is not None and not is_label(label) and not _is_said(text):
            label, text = None, label
        label = optional(label)
        if label is None:
            label = self._label()
        elif self.session is not None:
            self.session.count_answer(self.agent_id)
        self._event(semconv.ANSWER_NAME.format(label=label), {semconv.ANSWER_LABEL_KEY: label, **self._answered(text)})
        self._end_as("answer", {semconv.ANSWER_LABEL_KEY: label})
        return label

    def vote(self, voted_for: str, label: str | None = None, reason: str | None = None) -> None:
        """The agent voted: event `Agent vote: {agent} -> {label}`, outcome `vote`.

        Args:
            voted_for: id of the agent whose answer it chose.
            label: that answer's label.
            reason: why, kept as a bounded preview.
        """
        voted_for, label = identifier(voted_for), optional(label)
        if self.session is not None:
            self.session.expect(voted_for)
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
        by = optional(by)
        self._event(semconv.RESTART_NAME.format(agent_id=self.agent_id), {semconv.RESTART_BY: by})
        self._end_as("restarted", {semconv.RESTART_BY: by})

    def cancelled(self) -> None:
        """The round was given up for another reason: outcome `cancelled`."""
        self._check_open("cancelled()")
        self._end_as("cancelled", {})

    # --- what happens in it ------------------------------------------------------------------------------------------------------

    def event(self, event_type: str, attributes: Mapping[str, Any] | None = None, **more: Any) -> None:
        """A point event of this agent, `Coordination event: {event_type}`; attributes as for `Tracer.span`."""
        event_type = identifier(event_type)
        self._event(semconv.EVENT_NAME.format(type=event_type), {semconv.EVENT_TYPE: event_type, **self._spans.attributes(attributes, more)})

    def enforcement(
        self,
        reason: str,
        attempt: int | None = None,
        max_attempts: int | None = None,
        tool_calls: Sequence[str] | str = (),
        error_message: str | None = None,
        buffer_preview: str | None = None,
        buffer_chars: int | None = None,
        *,
        any_reason: bool = False,
        **more: Any,
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
            more: attributes too.
        """
        reason = identifier(reason)
        if not is_true(any_reason) and reason not in semconv.ENFORCEMENT_REASONS:
            expected = one_of(semconv.ENFORCEMENT_REASONS)
            self._spans.misuse("enforcement", "Unknown enforcement reason", expected=expected, got=reason, about=reason)
        self.event(
            "enforcement",
            {
                semconv.ENFORCEMENT_REASON: reason,
                semconv.ENFORCEMENT_ATTEMPT: attempt,
                semconv.ENFORCEMENT_MAX_ATTEMPTS: max_attempts,
                semconv.ENFORCEMENT_TOOL_CALLS: identifiers(tool_calls) or None,
                semconv.ERROR_MESSAGE: error_message,
                semconv.ENFORCEMENT_BUFFER_PREVIEW: self._preview(buffer_preview),
                semconv.ENFORCEMENT_BUFFER_CHARS: buffer_chars,
                **more,
            },
        )

    @property
    def usage(self) -> Usage:
        """What the round's model calls have used so far."""
        return sum(self._used, Usage())

    def add_usage(self, usage: Usage) -> None:
        """Add one model call's usage to the round's; the calls themselves do this when they end."""
        self._used.append(self._spans.take("usage", usage, _checked, Usage()))

    # --- inner -------------------------------------------------------------------------------------------------------------------

    def _begin(self) -> Mapping[str, Any]:
        self.round = self
        outside.opened(self)
        run = None if self.session is None else self.session.run
        conversation = {} if run is None else {semconv.GEN_AI_CONVERSATION: run.run_id}
        return {**self.identity, **conversation, **self._given}

    def _within(self, base: Context) -> Context:
        return Context({**base, ROUND_KEY: self})

    def _renew(self) -> None:
        if self.session is not None:
            self._take_number(self.session)
        self._outcome = None
        self._used = []

    def _opened(self, span: ApiSpan) -> ApiSpan:
        return OpenerSpan(span, self, self._spans)

    def _portable(self) -> dict[str, Any]:
        return {
            **super()._portable(),
            "agent_id": self.agent_id,
            "identity": self.identity,
            "round": None,
            "_number": self._number,
            "_outcome": None,
            "_used": [],
        }

    def _finish(self) -> None:
        outside.closed(self)
        for key, value in _usage_attributes(self.usage):
            self._put(key, value)
        if self._outcome is not None:
            self._put(semconv.OUTCOME, self._outcome)

    def _label(self) -> str:
        if self.session is not None:
            return self.session.next_answer(self.agent_id)
        return semconv.ANSWER_LABEL.format(place=1, count=1)

    def _preview(self, text: object) -> object:
        return preview(text, full=self._spans.full_content) if _is_said(text) else None

    def _answered(self, text: object) -> Mapping[str, object]:
        has_run = self.session is not None and self.session.run is not None
        return answered(text, full=self._spans.full_content, whole=has_run)

    def _event(self, name: str, attributes: Mapping[str, Any]) -> None:
        if self._check_open(repr(name)):
            self._spans.point(name, {**self.identity, **attributes}, base=self.context)

    def _end_as(self, outcome: str, attributes: Mapping[str, Any]) -> None:
        self._outcome = outcome
        self._put(semconv.OUTCOME, outcome)  # at once, so that a run that is killed now has it in its next record
        for key, value in attributes.items():
            self._put(key, value)

    def _fail(self, outcome: str, message: object) -> None:
        self._check_open(f"{outcome}()")
        text = self._spans.clean_text(text_of(message))
        self._end_as(outcome, {semconv.ERROR_MESSAGE: text})
        self.span.set_status(Status(StatusCode.ERROR, text))

    def _failed(self, error: BaseException) -> None:
        super()._failed(error)
        self._end_as("timeout" if is_timeout(error) else "error", {semconv.ERROR_MESSAGE: describe(error)})

    def _cancelled(self) -> None:
        if self._outcome is None:
            self._end_as("cancelled", {})


@lenient
class Presentation(Round):
    """The winner's final presentation; announces the winner when it starts."""

    def _named(self, number: int) -> str:  # noqa: ARG002 - there is one
        return semconv.PRESENTATION_NAME.format(agent_id=self.agent_id)

    def _start(self, ambient: Context) -> None:
        super()._start(ambient)
        label = None if self.session is None else self.session.take_winner_label()
        if label is not None:
            self._event(semconv.WINNER_NAME.format(label=label), {semconv.WINNER_LABEL: label})

    def final_answer(self, text: object = "") -> None:
        """The final answer stands: event `Final answer from {agent}`, outcome `answer`."""
        self._event(semconv.FINAL_ANSWER_NAME.format(agent_id=self.agent_id), self._answered(text))
        self._end_as("answer", {})


def _is_said(text: object) -> bool:
    return text is not None and text_of(text) != ""


def _checked(usage: object) -> Usage:
    if isinstance(usage, Usage):
        whole = [None if tokens is None else count(tokens) for tokens in usage[:4]]
        return Usage(whole[0], whole[1], whole[2], whole[3], None if usage.cost is None else amount(usage.cost))
    found = usage_of(reported(usage).usage)
    if found == Usage():
        raise Unfit("a Usage")
    return found


def _usage_attributes(usage: Usage) -> Iterator[tuple[str, int | float | None]]:
    yield semconv.USAGE_INPUT, usage.input
    yield semconv.USAGE_OUTPUT, usage.output
    yield semconv.USAGE_REASONING, usage.reasoning
    yield semconv.USAGE_CACHED_INPUT, usage.cached_input
    yield semconv.USAGE_COST, usage.cost

"""One run from the question to the final answer: the front of this room.

Finalisation always runs: when all have voted, when time is up, when what the run may use is used up, when nothing happens any more, when
agents fail, and on Ctrl-C.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

from opentelemetry.trace import SpanContext, TraceFlags

from massgen_tracing.errors import ConfigError, EndpointError, RunError, RunTimeout
from massgen_tracing.layout import RunDirectory
from massgen_tracing.semconv import ANALYSIS_OF, EVENT_DETAILS, FinishReason
from massgen_tracing.trace.borders import bind_stream
from massgen_tracing.trace.session import Session
from massgen_tracing.trace.tracer import Tracer

from . import model_openai, packages, tools
from .board import Board
from .config import RunConfig
from .described import described
from .finish import Presentation
from .progress import OnProgress, Progress, Pulse
from .protocol import Exchange
from .rounds import STOP_TIMEOUT, CutShort, Rounds, next_step
from .seat import Seat, Table, open_seats
from .voting import Candidate, choose_winner

_TOO_LONG: Final = "the presentation took too long; the answer stands as it was"
_ALL_FAILED: Final = "every agent failed before it could vote"


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended.

    Attributes:
        winner, label: the agent that won, and its answer's label.
        answer: the final answer.
        reason: why it won.
        votes: votes by answer label.
        ballots: who voted for whom, as far as it counted.
        finish_reason: `completed`, also where what the run might use was used up; else what kept it from its end.
        finish_details: more about it, in words; None where everything went its way.
        failures: why agents dropped out, by id.
    """

    winner: str
    label: str
    answer: str
    reason: str
    votes: dict[str, int]
    ballots: dict[str, str]
    finish_reason: FinishReason
    finish_details: str | None
    failures: dict[str, str]


@dataclass(frozen=True, slots=True)
class _Decision:
    """The winner, why, and the votes by label."""

    winner: Candidate
    reason: str
    votes: dict[str, int]


def _ignore(_progress: Progress) -> None:
    return


class Coordination:
    """One run of several agents on one question.

    Args:
        config: agents and limits.
        question: what is asked.
        tracer: where the spans go.
        run: the run's directory; None lets the tracer make one.
        history: what was asked and answered in earlier turns, which the agents are told.
        on_progress: told of everything worth showing.
        of: the trace and the span, in hex, of another run that this one is about; its session links to it.

    Attributes:
        trace_id: 32 hex digits; empty before the start, and where nothing is traced.
        directory: the run's directory; None before the start, or where nothing is recorded.
        result: what there is when the run has ended, also by an error or a cancellation; None without any answer.

    Raises:
        ConfigError: for an empty question.
    """

    def __init__(
        self,
        config: RunConfig,
        question: str,
        *,
        tracer: Tracer,
        run: RunDirectory | None = None,
        history: Sequence[Exchange] = (),
        on_progress: OnProgress = _ignore,
        of: tuple[str, str] | None = None,
    ) -> None:
        if not question.strip():
            raise ConfigError("The question is empty", expected="a question", hint="Give it as the last argument")
        self.trace_id = ""
        self.directory = run
        self.result: RunResult | None = None
        self._config = config
        self._question = question
        self._history = tuple(history)
        self._tracer = tracer
        self._on_progress = on_progress
        self._of = of

    async def run(self) -> RunResult:
        """Carry the run to its end.

        Raises:
            MissingPackageError: if a package is not installed that it needs; nothing was begun.
            ToolServerError: if an MCP server does not start; no model was asked.
            EndpointError: if no agent could reach its endpoint.
            RunTimeout: if time was up, or nothing happened any more, before there was any answer.
            RunError: if every agent failed, or what the run might use was used up, before there was any answer.
            asyncio.CancelledError: if it was cancelled; what there is by then has been kept.
        """
        has_tools = any(agent.tool_servers for agent in self._config.agents)
        packages.check("openai", *(["mcp"] if has_tools else []))
        # Loading packages is no part of the run; where tool servers start, the model's client loads while they do.
        if has_tools:
            tools.load()
        else:
            model_openai.load()
        deadline = time.monotonic() + self._config.limits.overall_timeout
        agents = [agent.id for agent in self._config.agents]
        with self._tracer.session(self._question, agents=agents, run=self.directory, attributes=described(self._config)) as session:
            self.trace_id = session.trace_id if self._tracer.enabled else ""
            if self._of is not None:
                session.set(ANALYSIS_OF, self._of[0])
                session.span.add_link(_remote(*self._of), {ANALYSIS_OF: self._of[0]})
            self.directory = session.run or self.directory
            pulse = Pulse(self._on_progress)
            pulse(Progress("started", "", session.trace_id))
            try:
                async with self._seats(deadline) as seats:
                    board = Board(list(seats), self._config.limits)
                    table = Table(session, board, self._question, self._config.limits, self._history, pulse)
                    ending = _Ending(table, seats)
                    try:
                        self.result = await ending.reach(deadline)
                    except BaseException as error:
                        self.result = await ending.save(error)
                        raise
            except BaseException as error:
                session.finished(_reason(error), str(error) or None)
                raise
            session.finished(self.result.finish_reason, self.result.finish_details)
            return self.result

    @contextlib.asynccontextmanager
    async def _seats(self, deadline: float) -> AsyncIterator[dict[str, Seat]]:
        """The agents with their tool servers, which have the run's time to start in."""
        async with contextlib.AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(deadline - time.monotonic()):
                    seats = await stack.enter_async_context(open_seats(self._config, self.directory))
            except TimeoutError:
                raise _no_time(self._config.limits.overall_timeout) from None
            yield seats


class _Ending:
    """Carries a run whose agents are ready to one of its ends."""

    def __init__(self, table: Table, seats: dict[str, Seat]) -> None:
        self._table = table
        self._session: Session = table.session
        self._seats = seats
        self._tell = table.tell
        self._rounds = Rounds(table, seats)
        self._decision: _Decision | None = None

    async def reach(self, deadline: float) -> RunResult:
        """Drive the rounds, choose, present; *deadline* in monotonic seconds."""
        self._session.event("coordination_started")
        self._tell(Progress("phase", "", "initial_answer"))
        cut_short = await self._rounds.drive(deadline)
        if cut_short is not None:
            self._session.event(cut_short.event, {EVENT_DETAILS: cut_short.message})
            self._tell(Progress("timeout" if cut_short.timed_out else "budget", "", cut_short.message))
        if not self._table.board.answers:
            raise self._no_answer(cut_short)
        return await self._finish(deadline, cut_short)

    async def save(self, error: BaseException) -> RunResult | None:
        """Keep what there is of a run that something breaks off; None where there is no answer yet."""
        await self._rounds.stop()
        reason = _reason(error)
        if reason == "interrupted":
            self._session.event("coordination_interrupted")
        if not self._table.board.answers:
            return None
        winner = self._decide().winner.agent_id
        answer = self._table.board.latest(winner).text
        self._session.final_answer(winner, answer)
        return self._result(answer, reason, str(error) or None)

    async def _finish(self, deadline: float, cut_short: CutShort | None) -> RunResult:
        decision = self._decide()
        seat = self._seats[decision.winner.agent_id]
        answer = self._table.board.latest(seat.id)
        presentation = Presentation(seat, self._table, answer, self._rounds.iteration + 1)
        reason: FinishReason = "timeout" if cut_short is not None and cut_short.timed_out else "completed"
        details = None if cut_short is None else cut_short.message
        if cut_short is None and all(other.error is not None for other in self._seats.values()):
            reason, details = "error", _ALL_FAILED
        self._tell(Progress("phase", "", "presentation"))
        if details is None:
            until = min(deadline, time.monotonic() + seat.timeout)
            if not await self._present(presentation, seat, until, with_model=True):
                reason, details = "timeout", _TOO_LONG
            elif presentation.failure is not None:
                details = presentation.failure
        else:
            await self._present(presentation, seat, time.monotonic() + STOP_TIMEOUT, with_model=False)
        self._tell(Progress("final", seat.id, presentation.text))
        return self._result(presentation.text, reason, details)

    def _result(self, answer: str, reason: FinishReason, details: str | None) -> RunResult:
        decision = self._decide()
        return RunResult(
            winner=decision.winner.agent_id,
            label=decision.winner.label,
            answer=answer,
            reason=decision.reason,
            votes=decision.votes,
            ballots={voter: vote.agent_id for voter, vote in sorted(self._table.board.votes.items())},
            finish_reason=reason,
            finish_details=details,
            failures={agent_id: str(seat.error) for agent_id, seat in self._seats.items() if seat.error is not None},
        )

    def _decide(self) -> _Decision:
        """Choose the winner, once."""
        if self._decision is None:
            candidates = self._table.board.candidates(lambda agent_id: self._seats[agent_id].spent.cost)
            choice = choose_winner(candidates)
            winner = choice.winner
            self._decision = _Decision(winner, choice.reason, {candidate.label: candidate.votes for candidate in candidates})
            self._session.event("winner_selected")
            self._session.winner(winner.agent_id, winner.label, votes=self._decision.votes, reason=choice.reason)
            self._tell(Progress("winner", winner.agent_id, f"{winner.label}: {choice.reason}"))
        return self._decision

    async def _present(self, presentation: Presentation, seat: Seat, until: float, *, with_model: bool) -> bool:
        """Drive the presentation like any stream; False if its time was up before it was complete."""
        stream = bind_stream(presentation.steps(with_model=with_model))
        step: asyncio.Task[str | None] | None = None
        try:
            while True:
                step = asyncio.create_task(next_step(stream))
                await asyncio.wait({step}, timeout=max(0.0, until - time.monotonic()))
                if not step.done():
                    presentation.give_up(_TOO_LONG)
                    self._tell(Progress("timeout", seat.id, _TOO_LONG))
                    return False
                if (text := step.result()) is None:
                    return True
                self._tell(Progress("text", seat.id, text))
        finally:
            if step is not None and not step.done():
                step.cancel()
                await asyncio.wait({step}, timeout=STOP_TIMEOUT)
            if step is None or step.done():
                await stream.aclose()

    def _no_answer(self, cut_short: CutShort | None) -> RunError:
        if cut_short is not None and cut_short.event == "coordination_timeout":
            return _no_time(self._table.limits.overall_timeout)
        if cut_short is not None:
            kind: type[RunError] = RunTimeout if cut_short.timed_out else RunError
            return kind(f"No answer: {cut_short.message}", hint="Raise that limit")
        errors = [seat.error for seat in self._seats.values() if seat.error is not None]
        kinds = {type(error) for error in errors}
        kind = kinds.pop() if len(kinds) == 1 else RunError
        if kind is EndpointError and len(errors) == 1:
            return errors[0]
        return kind("Every agent failed. " + " ".join(str(error) for error in errors))


def _no_time(seconds: float) -> RunTimeout:
    return RunTimeout(f"No answer within {seconds:g} s", hint="Raise the time with --timeout")


def _reason(error: BaseException) -> FinishReason:
    """How a run ended that *error* broke off."""
    if isinstance(error, asyncio.CancelledError | KeyboardInterrupt):
        return "interrupted"
    return "timeout" if isinstance(error, RunTimeout) else "error"


def _remote(trace_id: str, span_id: str) -> SpanContext:
    """A span of another run, for a link."""
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))

"""One run from the question to the final answer: the front of this room.

Finalisation always runs: when all have voted, when time is up, when agents fail, and on Ctrl-C.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Final

from massgen_tracing.errors import ConfigError, EndpointError, RunError, RunTimeout
from massgen_tracing.layout import RunDirectory
from massgen_tracing.trace.borders import bind_stream
from massgen_tracing.trace.session import Session
from massgen_tracing.trace.tracer import Tracer

from . import model_openai, tools
from .board import Board
from .config import RunConfig
from .finish import Presentation, RunFiles
from .rounds import STOP_TIMEOUT, OnProgress, Progress, Rounds, next_step
from .seat import Seat, Table, open_seats
from .voting import Candidate, choose_winner

_TOO_LONG: Final = "the presentation took too long; the answer stands as it was"


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended.

    Attributes:
        winner, label: the agent that won, and its answer's label.
        answer: the final answer.
        reason: why it won.
        votes: votes by answer label.
        timed_out: the run's time was up before its end.
        failures: why agents dropped out, by id.
    """

    winner: str
    label: str
    answer: str
    reason: str
    votes: dict[str, int]
    timed_out: bool
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
        on_progress: told of everything worth showing.

    Attributes:
        trace_id: 32 hex digits; empty before the start, and where nothing is traced.
        directory: the run's directory; None before the start, or where nothing is recorded.

    Raises:
        ConfigError: for an empty question.
    """

    def __init__(
        self, config: RunConfig, question: str, *, tracer: Tracer, run: RunDirectory | None = None, on_progress: OnProgress = _ignore
    ) -> None:
        if not question.strip():
            raise ConfigError("The question is empty", expected="a question", hint="Give it as the last argument")
        self.trace_id = ""
        self.directory = run
        self._config = config
        self._question = question
        self._tracer = tracer
        self._progress = on_progress

    async def run(self) -> RunResult:
        """Carry the run to its end.

        Raises:
            ToolServerError: if an MCP server does not start; no model was asked.
            EndpointError: if no agent could reach its endpoint.
            RunTimeout: if time was up before there was any answer.
            RunError: if every agent failed before there was any answer.
            asyncio.CancelledError: if it was cancelled; what there is by then has been kept.
        """
        # Loading packages is no part of the run; where tool servers start, the model's client loads while they do.
        if any(agent.tool_servers for agent in self._config.agents):
            tools.load()
        else:
            model_openai.load()
        deadline = time.monotonic() + self._config.limits.overall_timeout
        with self._tracer.session(self._question, agents=[agent.id for agent in self._config.agents], run=self.directory) as session:
            self.trace_id = session.trace_id if self._tracer.enabled else ""
            self.directory = session.run or self.directory
            self._progress(Progress("started", "", session.trace_id))
            async with open_seats(self._config, self.directory) as seats:
                board = Board(list(seats), self._config.limits)
                table = Table(session, board, self._question, self._config.limits)
                return await _Ending(table, seats, RunFiles(self.directory), self._progress).reach(deadline)


class _Ending:
    """Carries a run whose agents are ready to one of its ends."""

    def __init__(self, table: Table, seats: dict[str, Seat], files: RunFiles, on_progress: OnProgress) -> None:
        self._table = table
        self._session: Session = table.session
        self._seats = seats
        self._files = files
        self._progress = on_progress
        self._rounds = Rounds(table, seats, files, on_progress)
        self._decision: _Decision | None = None

    async def reach(self, deadline: float) -> RunResult:
        """Drive the rounds, choose, present; *deadline* in monotonic seconds."""
        self._session.event("coordination_started")
        try:
            in_time = await self._rounds.drive(deadline)
            if not in_time:
                self._session.event("coordination_timeout")
            if not self._table.board.answers:
                raise self._no_answer(in_time=in_time)
            return await self._finish(deadline, in_time=in_time)
        except asyncio.CancelledError:
            await self._rounds.stop()
            self._session.event("coordination_interrupted")
            if self._table.board.answers:
                winner = self._decide().winner.agent_id
                self._files.final(winner, self._table.board.latest(winner).text)
            raise

    async def _finish(self, deadline: float, *, in_time: bool) -> RunResult:
        decision = self._decide()
        seat = self._seats[decision.winner.agent_id]
        answer = self._table.board.latest(seat.id)
        presentation = Presentation(seat, self._table, answer, self._rounds.iteration + 1)
        if in_time:
            until = min(deadline, time.monotonic() + self._table.limits.agent_timeout)
            in_time = await self._present(presentation, seat, until, with_model=True)
        else:
            await self._present(presentation, seat, time.monotonic() + STOP_TIMEOUT, with_model=False)
        self._files.final(seat.id, presentation.text)
        self._progress(Progress("final", seat.id, presentation.text))
        return RunResult(
            winner=seat.id,
            label=answer.label,
            answer=presentation.text,
            reason=decision.reason,
            votes=decision.votes,
            timed_out=not in_time,
            failures={agent_id: str(other.error) for agent_id, other in self._seats.items() if other.error is not None},
        )

    def _decide(self) -> _Decision:
        """Choose the winner, once."""
        if self._decision is None:
            candidates = self._table.board.candidates(lambda agent_id: self._seats[agent_id].cost)
            choice = choose_winner(candidates)
            winner = choice.winner
            self._decision = _Decision(winner, choice.reason, {candidate.label: candidate.votes for candidate in candidates})
            self._session.event("winner_selected")
            self._session.winner(winner.agent_id, winner.label, votes=self._decision.votes, reason=choice.reason)
            self._progress(Progress("winner", winner.agent_id, f"{winner.label}: {choice.reason}"))
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
                    self._progress(Progress("timeout", seat.id, _TOO_LONG))
                    return False
                if (text := step.result()) is None:
                    return True
                self._progress(Progress("text", seat.id, text))
        finally:
            if step is not None and not step.done():
                step.cancel()
                await asyncio.wait({step}, timeout=STOP_TIMEOUT)
            if step is None or step.done():
                await stream.aclose()

    def _no_answer(self, *, in_time: bool) -> RunError:
        if not in_time:
            return RunTimeout(f"No answer within {self._table.limits.overall_timeout:g} s", hint="Raise the time with --timeout")
        errors = [seat.error for seat in self._seats.values() if seat.error is not None]
        kinds = {type(error) for error in errors}
        kind: type[RunError] = kinds.pop() if len(kinds) == 1 else RunError
        if kind is EndpointError and len(errors) == 1:
            return errors[0]
        return kind("Every agent failed. " + " ".join(str(error) for error in errors))

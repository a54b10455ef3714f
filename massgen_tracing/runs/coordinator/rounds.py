"""Drives the agents' streams: all in parallel, and a new answer restarts the others.

Each next step of every active stream is made in a fresh task, and whichever is first is taken first. Every wait is bounded: by the
agent's time, by the run's time, by how long nothing at all may happen, and where something is stopped by `STOP_TIMEOUT`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from massgen_tracing.errors import RunError, RunTimeout
from massgen_tracing.trace.borders import bind_stream

from .agent import AgentRound, Answered, Failed, Outdated, Retried, Said, Step, Voted
from .progress import Progress, ProgressKind
from .seat import Seat, Table

STOP_TIMEOUT: Final = 5.0
"""Seconds that a stream has to end once it was told to."""


@dataclass(frozen=True, slots=True)
class CutShort:
    """Why the rounds were stopped before every agent had voted.

    Attributes:
        event: the type of the coordination event that tells of it.
        message: the same in words.
    """

    event: str
    message: str

    @property
    def timed_out(self) -> bool:
        """Whether it was for want of time."""
        return self.event != BUDGET


TIMEOUT: Final = "coordination_timeout"
WATCHDOG: Final = "watchdog"
BUDGET: Final = "budget_reached"


@dataclass(slots=True)
class _Active:
    """A stream that is being driven: its next step's task, and when the agent's time is up (monotonic seconds)."""

    round: AgentRound
    stream: AsyncGenerator[Step, None]
    task: asyncio.Task[Step | None]
    deadline: float


class Rounds:
    """All rounds of a run, until every agent that is left has a vote that counts.

    Args:
        table: the run.
        seats: the agents by id.

    Attributes:
        iteration: how often agents were started, from 0; all that start at once share one.
    """

    def __init__(self, table: Table, seats: Mapping[str, Seat]) -> None:
        self.iteration = -1
        self._table = table
        self._board = table.board
        self._seats = seats
        self._tell = table.tell
        self._active: dict[str, _Active] = {}
        self._has_votes = False

    async def drive(self, deadline: float) -> CutShort | None:
        """Drive the streams to the last vote.

        Args:
            deadline: when the run's time is up, in monotonic seconds.

        Returns:
            None if all have voted that are left, and what the run may use is not used up.
        """
        while True:
            self._start_idle()
            if not self._active:
                return self._used_up()
            now, idle_until = time.monotonic(), self._tell.last + self._table.limits.idle_timeout
            if (cut_short := self._enough(now, deadline, idle_until)) is not None:
                await self.stop(cut_short.message if cut_short.timed_out else None)
                return cut_short
            until = min(deadline, idle_until, *(active.deadline for active in self._active.values()))
            tasks = {active.task for active in self._active.values()}
            await asyncio.wait(tasks, timeout=until - now, return_when=asyncio.FIRST_COMPLETED)
            # In the order of ids, so that events of the same moment do not hang on the order of a set.
            for agent_id in sorted(self._active):
                active = self._active.get(agent_id)
                if active is not None and active.task.done():
                    await self._advance(active)
                elif active is not None and time.monotonic() >= active.deadline:
                    await self._time_out(active)

    def _enough(self, now: float, deadline: float, idle_until: float) -> CutShort | None:
        """Why the rounds have to stop; None while they may go on."""
        limits = self._table.limits
        if now >= deadline:
            return CutShort(TIMEOUT, f"the run has reached its time limit of {limits.overall_timeout:g} s")
        if now >= idle_until:
            return CutShort(WATCHDOG, f"no agent gave a sign of life for {limits.idle_timeout:g} s")
        return self._used_up()

    def _used_up(self) -> CutShort | None:
        """What the run has used, where that is all that it may use; None where there is more."""
        spent = self._table.spent.reached(self._table.limits)
        return None if spent is None else CutShort(BUDGET, spent)

    async def stop(self, timeout_message: str | None = None) -> None:
        """Stop everything: as timed out with that message, without one as cancelled."""
        for active in list(self._active.values()):
            if timeout_message is not None and active.round.outcome is None and active.round.handle is not None:
                active.round.handle.timeout(timeout_message)
            await self._stop(active)

    def _start_idle(self) -> None:
        """A new round for every agent that takes part, is not at work, and has no vote that counts."""
        voted = self._board.votes
        idle = [seat for seat in self._seats.values() if seat.error is None and seat.id not in self._active and seat.id not in voted]
        if idle:
            self.iteration += 1
        for seat in idle:
            agent_round = AgentRound(seat, self._table, self.iteration)
            stream = bind_stream(agent_round.steps())
            task = asyncio.create_task(next_step(stream))
            self._active[seat.id] = _Active(agent_round, stream, task, time.monotonic() + seat.timeout)

    async def _advance(self, active: _Active) -> None:
        """Take the step that a stream has made, and ask for its next one."""
        seat = active.round.seat
        error = active.task.exception()
        if error is not None:
            # The stream broke in a way that it does not know; its span says how. The others go on.
            del self._active[seat.id]
            while isinstance(error, ExceptionGroup):
                error = error.exceptions[0]
            self._drop(seat, "failed", RunError(f"{seat.id} failed: {type(error).__name__}: {error}"))
            return
        step = active.task.result()
        if step is None:
            del self._active[seat.id]
            return
        active.task = asyncio.create_task(next_step(active.stream))
        if active.round.outcome is not None:
            # Its span has to end before anything follows from it.
            await self._let_end(active)
        await self._take(seat, step)

    async def _take(self, seat: Seat, step: Step) -> None:
        match step:
            case Answered(answer):
                self._tell(Progress("answer", seat.id, answer.label))
                await self._restart_others(seat.id)
            case Voted(vote):
                if not self._has_votes:
                    self._has_votes = True
                    self._tell(Progress("phase", "", "enforcement"))
                self._tell(Progress("vote", seat.id, f"{vote.label}: {vote.reason}"))
            case Outdated():
                self._tell(Progress("restart", seat.id, self._board.answers[-1].label))
            case Failed(error):
                self._drop(seat, "failed", error)
            case Retried(reason):
                self._tell(Progress("retry", seat.id, reason))
            case Said(text):
                self._tell(Progress("text", seat.id, text))

    def _drop(self, seat: Seat, kind: ProgressKind, error: RunError) -> None:
        seat.error = error
        self._tell(Progress(kind, seat.id, str(error)))

    async def _restart_others(self, author: str) -> None:
        """A new answer: every other agent at work starts again with it, unless it has ended its round or has no restarts left."""
        label = self._board.answers[-1].label
        for agent_id in sorted(self._active):
            active = self._active.get(agent_id)
            if active is None or active.round.outcome is not None or not active.round.seat.may_restart:
                continue
            if not self._board.is_old(active.round.view):
                continue
            if active.round.handle is not None:
                active.round.seat.restarts += 1
                active.round.handle.restarted(by=author)
            self._tell(Progress("restart", agent_id, label))
            await self._stop(active)

    async def _time_out(self, active: _Active) -> None:
        if active.round.outcome is not None:
            return  # it made it; the step that says so is on its way
        seat = active.round.seat
        message = f"no answer and no vote within {seat.timeout:g} s"
        if active.round.handle is not None:
            active.round.handle.timeout(message)
        await self._stop(active)
        self._drop(seat, "timeout", RunTimeout(f"{seat.id}: {message}", hint="Raise timeout_settings.agent_timeout_seconds"))

    async def _let_end(self, active: _Active) -> None:
        """Let a stream that has told its outcome run out."""
        await asyncio.wait({active.task}, timeout=STOP_TIMEOUT)
        if not active.task.done() or active.task.exception() is None:
            self._active.pop(active.round.seat.id, None)

    async def _stop(self, active: _Active) -> None:
        """Cancel the step in flight and close the stream."""
        active.task.cancel()
        await asyncio.wait({active.task}, timeout=STOP_TIMEOUT)
        # A step that swallows its cancellation is left alone: a running generator cannot be closed.
        if active.task.done():
            if not active.task.cancelled():
                active.task.exception()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_TIMEOUT):
                    await active.stream.aclose()
        # Only now: where a cancellation of the run comes in between, everything that is still open is stopped once more.
        self._active.pop(active.round.seat.id, None)


async def next_step(stream: AsyncGenerator[Any, None]) -> Any:
    """The stream's next step; None at its end."""
    return await anext(stream, None)

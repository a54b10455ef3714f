"""One round of one agent, as a stream: it asks its model, uses its tools, and ends with an answer or a vote.

The stream is an async generator that a coordinator drives a step at a time, each step from another task. Its spans stay open across
the steps, so it must be wrapped in `bind_stream`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from massgen_tracing import semconv
from massgen_tracing.errors import EndpointError, RunError
from massgen_tracing.semconv import EnforcementReason, RoundType
from massgen_tracing.trace.round import Round

from .attempts import CUT, Attempts
from .board import Answer, Refusal, View, Vote
from .model_openai import ModelFailure
from .progress import Progress
from .protocol import (
    WORKFLOW_TOOLS,
    GiveAnswer,
    Message,
    Move,
    Reply,
    ToolCall,
    opening,
    read_arguments,
    read_move,
    said,
    tool_result,
    workflow_tools,
)
from .seat import Seat, Table, ask
from .tools import ToolServerGone

MAX_CALLS: Final = 128
"""Tool calls of one reply that are made; the others are refused."""

CALLS_AT_ONCE: Final = 16
"""Tool calls of one agent that are made beside each other."""


@dataclass(frozen=True, slots=True)
class Said:
    """A piece of text of the model; often empty, when the chunk held something else."""

    text: str


@dataclass(frozen=True, slots=True)
class Retried:
    """The agent is asked again."""

    reason: EnforcementReason


@dataclass(frozen=True, slots=True)
class Answered:
    """The round ended with an answer."""

    answer: Answer


@dataclass(frozen=True, slots=True)
class Voted:
    """The round ended with a vote."""

    vote: Vote


@dataclass(frozen=True, slots=True)
class Outdated:
    """The round ended with a vote on answers that were no longer the latest, which is void."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The round ended, and with it the agent's part in the run."""

    error: RunError


Outcome = Answered | Voted | Outdated | Failed
Step = Said | Retried | Outcome


class AgentRound:
    """One execution of an agent.

    Args:
        seat: the agent.
        table: the run.
        iteration: iteration of the coordination loop.

    Attributes:
        view: the answers that the agent sees.
        handle: the round's span; None before the first step.
        outcome: how the round ended; None while it goes on. Set before the step that tells of it, so that whoever stops the stream
            knows that there is nothing left to stop.
    """

    def __init__(self, seat: Seat, table: Table, iteration: int) -> None:
        self.seat = seat
        self.view: View = table.board.view(seat.id)
        self.handle: Round | None = None
        self.outcome: Outcome | None = None
        self._table = table
        self._board = table.board
        self._limits = table.limits
        self._iteration = iteration
        self._type: RoundType = "voting" if self.view.answers else "initial_answer"
        self._model = seat.config.model_for(self._type)
        self._gate = asyncio.Semaphore(CALLS_AT_ONCE)

    async def steps(self) -> AsyncGenerator[Step, None]:
        """The round; the last step is its `Outcome`."""
        config = self.seat.config
        number, self.seat.rounds = self.seat.rounds, self.seat.rounds + 1
        self._table.tell(Progress("round", config.id, self._type))
        with self._table.session.agent_round(
            config.id,
            number=number,
            round_type=self._type,
            iteration=self._iteration,
            backend=config.provider,
            context_labels=self.view.labels,
            model=self._model,
        ) as self.handle:
            async with aclosing(self._work(self.handle)) as work:
                async for step in work:
                    yield step

    async def _work(self, rnd: Round) -> AsyncGenerator[Step, None]:
        messages = opening(self._table.question, self.seat.config.system_message, self.view, self._board, self._table.history)
        tools = [*self.seat.toolbox.functions(), *workflow_tools(self.view, self._board)]
        attempts = Attempts(self._limits)
        for _ in range(self._limits.max_steps):
            wait = 0.0
            verdict: Move | Refusal | None
            failure: ModelFailure | None = None
            try:
                reply = None
                async with aclosing(ask(self._table, rnd, self.seat, self._model, messages, tools)) as pieces:
                    async for piece in pieces:
                        if isinstance(piece, Reply):
                            reply = piece
                        else:
                            attempts.hear(piece)
                            yield Said(piece)
            except self.seat.model.errors as error:
                failure = self.seat.model.explain(error)
                if not failure.retryable:
                    yield self._fail(rnd, failure)
                    return
                verdict = Refusal("api_error", failure.message)
                wait = attempts.wait(failure)
            else:
                assert reply is not None  # the stream's last piece
                verdict = await self._judge(rnd, reply, messages, attempts)
            if isinstance(verdict, Refusal):
                if not attempts.refuse(rnd, verdict):
                    yield self._fail(rnd, failure or ModelFailure(verdict.message, retryable=False))
                    return
                yield Retried(verdict.reason)
                await asyncio.sleep(wait)
            elif verdict is not None:
                yield self._settle(rnd, verdict)
                return
        yield self._fail(rnd, ModelFailure(f"no answer and no vote within {self._limits.max_steps} model calls", retryable=False))

    # --- what a reply means ------------------------------------------------------------------------------------------------------

    async def _judge(self, rnd: Round, reply: Reply, messages: list[Message], attempts: Attempts) -> Move | Refusal | None:
        """Do what the reply asks for, and extend the conversation; None means that the model goes on with its tools' results."""
        if reply.finish_reason is None:
            # What arrived is kept as the beginning; half a tool call is not worth keeping.
            messages.append({"role": "assistant", "content": reply.text or "(nothing yet)"})
            messages.append({"role": "user", "content": CUT.message})
            return CUT
        messages.append(said(reply))
        attempts.tools += [call.name for call in reply.tool_calls]
        moves = [call for call in reply.tool_calls if call.name in WORKFLOW_TOOLS]
        work = [call for call in reply.tool_calls if call.name not in WORKFLOW_TOOLS]
        gone = await self._use_tools(rnd, work, messages)
        if moves:
            verdict = read_move(moves, self.seat.id, self.view, self._board)
            text = f"Error: {verdict.message}" if isinstance(verdict, Refusal) else "Taken."
            messages.extend(tool_result(call, text) for call in moves)
            return verdict
        if gone is not None:
            return Refusal("mcp_disconnected", gone)
        if any(self.seat.toolbox.find(call.name) for call in work):
            return None
        refusal = Refusal(
            "no_workflow_tool" if attempts.tools else "no_tool_calls",
            "You have to end your turn with a tool call: " + " or ".join(self._ways()) + ".",
        )
        messages.append({"role": "user", "content": refusal.message})
        return refusal

    def _ways(self) -> list[str]:
        return [tool["function"]["name"] for tool in workflow_tools(self.view, self._board)]

    async def _use_tools(self, rnd: Round, calls: Sequence[ToolCall], messages: list[Message]) -> str | None:
        """Make the calls at once and put their results into the conversation; returns what to say if a server has died."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._use_tool(rnd, call, made=made < MAX_CALLS)) for made, call in enumerate(calls)]
        gone = None
        for call, task in zip(calls, tasks, strict=True):
            text, died = task.result()
            messages.append(tool_result(call, text))
            gone = text if died else gone
        return gone

    async def _use_tool(self, rnd: Round, call: ToolCall, *, made: bool) -> tuple[str, bool]:
        """One call's result for the model, and whether its server has died; not *made*, it is one too many."""
        found = self.seat.toolbox.find(call.name)
        arguments = read_arguments(call)
        if not made or found is None or isinstance(arguments, str):
            text = f"Error: there is no tool {call.name}." if made else f"Error: not made; a reply may call {MAX_CALLS} tools at most."
            text = arguments if isinstance(arguments, str) else text
            with rnd.tool_call(call.name, arguments=call.arguments, call_id=call.id) as wrapper:
                wrapper.record_result(text, is_error=True)
            return text, False
        server, tool = found
        try:
            async with self._gate:
                self._table.tell(Progress("tool", self.seat.id, call.name))
                with (
                    rnd.tool_call(call.name, call_id=call.id) as wrapper,
                    wrapper.mcp_call(server.name, tool, arguments=arguments, call_id=call.id, transport="pipe") as span,
                ):
                    result = await server.call(tool, arguments, span.meta())
                    span.record_result(result.text, is_error=result.is_error)
                    wrapper.record_result(result.text, is_error=result.is_error)
        except ToolServerGone as error:
            return f"Error: {error}. Go on without its tools.", True
        except TimeoutError as error:
            return f"Error: {error}", False
        return (f"Error: {result.text}" if result.is_error else result.text), False

    # --- how the round ends ------------------------------------------------------------------------------------------------------

    def _settle(self, rnd: Round, move: Move) -> Outcome:
        if isinstance(move, GiveAnswer):
            answer = self._board.add_answer(self.seat.id, move.text)
            rnd.answer(answer.label, answer.text)
            self.outcome = Answered(answer)
        elif self._board.is_old(self.view) and self.seat.may_restart:
            # An answer came while the vote was on its way; the coordinator has not come round to stopping this stream.
            self.seat.restarts += 1
            chosen = {semconv.VOTED_FOR: move.answer.agent_id, semconv.VOTED_FOR_LABEL: move.answer.label, semconv.VOTE_REASON: move.reason or None}
            rnd.event("vote_ignored", {**chosen, "voter": self.seat.id, "label": move.answer.label})
            rnd.restarted(by=self._board.answers[-1].agent_id)
            self.outcome = Outdated()
        else:
            vote = self._board.add_vote(self.seat.id, move.answer, move.reason)
            rnd.vote(vote.agent_id, vote.label, vote.reason)
            self.outcome = Voted(vote)
        return self.outcome

    def _fail(self, rnd: Round, failure: ModelFailure) -> Failed:
        rnd.error(failure.message)
        variable = self.seat.config.api_key_env
        kind = EndpointError if failure.unreachable else RunError
        hint = None
        if failure.unreachable:
            hint = "Start it, or correct backend.base_url" + (f"; its key is read from {variable}" if variable else "")
        self.outcome = Failed(kind(f"{self.seat.id}: {failure.message}", hint=hint))
        return self.outcome

"""The agents at the table: what each works with, from the start of its tool servers to their end, and how it asks its model."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from massgen_tracing.errors import RunError
from massgen_tracing.layout import ROOT_VARIABLE, WORKSPACES_DIR, RunDirectory
from massgen_tracing.trace.round import Round
from massgen_tracing.trace.session import Session

from .board import Board
from .config import AgentConfig, Limits, RunConfig
from .model_openai import ChatModel, load
from .progress import Progress, Pulse
from .protocol import Exchange, Message, Reply, genai_messages, said
from .spending import Spending, priced
from .tools import Toolbox


@dataclass(frozen=True, slots=True)
class Table:
    """What all agents of a run share.

    Attributes:
        history: what was asked and answered before, in earlier turns.
        tell: told of everything worth showing.
        spent: what all of them have used.
    """

    session: Session
    board: Board
    question: str
    limits: Limits
    history: tuple[Exchange, ...]
    tell: Pulse
    spent: Spending = field(default_factory=Spending)


@dataclass(slots=True)
class Seat:
    """One agent at the table: what it works with, and how it has fared.

    Attributes:
        timeout: seconds that one of its rounds may take.
        max_restarts: how often new answers of others may interrupt it.
        rounds: rounds so far, which is the next one's number.
        restarts: how often a new answer of another agent has interrupted it.
        spent: what it has used so far.
        error: why it dropped out; None while it takes part.
    """

    config: AgentConfig
    model: ChatModel
    toolbox: Toolbox
    timeout: float
    max_restarts: int
    rounds: int = 0
    restarts: int = 0
    spent: Spending = field(default_factory=Spending)
    error: RunError | None = None

    @property
    def id(self) -> str:
        """The agent's id."""
        return self.config.id

    @property
    def may_restart(self) -> bool:
        """Whether a new answer may still interrupt it."""
        return self.restarts < self.max_restarts


async def ask(
    table: Table, rnd: Round, seat: Seat, model_name: str, messages: Sequence[Message], tools: Sequence[dict[str, Any]]
) -> AsyncGenerator[str | Reply, None]:
    """One model call with its span: each chunk's text, then the whole reply.

    Raises:
        Exception: one of the model's `errors`.
    """
    model = seat.model
    config = seat.config
    async with aclosing(model.stream(model_name, messages, tools)) as pieces:
        with rnd.llm_call(config.provider, model=model_name, operation="stream", server_address=model.host, server_port=model.port) as call:
            async for piece in pieces:
                if isinstance(piece, str):
                    call.first_chunk()
                else:
                    reasons = [piece.finish_reason] if piece.finish_reason else None
                    # Without the system message, which is the same in every call and would fill the preview.
                    call.record_content(input=genai_messages(messages[1:]), output=genai_messages([said(piece)], piece.finish_reason))
                    call.record_response(model=piece.model, id=piece.id, finish_reasons=reasons)
                    if piece.usage is not None:
                        usage = piece.usage
                        call.record_usage(
                            input=usage.input,
                            output=usage.output,
                            reasoning=usage.reasoning,
                            cached_input=usage.cached_input,
                            cost=usage.cost,
                            raw=usage.raw,
                        )
                        cost = priced(config.provider, model_name, usage)
                        for account in (seat.spent, table.spent):
                            account.add(usage, cost)
                        table.tell(Progress("spent", seat.id, "", seat.spent.tokens, seat.spent.cost))
                yield piece


@contextlib.asynccontextmanager
async def open_seats(config: RunConfig, run: RunDirectory | None) -> AsyncIterator[dict[str, Seat]]:
    """All agents by id, with their models and their tool servers running; everything is ended afterwards.

    Args:
        config: the run's configuration.
        run: the run's directory, where workspaces are made; None makes temporary ones.

    Raises:
        ToolServerError: if an MCP server does not start.
    """
    async with contextlib.AsyncExitStack() as stack:
        root = stack.enter_context(_workspaces(run))
        agents = sorted(config.agents, key=lambda agent: agent.id)
        # What runs a tool of theirs starts is recorded beside this one.
        env = {} if run is None else {ROOT_VARIABLE: str(run.root)}
        toolboxes = {agent.id: _toolbox(agent, root / agent.id, env) for agent in agents}
        # Before the start, so that a server is ended also if another one fails to start; all of them at once.
        stack.push_async_callback(_stop_all, list(toolboxes.values()))
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.to_thread(load))
            starts = [group.create_task(_start(toolbox)) for toolbox in toolboxes.values()]
        for start in starts:
            if (error := start.result()) is not None:
                raise error
        seats = {}
        for agent in agents:
            timeout = config.limits.agent_timeout if agent.timeout is None else agent.timeout
            max_restarts = config.limits.max_restarts if agent.max_restarts is None else agent.max_restarts
            model = ChatModel(agent, timeout=timeout)
            stack.push_async_callback(model.aclose)
            seats[agent.id] = Seat(agent, model, toolboxes[agent.id], timeout, max_restarts)
        yield seats


def _toolbox(agent: AgentConfig, workspace: Path, env: Mapping[str, str]) -> Toolbox:
    workspace.mkdir(parents=True, exist_ok=True)
    return Toolbox(agent.tool_servers, workspace, env)


async def _start(toolbox: Toolbox) -> Exception | None:
    """Start a toolbox; its error is returned, so that all have finished starting before the first error is raised."""
    try:
        await toolbox.start()
    except RunError as error:
        return error
    return None


async def _stop_all(toolboxes: list[Toolbox]) -> None:
    await asyncio.gather(*(toolbox.stop() for toolbox in toolboxes))


@contextlib.contextmanager
def _workspaces(run: RunDirectory | None) -> Iterator[Path]:
    """The directory of the agents' workspaces: in the run's, else a temporary one."""
    if run is not None:
        root = run.attempt_dir / WORKSPACES_DIR
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError:
            pass  # said once already, by whoever could not write the recording there
        else:
            yield root
            return
    with tempfile.TemporaryDirectory(prefix="massgen-workspaces-", ignore_cleanup_errors=True) as directory:
        yield Path(directory)

"""How a run ends: the winner's presentation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from massgen_tracing.semconv import EVENT_DETAILS
from massgen_tracing.trace.round import Presentation as Handle

from .attempts import CUT, Attempts
from .board import Answer, Refusal
from .protocol import Reply, presenting
from .seat import Seat, Table, ask


class Presentation:
    """The winner's presentation.

    Attributes:
        text: the final answer; the answer that won until the presentation is complete, and for good if it fails.
        failure: why it failed; None while it has not.
    """

    def __init__(self, seat: Seat, table: Table, answer: Answer, iteration: int) -> None:
        self.text = answer.text
        self.failure: str | None = None
        self._answer = answer
        self._seat = seat
        self._table = table
        self._iteration = iteration
        self._handle: Handle | None = None

    def give_up(self, message: str) -> None:
        """Say on the span why it is about to be cancelled."""
        if self._handle is not None:
            self._handle.timeout(message)

    async def steps(self, *, with_model: bool) -> AsyncGenerator[str, None]:
        """Yield the text as it comes; like a round, to be wrapped in `bind_stream`.

        Args:
            with_model: False presents the answer as it stands, when there is no time left to ask.
        """
        seat, table = self._seat, self._table
        model = seat.config.model_for("presentation") if with_model else None
        with table.session.presentation(seat.id, backend=seat.config.provider, number=seat.rounds, iteration=self._iteration, model=model) as handle:
            self._handle = handle
            if model is not None:
                async with aclosing(self._ask(handle, model)) as pieces:
                    async for piece in pieces:
                        yield piece
            handle.final_answer(self.text)

    async def _ask(self, handle: Handle, model: str) -> AsyncGenerator[str, None]:
        """Ask for the presentation until it is whole, or the attempts are used up."""
        seat, table = self._seat, self._table
        view = table.board.view(seat.id)
        messages = presenting(table.question, seat.config.system_message, view, table.board, self._answer, table.history)
        attempts = Attempts(table.limits)
        while True:
            wait, refusal = 0.0, CUT
            try:
                async with aclosing(ask(table, handle, seat, model, messages, ())) as pieces:
                    async for piece in pieces:
                        if not isinstance(piece, Reply):
                            attempts.hear(piece)
                            yield piece
                        elif piece.finish_reason is not None:
                            self.text = piece.text.strip() or self.text
                            return
            except seat.model.errors as error:
                failure = seat.model.explain(error)
                if not failure.retryable:
                    self._fail(handle, failure.message)
                    return
                wait, refusal = attempts.wait(failure), Refusal("api_error", failure.message)
            # Asked once more from the start: two halves of two replies are not one whole.
            if not attempts.refuse(handle, refusal):
                self._fail(handle, refusal.message)
                return
            await asyncio.sleep(wait)

    def _fail(self, handle: Handle, message: str) -> None:
        self.failure = f"the presentation failed ({message}); the answer stands as it was"
        handle.event("presentation_failed", {EVENT_DETAILS: message})

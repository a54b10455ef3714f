"""Tries at a valid move within one round: each refusal is one enforcement, and after the last one allowed the round is over."""

from __future__ import annotations

from typing import Final

from massgen_tracing.trace.round import Round

from .board import Refusal
from .config import Limits
from .model_openai import ModelFailure

MAX_WAIT: Final = 8.0
"""Seconds between two tries at an endpoint, at most."""

CUT: Final = Refusal("connection_recovery", "The connection broke in the middle of your reply. Go on from there.")
"""What a stream that ended without its finish reason amounts to: never a whole reply."""

_PREVIEW: Final = 500
"""Characters of lost text that are kept to be looked at."""


class Attempts:
    """The tries of one round.

    Args:
        limits: the run's bounds.

    Attributes:
        made: refusals so far.
        tools: names of the tools called since the last refusal.
    """

    def __init__(self, limits: Limits) -> None:
        self.made = 0
        self.tools: list[str] = []
        self._most = limits.max_attempts
        self._preview = ""
        self._chars = 0

    def hear(self, text: str) -> None:
        """Text of the model, which is lost with the next refusal."""
        self._chars += len(text)
        if len(self._preview) < _PREVIEW:
            self._preview = (self._preview + text)[:_PREVIEW]

    def wait(self, failure: ModelFailure) -> float:
        """Seconds until the endpoint may be asked again: what it asks for, else twice as long each time."""
        return min(MAX_WAIT, failure.wait if failure.wait is not None else 0.25 * 2**self.made)

    def refuse(self, rnd: Round, refusal: Refusal) -> bool:
        """Note a refusal; False when it was the last one allowed."""
        self.made += 1
        rnd.enforcement(
            refusal.reason,
            attempt=self.made,
            max_attempts=self._most,
            tool_calls=self.tools,
            error_message=refusal.message,
            buffer_preview=self._preview or None,
            buffer_chars=self._chars,
        )
        self.tools, self._preview, self._chars = [], "", 0
        return self.made < self._most

"""What model calls use: tokens and cost."""

from __future__ import annotations

from typing import NamedTuple, TypeVar

_Number = TypeVar("_Number", int, float)


class Usage(NamedTuple):
    """Tokens and cost of one model call, or of several added up; None is unknown, which is not 0.

    Attributes:
        input: tokens sent, cached ones included.
        output: tokens received, reasoning included.
        reasoning: those of *output* that were reasoning.
        cached_input: those of *input* that were read from a cache.
        cost: USD.
    """

    input: int | None = None
    output: int | None = None
    reasoning: int | None = None
    cached_input: int | None = None
    cost: float | None = None

    def __add__(self, other: object) -> Usage:
        """Field by field; unknown plus known is known."""
        if not isinstance(other, Usage):
            return NotImplemented
        return Usage(
            _sum(self.input, other.input),
            _sum(self.output, other.output),
            _sum(self.reasoning, other.reasoning),
            _sum(self.cached_input, other.cached_input),
            _sum(self.cost, other.cost),
        )


def _sum(a: _Number | None, b: _Number | None) -> _Number | None:
    return b if a is None else a if b is None else a + b

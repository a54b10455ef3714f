"""What model calls use: tokens and cost."""

from __future__ import annotations

import math
from decimal import Decimal
from numbers import Number
from typing import Final, NamedTuple, TypeVar

from massgen_tracing import guard

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

    def updated(self, later: Usage) -> Usage:
        """What is known after a *later* report of the same call: providers report running totals, so a field that it gives replaces."""
        return Usage(
            self.input if later.input is None else later.input,
            self.output if later.output is None else later.output,
            self.reasoning if later.reasoning is None else later.reasoning,
            self.cached_input if later.cached_input is None else later.cached_input,
            self.cost if later.cost is None else later.cost,
        )


def _sum(a: _Number | None, b: _Number | None) -> _Number | None:
    return b if a is None else a if b is None else a + b


class Unfit(ValueError):
    """A value that stands for nothing of the kind that was asked for; the message is what was expected."""


# --- numbers as callers have them ------------------------------------------------------------------------------------------------------

_MAX_COUNT: Final = 2**63 - 1
_MAX_DIGITS: Final = 40

COUNT: Final = "a whole number, 0 or more"
AMOUNT: Final = "an amount in USD, 0 or more"


def count(value: object) -> int:
    """*value* as a count, whatever type of number, or text of one, it is.

    Raises:
        Unfit: it is none, or the meaning is not plain.
    """
    if type(value) is int and 0 <= value <= _MAX_COUNT:
        return value
    try:
        number = amount(value)
    except Unfit:
        raise Unfit(COUNT) from None
    exact = int(value) if isinstance(value, int | Decimal) else int(number)
    if exact != number or exact > _MAX_COUNT:
        raise Unfit(COUNT)
    return exact


def is_number(value: object) -> bool:
    """Whether it is a number of some type, or a text, which may be one's."""
    try:
        return isinstance(value, Number | str | bytes | bytearray)
    except Exception as error:  # noqa: BLE001 - a stranger's __class__ may raise anything
        guard.passing(error)
        return False


def amount(value: object) -> float:
    """*value* as an amount, whatever type of number, or text of one, it is.

    Raises:
        Unfit: it is none, or the meaning is not plain.
    """
    try:
        item = getattr(value, "item", None)  # numpy's scalars
        plain = item() if callable(item) else value
        is_number = isinstance(plain, Number) and not isinstance(plain, bool)
        number = float(plain) if is_number or (isinstance(plain, str) and len(plain) <= _MAX_DIGITS) else math.nan  # type: ignore[arg-type]
    except Exception as error:
        guard.passing(error)
        raise Unfit(AMOUNT) from error
    if not math.isfinite(number) or number < 0:
        raise Unfit(AMOUNT)
    return number

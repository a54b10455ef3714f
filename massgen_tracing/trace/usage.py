"""Numbers of tokens and amounts of money as callers have them."""

from __future__ import annotations

import math
from decimal import Decimal
from numbers import Number
from typing import Final

from massgen_tracing import guard
from massgen_tracing.model import Usage

__all__ = ["AMOUNT", "COUNT", "Unfit", "Usage", "amount", "count", "is_number"]


class Unfit(ValueError):
    """A value that stands for nothing of the kind that was asked for; the message is what was expected."""


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

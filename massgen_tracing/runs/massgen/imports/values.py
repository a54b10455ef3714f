"""Values of a stranger's JSON as what they should be; anything else is unknown, never an error."""

from __future__ import annotations

import math
from typing import Any, Final

_FIRST_SECOND: Final = 1_000_000_000
_LAST_SECOND: Final = 4_102_444_800
"""September 2001 and the year 2100: a time before or after them is none."""

_MAX_COUNT: Final = 10**15
"""No count of tokens, answers or rounds is that large."""


def text(value: object) -> str:
    """A text; empty for anything else."""
    return value if isinstance(value, str) else ""


def number(value: object) -> float | None:
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        made = float(value)
    except OverflowError:
        return None
    return made if math.isfinite(made) else None


def count(value: object) -> int | None:
    """A whole number from 0."""
    made = number(value)
    return int(made) if made is not None and 0 <= made < _MAX_COUNT and made == int(made) else None


def positive(value: object) -> int | None:
    """A whole number from 1: MassGen writes 0 also for what nobody reported."""
    return count(value) or None


def moment(value: object) -> int | None:
    """Seconds since 1970 as Unix nanoseconds, to the microsecond, which is what a float of seconds can hold."""
    seconds = number(value)
    return round(seconds * 1e6) * 1000 if seconds is not None and _FIRST_SECOND <= seconds < _LAST_SECOND else None


def mapping(value: object) -> dict[str, Any]:
    """An object; empty for anything else."""
    return value if isinstance(value, dict) else {}


def records(value: object) -> list[dict[str, Any]]:
    """The objects of a list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def texts(value: object) -> list[str]:
    """The texts of a list."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []

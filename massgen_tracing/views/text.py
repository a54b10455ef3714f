"""How values are written for people: durations, tokens, costs, times, and text that a terminal may be shown."""

from __future__ import annotations

import math
import re
from datetime import datetime
from typing import Final

from massgen_tracing.insight import words

_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_NAMED_CONTROLS: Final = {"\n": "↵", "\r": "", "\t": " "}


def clean(text: str) -> str:
    """Text in one line, without the control characters by which a recorded text could steer the terminal."""
    return _CONTROLS.sub(lambda match: _NAMED_CONTROLS.get(match[0], "�"), text)


def shorten(text: str, width: int) -> str:
    """At most *width* characters in one line; what is cut is marked."""
    text = clean(text)
    return text if len(text) <= width else text[: max(width - 1, 0)] + "…"


def duration(seconds: float | None) -> str:
    """A duration with about three digits; empty for an unknown one, and for what is no finite number."""
    if seconds is None or not math.isfinite(seconds):
        return ""
    if seconds < 1:
        milliseconds = seconds * 1000
        return f"{milliseconds:.1f}ms" if milliseconds < 10 else f"{milliseconds:.0f}ms"
    if seconds < 59.995:
        return f"{seconds:.2f}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{rest:02d}s"


def tokens(sent: int | None, received: int | None) -> str:
    """Tokens in and out; `?` for a side that nobody reported, empty for two of them."""
    if sent is None and received is None:
        return ""
    return f"{number(sent)}→{number(received)} tok"


def number(count: int | None) -> str:
    """A number in at most seven characters or so; `?` for an unknown one."""
    if count is None:
        return "?"
    return f"{count:,}" if count < 10_000 else f"{count / 1000:,.1f}k" if count < 1_000_000 else f"{count / 1e6:,.2f}M"


def cost(usd: float | None, *, at_least: bool = False) -> str:
    """A cost with at least four decimals, more where it is tiny; empty for an unknown one, and for what is no finite number.

    Args:
        usd: the cost.
        at_least: whether there are calls that are not in it, for nobody knows what they cost.
    """
    if usd is None or not math.isfinite(usd):
        return ""
    sign = "≥" if at_least else ""
    if usd <= 0:
        return f"{sign}$0"
    return f"{sign}${usd:,.{max(4, 1 - math.floor(math.log10(usd)))}f}"


count: Final = words.counted
"""A number and its noun, as findings have them."""


def clause(many: int, noun: str, one: str, several: str) -> str:
    """A number, its noun and its verb: `1 row was`, `2 rows were`."""
    return f"{count(many, noun)} {one if many == 1 else several}"


def moment(when: datetime | None) -> str:
    """A time to the minute; empty for an unknown one."""
    return "" if when is None else when.strftime("%Y-%m-%d %H:%M")

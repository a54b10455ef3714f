"""What a model's tokens cost: the rates that are in force, and the sum. Exact, whatever decimal context the program has set for itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from decimal import Context, Decimal
from typing import Any, Final

_KINDS: Final[Mapping[str, frozenset[str]]] = {
    kind: frozenset(traits.split())
    for kind, traits in {
        "input": "input",
        "input_text": "input text",
        "input_audio": "input audio",
        "input_image": "input image",
        "input_video": "input video",
        "cache_read": "input read",
        "cache_text_read": "input read text",
        "cache_audio_read": "input read audio",
        "cache_image_read": "input read image",
        "cache_video_read": "input read video",
        "cache_write": "input write",
        "cache_write_5m": "input write 5m",
        "cache_write_1h": "input write 1h",
        "output": "output",
        "output_text": "output text",
        "output_audio": "output audio",
        "output_image": "output image",
        "output_video": "output video",
        "output_reasoning": "output reasoning",
        "output_citation": "output citation",
    }.items()
}
"""Kinds of tokens, by the traits that they have; one with more traits is a part of those with fewer. A rate is named after its kind, with `_mtok`."""

_EXACT: Final = Context(prec=60)


def in_force(prices: Mapping[str, Any] | Sequence[Mapping[str, Any]], at: datetime) -> Mapping[str, Any]:
    """The rates at a moment: the last of a list whose condition holds then, or the first.

    Args:
        prices: a model's rates, or a list of `{"constraint": …, "prices": rates}`.
        at: the moment, in UTC.
    """
    if isinstance(prices, Mapping):
        return prices
    held = (entry["prices"] for entry in reversed(prices) if _holds(entry.get("constraint"), at))
    rates: Mapping[str, Any] = next(held, prices[0]["prices"])
    return rates


def cost(rates: Mapping[str, Any], tokens: Mapping[str, int]) -> float | None:
    """USD for one request; None where a part is larger than its whole.

    Args:
        rates: USD for a million tokens of each kind; those of other things than tokens and requests are passed over.
        tokens: how many of each kind, parts included in their wholes.
    """
    priced = [kind for kind in _KINDS if rates.get(f"{kind}_mtok") is not None]
    left: dict[str, int] = {}
    total = _EXACT.multiply(rates.get("requests_kcount") or 0, 1000)
    for kind in sorted(priced, key=lambda kind: -len(_KINDS[kind])):
        # Tokens are paid for once, at the rate of the most special kind that has one.
        left[kind] = tokens.get(kind, 0) - sum(count for part, count in left.items() if _KINDS[kind] < _KINDS[part])
        if left[kind] < 0:
            return None
        total = _EXACT.fma(_rate(rates[f"{kind}_mtok"], tokens.get("input", 0)), left[kind], total)
    return float(_EXACT.scaleb(total, -6))


def _rate(rate: Decimal | int | Mapping[str, Any], input_tokens: int) -> Decimal | int:
    """Of a rate in tiers the one that holds for all tokens of a request with so much input."""
    if not isinstance(rate, Mapping):
        return rate
    reached = [tier for tier in rate["tiers"] if input_tokens > tier["start"]]
    price: Decimal | int = max(reached, key=lambda tier: tier["start"])["price"] if reached else rate["base"]
    return price


def _holds(constraint: Mapping[str, str] | None, at: datetime) -> bool:
    if constraint is None:
        return True
    if "start_date" in constraint:
        return at.date() >= date.fromisoformat(constraint["start_date"])
    now, start, end = at.timetz(), _utc(constraint["start_time"]), _utc(constraint["end_time"])
    return start <= now < end if start <= end else now >= start or now < end


def _utc(text: str) -> time:
    """A time of day in UTC, which it is where the text has no zone."""
    value = time.fromisoformat(text)
    if value.tzinfo is None:
        return value.replace(tzinfo=UTC)
    return datetime.combine(date(2000, 1, 2), value).astimezone(UTC).timetz()

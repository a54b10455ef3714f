"""What recorded model calls cost of which nobody has said it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from massgen_tracing import conventions, prices
from massgen_tracing.model import Usage


def priced(usage: Usage, attributes: Mapping[str, Any], start_ns: int, models: Sequence[str]) -> Usage:
    """The usage with its cost, by the price list where it has none; as it is where its tokens are unknown, or the list does not know the model.

    Args:
        usage: what the call says that it used.
        attributes: the span's.
        start_ns: when it began, in Unix nanoseconds: prices change.
        models: the model's names; the first that the list knows decides.
    """
    if usage.cost is not None or usage.input is usage.output is None:
        return usage
    provider = conventions.text_of(attributes, conventions.PROVIDER)
    sent, made, cached = usage.input or 0, usage.output or 0, usage.cached_input or 0
    written = conventions.written_to_cache(attributes)
    for model in dict.fromkeys(models):
        cost = prices.estimate(provider, model, sent, made, cached, cache_write_tokens=written, at=start_ns / 1e9)
        if cost is not None:
            return usage._replace(cost=cost)
    return usage

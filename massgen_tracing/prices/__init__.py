"""What a model call costs, by the price list of genai-prices, which comes with the package: dated, tiered, of 47 providers.

Reading it imports nothing and takes no lock: any thread, a forked child or a finalizer may ask at any time.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Final

from massgen_tracing import finalization, guard
from massgen_tracing.errors import compose
from massgen_tracing.prices import names, rates
from massgen_tracing.prices.catalog import Catalog

_TIERS: Final = {"standard": 1.0, "default": 1.0, "auto": 1.0, "on_demand": 1.0, "flex": 0.5, "batch": 0.5}
"""What providers call the way in which a call was served, and the share of the list's price that it costs."""

_known: Final = lru_cache(maxsize=256)(names.prices)
_catalog: Catalog | None = None


def use(path: str | None) -> None:
    """Say which price list holds from now on.

    Args:
        path: a list as genai-prices publishes it (`data.json`); None: the one that comes with the package, which also takes the place of one that
            cannot be read.
    """
    global _catalog
    _catalog = (None if path is None else _read(Path(path))) or Catalog.own()
    _known.cache_clear()


def estimate(
    provider: str,
    model: str,
    input_tokens: int,
    output_tokens: int,
    cached_input_tokens: int = 0,
    *,
    cache_write_tokens: int = 0,
    reasoning_tokens: int = 0,
    service_tier: str | None = None,
    at: float | None = None,
    **parts: int,
) -> float | None:
    """USD for one model call; None for a model that the list does not know, and for counts that cannot be (more cached than sent).

    Args:
        provider: OpenTelemetry's `gen_ai.provider.name`, MassGen's or litellm's name.
        model: the model's name, litellm's too (`openai/gpt-4o`).
        input_tokens: tokens sent, cached ones included.
        output_tokens: tokens received, reasoning included.
        cached_input_tokens: those of the input that were read from a cache.
        cache_write_tokens: those of the input that were written to a cache.
        reasoning_tokens: those of the output that were reasoning.
        service_tier: the provider's name of how the call was served. What can wait (`flex`, `batch`) costs half of the list's price at every provider
            that has it (OpenAI, Anthropic, Google); for what is served first, or paid for otherwise, the list has no price.
        at: when, as Unix time in seconds; None: now.
        parts: others that have rates of their own, by the names that genai-prices has for them: `input_audio_tokens`, `output_audio_tokens`, and, as
            parts of those that were written to a cache, `cache_write_5m_tokens` and `cache_write_1h_tokens`.
    """
    written = max(cache_write_tokens, parts.get("cache_write_5m_tokens", 0) + parts.get("cache_write_1h_tokens", 0))
    fresh = input_tokens - cached_input_tokens - written
    if min(cached_input_tokens, written, fresh, reasoning_tokens, output_tokens - reasoning_tokens) < 0:
        return None
    share = 1.0 if service_tier is None else _TIERS.get(service_tier.lower())
    if share is None or finalization.begun():
        return None
    if _catalog is None:
        use(None)
        assert _catalog is not None
    known = _known(_catalog, provider, model)
    if known is None:
        return None
    tokens = {
        "input": input_tokens,
        "cache_read": cached_input_tokens,
        "cache_write": written,
        "output": output_tokens,
        "output_reasoning": reasoning_tokens,
    }
    more = {name.removesuffix("_tokens"): count for name, count in parts.items()}
    held = rates.in_force(known, datetime.fromtimestamp(time.time() if at is None else at, UTC))
    cost = rates.cost(held, tokens | more)
    if cost is None:  # sound that was read from a cache is of two kinds, and how much that is nobody says
        cost = rates.cost(held, tokens | {kind: count for kind, count in more.items() if "audio" not in kind})
    return None if cost is None else cost * share


def _read(path: Path) -> Catalog | None:
    try:
        return Catalog.read(path)
    except (OSError, ValueError) as error:
        hint = "The list that comes with the package is used; a newer one is prices/new_data/v2/data.json of github.com/pydantic/genai-prices"
        guard.report("prices.file", compose(f"The price list {path} cannot be read", "genai-prices' data.json", str(error), hint), error=error)
        return None

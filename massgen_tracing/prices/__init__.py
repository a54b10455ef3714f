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
    at: float | None = None,
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
        at: when, as Unix time in seconds; None: now.
    """
    parts = (cached_input_tokens, cache_write_tokens, input_tokens - cached_input_tokens - cache_write_tokens)
    if min(*parts, reasoning_tokens, output_tokens - reasoning_tokens) < 0:
        return None
    if finalization.begun():
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
        "cache_write": cache_write_tokens,
        "output": output_tokens,
        "output_reasoning": reasoning_tokens,
    }
    return rates.cost(rates.in_force(known, datetime.fromtimestamp(time.time() if at is None else at, UTC)), tokens)


def _read(path: Path) -> Catalog | None:
    try:
        return Catalog.read(path)
    except (OSError, ValueError) as error:
        hint = "The list that comes with the package is used; a newer one is prices/new_data/v2/data.json of github.com/pydantic/genai-prices"
        guard.report("prices.file", compose(f"The price list {path} cannot be read", "genai-prices' data.json", str(error), hint), error=error)
        return None

"""What a model call costs, from genai-prices: an offline price list that Pydantic keeps (dated, tiered, 47 providers)."""

from __future__ import annotations

import os
import threading
from functools import lru_cache
from typing import Final

_PROVIDERS: Final = {
    "gemini": "google",
    "gcp.gemini": "google",
    "gcp.gen_ai": "google",
    "aws.bedrock": "aws",
    "azure.ai.openai": "azure",
    "xai": "x-ai",
    "x_ai": "x-ai",
    "grok": "x-ai",
    "mistral_ai": "mistral",
    "claude": "anthropic",
}
"""OpenTelemetry's and MassGen's names of providers where genai-prices has another."""

_MODEL_ONLY: Final = frozenset({"chatcompletion", "openai_compatible", "litellm"})
"""Names that say how a model is talked to, not whose it is."""


def load() -> None:
    """Load the price list: some hundredths of a second where pydantic is loaded already, as clients of models do, and else most of a second.

    Called when a run begins, on the thread that begins it. A thread beside it would import while the program does, for which parts of Python's own
    library are not made (`sysconfig` before 3.12 gives the second thread half of its variables), nor are modules that import each other.
    """
    estimate("openai", "gpt-4o", 1, 0)


def estimate(provider: str, model: str, input_tokens: int, output_tokens: int, cached_input_tokens: int = 0) -> float | None:
    """USD for one model call; None for a model that the list does not know, and for counts that cannot be (more cached than sent).

    Args:
        provider: OpenTelemetry's `gen_ai.provider.name`, or MassGen's backend type.
        model: the model's name.
        input_tokens: tokens sent, cached ones included.
        output_tokens: tokens received, reasoning included.
        cached_input_tokens: those of the input that were read from a cache.
    """
    global _is_loaded
    if _is_missing:
        return None
    with _lock:
        price = _estimate(provider, model, input_tokens, output_tokens, cached_input_tokens)
        _is_loaded = True
    return price


def _estimate(provider: str, model: str, input_tokens: int, output_tokens: int, cached_input_tokens: int) -> float | None:
    from genai_prices import Usage, calc_price  # which imports more when it is asked

    try:
        usage = Usage(input_tokens=input_tokens, output_tokens=output_tokens, cache_read_tokens=cached_input_tokens or None)
    except ValueError:
        return None
    for provider_id in _candidates(provider.lower()):
        try:
            return float(calc_price(usage, model_ref=model, provider_id=provider_id).total_price)
        except LookupError:
            continue
        except ValueError:
            return None
    return None


@lru_cache(maxsize=256)
def _candidates(provider: str) -> tuple[str | None, ...]:
    """Provider ids to try; None lets the list find the provider by the model's name."""
    return (None,) if provider in _MODEL_ONLY else (_PROVIDERS.get(provider, provider), None)


# --- fork ----------------------------------------------------------------------------------------------------------------------

_lock = threading.RLock()
_is_loaded = False
_is_missing = False


def _after_fork() -> None:
    """A child has no list where another thread of its parent was loading it: what that thread was importing would be waited for, for ever.

    Forks cannot wait for that thread instead, for it may wait for something that forking holds, as the lock of `logging`.
    """
    global _lock, _is_missing
    _is_missing = not _is_loaded and not _lock.acquire(blocking=False)
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

"""What a model call costs, from genai-prices: an offline price list that Pydantic keeps (dated, tiered, 47 providers)."""

from __future__ import annotations

import contextlib
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


def preload() -> None:
    """Load the price list on a thread of its own: it takes a quarter of a second, which is less than the first model call and more than a span."""
    threading.Thread(target=_library_loaded, name="massgen-tracing-prices", daemon=True).start()


def estimate(provider: str, model: str, input_tokens: int, output_tokens: int, cached_input_tokens: int = 0) -> float | None:
    """USD for one model call; None for a model that the list does not know, and for counts that cannot be (more cached than sent).

    Args:
        provider: OpenTelemetry's `gen_ai.provider.name`, or MassGen's backend type.
        model: the model's name.
        input_tokens: tokens sent, cached ones included.
        output_tokens: tokens received, reasoning included.
        cached_input_tokens: those of the input that were read from a cache.
    """
    from genai_prices import Usage, calc_price

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


def _library_loaded() -> None:
    # A program that ends at once ends in the middle of this; the first price that is asked for says what is wrong, if anything is.
    with contextlib.suppress(Exception):
        import genai_prices

        genai_prices.calc_price(genai_prices.Usage(input_tokens=1), model_ref="gpt-4o", provider_id="openai")

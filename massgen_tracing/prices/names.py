"""What providers and models are called: by OpenTelemetry, by MassGen, by litellm (`vertex_ai/gemini-2.5-pro`), and by providers in their answers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from massgen_tracing.prices.catalog import Catalog

_PROVIDERS: Final = {
    "antigravity_cli": "google",
    "az_ai_inference": "azure",
    "az_ai_openai": "azure",
    "azure_ai": "azure",
    "azure_ai_inference": "azure",
    "azure_ai_openai": "azure",
    "azure_openai": "azure",
    "azure_text": "azure",
    "claude": "anthropic",
    "claude_code": "anthropic",
    "codestral": "mistral",
    "codex": "openai",
    "deepseek_ai": "deepseek",
    "fireworks_ai": "fireworks",
    "gcp_gen_ai": "google",
    "grok": "x-ai",
    "kimi": "moonshotai",
    "meta_llama": "meta",
    "palm": "google",
    "text_completion_codestral": "mistral",
    "x_ai": "x-ai",
    "z_ai": "zai",
    "zhipu": "zhipuai",
}
"""Names of providers that the list does not know them by, with `_` for whatever separates their words."""

_NOBODYS: Final = frozenset({
    "chat_completions", "chatcompletion", "custom_openai", "litellm", "litellm_proxy", "openai_compatible", "openai_like", "unknown",
})  # fmt: skip
"""Names that say how a model is talked to, not whose it is."""

_ONES_OWN: Final = frozenset({
    "hosted_vllm", "inference", "llama_cpp", "llamafile", "lm_studio", "lmstudio", "local", "ollama", "ollama_chat", "sglang", "vllm", "xinference",
})  # fmt: skip
"""Servers of one's own, where what others charge for the same model does not hold."""

_LONGEST: Final = 300
"""Characters; what is longer is no name."""

_SEPARATORS: Final = re.compile(r"[^a-z0-9]+")
_DATE: Final = re.compile(r"[-@:]20\d\d(-?)[01]\d\1[0-3]\d$")
_REGION: Final = re.compile(r"^(?:[a-z]{2,6}|us-gov)\.(?=[a-z0-9]+\.)")


def prices(catalog: Catalog, provider: str, model: str) -> Any:
    """What the list says that a model costs, under any of its names; None where it does not know it.

    The provider's own price comes first, then that of a provider whom the model's name begins with, then that of the one who makes the model. A name
    without its date or region is tried last.

    Args:
        catalog: the price list.
        provider: OpenTelemetry's `gen_ai.provider.name`, MassGen's or litellm's name.
        model: the model, as it was asked for or as the provider reports it.
    """
    if len(provider) + len(model) > _LONGEST:
        return None
    tried = set()
    for pair in _candidates(catalog, provider.strip().lower(), model.strip().lower()):
        if pair not in tried:
            tried.add(pair)
            found = catalog.model(*pair)
            if found is not None:
                return found["prices"]
    return None


def _candidates(catalog: Catalog, provider: str, model: str) -> Iterator[tuple[str, str]]:
    """Ids of providers with names of models, the likeliest first; some more than once."""
    *prefix, last = model.split("/")
    if _plain(provider) in _ONES_OWN or any(_plain(each) in _ONES_OWN for each in prefix):
        return
    host = _provider(catalog, provider)
    hosts = [_provider(catalog, each) for each in prefix]
    names = ["/".join([*prefix[start:], last]) for start in range(len(prefix) + 1)]
    for spelt in _SPELLINGS:
        for start, name in enumerate(names):
            nearest = [*reversed(hosts[:start]), host]
            yield from ((each, spelt(name)) for each in nearest if each is not None)
    for spelt in _SPELLINGS:
        for name in names:
            maker = catalog.provider_of(spelt(name))
            if maker is not None:
                yield maker, spelt(name)


def _provider(catalog: Catalog, name: str) -> str | None:
    """The id of a provider by any of its names; None for who is none."""
    plain = _plain(name)
    return None if plain in _NOBODYS else catalog.provider(_PROVIDERS.get(plain, name))


def _plain(name: str) -> str:
    return _SEPARATORS.sub("_", name)


def _without_region(name: str) -> str:
    """Without the region that names of Bedrock's inference profiles begin with."""
    return _REGION.sub("", name)


def _without_date(name: str) -> str:
    return _DATE.sub("", name)


_SPELLINGS: Final = (str, _without_region, _without_date, lambda name: _without_date(_without_region(name)))
"""What is asked for in place of a name, one after the other."""

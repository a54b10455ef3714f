"""The price list: which providers and models it has, under which of their names. Its form is that of genai-prices' published `data.json`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, Final

OWN: Final = Path(__file__).with_name("list")
"""The list that comes with the package, as `tools/price_list.py` writes it: `providers.json`, and the models of each in `<id>.json`."""

_COMPACT_DATE: Final = re.compile(r"-(20\d\d)(\d\d)(\d\d)(?=[-:]|$)")


class Catalog:
    """Providers and their models. Names are given in lower case, and stand for the first whose rule they fit, in the list's order."""

    def __init__(self, providers: Sequence[Mapping[str, Any]], models: Callable[[str], Sequence[Mapping[str, Any]]]) -> None:
        self._providers: dict[str, Mapping[str, Any]] = {provider["id"]: provider for provider in providers}
        self._models = cache(models)

    @classmethod
    def own(cls) -> Catalog:
        """The list that comes with the package; a provider's models are read when one of them is first asked for."""
        return cls(_parsed(OWN / "providers.json"), lambda provider: _parsed(OWN / f"{provider}.json"))

    @classmethod
    def read(cls, path: Path) -> Catalog:
        """A whole list in one file.

        Raises:
            OSError: if it cannot be read.
            ValueError: if it is no such list.
        """
        providers = _parsed(path)
        if not isinstance(providers, list) or not providers:
            raise ValueError("it is no array of providers")
        try:
            return cls(providers, {provider["id"]: provider["models"] for provider in providers}.__getitem__)
        except (TypeError, LookupError) as error:
            raise ValueError("its providers have no id or no models") from error

    def provider(self, name: str) -> str | None:
        """The id of the provider that *name* stands for."""
        if name in self._providers:
            return name
        return self._first("provider_match", name)

    def provider_of(self, model: str) -> str | None:
        """The id of the provider that a model is known to be of."""
        return self._first("model_match", model)

    def model(self, provider: str, name: str) -> Mapping[str, Any] | None:
        """A model of a provider (by its id), or of one whose models it offers too: its `id`, `match` and `prices`."""
        found = self._model(provider, name)
        if found is None and (dashed := _COMPACT_DATE.sub(_dashed, name)) != name:
            found = self._model(provider, dashed)
        return found

    def _model(self, provider: str, name: str) -> Mapping[str, Any] | None:
        sellers = (provider, *(self._providers[provider].get("fallback_model_providers") or ()))
        models = (model for seller in sellers if seller in self._providers for model in self._models(seller))
        return next((model for model in models if _matches(model["match"], name)), None)

    def _first(self, rule: str, name: str) -> str | None:
        return next((id_ for id_, provider in self._providers.items() if (clause := provider.get(rule)) and _matches(clause, name)), None)


def _parsed(path: Path) -> Any:
    return json.loads(path.read_bytes(), parse_float=Decimal)


def _matches(clause: Mapping[str, Any], name: str) -> bool:
    ((kind, value),) = clause.items()
    match kind:
        case "equals":
            return bool(name == value.lower())
        case "starts_with":
            return name.startswith(value.lower())
        case "ends_with":
            return name.endswith(value.lower())
        case "contains":
            return value.lower() in name
        case "regex":
            return re.search(value, name) is not None
        case "or":
            return any(_matches(each, name) for each in value)
        case "and":
            return all(_matches(each, name) for each in value)
        case _:  # a newer list may have other rules
            return False


def _dashed(found: re.Match[str]) -> str:
    """`-20260131`, as proxies write dates, as `-2026-01-31`; as it is where it is no date."""
    try:
        return f"-{date(*map(int, found.groups())).isoformat()}"
    except ValueError:
        return found[0]

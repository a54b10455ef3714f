"""The price list that comes with the package, made from the installed genai-prices: `python -m tools.price_list` writes it anew."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from genai_prices import types
from genai_prices.data import providers

from massgen_tracing.prices.catalog import OWN


def files(providers: Sequence[types.Provider]) -> dict[str, str]:
    """What is needed to find a model and its prices, in the form of genai-prices' `data.json`: the names of files and their texts."""
    heads = {"providers.json": _lines(map(_provider, providers))}
    return heads | {f"{provider.id}.json": _lines(map(_model, provider.models)) for provider in providers}


def _lines(values: Iterable[object]) -> str:
    """A JSON array with one value a line, so that a change of prices can be read."""
    return "[\n" + ",\n".join(json.dumps(value, separators=(",", ":")) for value in values) + "\n]\n"


def _provider(provider: types.Provider) -> dict[str, Any]:
    return _compact({
        "id": provider.id,
        "model_match": _clause(provider.model_match),
        "provider_match": _clause(provider.provider_match),
        "fallback_model_providers": provider.fallback_model_providers,
    })  # fmt: skip


def _model(model: types.ModelInfo) -> dict[str, Any]:
    if isinstance(model.prices, types.ModelPrice):
        prices: Any = _rates(model.prices)
    else:
        prices = [_compact({"constraint": _constraint(each.constraint), "prices": _rates(each.prices)}) for each in model.prices]
    return {"id": model.id, "match": _clause(model.match), "prices": prices}


def _rates(prices: types.ModelPrice) -> dict[str, Any]:
    return _compact({name: _rate(value) for name, value in vars(prices).items()})


def _rate(value: Decimal | types.TieredPrices | None) -> Any:
    if isinstance(value, types.TieredPrices):
        return {"base": _number(value.base), "tiers": [{"start": tier.start, "price": _number(tier.price)} for tier in value.tiers]}
    return None if value is None else _number(value)


def _number(value: Decimal) -> int | float:
    number = int(value) if value == value.to_integral_value() else float(value)
    if Decimal(repr(number)) != value:
        raise ValueError(f"{value} has more digits than JSON's numbers keep.")
    return number


def _constraint(constraint: types.StartDateConstraint | types.TimeOfDateConstraint | None) -> dict[str, str] | None:
    return None if constraint is None else {name: value.isoformat() for name, value in vars(constraint).items()}


def _clause(clause: Any) -> dict[str, Any] | None:
    if clause is None:
        return None
    ((name, value),) = vars(clause).items()
    return {name.rstrip("_"): [_clause(each) for each in value] if isinstance(value, list) else value}


def _compact(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def main() -> int:
    """Write the list anew."""
    for stale in OWN.glob("*.json"):
        stale.unlink()
    for name, text in files(providers).items():
        (OWN / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

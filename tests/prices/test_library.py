"""The package's price list beside the library that it is made from: the same models under the same names, at the same prices."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from genai_prices import Usage, calc_price, types
from genai_prices.data import providers
from genai_prices.data_snapshot import find_provider_by_id
from genai_prices.data_units import unit_data
from hypothesis import given
from hypothesis import strategies as st

from massgen_tracing import prices
from massgen_tracing.prices import rates
from massgen_tracing.prices.catalog import OWN, Catalog
from tools import price_list

PROVIDERS = {provider.id: provider for provider in providers}
CATALOG = Catalog.own()
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
LEAVES = st.integers(0, 10**7)


@cache
def texts(provider: str) -> list[str]:
    """Every name that the rules of a provider's models mention, their ids too."""

    def mentioned(clause: Any) -> Iterator[str]:
        ((_, value),) = vars(clause).items()
        yield from (text for each in value for text in mentioned(each)) if isinstance(value, list) else (value,)

    return list(dict.fromkeys(text for model in PROVIDERS[provider].models for text in (model.id, *mentioned(model.match))))


def moments(model: types.ModelInfo) -> list[datetime]:
    """Noon of a day, and the moments around each change of a model's prices."""
    found = [NOON]
    for entry in model.prices if isinstance(model.prices, list) else ():
        match entry.constraint:
            case types.StartDateConstraint(start_date=day):
                change = datetime.combine(day, time(), UTC)
                found += [change - timedelta(seconds=1), change]
            case types.TimeOfDateConstraint(start_time=start, end_time=end):
                changes = [datetime.combine(NOON.date(), each) for each in (start, end)]
                found += [moment for change in changes for moment in (change - timedelta(microseconds=1), change)]
    return found


def library_prices(model: types.ModelInfo, provider: types.Provider, usage: Usage, at: datetime) -> float | None:
    try:
        return float(model.calc_price(usage, provider, genai_request_timestamp=at).total_price)
    except ValueError:
        return None


def wholes(leaves: dict[str, int]) -> dict[str, int]:
    """Counts of tokens of every kind, parts included, of the tokens that are of each kind and of none more special."""
    kinds = rates._KINDS
    return {kind: sum(count for other, count in leaves.items() if kinds[kind] <= kinds[other]) for kind in kinds}


def usage_of(tokens: dict[str, int]) -> Usage:
    return Usage(**{f"{kind}_tokens": count for kind, count in tokens.items()})


def test_the_list_is_the_locked_librarys() -> None:
    """`python -m tools.price_list` writes it anew, as `make lock` does."""
    assert {path.name: path.read_text(encoding="utf-8") for path in OWN.iterdir()} == price_list.files(providers)


def test_kinds_of_tokens_are_the_librarys() -> None:
    """Each has the library's unit, is a part of the same others, and all are there that anything is paid by."""
    units = {name.removesuffix("_tokens"): unit for name, unit in unit_data.items() if unit["dimensions"]["family"] == "tokens"}
    for kind, traits in rates._KINDS.items():
        assert (units[kind]["price_key"], units[kind]["per"]) == (f"{kind}_mtok", 10**6)
        for other, others in rates._KINDS.items():
            assert (traits <= others) == (units[kind]["dimensions"].items() <= units[other]["dimensions"].items())
    assert unit_data["requests"]["per"] == 1000
    charged = {key for path in OWN.iterdir() for key in re.findall(r'"(\w+)_mtok"', path.read_text(encoding="utf-8"))}
    assert charged <= set(rates._KINDS)


@pytest.mark.parametrize("provider", providers, ids=list(PROVIDERS))
def test_every_model_is_found_by_the_same_names(provider: types.Provider) -> None:
    """By each name that a rule mentions."""
    for name in texts(provider.id):
        theirs = provider.find_model(name, all_providers=providers)
        ours = CATALOG.model(provider.id, name.lower())
        assert (None if ours is None else ours["id"]) == (None if theirs is None else theirs.id), name


@given(st.data())
def test_any_name_means_the_same_everywhere(data: st.DataObject) -> None:
    """Also at a provider that has other models, dated, as a proxy dates it, and with a date that there is not."""
    there, elsewhere = data.draw(st.sampled_from(sorted(PROVIDERS))), data.draw(st.sampled_from(sorted(PROVIDERS)))
    text = data.draw(st.sampled_from(texts(elsewhere)))
    before = data.draw(st.sampled_from(["", "x", "us.", "openai/", "@cf/"]))
    after = data.draw(st.sampled_from(["", ":free", "-v1:0", "-0613", "x", "-2026-02-28", "-20260228", "-20260228-v1:0", "-20260231"]))
    name = f"{before}{text}{after}".lower()
    theirs = PROVIDERS[there].find_model(name, all_providers=providers)
    ours = CATALOG.model(there, name)
    assert (None if ours is None else ours["id"]) == (None if theirs is None else theirs.id)
    by_model = next((each.id for each in providers if each.model_match is not None and each.model_match.is_match(name)), None)
    assert CATALOG.provider_of(name) == by_model


@given(st.sampled_from([*PROVIDERS, "OpenAI", "xai", "vertex", "amazon-bedrock", "mistralai", "huggingface-groq", "nobody", ""]),
       st.sampled_from(["", "x", "_ai"]))  # fmt: skip
def test_providers_are_found_by_the_same_names(name: str, suffix: str) -> None:
    """By their ids first, then by the list's rules."""
    name = f"{name}{suffix}".lower()
    theirs = find_provider_by_id(providers, name)
    assert CATALOG.provider(name) == (None if theirs is None else theirs.id)


@pytest.mark.parametrize("provider", providers, ids=list(PROVIDERS))
def test_every_price_is_the_same(provider: types.Provider) -> None:
    """To the last digit, for few and many tokens of every kind, before and after each change of a price."""
    kinds = list(rates._KINDS)
    counts = [
        {kind: 1000 + 7 * number for number, kind in enumerate(kinds)},
        {kind: 7_654_321 + number for number, kind in enumerate(kinds)},
        {"input": 150_001},
        {"input": 300_000, "cache_write": 1, "output": 1, "output_reasoning": 3},
    ]
    for model, entry in zip(provider.models, CATALOG._models(provider.id), strict=True):
        assert entry["id"] == model.id
        for at in moments(model):
            for leaves in counts:
                tokens = wholes(leaves)
                theirs = library_prices(model, provider, usage_of(tokens), at)
                assert rates.cost(rates.in_force(entry["prices"], at), tokens) == theirs, (model.id, at, leaves)
        if CATALOG.model(provider.id, model.id.lower()) is entry:
            assert prices.estimate(provider.id, model.id, 1234, 567, at=NOON.timestamp()) == float(
                calc_price(
                    Usage(input_tokens=1234, output_tokens=567), model_ref=model.id, provider_id=provider.id, genai_request_timestamp=NOON
                ).total_price
            )


@given(st.sampled_from([(provider, model) for provider in providers for model in provider.models if "Tier" in repr(model.prices)]),
       st.dictionaries(st.sampled_from(list(rates._KINDS)), LEAVES), st.datetimes(datetime(2024, 1, 1), datetime(2028, 1, 1)))  # fmt: skip
def test_any_usage_costs_the_same(known: tuple[types.Provider, types.ModelInfo], leaves: dict[str, int], at: datetime) -> None:
    """Of models with tiers, at any time; and has no price where parts are larger than their wholes."""
    provider, model = known
    entry = next(entry for entry in CATALOG._models(provider.id) if entry["id"] == model.id)
    for tokens in (wholes(leaves), {kind: leaves.get(kind, 0) for kind in rates._KINDS}):
        theirs = library_prices(model, provider, usage_of(tokens), at)
        assert rates.cost(rates.in_force(entry["prices"], at.replace(tzinfo=UTC)), tokens) == theirs


@given(st.times(), st.times(), st.datetimes(datetime(2024, 1, 1), datetime(2028, 1, 1)), st.sampled_from(["", "Z", "+05:30", "-11:00"]))
def test_hours_of_a_price_are_the_librarys(start: time, end: time, at: datetime, zone: str) -> None:
    """In any time zone, over midnight too."""
    texts = [f"{each.isoformat()}{zone}" for each in (start, end)]
    constraint = types.TimeOfDateConstraint(*map(time.fromisoformat, texts))
    night = {"constraint": {"start_time": texts[0], "end_time": texts[1]}, "prices": {"input_mtok": 1}}
    held = rates.in_force([{"prices": {}}, night], at.replace(tzinfo=UTC)) != {}
    assert held == constraint.active(at)


def test_a_list_as_it_is_published_is_read(tmp_path: Path) -> None:
    """The whole of it in one file, with what the package does not need."""
    whole = json.loads((OWN / "providers.json").read_text(encoding="utf-8"))
    for provider in whole:
        models = json.loads((OWN / f"{provider['id']}.json").read_text(encoding="utf-8"))
        provider |= {"name": "Name", "api_pattern": ".", "extractors": [], "models": [model | {"description": "Text"} for model in models]}
    types._providers_from_raw(whole)
    path = tmp_path / "data.json"
    path.write_text(json.dumps(whole))
    read = Catalog.read(path)
    for provider in providers:
        for model in provider.models:
            ours, own = read.model(provider.id, model.id.lower()), CATALOG.model(provider.id, model.id.lower())
            assert (ours or {}).get("prices") == (own or {}).get("prices")

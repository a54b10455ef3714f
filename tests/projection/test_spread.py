"""Percentiles in little memory."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from massgen_tracing.projection.spread import Spread

SHARES = (0.0, 0.5, 0.9, 0.99)


def spread(values: list[int]) -> Spread:
    """What is known of the values."""
    found = Spread()
    for value in values:
        found.add(value)
    return found


@given(st.lists(st.integers(0, 10**13), min_size=1), st.randoms(use_true_random=False))
def test_percentiles_are_those_of_the_values(values: list[int], chance: random.Random) -> None:
    """Exact below 256, at most 0.8 % too low above; sum, smallest and largest are exact; the order of the values is of no matter."""
    found = spread(values)
    for share, got in zip(SHARES, found.percentiles(*SHARES), strict=True):
        exact = sorted(values)[min(int(share * len(values)), len(values) - 1)]
        assert exact * (1 - 1 / 128) <= got <= max(exact, min(values))
        assert got == exact or exact >= 256
    assert (found.count, found.total, found.least, found.most) == (len(values), sum(values), min(values), max(values))
    assert found.mean == pytest.approx(sum(values) / len(values))
    chance.shuffle(values)
    assert spread(values) == found


def test_of_nothing() -> None:
    """Zeros, as MassGen has them."""
    assert (Spread().percentiles(0.5, 0.9), Spread().mean) == ([0, 0], 0.0)


def test_memory_does_not_grow_with_the_values() -> None:
    """A hundred thousand different times are some hundred counters."""
    found = spread([number * 7_919 for number in range(100_000)])
    assert len(found._seen) < 2000

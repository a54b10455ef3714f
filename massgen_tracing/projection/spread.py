"""How values are spread: smallest, largest, sum and percentiles, in little memory, whatever order the values come in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

_DIGITS: Final = 8
"""Binary digits by which values are told apart: below 256 each is exact, above they are at most 0.8 % too low."""


@dataclass(slots=True)
class Spread:
    """Whole numbers from 0.

    Attributes:
        count, total: how many, and their sum.
        least, most: the smallest and the largest; 0 where there is none.
    """

    count: int = 0
    total: int = 0
    least: int = 0
    most: int = 0
    _seen: dict[int, int] = field(default_factory=dict)
    """How many there are of each, rounded."""

    def add(self, value: int) -> None:
        """Add a value."""
        self.least = min(self.least, value) if self.count else value
        self.most = max(self.most, value)
        self.count += 1
        self.total += value
        drop = max(0, value.bit_length() - _DIGITS)
        rounded = value >> drop << drop
        self._seen[rounded] = self._seen.get(rounded, 0) + 1

    @property
    def mean(self) -> float:
        """Their mean; 0 where there is none."""
        return self.total / self.count if self.count else 0.0

    def percentiles(self, *shares: float) -> list[int]:
        """For each share of all values, in ascending order, the value at `int(share * count)` when they are sorted; zeros where there is none."""
        places = [min(int(share * self.count), self.count - 1) for share in shares]
        found: list[int] = []
        passed = 0
        for value, count in sorted(self._seen.items()):
            passed += count
            while len(found) < len(places) and places[len(found)] < passed:
                found.append(min(max(value, self.least), self.most))
        return found or [0] * len(places)

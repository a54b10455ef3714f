"""Tokens, cost, time and calls, added up exactly: in whole numbers, so that the order of adding changes nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

from massgen_tracing.model import Usage

_PICO: Final = 10**12


@dataclass(slots=True)
class Used:
    """What several model calls have used; None is unknown, which is not 0.

    Attributes:
        input, output, reasoning, cached: tokens.
        pico_usd: cost in 1e-12 USD.
        calls: how many.
        costless: those of them whose cost is not known.
        latency_ns: how long they took, in all.
        first_ns, firsts: until the first chunk, in all, and of how many that is known.
    """

    input: int | None = None
    output: int | None = None
    reasoning: int | None = None
    cached: int | None = None
    pico_usd: int | None = None
    calls: int = 0
    costless: int = 0
    latency_ns: int = 0
    first_ns: int = 0
    firsts: int = 0

    def add(self, used: Usage) -> None:
        """Add tokens and cost."""
        self.input = _sum(self.input, used.input)
        self.output = _sum(self.output, used.output)
        self.reasoning = _sum(self.reasoning, used.reasoning)
        self.cached = _sum(self.cached, used.cached_input)
        if used.cost is not None and math.isfinite(used.cost):
            self.pico_usd = _sum(self.pico_usd, round(used.cost * _PICO))

    def call(self, used: Usage, latency_ns: int, first: float | None) -> None:
        """Add a model call: its usage, how long it took, and the seconds until its first chunk."""
        self.add(used)
        self.calls += 1
        self.costless += used.cost is None
        self.latency_ns += latency_ns
        if first is not None and math.isfinite(first):
            self.first_ns += round(first * 1e9)
            self.firsts += 1

    @property
    def cost(self) -> float | None:
        """USD; None where none is known."""
        return None if self.pico_usd is None else self.pico_usd / _PICO

    def tokens(self) -> dict[str, Any]:
        """Under MassGen's names for an agent's and a round's; its readers take numbers only, so what is unknown is 0 there."""
        return {
            "input_tokens": self.input or 0,
            "output_tokens": self.output or 0,
            "reasoning_tokens": self.reasoning or 0,
            "cached_input_tokens": self.cached or 0,
            "estimated_cost": self.cost or 0.0,
        }

    def telemetry(self) -> dict[str, Any]:
        """One entry of the telemetry, where what is unknown is null."""
        known = [tokens for tokens in (self.input, self.output) if tokens is not None]
        return {
            "calls": self.calls,
            "tokens": sum(known) if known else None,
            "input_tokens": self.input,
            "output_tokens": self.output,
            "reasoning_tokens": self.reasoning,
            "cached_input_tokens": self.cached,
            "cost": self.cost,
            "calls_of_unknown_cost": self.costless,
            "latency": seconds(self.latency_ns),
        }

    @property
    def first_ms(self) -> float:
        """Milliseconds until the first chunk, on average; 0 where it is not known."""
        return ms(self.first_ns // self.firsts) if self.firsts else 0.0


def ms(ns: int) -> float:
    """Nanoseconds as milliseconds, to the microsecond."""
    return round(ns / 1e6, 3)


def seconds(ns: int) -> float:
    """Nanoseconds as seconds, to the microsecond."""
    return round(ns / 1e9, 6)


def _sum(a: int | None, b: int | None) -> int | None:
    return b if a is None else a if b is None else a + b

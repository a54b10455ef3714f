"""What model calls have used and cost, and when that is enough."""

from __future__ import annotations

from dataclasses import dataclass

from massgen_tracing import prices
from massgen_tracing.trace.reported import priced_apart

from .config import Limits, RunConfig
from .protocol import Usage


@dataclass(slots=True)
class Spending:
    """What one agent, or a whole run, has used so far.

    Attributes:
        tokens: input and output, as far as they were reported.
        cost: USD; None while no price is known.
    """

    tokens: int = 0
    cost: float | None = None

    def add(self, usage: Usage, cost: float | None) -> None:
        """Add one model call."""
        self.tokens += (usage.input or 0) + (usage.output or 0)
        if cost is not None:
            self.cost = (self.cost or 0.0) + cost

    def reached(self, limits: Limits) -> str | None:
        """Which bound of a run has been reached, as a sentence; None where none has."""
        if limits.max_cost is not None and self.cost is not None and self.cost >= limits.max_cost:
            return f"the run has cost ${self.cost:.6f}; its limit is ${limits.max_cost:g}"
        if limits.max_tokens is not None and self.tokens >= limits.max_tokens:
            return f"the run has used {self.tokens:,} tokens; its limit is {limits.max_tokens:,}"
        return None


def priced(provider: str, model: str, usage: Usage) -> float | None:
    """What one model call cost, in USD: what the provider says, else what the price list says; None where neither does.

    Not the tracer's figure: who wins must not depend on whether the run is traced.
    """
    if usage.cost is not None:
        return usage.cost
    return prices.estimate(
        provider,
        model,
        usage.input or 0,
        usage.output or 0,
        usage.cached_input or 0,
        reasoning_tokens=usage.reasoning or 0,
        **priced_apart(usage.raw),
    )


def unpriced(config: RunConfig) -> list[str]:
    """The models that the price list does not know, which a bound on the cost cannot count."""
    asked = {(agent.provider, model) for agent in config.agents for model in (agent.model, *agent.models.values())}
    return sorted(model for provider, model in asked if priced(provider, model, Usage(input=1000, output=1000)) is None)

"""From where on something in a run is worth a finding: one field each, with its reason."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Final


def _from(value: float, reason: str) -> Any:
    return field(default=value, metadata={"reason": reason})


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """The thresholds of all findings; each is the setting `MASSGEN_TRACING_<NAME>` too."""

    stall_seconds: float = _from(60.0, "an agent of which nothing starts or ends for longer stalls: models rarely think for more than a minute")
    slow_seconds: float = _from(30.0, "an operation that the run waits for is slow from here on: people look away")
    slow_share: float = _from(0.2, "and from this share of the run's time on: shortening anything smaller would not be noticed")
    repeated_calls: int = _from(3, "the same call so often by one agent is repeated: two may be a look before and a look after")
    long_output_chars: int = _from(
        5_000, "a tool's result is long from here on: about 1,250 tokens, paid again by each later model call of the round"
    )
    isolated_share: float = _from(0.1, "an answer with a smaller share of its words in common with those that its agent was shown was written apart")
    same_share: float = _from(0.85, "answers that have this share of their pairs of words in common are almost the same text")
    judged_words: int = _from(6, "answers of fewer words are not compared: two agents may well arrive at the same number")
    agreed_share: float = _from(0.5, "a winner with no more than this share of the votes has no majority")
    storm_calls: int = _from(6, "a call that fails so often is a storm; two or three failures and a change of mind are good work")
    enforcement_retries: int = _from(2, "an agent that is asked again so often in one round does not understand what is asked of it")
    lost_chars: int = _from(5_000, "an agent that loses more than this to being asked again has written an answer for nothing")
    outlier_ratio: float = _from(3.0, "an agent stands out with so many times the others' median: rounds and answers alone make for two")
    outlier_tokens: int = _from(5_000, "and with at least so many tokens more: ratios of small numbers say nothing")
    outlier_usd: float = _from(0.01, "or with at least so much more cost in USD")
    cache_ratio: float = _from(0.5, "an agent whose cache hit rate is below this part of the others' median pays for what they do not")
    cache_share: float = _from(0.2, "where that median is at least this: there is something to be had")
    earlier_runs: int = _from(3, "so many earlier runs of the same configuration have a spread to be compared with")
    run_ratio: float = _from(1.5, "a run that is beyond all earlier ones stands out with so many times the largest of them")


VARIABLES: Final = {each.name: f"MASSGEN_TRACING_{each.name.upper()}" for each in fields(Thresholds)}
"""The environment variable of each."""

REASONS: Final = {each.name: str(each.metadata["reason"]) for each in fields(Thresholds)}
"""The reason of each."""

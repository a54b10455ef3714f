"""Attribute keys of a statement that no span has, and those that may have been meant."""

from __future__ import annotations

import difflib
import re
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from massgen_tracing.errors import MassGenTracingError
from massgen_tracing.store.sql import words

if TYPE_CHECKING:
    from massgen_tracing.store.engine.answer import Result

_KEY: Final = re.compile(
    r"\b(?:otel_resource_)?attributes\s*(?:->>?|\?)\s*'((?:[^']|'')+)'|\b(?:json_\w+)\s*\(\s*(?:otel_resource_)?attributes\s*,\s*'((?:[^']|'')+)'",
    re.IGNORECASE,
)
_MOST_KEYS: Final = 5
_SECONDS: Final = 5.0
"""For all of it; recordings may be large."""

_HAS: Final = "SELECT 1 AS found FROM records_all WHERE attributes ? $key OR otel_resource_attributes ? $key LIMIT 1"
_NEWEST: Final = (
    "SELECT DISTINCT unnest(json_object_keys(attributes)) AS key FROM (SELECT attributes FROM records ORDER BY start_timestamp DESC LIMIT 2000)"
)


def is_odd(result: Result) -> bool:
    """Whether an answer looks as if something had been asked for that is not there: no rows, or nothing in a column."""
    return not result.rows or any(all(item is None for item in column) for column in zip(*(row.values() for row in result.rows), strict=True))


def unknown_keys(sql: str, ask: Callable[..., Result]) -> list[str]:
    """A sentence for each attribute key of a statement that no span has.

    Args:
        sql: the statement.
        ask: `store.query` with the recordings that it asks.
    """
    keys = list(dict.fromkeys((found[1] or found[2]).replace("''", "'") for found in _KEY.finditer(sql)))
    until = time.monotonic() + _SECONDS

    def answered(statement: str, **params: str) -> list[dict[str, Any]]:
        return list(ask(statement, params=params, timeout=max(0.1, until - time.monotonic())).rows)

    try:
        missing = [key for key in keys[:_MOST_KEYS] if not answered(_HAS, key=key)]
        known = [row["key"] for row in answered(_NEWEST)] if missing else []
    except MassGenTracingError:  # it is a hint only, and has to be quick
        return []
    others = sorted({*map(str, known or words.KEYS)}.difference(keys))
    return [_sentence(key, others) for key in missing]


def _sentence(key: str, others: Sequence[str]) -> str:
    """What is said of a key; one that is documented is meant as it stands, though no span has it yet."""
    meant = [] if key in words.KEYS else difflib.get_close_matches(key, others, n=1, cutoff=0.6)
    return f"no span has the attribute {key}" + (f"; did you mean {meant[0]}?" if meant else "")

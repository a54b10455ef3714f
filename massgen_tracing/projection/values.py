"""What a record says, read without trusting it: anybody may have written it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from massgen_tracing import conventions, semconv
from massgen_tracing.model import SpanRecord, Usage

_CUT: Final = re.compile(r"… \[cut, (\d+) characters\]\Z")
_CUTS: Final = re.compile(r"(?:… |\"…\": \"?)\[cut, (\d+) (?:characters|items)\]")
"""Where texts, lists and mappings were cut within a JSON text."""


def text(value: object) -> str:
    """A text; empty for anything else."""
    return value if isinstance(value, str) else ""


def integer(value: object) -> int | None:
    """A whole number; None for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def texts(value: object) -> list[str]:
    """The texts of a list."""
    value = decoded(value)
    return [item for item in value if isinstance(item, str)] if isinstance(value, list | tuple) else []


def mapping(value: object) -> dict[str, Any]:
    """A mapping, or the JSON text of one; empty for anything else."""
    value = decoded(value)
    return {str(key): item for key, item in value.items()} if isinstance(value, Mapping) else {}


def counts(value: object) -> dict[str, int]:
    """A mapping of texts to whole numbers."""
    return {key: item for key, item in mapping(value).items() if integer(item) is not None}


def decoded(value: object) -> object:
    """What a JSON text of a list or an object says; anything else as it is. Providers that take plain values only have such texts."""
    if isinstance(value, str) and value[:1] in {"{", "["}:
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def length(value: object) -> int:
    """Characters of a text, before it was cut."""
    said = text(value)
    cut = _CUT.search(said)
    return len(said) if cut is None else int(cut[1])


def cuts(said: str) -> list[int]:
    """How long each part of a text was that was cut, in characters or items; none for a text that is whole."""
    return [int(number) for number in _CUTS.findall(said)]


def usage_of(span: SpanRecord) -> Usage:
    """What a span says it used: a round in `massgen.usage.*`, a model call by the convention of whoever made it."""
    values = span.attributes
    if conventions.kind_of(span.name, values) == "model":
        return conventions.usage_of(values)
    return Usage(
        integer(values.get(semconv.USAGE_INPUT)),
        integer(values.get(semconv.USAGE_OUTPUT)),
        integer(values.get(semconv.USAGE_REASONING)),
        integer(values.get(semconv.USAGE_CACHED_INPUT)),
        conventions.number(values.get(semconv.USAGE_COST)),
    )

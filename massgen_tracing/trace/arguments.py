"""What callers pass, as what it stands for; each reader raises ValueError, with what was expected, for what stands for nothing of the kind."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import Enum
from itertools import islice
from typing import Any, Final, TypeGuard

from opentelemetry.context import Context

from massgen_tracing.layout import RunDirectory
from massgen_tracing.trace.payload import MAX_ATTRIBUTES, clean_name
from massgen_tracing.trace.usage import count

_MANY: Final = 1000
_LABEL: Final = re.compile(r"agent[0-9]+\.(?:[0-9]+|final)")


def identifier(value: object) -> str:
    """The id of an agent, the name of a tool, of a provider: scrubbed and bounded, since it becomes a part of names."""
    return optional(value) or "unknown"


def optional(value: object) -> str | None:
    """The same, where there may be none."""
    return None if value is None else clean_name(value) or None


def identifiers(value: object) -> list[str]:
    """Ids or names: one alone is a list of one."""
    if value is None:
        return []
    if isinstance(value, Iterable) and not isinstance(value, str | bytes | bytearray | Enum | Mapping):
        return [identifier(item) for item in islice(value, _MANY)]
    if isinstance(value, Mapping):
        return [identifier(key) for key in islice(value, _MANY)]
    return [identifier(value)]


def is_label(value: object) -> TypeGuard[str]:
    """Whether it is the label of an answer, as `agent1.2`."""
    return isinstance(value, str) and _LABEL.fullmatch(value) is not None


def attributes(value: object) -> Mapping[Any, Any]:
    """Attributes by name: a mapping, or pairs of name and value."""
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return dict(value.items())
    if isinstance(value, Iterable) and not isinstance(value, str | bytes | bytearray):
        pairs = [
            tuple(pair) if isinstance(pair, Iterable) and not isinstance(pair, str | bytes) else () for pair in islice(value, 4 * MAX_ATTRIBUTES)
        ]
        if all(len(pair) == 2 for pair in pairs):
            return dict(pairs)
    raise ValueError("a mapping of names to values, or pairs of them")


def votes(value: object) -> dict[str, int]:
    """How many votes each answer got: of a mapping or pairs, or of a list that names an answer once for each of its votes."""
    if value is None:
        return {}
    expected = "a mapping of labels to numbers of votes"
    if isinstance(value, str | bytes | bytearray) or not isinstance(value, Iterable):
        raise ValueError(expected)  # noqa: TRY004 - what every reader raises
    items = list(islice(value.items() if isinstance(value, Mapping) else value, _MANY))
    found: dict[str, int] = {}
    for item in items:
        if isinstance(item, tuple | list):
            if len(item) != 2:
                raise ValueError(expected)
            label, number = item
            found[identifier(label)] = count(number)
        else:
            label = identifier(item)
            found[label] = found.get(label, 0) + 1
    return found


def context(value: object) -> Context:
    """An OpenTelemetry Context."""
    if isinstance(value, Mapping):
        return Context(dict(value))
    raise ValueError("an OpenTelemetry Context")


def run_directory(value: object) -> RunDirectory:
    """A run's directory."""
    if isinstance(value, RunDirectory):
        return value
    raise ValueError("a RunDirectory (massgen_tracing.layout)")

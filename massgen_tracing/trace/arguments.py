"""What callers pass, as what it stands for; each reader raises `Unfit` for what stands for nothing of the kind."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Final

from opentelemetry.context import Context

from massgen_tracing import guard
from massgen_tracing.layout import RunDirectory
from massgen_tracing.trace.payload import MAX_ATTRIBUTES, clean_name, known_name, text_of
from massgen_tracing.trace.usage import Unfit, count

_MANY: Final = 1000
_LABEL: Final = re.compile(r"agent[0-9]+\.(?:[0-9]+|final)")


def identifier(value: object) -> str:
    """The id of an agent, the name of a tool, of a provider: scrubbed and bounded, since it becomes a part of names."""
    return optional(value) or "unknown"


def optional(value: object) -> str | None:
    """The same, where there may be none."""
    return None if value is None else clean_name(value) or None


def identifiers(value: object) -> list[str]:
    """Ids or names: one alone is a list of one, a mapping stands for its keys."""
    if value is None:
        return []
    try:
        if isinstance(value, list | tuple) and len(value) <= _MANY and set(map(type, value)) == {str}:  # as labels mostly are
            return [known or identifier(item) for item, known in zip(value, map(known_name, value), strict=False)]
        if isinstance(value, Iterable) and not isinstance(value, str | bytes | bytearray | type):
            return [identifier(item) for item in islice(value, _MANY)]
    except Exception as error:  # noqa: BLE001 - a stranger's object may raise anything
        guard.passing(error)
    return [identifier(value)]


def is_label(value: object) -> bool:
    """Whether it is the label of an answer, as `agent1.2`."""
    return _LABEL.fullmatch(text_of(value)) is not None


def is_true(value: object) -> bool:
    """Whether it counts as true."""
    try:
        return bool(value)
    except Exception as error:  # noqa: BLE001 - a stranger's object may raise anything
        guard.passing(error)
        return False


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
    raise Unfit("a mapping of names to values, or pairs of them")


def votes(value: object) -> dict[str, int]:
    """How many votes each answer got: of a mapping or pairs, or of a list that names an answer once for each of its votes."""
    if value is None:
        return {}
    expected = "a mapping of labels to numbers of votes"
    if isinstance(value, str | bytes | bytearray) or not isinstance(value, Iterable):
        raise Unfit(expected)
    items = list(islice(value.items() if isinstance(value, Mapping) else value, _MANY))
    found: dict[str, int] = {}
    for item in items:
        if isinstance(item, tuple | list):
            if len(item) != 2:
                raise Unfit(expected)
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
    raise Unfit("an OpenTelemetry Context")


def exception(value: object) -> BaseException:
    """An exception, which something was left with."""
    if isinstance(value, BaseException):
        return value
    raise Unfit("an exception")


def run_directory(value: object) -> RunDirectory:
    """A run's directory."""
    if isinstance(value, RunDirectory):
        return value
    raise Unfit("a RunDirectory (massgen_tracing.layout)")

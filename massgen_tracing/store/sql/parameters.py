"""Values for the `$name` places of a statement. They are bound by the engine; none of them ever becomes text of the statement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import pyarrow as pa

from massgen_tracing.errors import QueryError, one_of
from massgen_tracing.store.sql.tokens import Token, position
from massgen_tracing.store.terms import Value

_VALUES: Final = {"resolution": "1 minute", "agent": "%"}
"""Values for the parameters that the package's own queries have: the width of a step, and a pattern that any agent fits."""

_INT64: Final = 2**63
_EXPECTED: Final = "a text, an int of 64 bits, a float, a bool, None, or a list of texts, of ints or of floats"


def check(sql: str, places: Sequence[Token], params: Mapping[str, Value]) -> None:
    """See that every parameter of a statement has a value, and every value a parameter.

    Raises:
        QueryError: if one is missing, is not used, or cannot be a value.
    """
    for token in places:
        if token.text[1:] not in params:
            raise QueryError(
                f"The parameter `{token.text}` at {position(sql, token.start)} has no value",
                expected=one_of(f"${name}" for name in params) if params else None,
                hint=_how(token.text[1:]),
            )
    used = {token.text[1:] for token in places}
    for name, value in params.items():
        if name not in used:
            known = one_of(sorted(used)) if used else "no parameters: the statement has none"
            raise QueryError(f"The parameter `{name}` is not in the statement", expected=known)
        if not (_can_be_bound(value) or (isinstance(value, list) and len({*map(type, value)} - {type(None)}) < 2 and all(map(_can_be_bound, value)))):
            raise QueryError(f"The value of the parameter `{name}` cannot be bound", expected=_EXPECTED, got=value)


def _how(name: str) -> str:
    """How a parameter gets a value, with one for those that dashboards have."""
    value = _VALUES.get(name)
    python, shell = ("…", f"{name}=…") if value is None else (f'"{value}"', f"'{name}={value}'")
    return f'From Python: params={{"{name}": {python}}}. On the command line: --param {shell}'


def _can_be_bound(value: object) -> bool:
    return isinstance(value, str | int | float | None) and not (isinstance(value, int) and not -_INT64 <= value < _INT64)


def bound(params: Mapping[str, Value]) -> dict[str, object]:
    """The values as the engine binds them: an empty list is one of texts, for it does not say of what."""
    return {name: pa.scalar([], pa.list_(pa.string())) if value == [] else value for name, value in params.items()}


def getter(value: Value) -> str | None:
    """The JSON function that reads what a value, or one of a list, is compared with; None where any will do."""
    if isinstance(value, list):
        return getter(value[0]) if value else None
    if isinstance(value, str):
        return "json_get_str"
    if isinstance(value, bool):
        return "json_get_bool"
    return None if value is None else "json_get_float"


def cast(value: Value, operator: str) -> str | None:
    """The SQL type of a value that is an operand; None where the other operand says it."""
    if operator == "||":
        return list_cast(value) or "text"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None  # among others for lists
    return "bigint" if isinstance(value, int) else "double"


def list_cast(value: Value) -> str | None:
    """The SQL type of a list; None for any other value."""
    if not isinstance(value, list):
        return None
    first = next((each for each in value if each is not None), "")
    kind = {bool: "boolean", int: "bigint", float: "double"}.get(type(first), "text")
    return f"{kind}[]"

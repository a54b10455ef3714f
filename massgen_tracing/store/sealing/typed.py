"""The attribute keys that a sealed recording has columns of their own for, and their types: documented ones, and some that are frequent.

A column says the same as the JSON text only where every value of its key has the documented type; which keys those are, each file says.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from massgen_tracing import semconv

_DOCUMENTED: Final[dict[str, tuple[str, ...]]] = {
    "str": (
        semconv.AGENT_ID,
        semconv.ROUND_TYPE,
        semconv.BACKEND,
        semconv.OUTCOME,
        semconv.VOTED_FOR,
        semconv.VOTED_FOR_LABEL,
        semconv.ANSWER_LABEL_KEY,
        semconv.ERROR_MESSAGE,
        semconv.TASK,
        semconv.LOG_DIR,
        semconv.WINNER,
        semconv.WINNER_LABEL,
        semconv.WINNER_REASON,
        semconv.EVENT_TYPE,
        semconv.VOTE_REASON,
        semconv.RESTART_BY,
        semconv.ENFORCEMENT_REASON,
        semconv.GEN_AI_OPERATION,
        semconv.GEN_AI_WORKFLOW,
        semconv.GEN_AI_CONVERSATION,
        semconv.GEN_AI_AGENT,
        semconv.GEN_AI_PROVIDER,
        semconv.GEN_AI_SYSTEM,
        semconv.GEN_AI_REQUEST_MODEL,
        semconv.GEN_AI_RESPONSE_MODEL,
        semconv.GEN_AI_RESPONSE_ID,
        semconv.GEN_AI_TOOL_NAME,
        semconv.GEN_AI_TOOL_CALL_ID,
        semconv.GEN_AI_TOOL_TYPE,
        semconv.MCP_METHOD,
        semconv.NETWORK_TRANSPORT,
        semconv.SERVER_ADDRESS,
        semconv.ERROR_TYPE,
    ),
    "int": (
        semconv.ITERATION,
        semconv.ROUND,
        semconv.NUM_CONTEXT_ANSWERS,
        semconv.USAGE_INPUT,
        semconv.USAGE_OUTPUT,
        semconv.USAGE_REASONING,
        semconv.USAGE_CACHED_INPUT,
        semconv.NUM_AGENTS,
        semconv.ENFORCEMENT_ATTEMPT,
        semconv.ENFORCEMENT_MAX_ATTEMPTS,
        semconv.ENFORCEMENT_BUFFER_CHARS,
        semconv.GEN_AI_INPUT_TOKENS,
        semconv.GEN_AI_OUTPUT_TOKENS,
        semconv.GEN_AI_CACHE_READ_TOKENS,
        semconv.GEN_AI_REASONING_TOKENS,
        semconv.SERVER_PORT,
    ),
    "float": (
        semconv.USAGE_COST,
        semconv.GEN_AI_TIME_TO_FIRST_CHUNK,
        semconv.GEN_AI_CLIENT_TIME_TO_FIRST_CHUNK,
        semconv.OPERATION_COST,
    ),
    "bool": (semconv.IS_WINNER, semconv.COST_UNKNOWN, semconv.INTERRUPTED, semconv.IMPORTED, semconv.GEN_AI_REQUEST_STREAM),
}
"""Keys by type. Long texts (messages, arguments, previews) are left out: nobody filters by them, and each would be stored twice."""

ARROW: Final = {"str": pa.string(), "int": pa.int64(), "float": pa.float64(), "bool": pa.bool_()}
_INT64: Final = 2**63

OTHER: Final = "other"
"""The kind of a value that no column can hold, and of a key whose values have several kinds."""


@dataclass(frozen=True, slots=True)
class Typed:
    """A key with a column of its own; *kind* is the type of its values."""

    key: str
    column: str
    kind: str

    @property
    def field(self) -> pa.Field:
        """The column."""
        return pa.field(self.column, ARROW[self.kind])


_VARIED: Final = frozenset(
    {
        *(semconv.ERROR_MESSAGE, semconv.TASK, semconv.WINNER_REASON, semconv.VOTE_REASON),
        *(semconv.GEN_AI_RESPONSE_ID, semconv.GEN_AI_TOOL_CALL_ID),
        *(semconv.USAGE_INPUT, semconv.USAGE_OUTPUT, semconv.USAGE_REASONING, semconv.USAGE_CACHED_INPUT, semconv.ENFORCEMENT_BUFFER_CHARS),
        *(semconv.GEN_AI_INPUT_TOKENS, semconv.GEN_AI_OUTPUT_TOKENS, semconv.GEN_AI_CACHE_READ_TOKENS, semconv.GEN_AI_REASONING_TOKENS),
        *_DOCUMENTED["float"],
    }
)
"""Documented keys whose values differ from span to span; of the others there are few."""

COLUMNS: Final[dict[str, Typed]] = {key: Typed(key, key.replace(".", "_"), kind) for kind, keys in _DOCUMENTED.items() for key in keys}

FEW_VALUES: Final = frozenset(known.column for key, known in COLUMNS.items() if key not in _VARIED)
"""Columns of keys that have few values."""


_SPARE: Final = {"str": 8, "int": 6, "float": 4, "bool": 2}

SPARE: Final[dict[str, tuple[str, ...]]] = {
    kind: tuple(f"attribute_{kind}_{number}" for number in range(1, count + 1)) for kind, count in _SPARE.items()
}
"""By kind, the columns for keys that are not documented. All files have all of them, so that all files have the same columns; what each stands for,
a file's footer says.
"""

SPARE_FIELDS: Final = tuple(pa.field(name, ARROW[kind]) for kind, names in SPARE.items() for name in names)


def spared(keys: Iterable[tuple[str, str]]) -> list[Typed]:
    """Columns for keys that are not documented, as far as there are any left; a key has the same in most files.

    Args:
        keys: keys and the kinds of their values, the most important first.
    """
    taken: set[str] = set()
    made = []
    for key, kind in keys:
        names = SPARE[kind]
        first = zlib.crc32(key.encode("utf-8", "surrogatepass")) % len(names)
        name = next((name for name in (*names[first:], *names[:first]) if name not in taken), None)
        if name is not None:
            taken.add(name)
            made.append(Typed(key, name, kind))
    return made


def kind_of(value: Any) -> str:
    """The kind of one value."""
    if isinstance(value, str):
        return "str"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int" if -_INT64 <= value < _INT64 else OTHER
    return "float" if isinstance(value, float) and math.isfinite(value) else OTHER


_EXPRESSIONS: Final = {
    ("json_as_text", "str"): '"{}"',
    ("json_as_text", "int"): "arrow_cast(\"{}\", 'Utf8')",
    ("json_as_text", "bool"): "arrow_cast(\"{}\", 'Utf8')",
    ("json_get_str", "str"): '"{}"',
    ("json_get_int", "int"): '"{}"',
    ("json_get_float", "int"): 'CAST("{}" AS DOUBLE)',
    ("json_get_float", "float"): '"{}"',
    ("json_get_bool", "bool"): '"{}"',
}
"""What a function of JSON says of a key whose values all have one kind; where nothing stands here, the text has to be read."""

NULLS: Final = {"json_as_text": "Utf8", "json_get_str": "Utf8", "json_get_int": "Int64", "json_get_float": "Float64", "json_get_bool": "Boolean"}
"""The functions that typed columns can stand for, and the type of their NULL; `json_contains` is the other one."""


IS_THERE: Final = "is_there"
"""Stands for the question whether a key has a value."""

_OF_PRESENCE: Final = frozenset({"json_contains", IS_THERE})

ABSENT: Final = Typed("", "", "")
"""Stands for the column of a key that no row has."""


def expression(function: str, known: Typed | None) -> str | None:
    """SQL over the columns of a sealed file for a function of its JSON text; None where the text has to be read.

    Args:
        function: one of the functions that the dialect makes of the JSON operators, or `IS_THERE`.
        known: the key's column; None where it has none.
    """
    if known is None:
        return None
    if known is ABSENT:
        return "FALSE" if function in _OF_PRESENCE else f"arrow_cast(NULL, '{NULLS[function]}')"
    if function in _OF_PRESENCE:
        return f'"{known.column}" IS NOT NULL'
    pattern = _EXPRESSIONS.get((function, known.kind))
    return None if pattern is None else pattern.format(known.column)

"""Statements that ask what there is to ask: `SHOW COLUMNS FROM records`, `DESCRIBE records`, `SHOW TABLES`, as queries of `information_schema`."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Final

from massgen_tracing.errors import QueryError, one_of
from massgen_tracing.store.sql.tokens import Token, position
from massgen_tracing.store.tables import metrics, records

NAME: Final = "information_schema"
TABLES: Final = (records.TABLE, records.TABLE_ALL, metrics.TABLE)

_SHOWN: Final = "table_catalog, table_schema, table_name, column_name, data_type, is_nullable, description"
_DESCRIBED: Final = "column_name, data_type, is_nullable, description"
_COLUMNS_OF: Final = "SELECT {} FROM information_schema.columns WHERE table_name = '{}' ORDER BY ordinal_position"
_ALL_TABLES: Final = "SELECT table_catalog, table_schema, table_name, table_type FROM information_schema.tables"

ALL_COLUMNS: Final = "SELECT table_name, column_name, data_type, is_nullable, description FROM information_schema.columns"
"""Every column of every table."""


def query(sql: str, tokens: Sequence[Token]) -> str | None:
    """The query that a statement stands for; None where it is another kind of statement.

    Raises:
        QueryError: if it asks for a table that there is not.
    """
    match [token.word for token in tokens]:
        case ["SHOW", "TABLES"]:
            return _ALL_TABLES
        case ["SHOW", "COLUMNS" | "FIELDS", "FROM" | "IN", *_]:
            return _columns(sql, _SHOWN, tokens[3:])
        case ["SHOW", "FULL" | "EXTENDED", "COLUMNS" | "FIELDS", "FROM" | "IN", *_]:
            return _columns(sql, "*", tokens[4:])
        case ["DESCRIBE" | "DESC", "TABLE", _, *_]:
            return _columns(sql, _DESCRIBED, tokens[2:])
        case ["DESCRIBE" | "DESC", *_]:
            return _columns(sql, _DESCRIBED, tokens[1:])
    return None


def _columns(sql: str, shown: str, named: Sequence[Token]) -> str | None:
    """The query for the columns of a table; None where it is not one name."""
    if [token.word for token in named[:2]] == ["PUBLIC", "."]:
        named = named[2:]
    if len(named) != 1 or not named[0].is_name:
        return None
    name = named[0].text.lower()
    if name not in TABLES:
        near = difflib.get_close_matches(name, TABLES, 1)
        raise QueryError(
            f"There is no table {named[0].text} ({position(sql, named[0].start)})",
            expected=one_of(TABLES),
            hint=f"Perhaps you mean {near[0]}" if near else None,
        )
    return _COLUMNS_OF.format(shown, name)

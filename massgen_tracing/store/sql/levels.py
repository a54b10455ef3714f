"""Which names in a statement mean the column `level`, through subqueries, WITH and renaming.

Only a statement with several SELECTs needs this; only then is the parser loaded, which takes longer than most queries.
"""

from __future__ import annotations

from typing import Any, Final

from massgen_tracing import semconv
from massgen_tracing.store.tables import records

COLUMN: Final = "level"

NAMES: Final = semconv.LEVELS | {"warning": semconv.LEVELS["warn"]}
"""What a statement may call a level; Python's own logging says `warning`, and so may whoever calls Logfire."""


def places(sql: str) -> frozenset[int] | None:
    """Where the names stand (the offset of each one's first character) that mean the level of a record.

    None where the statement cannot be told: the parser's SQL is not quite the engine's. Then every `level` is taken for the column.
    """
    import sqlglot
    from sqlglot.optimizer.scope import traverse_scope

    try:
        found = [(scope, column) for scope in traverse_scope(sqlglot.parse_one(sql, read="postgres")) for column in scope.columns]
    except Exception:  # noqa: BLE001 - a parser of another kind of SQL may fail as it likes, its depth included
        return None
    try:
        return frozenset(column.this.meta["start"] for scope, column in found if "start" in column.this.meta and _is_level(scope, column))
    except RecursionError:  # WITH RECURSIVE
        return None


def _is_level(scope: Any, column: Any) -> bool:
    """Whether a column is the level of a record; *scope* is where its name is looked up first."""
    name = column.name if column.this.quoted else column.name.lower()
    qualifier = column.table.lower()
    sources = [source for alias, source in scope.sources.items() if not qualifier or alias.lower() == qualifier]
    if (qualifier and sources) or any(_has(source, name) for source in sources):
        return any(_gives(source, name) for source in sources)
    # ORDER BY, HAVING and the like see what the SELECT has named; a correlated subquery sees what is around it.
    named = not qualifier and _selects(scope, name, column)
    return named or (scope.is_subquery and _is_level(scope.parent, column))


def _has(source: Any, name: str) -> bool:
    """Whether a table or a subquery has a column of a name; of tables, only `level` is of interest."""
    from sqlglot import exp

    if isinstance(source, exp.Table):
        return name == COLUMN
    return any(_name(each) == name or (each.is_star and any(_has(inner, name) for inner in source.sources.values())) for each in _list(source))


def _gives(source: Any, name: str) -> bool:
    """Whether a table or a subquery gives the level of a record under a name."""
    from sqlglot import exp

    if isinstance(source, exp.Table):
        return source.name.lower() in {records.TABLE, records.TABLE_ALL} and name == COLUMN
    return _selects(source, name)


def _selects(scope: Any, name: str, asking: Any = None) -> bool:
    """Whether a SELECT gives the level of a record under a name; *asking* is the column that wants to know."""
    if scope.set_operation_scopes:
        return _selects(scope.set_operation_scopes[0], name)
    for each in _list(scope):
        inner = each.unalias()
        if inner.key in {"max", "min"}:
            inner = inner.this
        if each.is_star and any(_gives(source, name) for source in scope.sources.values()):
            return True
        if _name(each) == name and inner.key == "column" and inner is not asking:
            return _is_level(scope, inner)
    return False


def _list(scope: Any) -> list[Any]:
    return list(getattr(scope.expression, "selects", ()))


def _name(select: Any) -> str:
    named = select.args.get("alias") or select.this
    return str(select.alias_or_name if getattr(named, "quoted", False) else select.alias_or_name.lower())

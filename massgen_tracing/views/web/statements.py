"""SQL from a page: one statement and its answer, the queries and dashboards at hand, and the words that complete a statement."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from massgen_tracing import store
from massgen_tracing.errors import QueryError
from massgen_tracing.store.tables import records
from massgen_tracing.views import dashboards, formats

MOST_ROWS: Final = 10_000
_TIMEOUT_SECONDS: Final = 60.0
_EXACT: Final = 2**53
"""Greater whole numbers are texts in JSON: a browser has no number for them."""


def answer(root: str, asked: Mapping[str, Any]) -> dict[str, Any]:
    """What a statement answers.

    Args:
        root: what is asked.
        asked: `sql` or the name of a `query`; `trace` for statements about one; `params`; `since` (ISO 8601); `limit`.

    Raises:
        QueryError: if the statement is refused, fails or takes too long, or *asked* is not understood.
        RecordingError: if there is nothing to ask.
    """
    name, trace, since, params, limit = (asked.get(key) for key in ("query", "trace", "since", "params", "limit"))
    sql = dashboards.statement(name) if isinstance(name, str) else asked.get("sql")
    if not isinstance(sql, str) or not sql.strip():
        raise QueryError("There is no statement", expected='{"sql": "SELECT …"} or {"query": "the name of one"}', got=sql)
    if not isinstance(params, dict | None) or not isinstance(limit, int | None) or not isinstance(trace, str | None):
        raise QueryError("The question is not understood", expected="params as an object, limit as a whole number, trace as a text")
    statement = dashboards.about(sql, root, trace or None)
    result = store.query(
        statement,
        root,
        params={key: value for key, value in (params or {}).items() if f"${key}" in statement},
        min_timestamp=_moment(since),
        limit=max(1, min(MOST_ROWS if limit is None else limit, MOST_ROWS)),
        timeout=_TIMEOUT_SECONDS,
    )
    return {
        "columns": [
            {
                "name": column.name,
                "type": str(column.type),
                "numeric": column.name in result.numeric_columns,
                "json": column.name in result.json_columns or column.name in records.JSON_TEXTS,
            }
            for column in result.table.schema
        ],
        "rows": [[_value(item) for item in row] for row in zip(*(column.to_pylist() for column in result.table.columns), strict=True)],
        "cut": result.cut or None,
        "limit": result.limit,
        "seconds": result.seconds,
        "skipped": result.report.sentence or None,
    }


def _moment(since: object) -> datetime | None:
    if since is None:
        return None
    try:
        return datetime.fromisoformat(str(since))
    except ValueError:
        raise QueryError("The time is not understood", expected="ISO 8601", got=since) from None


def _value(item: Any) -> Any:
    said = formats.value(item)
    return str(said) if isinstance(said, int) and not isinstance(said, bool) and abs(said) > _EXACT else said


def at_hand() -> dict[str, Any]:
    """The queries that come with the package, and the words of a statement."""
    from massgen_tracing.store.sql import words

    return {
        "queries": [
            {"name": each.name, "about": each.about, "sql": each.sql, "params": list(each.params), "trace": dashboards.TRACE in each.sql}
            for each in dashboards.queries()
        ],
        "placeholder": dashboards.TRACE,
        "tables": words.TABLES,
        "functions": words.FUNCTIONS,
        "keys": words.KEYS,
    }

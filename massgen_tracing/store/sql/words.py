"""The words of a statement, for those who complete or list them: tables and columns, functions, documented attribute keys.

Loads Arrow and not the engine.
"""

from __future__ import annotations

from typing import Final

from massgen_tracing import semconv
from massgen_tracing.store.tables import metrics, records

TABLES: Final[dict[str, dict[str, str]]] = {
    name: {field.name: str(field.type) if field.type.num_fields < 2 else "struct" for field in schema}
    for name, schema in ((records.TABLE, records.SCHEMA), (records.TABLE_ALL, records.SCHEMA), (metrics.TABLE, metrics.SCHEMA))
}
"""The columns of each table, with their types."""

FUNCTIONS: Final = (
    *("json_as_text", "json_contains", "json_get", "json_get_array", "json_get_bool", "json_get_float", "json_get_int", "json_get_json"),
    *("json_get_str", "json_length", "json_object_keys", "level_name", "level_num", "time_bucket"),
    *("metric_avg", "metric_count", "metric_increase", "metric_max", "metric_merge", "metric_min", "metric_quantile", "metric_rate", "metric_sum"),
    *(
        "abs",
        "approx_distinct",
        "approx_percentile_cont",
        "array_agg",
        "array_has",
        "array_length",
        "avg",
        "coalesce",
        "concat",
        "count",
        "date_bin",
        "date_trunc",
    ),
    *("extract", "first_value", "generate_series", "lag", "last_value", "lead", "length", "lower", "max", "median", "min", "now", "nullif", "rank"),
    *("regexp_like", "regexp_replace", "replace", "round", "row_number", "split_part", "starts_with", "string_agg", "substr", "sum", "to_char"),
    *("trim", "unnest", "upper"),
)
"""Functions that Logfire adds, and those of the engine that questions about runs need most; it has more."""

KEYWORDS: Final = (
    *("SELECT", "DISTINCT", "FROM", "WHERE", "GROUP BY", "HAVING", "ORDER BY", "LIMIT", "OFFSET", "WITH", "AS", "AND", "OR", "NOT", "IN", "LIKE"),
    *("ILIKE", "BETWEEN", "IS NULL", "IS NOT NULL", "CASE", "WHEN", "THEN", "ELSE", "END", "JOIN", "LEFT JOIN", "ON", "USING", "UNION ALL"),
    *("DESC", "ASC", "NULLS LAST", "OVER", "PARTITION BY", "FILTER", "WITHIN GROUP", "INTERVAL", "true", "false"),
)

KEYS: Final = tuple(
    sorted(
        value
        for name, value in vars(semconv).items()
        if name.isupper()
        and isinstance(value, str)
        and value.startswith(("massgen.", "gen_ai.", "mcp.", "operation.", "error.", "server.", "network."))
    )
)
"""Keys of `attributes`."""

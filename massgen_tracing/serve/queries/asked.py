"""What a client asks: a statement, a window of time, how many rows, and in which form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from massgen_tracing.serve.queries.problems import Problem, wrong
from massgen_tracing.store.terms import UTC as UTC_ZONE
from massgen_tracing.store.terms import ZONES, is_zone

MOST_ROWS: Final = 10_000
"""Logfire's most."""

DEFAULT_ROWS: Final = 100
DEFAULT_ROWS_V1: Final = 500
_TRUE: Final = frozenset({"true", "1", "yes", "on"})
_FALSE: Final = frozenset({"false", "0", "no", "off", ""})


@dataclass(frozen=True, slots=True)
class Asked:
    """A question.

    Attributes:
        sql: one SELECT.
        min_timestamp, max_timestamp: only what started between them.
        limit: rows at most.
        environments: only rows of these deployment environments, an empty text for rows without any; None for all.
        timezone: the zone in which times are told.
        explain: whether the engine's plans are told.
        with_schema: whether JSON has the columns' types.
        by_row: of the first version, whether JSON is an object a row.
    """

    sql: str
    min_timestamp: datetime | None
    max_timestamp: datetime | None
    limit: int
    environments: tuple[str, ...] | None = None
    timezone: str = UTC_ZONE
    explain: bool = False
    with_schema: bool = True
    by_row: bool = True


class _Said:
    """The parameters of a request, and what is wrong with them."""

    def __init__(self, place: str, said: Mapping[str, Any]) -> None:
        self._place = place
        self._said = said
        self.problems: list[dict[str, Any]] = []

    def _wrong(self, name: str, kind: str, message: str) -> None:
        self.problems.append(wrong((self._place, name), kind, message, self._said.get(name)))

    def text(self, name: str) -> str:
        """A text that has to be there."""
        value = self._said.get(name)
        if value is None:
            self._wrong(name, "missing", "Field required")
        elif not isinstance(value, str):
            self._wrong(name, "string_type", "Input should be a valid string")
        else:
            return value
        return ""

    def time(self, name: str, *, required: bool = False) -> datetime | None:
        """A time of ISO 8601; one without a zone is UTC."""
        value = self._said.get(name)
        if value is None:
            if required:
                self._wrong(name, "missing", "Field required: only what started since then is asked")
            return None
        try:
            moment = datetime.fromisoformat(value.replace(" ", "+") if value.count(" ") == 1 and "T" in value else value)
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        except (ValueError, OverflowError, AttributeError, TypeError):
            self._wrong(name, "datetime_from_date_parsing", "Input should be a time of ISO 8601, such as 2026-01-31T12:00:00Z")
            return None

    def rows(self, name: str, default: int) -> int:
        """A number of rows."""
        value = self._said.get(name)
        if value is None:
            return default
        if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 20:
            value = int(value)
        if type(value) is not int or not 1 <= value <= MOST_ROWS:
            self._wrong(name, "int_range", f"Input should be a whole number from 1 to {MOST_ROWS:,}")
            return default
        return value

    def flag(self, name: str, *, default: bool) -> bool:
        """Whether something is so."""
        value = self._said.get(name)
        if value is None or isinstance(value, bool):
            return default if value is None else value
        word = str(value).lower()
        if word not in _TRUE | _FALSE:
            self._wrong(name, "bool_parsing", "Input should be true or false")
        return word in _TRUE

    def texts(self, name: str) -> tuple[str, ...] | None:
        """A list of texts."""
        value = self._said.get(name)
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self._wrong(name, "list_type", "Input should be a list of texts")
            return None
        return tuple(value)

    def zone(self, name: str) -> str:
        """A time zone."""
        value = self._said.get(name)
        if value is None:
            return UTC_ZONE
        if isinstance(value, str) and is_zone(value):
            return value
        self._wrong(name, "timezone", f"Input should be {ZONES}")
        return UTC_ZONE

    def checked(self, asked: Asked) -> Asked:
        """The question, if nothing is wrong with it.

        Raises:
            Problem: if something is.
        """
        if self.problems:
            raise Problem(422, self.problems)
        return asked


def of_body(body: bytes) -> Asked:
    """A question of the second version: a JSON object.

    Raises:
        Problem: if it is none.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Problem(422, [wrong(("body",), "json_invalid", f"The body should be JSON: {error}")]) from None
    if not isinstance(document, dict):
        raise Problem(422, [wrong(("body",), "dict_type", "The body should be a JSON object, with sql and min_timestamp")])
    said = _Said("body", document)
    return said.checked(
        Asked(
            said.text("sql"),
            said.time("min_timestamp", required=True),
            said.time("max_timestamp"),
            said.rows("limit", DEFAULT_ROWS),
            said.texts("deployment_environment"),
            said.zone("timezone"),
            said.flag("explain", default=False),
            said.flag("include_schema", default=True),
        )
    )


def of_query(parameters: Mapping[str, str]) -> Asked:
    """A question of the first version: parameters of a query.

    Raises:
        Problem: if it is none.
    """
    said = _Said("query", parameters)
    by_row = said.flag("json_rows", default=said.flag("row_oriented", default=False))
    return said.checked(
        Asked(said.text("sql"), said.time("min_timestamp"), said.time("max_timestamp"), said.rows("limit", DEFAULT_ROWS_V1), by_row=by_row)
    )

"""What a query may be given, and what holds where it is not."""

from __future__ import annotations

import os
import re
import zoneinfo
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from massgen_tracing.errors import QueryError

Value = str | int | float | bool | list[str] | list[int] | list[float] | None
"""What a parameter of a statement can be."""

DEFAULT_LIMIT: Final = 10_000
"""Rows of an answer, unless another number is asked for; Logfire's most."""

DEFAULT_MAX_BYTES: Final = 2**28
"""Bytes of an answer, unless another number is asked for."""

DEFAULT_TIMEOUT: Final = 60.0
"""Seconds."""

UTC: Final = "UTC"
"""The zone in which times are told, unless another one is asked for."""

ZONES: Final = "a name of the IANA database, such as 'Europe/Paris', or an offset ±HH:MM of at most 14 hours, such as '+02:00'"
"""What a time zone can be."""

# Other ways to write an offset are not known to the engine, to Arrow and to Python alike.
_OFFSET: Final = re.compile(r"[+-](?:0[0-9]|1[0-3]):[0-5][0-9]|[+-]14:00")
_OF_THIS_MACHINE: Final = frozenset({"localtime", "Factory"})
"""Files beside the zones of the database, which are none."""


def is_zone(name: str) -> bool:
    """Whether a time zone is one of `ZONES` that is known here."""
    return name == UTC or _OFFSET.fullmatch(name) is not None or name in _names()


@lru_cache(maxsize=1)
def _names() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones()) - _OF_THIS_MACHINE


@dataclass(frozen=True, slots=True)
class ClickHouse:
    """Where the Collector's exporter has written spans into ClickHouse.

    Attributes:
        url: ClickHouse's HTTP interface, such as `http://localhost:8123`.
        user, password: who asks.
        database, table: the exporter's table of spans.
    """

    url: str = "http://localhost:8123"
    user: str = "default"
    password: str = field(default="", repr=False)
    database: str = "otel"
    table: str = "otel_traces"

    @classmethod
    def named(cls, url: str | None = None) -> ClickHouse:
        """The one that a URL names, and the variables that ClickHouse's own programs read: CLICKHOUSE_URL, CLICKHOUSE_USER, CLICKHOUSE_PASSWORD.

        Args:
            url: instead of CLICKHOUSE_URL; it may name a user and a password, a database as its path, and a table as `?table=`.

        Raises:
            QueryError: if it is no URL of HTTP.
        """
        own = cls()
        said = url or os.environ.get("CLICKHOUSE_URL") or own.url
        wrong = QueryError(
            "That is no address of ClickHouse's HTTP interface", expected="one such as http://localhost:8123", got=said.rpartition("@")[2]
        )
        try:
            parts = urlsplit(said)
            port = parts.port
        except ValueError:
            raise wrong from None
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise wrong
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        return cls(
            f"{parts.scheme}://{host}{f':{port}' if port else ''}",
            unquote(parts.username or "") or os.environ.get("CLICKHOUSE_USER") or own.user,
            unquote(parts.password or "") or os.environ.get("CLICKHOUSE_PASSWORD", ""),
            unquote(parts.path.strip("/")) or own.database,
            dict(parse_qsl(parts.query)).get("table", own.table),
        )

    @property
    def full_table(self) -> str:
        """Database and table."""
        return f"{self.database}.{self.table}"

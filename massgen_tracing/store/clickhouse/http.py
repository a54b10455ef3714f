"""One statement over ClickHouse's HTTP interface, answered as batches of Arrow; and what goes wrong, in our words."""

from __future__ import annotations

import contextlib
import http.client
import re
import ssl
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlencode, urlsplit

import pyarrow as pa

from massgen_tracing.errors import QueryError
from massgen_tracing.store.terms import ClickHouse

_CONNECT_SECONDS: Final = 5.0
_MOST_SAID: Final = 2000
_CODE: Final = re.compile(r"Code: (\d+)\. DB::(?:\w+::)*Exception: (.*)", re.DOTALL)

_UP: Final = "See that it is up and that the address is its HTTP interface (port 8123), which --url or CLICKHOUSE_URL names"
_WHO: Final = "CLICKHOUSE_USER and CLICKHOUSE_PASSWORD say who asks"
_TABLES: Final = (
    "The Collector's exporter or collector/clickhouse/schema.sql makes the table; --url http://host:8123/database?table=name, or CLICKHOUSE_URL,"
    " names another one"
)
_LESS: Final = "Ask for less: a time window, one trace_id, or names of spans"

_HINTS: Final = {
    **dict.fromkeys(("192", "193", "194", "516"), ("ClickHouse at {place} does not let the user {user!r} in", _WHO)),
    "497": ("ClickHouse at {place} does not let the user {user!r} read {table}", "Grant SELECT on the table, or say another user in CLICKHOUSE_USER"),
    **dict.fromkeys(("60", "81"), ("ClickHouse at {place} has no table {table}", _TABLES)),
    **dict.fromkeys(
        ("16", "47", "43", "386"),
        ("The table {table} in ClickHouse at {place} is not laid out as the Collector's exporter does it without `json`", _TABLES),
    ),
    **dict.fromkeys(("159", "160"), ("ClickHouse at {place} did not find the rows in time", _LESS)),
    **dict.fromkeys(("158", "241", "307", "396"), ("ClickHouse at {place} refuses to read so much", _LESS)),
}
"""What ClickHouse's codes say, and the next step."""

_READONLY: Final = "164"


def ask(place: ClickHouse, sql: str, seconds: float) -> Iterator[pa.RecordBatch]:
    """The rows of a statement.

    Args:
        place: where to ask.
        sql: one SELECT, in ClickHouse's own SQL, without FORMAT.
        seconds: how long the server may take, and how long it may say nothing.

    Raises:
        QueryError: if it cannot be reached, or refuses.
    """
    # Whoever may only read may set nothing either, and then goes without these.
    limits = {"max_execution_time": f"{seconds:.0f}", "cancel_http_readonly_queries_on_client_disconnect": "1"}
    for settings in (limits, {}):
        connection = _connection(place, seconds)
        try:
            response = _sent(connection, place, sql, settings, seconds)
            if response.status == http.client.OK:
                yield from _batches(response, place)
                return
            said = response.read(_MOST_SAID).decode("utf-8", "replace")
            code = response.getheader("X-ClickHouse-Exception-Code") or _code(said)
            if code != _READONLY or not settings:
                raise _refused(place, response, code, said)
        except (OSError, http.client.HTTPException) as error:
            raise _unreachable(place, error) from error
        finally:
            connection.close()


def _connection(place: ClickHouse, seconds: float) -> http.client.HTTPConnection:
    url = urlsplit(place.url)
    timeout = min(_CONNECT_SECONDS, seconds)
    if url.scheme == "https":
        return http.client.HTTPSConnection(url.hostname or "", url.port, timeout=timeout, context=ssl.create_default_context())
    return http.client.HTTPConnection(url.hostname or "", url.port, timeout=timeout)


def _sent(connection: http.client.HTTPConnection, place: ClickHouse, sql: str, settings: dict[str, str], seconds: float) -> http.client.HTTPResponse:
    connection.connect()
    connection.sock.settimeout(seconds)
    headers = {"X-ClickHouse-User": place.user, "X-ClickHouse-Key": place.password, "Content-Type": "text/plain; charset=utf-8"}
    connection.request("POST", f"/?{urlencode({'default_format': 'ArrowStream', **settings})}", sql.encode(), headers)
    return connection.getresponse()


def _batches(response: http.client.HTTPResponse, place: ClickHouse) -> Iterator[pa.RecordBatch]:
    """The batches; a statement that fails when some have come already ends in the middle of one, with the reason."""
    kept = _Kept(response)
    began = False
    try:
        with pa.ipc.open_stream(pa.PythonFile(kept, mode="r")) as stream:
            for batch in stream:
                began = True
                yield batch
    except (TimeoutError, ConnectionError):
        raise
    except (pa.ArrowException, EOFError, OSError, http.client.HTTPException) as error:  # Arrow's own are partly OSError
        with contextlib.suppress(OSError, http.client.HTTPException):
            kept.read(_MOST_SAID)
        said = kept.last.decode("utf-8", "replace")
        code = _code(said)
        if code:
            raise _refused(place, response, code, said) from error
        if began:
            raise QueryError(f"ClickHouse at {place.url} ended in the middle of its answer", hint="Ask again; its own log may say more") from error
        raise QueryError(f"What answers at {place.url} is not ClickHouse's HTTP interface ({_short(said)})", hint=_UP) from error


class _Kept:
    """A response that knows what was last read of it."""

    closed = False

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self._response = response
        self.last = b""

    def read(self, size: int) -> bytes:
        """As a file gives it: as many bytes as are asked for, less at the end only."""
        part = self._response.read(size)
        self.last = (self.last + part[-_MOST_SAID:])[-_MOST_SAID:]
        return part


def _code(said: str) -> str:
    found = _CODE.search(said)
    return found[1] if found else ""


def _refused(place: ClickHouse, response: http.client.HTTPResponse, code: str, said: str) -> QueryError:
    found = _CODE.search(said)
    reason = _short(found[2] if found else said)
    if code in _HINTS:
        problem, hint = _HINTS[code]
        return QueryError(f"{problem.format(place=place.url, user=place.user, table=place.full_table)} ({reason})", hint=hint)
    if code:
        return QueryError(f"ClickHouse at {place.url} refuses the statement ({reason})", hint="Its own log says more")
    location = response.getheader("Location")
    moved = f", and sends to {location}" if location else ""
    return QueryError(f"What answers at {place.url} is not ClickHouse's HTTP interface: it says {response.status}{moved}", hint=_UP)


def _unreachable(place: ClickHouse, error: Exception) -> QueryError:
    if isinstance(error, TimeoutError):
        return QueryError(f"ClickHouse at {place.url} did not answer in time", hint=_UP)
    return QueryError(f"ClickHouse at {place.url} cannot be reached ({getattr(error, 'strerror', None) or error or type(error).__name__})", hint=_UP)


def _short(said: str) -> str:
    line = " ".join(said.split())
    return line if len(line) <= 200 else line[:199] + "…"

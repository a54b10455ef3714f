"""Hosted Logfire, by its own query client and a read token."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

from massgen_tracing import semconv, settings
from massgen_tracing.errors import ConfigError, MissingPackageError, QueryError
from massgen_tracing.insight.analysis import Analysis
from massgen_tracing.insight.comparison import compare
from massgen_tracing.views import links
from massgen_tracing.views.mcp import backend, bounded, rows
from massgen_tracing.views.mcp.backend import Column, Opened, Rows
from massgen_tracing.views.mcp.kept import Kept
from massgen_tracing.views.report import compared
from massgen_tracing.views.report.subject import Subject

if TYPE_CHECKING:
    from logfire.query_client import LogfireQueryClient

TOKEN_VARIABLE: Final = "LOGFIRE_READ_TOKEN"  # noqa: S105 - a variable's name
BASE_URL_VARIABLE: Final = "LOGFIRE_BASE_URL"

_KEPT: Final = timedelta(days=30)
"""How long Logfire keeps spans, on its ordinary plans."""
_FRESH_SECONDS: Final = 60.0
"""How old at most is what is told of a run that has ended; Logfire limits requests by the minute."""
_USUAL_ROWS: Final = 100
_MOST_ROWS: Final = 10_000
_MOST_SPANS: Final = 50_000
_SAID: Final = 1_000
"""Characters of what Logfire says to a statement that it refuses."""
_WHOLE_ID: Final = 32
_ID: Final = re.compile(r"[0-9a-f]{6,32}")
_SPAN_ID: Final = re.compile(r"[0-9a-f]{16}")

_ROOTS: Final = """\
SELECT trace_id, span_id, span_name, kind, service_name, start_timestamp, duration, attributes->>'massgen.task' AS question,
    attributes->>'massgen.winner' AS winner, attributes->>'gen_ai.conversation.id' AS run
FROM records_all
WHERE parent_span_id IS NULL AND kind IN ('span', 'pending_span')
ORDER BY start_timestamp DESC, kind DESC
LIMIT {}"""
_TOTALS: Final = """\
SELECT trace_id, COUNT(*) AS spans, SUM(CASE WHEN level >= 17 THEN 1 ELSE 0 END) AS errors
FROM records
WHERE trace_id IN ({})
GROUP BY trace_id"""
_BEGINNING: Final = "SELECT DISTINCT trace_id FROM records_all WHERE trace_id LIKE '{}%' LIMIT 3"
_OF_RUN: Final = "SELECT DISTINCT trace_id FROM records_all WHERE attributes->>'gen_ai.conversation.id' = '{}' LIMIT 3"
_OF_SPAN: Final = "SELECT DISTINCT trace_id FROM records_all WHERE span_id = '{}' LIMIT 3"
_SPANS: Final = """\
SELECT {}
FROM records_all
WHERE trace_id = '{}' AND kind IN ('span', 'log', 'pending_span')
ORDER BY start_timestamp, span_id, kind
LIMIT {} OFFSET {}"""

_Answer = TypeVar("_Answer")


def connected() -> Hosted:
    """Logfire, as the environment says.

    Raises:
        ConfigError: if there is no read token.
        MissingPackageError: if Logfire's client has not what it needs.
    """
    token = os.environ.get(TOKEN_VARIABLE)
    if not token:
        raise ConfigError(
            f"{TOKEN_VARIABLE} is not set",
            expected="a read token of the Logfire project",
            hint="Make one under Settings, Read tokens of the project, or with `logfire read-tokens --project ORGANIZATION/PROJECT create`",
        )
    try:
        from logfire.query_client import LogfireQueryClient
    except ImportError:
        raise MissingPackageError("Logfire's query client", "httpx", extra="mcp") from None
    return Hosted(LogfireQueryClient(token, base_url=os.environ.get(BASE_URL_VARIABLE) or None))


@dataclass(frozen=True, slots=True)
class Hosted:
    """Logfire.

    Attributes:
        client: its query client, for one project.
        kept: runs that were asked for last.
    """

    client: LogfireQueryClient
    default_minutes: int | None = 30
    is_elsewhere: bool = True
    kept: Kept = field(default_factory=Kept)

    def ask(self, sql: str, *, limit: int | None, since: datetime | None, until: datetime | None) -> Rows:
        since = since if since is not None else datetime.now(UTC) - _KEPT
        found = _answered(lambda: self.client.query_json_rows(sql, min_timestamp=since, max_timestamp=until, limit=limit))["rows"]
        looked = f"Logfire was asked for what started since {since.isoformat(timespec='seconds')}" + (
            f" and until {until.isoformat(timespec='seconds')}" if until is not None else ""
        )
        # Nothing in its answer says whether it was cut.
        return Rows(found, len(found) == (limit or _USUAL_ROWS), (looked,))

    def schema(self) -> Mapping[str, Sequence[Column]]:
        response = _answered(lambda: self.client.client.get("/v1/schemas"))
        _answered(lambda: self.client.handle_response_errors(response))
        return backend.columns(response.json())

    def link(self, trace_id: str) -> tuple[str, str]:
        project = _answered(self.client.info)
        return links.of_project(f"{self.client.base_url.rstrip('/')}/{project['organization_name']}/{project['project_name']}", trace_id), ""

    def runs(self, limit: int, offset: int) -> tuple[Sequence[Mapping[str, Any]], bool]:
        # A root that has ended is there twice: its start, and itself.
        most = min(2 * (limit + offset) + 1, _MOST_ROWS)
        roots: dict[tuple[str, str], Mapping[str, Any]] = {}
        for row in self._rows(_ROOTS.format(most), most):
            key = row["trace_id"], row["span_id"]
            if key not in roots or row["kind"] == "span":
                roots[key] = row
        known = list(roots.values())
        shown = known[offset : offset + limit]
        ids = ", ".join(f"'{row['trace_id']}'" for row in shown)
        totals = {row["trace_id"]: row for row in self._rows(_TOTALS.format(ids), _MOST_ROWS)} if shown else {}
        return [_listed(row, totals.get(row["trace_id"])) for row in shown], len(known) > offset + limit

    def open(self, run: str | None) -> Opened:
        trace_id = self._trace(run)
        # Nothing tells whether Logfire has got more of it.
        return self.kept.get(trace_id, int(time.monotonic() / _FRESH_SECONDS), lambda: self._opened(trace_id))

    def _opened(self, trace_id: str) -> Opened:
        found: list[Mapping[str, Any]] = []
        for offset in range(0, _MOST_SPANS, _MOST_ROWS):
            page = self._rows(_SPANS.format(rows.COLUMNS, trace_id, _MOST_ROWS, offset), _MOST_ROWS)
            found += page
            if len(page) < _MOST_ROWS:
                break
        if not found:
            raise QueryError("Logfire has nothing of that trace of the last 30 days", got=trace_id, hint="run_list has the runs that there are")
        notes = [f"Only its first {len(found):,} rows were read"] if len(found) == _MOST_SPANS else []
        analysis = Analysis(rows.spans(found), settings.thresholds())
        return Opened(Subject(f"trace {trace_id}", "", None, None, 0, (), analysis, datetime.now(UTC)), tuple(notes))

    def compare(self, first: str, second: str) -> Mapping[str, Any]:
        one, other = self.open(first).subject, self.open(second).subject
        return compared.document(one, other, compare(one.analysis, other.analysis))

    def traces_of(self, span_id: str) -> Sequence[str]:
        return [row["trace_id"] for row in self._rows(_OF_SPAN.format(span_id), 3)] if _SPAN_ID.fullmatch(span_id) else []

    def _rows(self, sql: str, limit: int) -> Sequence[Mapping[str, Any]]:
        return self.ask(sql, limit=limit, since=None, until=None).rows

    def _trace(self, run: str | None) -> str:
        """The id of the trace that a run's name, or the first digits of its id, mean; None: of the newest.

        Raises:
            QueryError: if there is none, or more than one.
        """
        if run is None:
            newest, _ = self.runs(1, 0)
            if not newest:
                raise QueryError("Logfire has no run of the last 30 days", hint="Send one with `massgen-tracing push`")
            return str(newest[0]["trace_id"])
        digits = run.lower().removeprefix("trace ")
        if _ID.fullmatch(digits) and len(digits) == _WHOLE_ID:
            return digits
        statement = _BEGINNING.format(digits) if _ID.fullmatch(digits) else _OF_RUN.format(run.replace("'", "''"))
        found = [row["trace_id"] for row in self._rows(statement, 3)]
        if len(found) != 1:
            problem = f"{len(found)} traces are meant by that" if found else "Logfire has no such run of the last 30 days"
            hint = f"Name one of {', '.join(found)}" if found else "run_list has those that there are"
            raise QueryError(problem, expected="a run's name, or at least six digits of its trace's id", got=run, hint=hint)
        return str(found[0])


def _listed(row: Mapping[str, Any], totals: Mapping[str, Any] | None) -> dict[str, Any]:
    """A run for programs; what is not known is null."""
    return {
        "run": row["run"] or row["trace_id"],
        "trace_id": row["trace_id"],
        "started": row["start_timestamp"],
        "state": "open" if row["kind"] == semconv.SPAN_TYPE_PENDING else "ended",
        "question": row["question"],
        "work": None if row["question"] else row["span_name"],
        "service": row["service_name"],
        "seconds": row["duration"],
        "winner": row["winner"],
        "spans": None if totals is None else totals["spans"],
        "errors": None if totals is None else totals["errors"],
    }


def _answered(ask: Callable[[], _Answer]) -> _Answer:
    """What Logfire answers.

    Raises:
        QueryError: if it refuses, or does not answer.
    """
    import httpx
    from logfire import query_client

    try:
        return ask()
    except query_client.QueryRateLimitedError as error:
        wait = 60 if error.retry_after is None else error.retry_after
        raise QueryError("Logfire's limit of requests is reached", hint=f"Wait {wait:.0f} s and ask again") from error
    except (query_client.QueryExecutionError, query_client.QueryRequestError) as error:
        raise QueryError(f"Logfire refuses the statement: {_said(error)}") from error
    except query_client.UnexpectedResponseError as error:
        hint = f"{TOKEN_VARIABLE} has to be a read token of the project, and {BASE_URL_VARIABLE}, where it is set, the address of its region"
        raise QueryError(f"Logfire does not answer as it should: {_said(error)}", hint=hint) from error
    except httpx.HTTPError as error:
        name = type(error).__name__
        raise QueryError(f"Logfire does not answer ({name}: {error})", hint=f"Check the network and {BASE_URL_VARIABLE}, or ask again") from error


def _said(error: Exception) -> str:
    """What Logfire says of it, in its own words."""
    said = error.args[0] if error.args else str(error)
    detail = said.get("detail", said) if isinstance(said, Mapping) else said
    return str(bounded.clipped(detail if isinstance(detail, str) else str(detail), _SAID))

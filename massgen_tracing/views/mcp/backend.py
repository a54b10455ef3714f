"""Who is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from massgen_tracing.views.report.subject import Subject


@dataclass(frozen=True, slots=True)
class Rows:
    """What a statement is answered with.

    Attributes:
        rows: in JSON's types.
        more: whether there are more than were asked for, or may be.
        notes: what is to be known of them, in our own words.
    """

    rows: Sequence[Mapping[str, Any]]
    more: bool
    notes: tuple[str, ...] = ()


class Column(NamedTuple):
    """A column of a table: its type, whether it may be NULL, what it means."""

    name: str
    type: str
    nullable: bool
    meaning: str


@dataclass(frozen=True, slots=True)
class Opened:
    """A run that was asked for.

    Attributes:
        subject: what it is, and what is computed of it.
        notes: what is to be known of it, in our own words: what could not be read, say.
    """

    subject: Subject
    notes: tuple[str, ...] = ()


class Backend(Protocol):
    """Where spans are."""

    @property
    def default_minutes(self) -> int | None:
        """How far back statements look where nothing else is asked for; None: at everything."""

    @property
    def is_elsewhere(self) -> bool:
        """Whether it is on another machine."""

    def ask(self, sql: str, *, limit: int | None, since: datetime | None, until: datetime | None) -> Rows:
        """Ask one statement, for so many rows at most, or as many as usual; a QueryError says what is wrong with it."""

    def schema(self) -> Mapping[str, Sequence[Column]]:
        """The columns of each table."""

    def link(self, trace_id: str) -> tuple[str, str]:
        """Where a person can look at a trace, and what has to be done before; empty for nothing."""

    def runs(self, limit: int, offset: int) -> tuple[Sequence[Mapping[str, Any]], bool]:
        """The runs, the newest first, and whether there are more."""

    def open(self, run: str | None) -> Opened:
        """A run, by its name or the first digits of its trace's id, or `RUN:N` for its question N; None: the newest."""

    def compare(self, first: str, second: str) -> Mapping[str, Any]:
        """Two of them side by side."""

    def traces_of(self, span_id: str) -> Sequence[str]:
        """The traces that have a span of that id, the first of them: none where nobody knows it."""


def columns(schemas: Mapping[str, Any]) -> dict[str, list[Column]]:
    """The columns of each table, as `GET /v1/schemas` of Logfire's API says them."""
    return {
        table["name"]: [
            Column(name, said["data_type"], said.get("nullable", True), said.get("description", "").strip()) for name, said in table["schema"].items()
        ]
        for table in schemas.get("tables", [])
    }

"""Recordings on this machine."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from massgen_tracing import settings, store
from massgen_tracing.errors import RecordingError
from massgen_tracing.insight.analysis import Analysis
from massgen_tracing.insight.comparison import compare
from massgen_tracing.insight.summary import Summary, summarise
from massgen_tracing.store.roots import catalogue, reader
from massgen_tracing.store.roots.contents import Wanted
from massgen_tracing.store.sql import schema
from massgen_tracing.views import comparing, formats, hints, links, listed, wanted
from massgen_tracing.views.mcp.backend import Column, Opened, Rows
from massgen_tracing.views.report import analysed
from massgen_tracing.views.report.subject import Subject

_SERVED: Final = "http://127.0.0.1:4318/local/massgen"
"""Where `massgen-tracing serve` shows traces, unless it is told otherwise."""
_ROWS: Final = 100
"""Rows of an answer, unless others are asked for; Logfire's own number."""


@dataclass(frozen=True, slots=True)
class Local:
    """Recordings.

    Attributes:
        root: where they are: a root, a run's directory, any directory of recordings, a file of OTLP.
        page: the address of the pages that show traces, organization and project included; empty where that is not known.
    """

    root: str
    page: str = ""
    default_minutes: int | None = None
    is_elsewhere: bool = False

    def ask(self, sql: str, *, limit: int | None, since: datetime | None, until: datetime | None) -> Rows:
        result = store.query(sql, self.root, limit=limit or _ROWS, min_timestamp=since, max_timestamp=until)
        notes = [result.report.sentence] if result.report.sentence else []
        if "attributes" in sql.lower() and hints.is_odd(result):
            notes += hints.unknown_keys(sql, partial(store.query, root=self.root))
        return Rows(list(formats.objects(result, expand=True)), result.truncated, tuple(notes))

    def schema(self) -> Mapping[str, Sequence[Column]]:
        tables: dict[str, list[Column]] = {}
        for row in store.query(schema.ALL_COLUMNS, self.root).rows:
            column = Column(row["column_name"], row["data_type"], row["is_nullable"] == "YES", row["description"] or "")
            tables.setdefault(row["table_name"], []).append(column)
        return tables

    def link(self, trace_id: str) -> str:
        if self.page:
            return links.of_project(self.page, trace_id)
        files = catalogue.files_with(Path(self.root), Wanted(traces=(trace_id,)))
        at_logfire = [link.url for link in links.links(trace_id, files) if link.kind == "logfire" and link.url is not None]
        return at_logfire[0] if at_logfire else links.of_project(os.environ.get(links.PROJECT_VARIABLE) or _SERVED, trace_id)

    def runs(self, limit: int, offset: int) -> tuple[Sequence[Mapping[str, Any]], bool]:
        found = listed.newest_first(catalogue.listed(self.root))
        shown = list(itertools.islice(found, offset, offset + limit))
        return [listed.document(item, _summary(item.run)) for item in shown], next(found, None) is not None

    def open(self, run: str | None) -> Opened:
        turn = None if run is None else comparing.turn_named(self.root, run)
        if turn is not None:
            found = analysed.find(self.root, *turn)
            return Opened(analysed.subject(found, compare=False), _notes(found.recording.report.sentence))
        title, recording = wanted.named(self.root, run)
        analysis = Analysis(recording.spans, settings.thresholds())
        return Opened(Subject(title, self.root, None, None, 0, (), analysis, datetime.now(UTC)), _notes(recording.report.sentence))

    def compare(self, first: str, second: str) -> Mapping[str, Any]:
        one, other = comparing.subject(self.root, first), comparing.subject(self.root, second)
        return comparing.document(one, other, compare(one.analysis, other.analysis, other.analysis.earlier))

    def traces_of(self, span_id: str) -> Sequence[str]:
        found = store.query("SELECT DISTINCT trace_id FROM records_all WHERE span_id = $id LIMIT 3", self.root, params={"id": span_id})
        return [row["trace_id"] for row in found.rows]


def _notes(sentence: str) -> tuple[str, ...]:
    return (f"The reader {sentence}",) if sentence else ()


def _summary(run: catalogue.Run) -> Summary | None:
    """The totals of a run; None where nothing was recorded, or cannot be read."""
    try:
        spans = reader.read(run.files()).spans
    except RecordingError:
        return None
    return summarise(spans) if spans else None

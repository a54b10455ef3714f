"""Recordings on this machine."""

from __future__ import annotations

import itertools
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from massgen_tracing import settings, store
from massgen_tracing.errors import QueryError, RecordingError
from massgen_tracing.insight.analysis import Analysis
from massgen_tracing.insight.comparison import compare
from massgen_tracing.store.reading.report import Report
from massgen_tracing.store.roots import catalogue, lookup, reader
from massgen_tracing.views import formats, hints, links, listing, text, wanted
from massgen_tracing.views.mcp import backend
from massgen_tracing.views.mcp.backend import Column, Opened, Rows
from massgen_tracing.views.mcp.kept import Kept, of_files
from massgen_tracing.views.report import analysed, compared
from massgen_tracing.views.report.subject import Subject

_HINT: Final = re.compile(r"no span has the attribute [\w./:-]{1,100}(; did you mean [\w./:-]{1,100}\?)?")
"""What is said of keys that look like keys; others may be meant to be read as sentences."""
_MOST_BYTES: Final = 2**29
"""Of a run's recordings: about 250,000 spans."""
_SEALED: Final = 16
"""How much smaller sealed recordings are, about."""
_MOST_ANSWER: Final = 2**23
"""Bytes of rows; the answer that is made of them has far fewer."""
_TURN: Final = re.compile(r"(.+):(\d+)")
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
        kept: runs that were asked for last.
    """

    root: str
    page: str = ""
    kept: Kept = field(default_factory=Kept)
    default_minutes: int | None = None
    is_elsewhere: bool = False

    def ask(self, sql: str, *, limit: int | None, since: datetime | None, until: datetime | None) -> Rows:
        result = store.query(sql, self.root, limit=limit or _ROWS, max_bytes=_MOST_ANSWER, min_timestamp=since, max_timestamp=until)
        unknown = hints.unknown_keys(sql, partial(store.query, root=self.root)) if "attributes" in sql.lower() and hints.is_odd(result) else []
        meant = [sentence for sentence in unknown if _HINT.fullmatch(sentence)]
        return Rows(list(formats.objects(result, expand=True)), result.truncated, (*_notes(result.report), *meant))

    def schema(self) -> Mapping[str, Sequence[Column]]:
        from massgen_tracing.store.tables import described

        return backend.columns(described.schemas())

    def link(self, trace_id: str) -> tuple[str, str]:
        if self.page:
            return links.of_project(self.page, trace_id), ""
        found = links.links(trace_id, lookup.files_of_trace(self.root, trace_id))
        at_logfire = [link.url for link in found if link.kind == "logfire" and link.url is not None]
        if at_logfire:
            return at_logfire[0], ""
        if project := os.environ.get(links.PROJECT_VARIABLE):
            return links.of_project(project, trace_id), ""
        start = f"massgen-tracing serve --root {shlex.quote(os.path.abspath(self.root))}"
        return links.of_project(_SERVED, trace_id), f"The page is there while this runs: {start}"

    def runs(self, limit: int, offset: int) -> tuple[Sequence[Mapping[str, Any]], bool]:
        _, found = listing.runs(self.root)
        shown = list(itertools.islice(found, offset, offset + limit))
        return [listing.document(item, listing.read(item.run, lambda _: None)) for item in shown], next(found, None) is not None

    def open(self, run: str | None) -> Opened:
        name, turn = self._named(run)
        if turn is not None:
            found = analysed.find(self.root, name, turn)
            return Opened(analysed.subject(found, compare=False), _notes(found.recording.report))
        located = wanted.locate(self.root, name)
        # Of the files that may have a trace, few have it.
        size = sum(map(_size, located.files)) if not located.trace or catalogue.is_whole(self.root) else 0
        if size > _MOST_BYTES:
            raise QueryError(
                f"{located.title} is too large to be read as a whole",
                expected=f"recordings of at most {_MOST_BYTES // 2**20:,} MiB",
                got=f"{size // 2**20:,} MiB",
                hint="Ask SQL of it (query_run), which reads what it needs",
            )
        return self.kept.get(located.title, of_files(located.files), lambda: self._opened(located), trace=located.trace)

    def _opened(self, located: wanted.Located) -> Opened:
        title, recording = wanted.checked(located)
        analysis = Analysis(recording.spans, settings.thresholds())
        return Opened(Subject(title, self.root, None, None, 0, located.files, analysis, datetime.now(UTC)), _notes(recording.report))

    def compare(self, first: str, second: str) -> Mapping[str, Any]:
        one, other = (analysed.subject(analysed.find(self.root, *self._named(each))) for each in (first, second))
        return compared.document(one, other, compare(one.analysis, other.analysis, other.analysis.earlier))

    def _named(self, run: str | None) -> tuple[str | None, int | None]:
        """What a name means below the root, and which of its questions: who asks is shown nothing that lies elsewhere.

        Raises:
            RecordingError: if it lies elsewhere.
        """
        if run is None:
            return None, None
        name, number = run, None
        try:
            if self._inside(run) is None and (turn := _TURN.fullmatch(run)) is not None:
                name, number = turn[1], int(turn[2])
            inside = self._inside(name)
            is_elsewhere = inside is None and (os.sep in name or lookup.place_named(self.root, name) is not None)
        except OSError:  # no file can have such a name
            is_elsewhere = True
        if is_elsewhere:
            expected = "a run's name or directory, a recording, or at least six digits of a trace's id"
            hint = "run_list has those that there are"
            raise RecordingError(f"There is no run of that name under {self.root}", expected=expected, got=run, hint=hint)
        return inside or name, number

    def _inside(self, run: str) -> str | None:
        """The path of a run or a recording that is named; None where it is not below the root."""
        root = Path(self.root).resolve()
        for place in (*lookup.places_of(root, run), Path(run)):
            if lookup.place_named(root, str(place)) is not None and place.resolve().is_relative_to(root):
                return str(place)
        return None

    def traces_of(self, span_id: str) -> Sequence[str]:
        found = store.query("SELECT DISTINCT trace_id FROM records_all WHERE span_id = $id LIMIT 3", self.root, params={"id": span_id})
        return [row["trace_id"] for row in found.rows]


def _size(file: Path) -> int:
    """How many bytes a recording has, or would have as lines."""
    try:
        return file.stat().st_size * (_SEALED if reader.is_columnar(file) else 1)
    except OSError:
        return 0


def _notes(report: Report) -> tuple[str, ...]:
    """How much could not be read. What it was is not said: why a line is none may quote it, and would stand among our own words."""
    unread = [text.count(many, what) for many, what in ((report.skipped, "line or record"), (len(report.lost), "recording")) if many]
    return (f"{' and '.join(unread)} could not be read; `massgen-tracing trace` says which",) if unread else ()

"""All files of one attempt, brought up to date with what is known of it: the same functions live and afterwards."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from operator import attrgetter
from typing import Final

from massgen_tracing import layout, semconv
from massgen_tracing.model import SpanRecord
from massgen_tracing.projection import artifacts
from massgen_tracing.projection.coordination import coordination_events, coordination_table
from massgen_tracing.projection.fold import Fold
from massgen_tracing.projection.journal import Journal
from massgen_tracing.projection.metrics import metrics_summary
from massgen_tracing.projection.state import Said
from massgen_tracing.projection.status import status
from massgen_tracing.projection.writer import ArtifactWriter

METRICS_FILE: Final = "metrics_summary.json"
EVENTS_FILE: Final = "coordination_events.json"
TABLE_FILE: Final = "coordination_table.txt"

_order: Final = attrgetter("start_ns", "span_id")
_LINKS: Final = (layout.STATUS_FILE, layout.FINAL_DIR, layout.MASSGEN_LOG)
"""What lies in the newest attempt's directory, and lay in the run's itself."""


def is_ours(session: SpanRecord) -> bool:
    """Whether the files of a session's directory are this package's to write: not where MassGen itself has run, which writes its own."""
    return not ({semconv.MASSGEN_VERSION, semconv.IMPORTED} & session.attributes.keys())


class RunFiles:
    """The files of one coordination.

    Args:
        run: where they go.
        links: whether the links in the run's directory are to lead to them.
        live: whether spans come while they happen; all of them are known already otherwise.

    Attributes:
        fold: what is known of it.
        writer: writes the files.
        behind: whether the last update has left files for the next one.
    """

    def __init__(self, run: layout.RunDirectory, *, links: bool = True, live: bool = True) -> None:
        self.writer = ArtifactWriter()
        self.behind = False
        self._run = run
        self._directory = run.attempt_dir
        self._links = links
        self._journal = Journal(self._directory, self.writer, live=live)
        self.fold = Fold(run.turn, run.attempt, self._journal.add)
        self._described = False
        self._presented: Said | None = None
        self._final: set[str] = set()
        self._kept: dict[str, Said] = {}
        self._agents = 0
        """How many were known when the first vote was written, which names all of them."""

    def relieve(self) -> None:
        """Write what would be kept in memory until then, where that is much."""
        if self.fold.state.span_id and self._journal.is_full:
            self._journal.flush()

    def update(self, now_ns: int, seconds: float = math.inf) -> None:
        """Bring up to date what is of use while the run goes on; `status.json` last, for it says that the others are there.

        Args:
            now_ns: in Unix nanoseconds.
            seconds: what the files that a run has many of may take; the rest of them is `behind` then, and comes with the next update. A program
                that is busy without a pause lets a thread have the interpreter a few hundred times a second, and each file needs it several times.
        """
        state = self.fold.state
        if not state.span_id:
            return
        self.behind = not self._journal.flush(time.monotonic() + seconds / 2)
        if not self._described:
            self._described = True
            self._write(artifacts.metadata(state))
        self._write_rounds()
        self.behind = not self.writer.catch_up(time.monotonic() + seconds / 2) or self.behind
        if state.final is not self._presented:
            self._presented = state.final
            self._write_final()
        self._write_status(now_ns)

    def finish(self) -> None:
        """Write all files as they are for good."""
        state = self.fold.state
        if not state.span_id:
            return
        self._journal.finish()
        self._write(artifacts.metadata(state))
        self._write_rounds()
        self.writer.catch_up()
        if self._agents not in {0, len(state.agents)}:
            self._write(*(artifacts.vote(state, said) for said in state.said() if said.voted_for))
        self._write_final()
        mappings = artifacts.snapshots(state)
        self._write(*(() if mappings is None else (mappings,)))
        directory = self._directory
        self.writer.write(directory / METRICS_FILE, metrics_summary(state))
        rows: list[bytes] = []
        self.writer.write_pieces(directory / EVENTS_FILE, coordination_events(state, self._journal.events(), rows.append))
        self.writer.write_pieces(directory / TABLE_FILE, coordination_table(state, rows))
        self._write_status(None)

    def _write_rounds(self) -> None:
        """Have written what has been said, and the traces of rounds that have ended; what is on its way is not kept."""
        state = self.fold.state
        due, self.fold.due = self.fold.due, []
        for agent, rnd, said in due:
            if said is None:
                trace = artifacts.round_trace(state, agent, rnd)
                rnd.detail = None
                self._write_later(*(() if trace is None else (trace,)))
            elif said.voted_for:
                self._agents = self._agents or len(state.agents)
                self._write_later(artifacts.vote(state, said))
            else:
                self._write_later(artifacts.answer(state, said))
                before = self._kept.get(agent.id)
                for older in (before, said):
                    if older is not None and older is not agent.answer:
                        older.text = ""
                self._kept[agent.id] = said

    def _write_final(self) -> None:
        """Write the final answer; one that somebody else has presented before it stands no more."""
        made = artifacts.final(self.fold.state)
        self._write(*made)
        paths = {artifact.path for artifact in made}
        for path in self._final - paths:
            with suppress(OSError):
                (self._directory / path).unlink()
                (self._directory / path).parent.rmdir()
        self._final = paths

    def _write_status(self, now_ns: int | None) -> None:
        self.writer.write(self._run.status, status(self.fold.state, now_ns), remember=True)
        for name in _LINKS if self._links else ():
            target = self._directory / name
            if target.exists():
                self.writer.link(self._run.log_dir / name, str(target.relative_to(self._run.log_dir)))

    def _write_later(self, *made: artifacts.Artifact) -> None:
        for artifact in made:
            self.writer.later(f"{self._directory}/{artifact.path}", artifact.content)

    def _write(self, *made: artifacts.Artifact) -> None:
        for artifact in made:
            self.writer.write(f"{self._directory}/{artifact.path}", artifact.content)


def rebuild(run: layout.RunDirectory, spans: Iterable[SpanRecord], *, links: bool = True) -> RunFiles | None:
    """Make the files of a run of its recording; None where they are not this package's to write, or where there is no session.

    Args:
        run: where they go.
        spans: what was recorded of it, in any order.
        links: whether it is the newest attempt.
    """
    ordered = sorted(spans, key=_order)
    session = _session(ordered)
    if session is None or not is_ours(session):
        return None
    until = session.end_ns
    mine = [span for span in _parents_first(ordered) if span is session or span.name != semconv.SESSION]
    files = RunFiles(run, links=links, live=False)
    files.fold.started(session)
    for span in mine:
        if span is not session and (until is None or span.start_ns <= until):
            files.fold.started(span)
    mine.reverse()  # a call within another one ends before it
    for span in sorted(mine, key=lambda span: (span is session, span.name.startswith(semconv.AGENT_PREFIX))):
        # What ended later than the run is in none of its files: when they were written, it had not.
        if span.end_ns is not None and (until is None or span.end_ns <= until):
            files.fold.ended(span)
    files.fold.state.interrupted = session.state == "interrupted"
    files.finish()
    return files


def _session(ordered: Sequence[SpanRecord]) -> SpanRecord | None:
    """The last coordination that is in no other one."""
    found: SpanRecord | None = None
    for span in ordered:
        if span.name == semconv.SESSION and (found is None or (found.end_ns is not None and span.start_ns >= found.end_ns)):
            found = span
    return found


def _parents_first(ordered: Sequence[SpanRecord]) -> list[SpanRecord]:
    """Spans by start time, but none before the one that it is in: clocks may have been set."""
    known = {span.span_id: span for span in ordered}
    placed: dict[str, SpanRecord] = {}
    for span in ordered:
        above = [span]
        while (parent := known.get(above[-1].parent_span_id)) is not None and parent.span_id not in placed and parent not in above:
            above.append(parent)
        for each in reversed(above):
            placed.setdefault(each.span_id, each)
    return list(placed.values())

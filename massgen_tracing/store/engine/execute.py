"""SQL over recordings: one query, read-only, with a deadline, a memory limit and a row limit.

The engine is DataFusion, which Logfire runs too. A query sees three tables, `records`, `records_all` and `metrics`, and nothing else: no
files, no catalogue, no settings.
"""

from __future__ import annotations

import bisect
import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import datafusion
import pyarrow as pa

from massgen_tracing import layout
from massgen_tracing.errors import QueryError, RecordingError
from massgen_tracing.store.engine import engines, first, limits, refusals, runs, zones
from massgen_tracing.store.engine.answer import Cut, Plan
from massgen_tracing.store.engine.damage import gone, of_storage, unreadable
from massgen_tracing.store.engine.first import First
from massgen_tracing.store.engine.sources import Sources, Window, choose
from massgen_tracing.store.engine.tables import tables
from massgen_tracing.store.reading.report import Report
from massgen_tracing.store.roots import catalogue, passing, segments
from massgen_tracing.store.roots.contents import Wanted
from massgen_tracing.store.roots.segments import Found
from massgen_tracing.store.sealing import segment
from massgen_tracing.store.sql import dialect, direct, functions, lengths, parameters, schema
from massgen_tracing.store.tables.meanings import RUN
from massgen_tracing.store.terms import DEFAULT_LIMIT, DEFAULT_MAX_BYTES, DEFAULT_TIMEOUT, UTC, ClickHouse, Value


def answer(
    sql: str,
    sources: Sequence[str],
    *,
    params: Mapping[str, Value],
    min_us: int | None,
    max_us: int | None,
    limit: int,
    max_bytes: int,
    environments: Sequence[str] | None = None,
    zone: str = UTC,
    explained: bool = False,
    clickhouse: Mapping[str, str] | None = None,
    seconds: float = DEFAULT_TIMEOUT,
    on_stage: Callable[[str], None],
) -> tuple[dict[str, Any], pa.Buffer, Callable[[], None] | None]:
    """Answer a worker's request.

    Args:
        sql: the statement.
        sources: roots, directories and files.
        params: values of its parameters.
        min_us: leave out what started before, Unix time in microseconds.
        max_us: leave out what started after.
        limit: rows at most.
        max_bytes: bytes of them at most.
        environments: leave out rows of other deployment environments.
        zone: the time zone in which times are told, and read where a text says none.
        explained: whether the engine's plans are told.
        clickhouse: the ClickHouse that is asked instead of files, if any.
        seconds: how long it may take; whoever asks enforces that.
        on_stage: told "reading" before it reads whatever there is, "fetching" before it asks ClickHouse, "asking" when everything is there.

    Returns:
        How the answer was cut, the plans and the report; the rows as an Arrow IPC stream; what is to be done when they have been given, if anything.

    Raises:
        QueryError: if the statement is refused or fails.
        RecordingError: if a source does not exist, or what it has is no recording, or cannot be opened.
    """
    # Before any file is read: a statement that is refused costs nothing.
    statement = dialect.translate(sql, params)
    if limit < 1:
        raise QueryError("The row limit cannot be right", expected="a number from 1", got=limit)
    found = direct.find(statement.text)
    window = Window(min_us, max_us, None if environments is None else tuple(environments))
    # Where some rows do not count, nobody knows how many of them are enough.
    enough = first.wanted(statement.text) if environments is None else None
    question = _Question(statement, enough, found.traces, window, limit, max_bytes, zone, explained)
    if clickhouse is not None:
        if environments is not None:
            raise QueryError("Deployment environments are asked of recordings only", hint="Say WHERE deployment_environment = 'production'")
        fetched = _answer_from_clickhouse(ClickHouse(**clickhouse), seconds, question, on_stage)
        return fetched.head, fetched.body, None
    wanted = Wanted(question.traces, min_us, max_us)
    few = first.few(question.first, sources, limit + 1) if wanted.everything else None
    answered = None if few is None else _answer_from(lambda: Found(few), sources, question, lambda: None)
    if few is None or answered is None or not answered.is_enough(question):
        on_stage("reading")
        # What columns there are can be asked before there is any recording.
        only_schema = schema.NAME in statement.text.lower() and not found.reads_any
        places = () if only_schema else sources
        answered = _answer_from(lambda: _found(places, wanted), sources, question, lambda: on_stage("asking"))
        if not answered.report.files and not only_schema:
            answered.report.empty += [place for place in sources if catalogue.is_without_recordings(place)]
    settled = passing.settled(answered.live)
    return answered.head, answered.body, partial(passing.start, sources, settled) if settled else None


def _found(sources: Sequence[str], wanted: Wanted) -> Found:
    found = [segments.found(place, wanted) for place in sources]
    return Found(tuple(path for each in found for path in each.files), tuple(chosen for each in found for chosen in each.segments))


@dataclass(frozen=True, slots=True)
class _Question:
    """A statement, and what of it says which files and rows have to be read."""

    statement: dialect.Statement
    first: First | None
    traces: frozenset[str] | None
    window: Window
    limit: int
    max_bytes: int
    zone: str
    explained: bool

    def ask(self, sources: Sources, window: Window, known_runs: pa.RecordBatch | None = None) -> _Asked:
        """The answer of these sources."""
        return ask(
            self.statement,
            sources,
            window=window,
            limit=self.limit,
            max_bytes=self.max_bytes,
            known_runs=known_runs,
            zone=self.zone,
            explained=self.explained,
        )


@dataclass(frozen=True, slots=True)
class _Answered:
    """So many rows as an Arrow IPC stream, how they were cut, by which plan they came, and what was read for them."""

    body: pa.Buffer
    rows: int
    cut: Cut
    plan: Plan | None
    report: Report
    live: tuple[Path, ...]

    @property
    def head(self) -> dict[str, Any]:
        """What is said of it before its rows."""
        return {"cut": self.cut, "plan": None if self.plan is None else dataclasses.asdict(self.plan), "report": dataclasses.asdict(self.report)}

    def is_enough(self, question: _Question) -> bool:
        """Whether reading more would give no more rows."""
        return bool(self.cut) or (question.first is not None and self.rows >= question.first.enough(question.limit + 1))


def _answer_from(find: Callable[[], Found], sources: Sequence[str], question: _Question, on_read: Callable[[], None]) -> _Answered:
    """The answer that files give, without those of them that turn out to be gone or damaged."""
    named = frozenset(map(Path, sources))
    lost: dict[Path, str] = {}
    gone_arrivals: set[Path] = set()
    while True:
        there = find()
        files = [path for path in there.files if path not in lost]
        chosen = choose(files, there.segments, named=named, traces=question.traces, window=question.window)
        if not (seen := {path for path in map(Path, chosen.recording.report.lost) if layout.is_arrival(path)}) <= gone_arrivals:
            gone_arrivals |= seen  # what was in them is in recordings now
            continue
        if not lost:
            on_read()
        try:
            with limits.memory():
                known = runs.of_traces(there) if _names_run(question.statement.text) else None
                table, cut, asked, plan = question.ask(chosen, question.window, known)
                body = _streamed(table)
            found = gone(asked)
            if not found:
                report = chosen.recording.report
                report.lost |= {str(path): reason for path, reason in lost.items()}
                return _Answered(body, table.num_rows, cut, plan, report, tuple(path for path in files if not layout.is_sealed(path)))
        except QueryError as error:
            # A file may turn out to be damaged after it was chosen: the others have an answer all the same.
            suspects = [path for path, _ in chosen.sealed if path not in named] if of_storage(error) else []
            found = gone(suspects) or unreadable(suspects)
            if not found:
                raise
        for path in filter(segment.is_segment, found):
            segment.distrust(path)  # what it has is elsewhere, too
        lost |= {path: reason for path, reason in found.items() if not segment.is_segment(path)}


def _answer_from_clickhouse(place: ClickHouse, seconds: float, question: _Question, on_stage: Callable[[str], None]) -> _Answered:
    """The answer that the spans in ClickHouse give."""
    if _names_run(question.statement.text):
        hint = "Ask for attributes->>'gen_ai.conversation.id', which sessions and agents' rounds have"
        raise QueryError(f"{RUN} is known of recordings only, and ClickHouse has none", hint=hint)
    from massgen_tracing.store.engine import remote  # loads what HTTP needs

    on_stage("fetching")
    of = remote.source(question.statement, place, seconds, question.window, question.zone)
    for step in remote.steps(question.first, of, question.limit + 1):
        on_stage("asking")
        with limits.memory():
            table, cut, _, plan = question.ask(step.sources, step.window)
            body = _streamed(table)
        if step.enough is None or cut or table.num_rows >= step.enough:
            break  # the last step is enough in any case
        on_stage("fetching")
    return _Answered(body, table.num_rows, cut, plan, step.sources.recording.report, ())


def _streamed(table: pa.Table) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


class _Asked(NamedTuple):
    """Rows, how they were cut, the sealed files that they are from, and the engine's plans, where they are told."""

    table: pa.Table
    cut: Cut
    sealed: tuple[Path, ...]
    plan: Plan | None


def ask(
    statement: dialect.Statement,
    sources: Sources,
    *,
    window: Window = Window(),  # noqa: B008 - frozen
    limit: int = DEFAULT_LIMIT,
    max_bytes: int = DEFAULT_MAX_BYTES,
    typed_columns: bool = True,
    known_runs: pa.RecordBatch | None = None,
    zone: str = UTC,
    explained: bool = False,
) -> _Asked:
    """The answer of one translated statement.

    Without *typed_columns*, attributes are read from their JSON text only; the answer is the same. *known_runs* are the runs of traces, where the
    statement names them. Times are told in *zone*; plans are told where they are *explained*.

    Raises:
        QueryError: if the engine refuses the statement or fails at it.
    """
    try:
        text = _exact(statement)
        asked = direct.find(text) if typed_columns and sources.sealed else direct.Direct(text)
        try:
            return _ask(statement, asked, sources, window, limit, max_bytes, known_runs, zone, explained)
        except Exception as error:
            if not (asked.tables and refusals.is_own_fault(error)):
                raise
            # The engine has lost its way among the typed columns; the text says the same.
            return _ask(statement, direct.Direct(text), sources, window, limit, max_bytes, known_runs, zone, explained)
    except (KeyboardInterrupt, SystemExit, GeneratorExit, QueryError, RecordingError):
        raise
    except BaseException as error:
        # The engine's panics are no Exception.
        raise refusals.refusal(error, statement) from error


def _ask(
    statement: dialect.Statement,
    asked: direct.Direct,
    sources: Sources,
    window: Window,
    limit: int,
    max_bytes: int,
    known_runs: pa.RecordBatch | None,
    zone: str,
    explained: bool,
) -> _Asked:
    """The same, with the engine's own errors; *asked* is the statement, or the same with typed columns."""
    titles = _titles(statement)
    plan = None
    with engines.taken(lists=statement.lists, zone=zone) as engine:
        enough = first.wanted(statement.text) if window.environments is None else None
        for step in first.steps(enough, sources, window, limit + 1):
            with tables(engine, step.sources, window=step.window, asked=asked, runs=known_runs, zone=zone):
                frame = _plan(engine.context, asked.text, statement.params).limit(limit + 1)
                if explained:
                    plan = Plan(frame.optimized_logical_plan().display_indent(), frame.execution_plan().display_indent())
                batches, cut = _collect(frame, limit, max_bytes)
                table = pa.Table.from_batches(batches, schema=batches[0].schema if batches else frame.schema()).rename_columns(titles)
                table = table.drop_columns(list(statement.hidden))
            if step.enough is None or cut or table.num_rows >= step.enough:
                break  # the last step is enough in any case
    zones.check(table.schema, statement)
    return _Asked(zones.in_microseconds(table), cut, tuple(path for path, _ in step.sources.sealed), plan)


_OPTIONS: Final = datafusion.SQLOptions().with_allow_ddl(allow=False).with_allow_dml(allow=False).with_allow_statements(allow=False)


def _plan(context: datafusion.SessionContext, text: str, params: Mapping[str, Value]) -> datafusion.DataFrame:
    if schema.NAME in text.lower():
        engines.know_schema(context)
    return context.sql_with_options(text, _OPTIONS, param_values=parameters.bound(params))


def _names_run(text: str) -> bool:
    return RUN in text.lower()


@lru_cache(maxsize=16)
def _titles(statement: dialect.Statement) -> Sequence[str]:
    """The names of the answer's columns. The statement is planned as it was written first: its errors and its titles are those that people know."""
    planned = _plan(engines.planner(lists=statement.lists, runs=_names_run(statement.text)), statement.text, statement.params)
    return [functions.plain(name) for name in planned.schema().names]


_PROBED: Final = re.compile(rf"call to '(?:{'|'.join(lengths.PROBES)})' function: coercion from (.*?) to the signature")


@lru_cache(maxsize=16)
def _exact(statement: dialect.Statement) -> str:
    """The statement's text with exact lengths of time."""

    def type_of(text: str) -> str | None:
        try:
            # Some types, such as those of conditions, are looked at when the plan is optimised.
            _plan(engines.planner(lists=statement.lists, runs=_names_run(statement.text)), text, statement.params).optimized_logical_plan()
        except Exception as error:  # noqa: BLE001 - what else may be wrong is said where the statement itself is planned
            found = _PROBED.search(str(error))
            return None if found is None else found[1]
        return None

    return lengths.exact(statement.text, type_of)


def _collect(frame: datafusion.DataFrame, limit: int, max_bytes: int) -> tuple[list[pa.RecordBatch], Cut]:
    """Rows as long as they keep to the limits; what comes after is not even computed."""
    batches: list[pa.RecordBatch] = []
    rows = size = 0
    for each in frame.execute_stream():
        batch = each.to_pyarrow()
        if size + batch.nbytes > max_bytes:
            fitting = bisect.bisect_right(range(1, batch.num_rows + 1), max_bytes - size, key=lambda count: batch.slice(0, count).nbytes)
            batch = batch.slice(0, min(fitting, limit - rows))
            return [*batches, batch], "rows" if rows + batch.num_rows == limit else "bytes"
        if rows + batch.num_rows > limit:
            return [*batches, batch.slice(0, limit - rows)], "rows"
        batches.append(batch)
        rows, size = rows + batch.num_rows, size + batch.nbytes
    return batches, ""

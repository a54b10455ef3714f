"""SQL over recordings: one query, read-only, with a deadline, a memory limit and a row limit.

The engine is DataFusion, which Logfire runs too. A query sees three tables, `records`, `records_all` and `metrics`, and nothing else: no
files, no catalogue, no settings.
"""

from __future__ import annotations

import bisect
import dataclasses
import re
import zoneinfo
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Final

import datafusion
import pyarrow as pa
import pyarrow.compute as pc

from massgen_tracing import layout
from massgen_tracing.errors import QueryError, RecordingError
from massgen_tracing.store.engine import engines, first, limits, refusals, runs
from massgen_tracing.store.engine.answer import Cut
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
from massgen_tracing.store.terms import DEFAULT_LIMIT, DEFAULT_MAX_BYTES, DEFAULT_TIMEOUT, ClickHouse, Value


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
        clickhouse: the ClickHouse that is asked instead of files, if any.
        seconds: how long it may take; whoever asks enforces that.
        on_stage: told "reading" before it reads whatever there is, "fetching" before it asks ClickHouse, "asking" when everything is there.

    Returns:
        How the answer was cut and the report; the rows as an Arrow IPC stream; what is to be done when they have been given, if anything.

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
    question = _Question(statement, enough, found.traces, window, limit, max_bytes)
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


@dataclass(frozen=True, slots=True)
class _Answered:
    """So many rows as an Arrow IPC stream, how they were cut, and what was read for them."""

    body: pa.Buffer
    rows: int
    cut: Cut
    report: Report
    live: tuple[Path, ...]

    @property
    def head(self) -> dict[str, Any]:
        """What is said of it before its rows."""
        return {"cut": self.cut, "report": dataclasses.asdict(self.report)}

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
                table, cut, asked = ask(
                    question.statement, chosen, window=question.window, limit=question.limit, max_bytes=question.max_bytes, known_runs=known
                )
                body = _streamed(table)
            found = gone(asked)
            if not found:
                report = chosen.recording.report
                report.lost |= {str(path): reason for path, reason in lost.items()}
                return _Answered(body, table.num_rows, cut, report, tuple(path for path in files if not layout.is_sealed(path)))
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
    of = remote.source(question.statement, place, seconds, question.window)
    for step in remote.steps(question.first, of, question.limit + 1):
        on_stage("asking")
        with limits.memory():
            table, cut, _ = ask(question.statement, step.sources, window=step.window, limit=question.limit, max_bytes=question.max_bytes)
            body = _streamed(table)
        if step.enough is None or cut or table.num_rows >= step.enough:
            break  # the last step is enough in any case
        on_stage("fetching")
    return _Answered(body, table.num_rows, cut, step.sources.recording.report, ())


def _streamed(table: pa.Table) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def ask(
    statement: dialect.Statement,
    sources: Sources,
    *,
    window: Window = Window(),  # noqa: B008 - frozen
    limit: int = DEFAULT_LIMIT,
    max_bytes: int = DEFAULT_MAX_BYTES,
    typed_columns: bool = True,
    known_runs: pa.RecordBatch | None = None,
) -> tuple[pa.Table, Cut, tuple[Path, ...]]:
    """The answer of one translated statement, how it was cut, and the sealed files that it is from.

    Without *typed_columns*, attributes are read from their JSON text only; the answer is the same. *known_runs* are the runs of traces, where the
    statement names them.

    Raises:
        QueryError: if the engine refuses the statement or fails at it.
    """
    try:
        text = _exact(statement)
        asked = direct.find(text) if typed_columns and sources.sealed else direct.Direct(text)
        try:
            return _ask(statement, asked, sources, window, limit, max_bytes, known_runs)
        except Exception as error:
            if not (asked.tables and refusals.is_own_fault(error)):
                raise
            # The engine has lost its way among the typed columns; the text says the same.
            return _ask(statement, direct.Direct(text), sources, window, limit, max_bytes, known_runs)
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
) -> tuple[pa.Table, Cut, tuple[Path, ...]]:
    """The same, with the engine's own errors; *asked* is the statement, or the same with typed columns."""
    titles = _titles(statement)
    with engines.taken(lists=statement.lists) as engine:
        enough = first.wanted(statement.text) if window.environments is None else None
        for step in first.steps(enough, sources, window, limit + 1):
            with tables(engine, step.sources, window=step.window, asked=asked, runs=known_runs):
                frame = _plan(engine.context, asked.text, statement.params)
                batches, cut = _collect(frame.limit(limit + 1), limit, max_bytes)
                table = pa.Table.from_batches(batches, schema=batches[0].schema if batches else frame.schema()).rename_columns(titles)
                table = table.drop_columns(list(statement.hidden))
            if step.enough is None or cut or table.num_rows >= step.enough:
                break  # the last step is enough in any case
    _check_zones(table.schema, statement)
    return _in_microseconds(table), cut, tuple(path for path, _ in step.sources.sealed)


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


_ENGINES_UTC: Final = frozenset({None, "+00:00", "UTC"})
_ZONE: Final = re.compile(r"timestamp\[\w+, tz=([^]]*)\]")
"""The zone in the name of a type, also inside of lists and structs."""
_OFFSET: Final = re.compile(r"[+-]\d\d:?\d\d")


def _check_zones(schema: pa.Schema, statement: dialect.Statement) -> None:
    """See that the zones of `AT TIME ZONE` exist: the engine does not look them up before it has to."""
    for zone in {zone for item in schema for zone in _ZONE.findall(str(item.type))} - _ENGINES_UTC:
        if not _OFFSET.fullmatch(zone) and not _is_known(zone):
            place = statement.place_of(zone)
            raise QueryError(
                f"There is no time zone {zone!r} here{f' ({place})' if place else ''}",
                expected="a name of the IANA database, such as 'Europe/Paris', or an offset, such as '+02:00'",
                hint=None if zoneinfo.available_timezones() else "This machine has no such database: pip install tzdata",
            )


def _is_known(zone: str) -> bool:
    try:
        zoneinfo.ZoneInfo(zone)
    except (OSError, ValueError, zoneinfo.ZoneInfoNotFoundError):
        return False
    return True


def _in_microseconds(table: pa.Table) -> pa.Table:
    """Times and lengths of time in microseconds, whatever the functions that made them computed in; times without a zone are UTC."""
    for index, item in enumerate(table.schema):
        wanted = _of_microseconds(item.type)
        if wanted != item.type:
            column = table.column(index)
            if pa.types.is_timestamp(item.type) and item.type.tz is None:
                column = pc.assume_timezone(column, "UTC")
            table = table.set_column(index, item.with_type(wanted), column.cast(wanted, safe=False))
    return table


def _of_microseconds(kind: pa.DataType) -> pa.DataType:
    """The same type in microseconds, also inside of lists and structs; a zone that `AT TIME ZONE` has given stays."""
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", "UTC" if kind.tz in _ENGINES_UTC else kind.tz)
    if pa.types.is_duration(kind):
        return pa.duration("us")
    if pa.types.is_struct(kind):
        return pa.struct([inner.with_type(_of_microseconds(inner.type)) for inner in kind])
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_of_microseconds(kind.value_type)))
    return kind

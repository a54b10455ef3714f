"""`massgen-tracing sql`: Logfire's SQL of the recordings, one SELECT or a prompt for many."""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from massgen_tracing import store
from massgen_tracing.errors import QueryError
from massgen_tracing.views import dashboards, options, text
from massgen_tracing.views.progress import Progress

if TYPE_CHECKING:
    from massgen_tracing.store.engine.answer import Result

COMMAND: Final = "sql"
_PARAMETER: Final = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_NUMBER: Final = re.compile(r"-?(?:0|[1-9]\d{0,18})(\.\d+)?")
_WORDS: Final[dict[str, store.Value]] = {"true": True, "false": False, "null": None}
_FORMATS: Final = ("table", "json", "jsonl", "csv", "arrow", "parquet")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "statement",
        nargs="?",
        metavar="SQL",
        help='one SELECT over the tables records, records_all and metrics; "-" reads it from the input (default: a prompt, on a terminal)',
    )
    parser.add_argument("--schema", action="store_true", help="instead of a statement: print the tables and columns there are, and what they mean")
    parser.add_argument("--file", metavar="FILE", type=Path, help="read the statement from a file")
    parser.add_argument("--query", metavar="NAME", help="a query that comes with the package, such as slow_tools; a wrong name lists them")
    parser.add_argument("--trace", metavar="RUN", help=f"what {dashboards.TRACE} in the statement stands for: a run, or a trace's first digits")
    parser.add_argument(
        "--param",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help='the value of $NAME in the statement: a number, true, false, null, a list as [1, 2] or ["a", "b"], or else a text;'
        " in double quotes always a text (may be repeated)",
    )
    options.add_root(parser, "a root, a run's directory, any directory of recordings, or a file of OTLP, whoever wrote it")
    parser.add_argument("--backend", choices=("clickhouse",), help="ask what the Collector has written into ClickHouse, instead of recordings")
    parser.add_argument(
        "--url",
        metavar="URL",
        help="where ClickHouse's HTTP interface is, with the database as its path if it is not otel (default: CLICKHOUSE_URL, or http://localhost:8123;"
        " who asks: CLICKHOUSE_USER and CLICKHOUSE_PASSWORD)",
    )
    parser.add_argument("--format", choices=_FORMATS, default="table", help="how the rows are printed (default: table)")
    parser.add_argument("--expand", action="store_true", help="with json and jsonl: attributes, events, links and resources as objects, not as text")
    parser.add_argument("--limit", type=int, default=store.DEFAULT_LIMIT, metavar="N", help=f"print at most N rows (default: {store.DEFAULT_LIMIT})")
    parser.add_argument("--since", metavar="AGE", help="only what started since then: 90s, 30m, 1h, 7d, or an ISO 8601 time")
    parser.add_argument(
        "--timezone",
        metavar="ZONE",
        default=store.UTC,
        help="the zone in which times are told, days and hours begin, and a time that names none is read: Europe/Paris or +02:00 (default: UTC)",
    )
    parser.add_argument("--explain", action="store_true", help="print how the engine comes to the rows, instead of them")


def only_asks(args: argparse.Namespace) -> bool:
    """Whether there is one statement, and no prompt."""
    return not (
        args.statement is None and args.file is None and args.query is None and not args.schema and sys.stdin is not None and sys.stdin.isatty()
    )


def run(args: argparse.Namespace) -> int:
    """Ask, and print the rows; 0 with rows or without."""
    if sys.stdout is None:
        raise QueryError("There is no output that the rows could be written to: it is closed", hint="Send them to a file: … > rows.txt")
    if not only_asks(args):
        from massgen_tracing.views import prompt

        prompt.run(lambda sql: _answer(args, sql, only_used=True), print)
        return 0
    statement = _statement(args)
    store.prepare()
    from massgen_tracing.views import formats  # noqa: F401 - meanwhile, as what follows

    if args.format == "table":
        from massgen_tracing.views import terminal  # noqa: F401
    _answer(args, statement)
    return 0


def _answer(args: argparse.Namespace, sql: str, *, only_used: bool = False) -> None:
    """Ask one statement and print what it answers; with *only_used*, parameters and a trace that are not in it are for others."""
    if args.expand and args.format not in options.OBJECT_FORMATS:
        raise QueryError("--expand is for objects", expected="--format json or jsonl beside it", got=args.format)
    if args.explain and args.format != "table":
        raise QueryError("--explain prints no rows", expected="no --format beside it", got=args.format)
    # Each time anew: `1h` is counted back from now.
    min_timestamp = None if args.since is None else options.since(args.since)
    params = {name: value for name, value in map(_parameter, args.param) if not only_used or f"${name}" in sql}
    sql = dashboards.about(sql, args.root, None if only_used and dashboards.TRACE not in sql else args.trace, name=args.query)
    with Progress() as progress:
        result = store.query(
            sql,
            args.root,
            params=params,
            min_timestamp=min_timestamp,
            timezone=args.timezone,
            explain=args.explain,
            limit=args.limit,
            on_progress=progress,
            backend=_backend(args),
        )
    if result.plan is not None:
        print(result.plan.logical, result.plan.physical, sep="\n\n")
        return
    _print(result, args.format, expand=args.expand)
    if result.truncated:
        options.note(COMMAND, _cut(result))
    if result.report.sentence:
        options.note(COMMAND, result.report.sentence)
    # The queries of the package ask for keys that only some runs have.
    if args.backend is None and args.query is None and "attributes" in sql.lower():
        from massgen_tracing.views import hints

        for sentence in hints.unknown_keys(sql, partial(store.query, root=args.root)) if hints.is_odd(result) else ():
            options.note(COMMAND, sentence)


def _backend(args: argparse.Namespace) -> store.ClickHouse | None:
    if args.backend is None and args.url is not None:
        raise QueryError("--url says where a backend is", expected="--backend clickhouse beside it")
    return None if args.backend is None else store.ClickHouse.named(args.url)


def _cut(result: Result) -> str:
    if result.cut == "bytes":
        return f"the answer was cut at {text.count(len(result), 'row')}, which have {result.max_bytes:,} bytes; ask for fewer columns"
    return f"the answer was cut at {text.count(result.limit, 'row')}; ask for more with --limit"


def _parameter(said: str) -> tuple[str, store.Value]:
    """The name and the value of a `--param`.

    Raises:
        QueryError: if it has no name.
    """
    match = _PARAMETER.fullmatch(said)
    if match is None:
        raise QueryError("--param is not understood", expected="NAME=VALUE", got=said)
    name, value = match.groups()
    number = _NUMBER.fullmatch(value)
    if number is not None:
        return name, float(value) if number[1] else int(value)
    if len(value) >= 2 and value[0] == value[-1] == '"':
        return name, value[1:-1]
    if value[:1] == "[":
        with contextlib.suppress(ValueError):
            items: list[str] = json.loads(value)
            return name, items
    return name, _WORDS.get(value, value)


def _statement(args: argparse.Namespace) -> str:
    if (args.statement is not None) + (args.file is not None) + (args.query is not None) + args.schema != 1:
        expected = "SQL as an argument, or --file FILE, or --query NAME, or --schema, and one of them only"
        raise QueryError("There has to be one statement", expected=expected)
    if args.schema:
        from massgen_tracing.store.sql import schema

        return schema.ALL_COLUMNS
    if args.query is not None:
        return dashboards.statement(args.query)
    if args.file is not None:
        try:
            return str(args.file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise QueryError(f"The statement cannot be read from {args.file} ({error})", hint="Check the file's name") from error
    if args.statement != "-":
        return str(args.statement)
    if sys.stdin is None:
        raise QueryError("The statement cannot be read from the input: it is closed", hint="Give it as an argument, or with --file FILE")
    try:
        return sys.stdin.read()
    except (OSError, UnicodeDecodeError) as error:
        raise QueryError(f"The statement cannot be read from the input ({error})", hint="Give it as an argument, or with --file FILE") from error


def _print(result: Result, form: str, *, expand: bool) -> None:
    from massgen_tracing.views import formats

    if form == "table":
        from massgen_tracing.views import terminal

        out = terminal.console()
        if result.rows:
            terminal.draw_table(out, result.columns, formats.cells(result), numeric=result.numeric_columns)
        out.print(f"({text.count(len(result), 'row')})", style="dim")
    elif form in formats.OBJECTS:
        sys.stdout.write(formats.OBJECTS[form](result, expand=expand))
    elif form == "csv":
        sys.stdout.write(formats.to_csv(result))
    else:
        from massgen_tracing.store.engine import export

        if sys.stdout.isatty():
            raise QueryError(f"The format {form} is not for a terminal", hint=f"Send it to a file: … --format {form} > rows.{form}")
        sys.stdout.buffer.write(export.WRITERS[form](result))
        sys.stdout.buffer.flush()

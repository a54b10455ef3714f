"""`massgen-tracing sql`: one SELECT of the recordings, in Logfire's SQL."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from massgen_tracing import store
from massgen_tracing.errors import QueryError
from massgen_tracing.views import options, text

if TYPE_CHECKING:
    from massgen_tracing.store.answer import Result

COMMAND: Final = "sql"
_FORMATS: Final = ("table", "json", "jsonl", "csv", "arrow", "parquet")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("statement", nargs="?", metavar="SQL", help='one SELECT over the tables records and records_all; "-" reads it from the input')
    parser.add_argument("--file", metavar="FILE", type=Path, help="read the statement from a file")
    options.add_root(parser, "a root, a run's directory, any directory of recordings, or one OTLP/JSON-lines file")
    parser.add_argument("--format", choices=_FORMATS, default="table", help="how the rows are printed (default: table)")
    parser.add_argument("--limit", type=int, default=store.DEFAULT_LIMIT, metavar="N", help=f"print at most N rows (default: {store.DEFAULT_LIMIT})")
    parser.add_argument("--since", metavar="AGE", help="only what started since then: 90s, 30m, 1h, 7d, or an ISO 8601 time")


def run(args: argparse.Namespace) -> int:
    """Ask, and print the rows; 0 with rows or without."""
    min_timestamp = None if args.since is None else options.since(args.since)
    result = store.query(_statement(args), args.root, min_timestamp=min_timestamp, limit=args.limit)
    _print(result, args.format)
    if result.truncated:
        options.note(COMMAND, f"the answer was cut at {text.count(result.limit, 'row')}; ask for more with --limit")
    if result.report.sentence:
        options.note(COMMAND, result.report.sentence)
    return 0


def _statement(args: argparse.Namespace) -> str:
    if (args.statement is None) == (args.file is None):
        raise QueryError("There has to be one statement", expected="SQL as an argument, or --file FILE, and not both")
    if args.file is not None:
        try:
            return str(args.file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise QueryError(f"The statement cannot be read from {args.file} ({error})", hint="Check the file's name") from error
    return sys.stdin.read() if args.statement == "-" else str(args.statement)


def _print(result: Result, form: str) -> None:
    from massgen_tracing.views import formats

    if form == "table":
        from massgen_tracing.views import terminal

        out = terminal.console()
        if result.rows:
            terminal.draw_table(out, result.columns, formats.cells(result), numeric=result.numeric_columns)
        out.print(f"({text.count(len(result), 'row')})", style="dim")
    elif form in formats.WRITERS:
        sys.stdout.write(formats.WRITERS[form](result))
    else:
        from massgen_tracing.store import export

        if sys.stdout.isatty():
            raise QueryError(f"The format {form} is not for a terminal", hint=f"Send it to a file: … --format {form} > rows.{form}")
        sys.stdout.buffer.write(export.WRITERS[form](result))
        sys.stdout.buffer.flush()

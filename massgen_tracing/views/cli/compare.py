"""`massgen-tracing logs compare`: two runs, or two questions of runs, side by side."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Final

from massgen_tracing.views import options, text
from massgen_tracing.views.cli import EXIT_OK

if TYPE_CHECKING:
    from massgen_tracing.insight.comparison import Comparison, Line
    from massgen_tracing.views.report.subject import Subject

COMMAND: Final = "logs compare"

_LEAST_OF_QUESTION: Final = 20
"""Characters of a question, however narrow the terminal is."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    for name in ("first", "second"):
        parser.add_argument(
            name, metavar="RUN", help="a run's name or directory, a recording or a trace; RUN:N for its question N (default: the last)"
        )
    options.add_root(parser, "where the runs are recorded")
    parser.add_argument("--format", choices=("table", "json"), default="table", help="how it is printed (default: table)")


def run(args: argparse.Namespace) -> int:
    """Print it."""
    from massgen_tracing.insight.comparison import compare
    from massgen_tracing.views.report import compared

    first, second = (compared.subject(args.root, wanted) for wanted in (args.first, args.second))
    found = compare(first.analysis, second.analysis, second.analysis.earlier)
    if args.format == "json":
        print(json.dumps(compared.document(first, second, found), ensure_ascii=False, indent=1, allow_nan=False))
    else:
        _draw(first, second, found)
    return EXIT_OK


def _title(subject: Subject) -> str:
    return subject.title + ("" if subject.turn is None else f":{subject.turn}")


def _draw(first: Subject, second: Subject, found: Comparison) -> None:
    from rich.text import Text

    from massgen_tracing.views import terminal

    out = terminal.console()
    for name, each in (("A", first), ("B", second)):
        head = f"{name}: {_title(each)}"
        question = text.shorten(each.analysis.summary.question, max(out.width - len(head) - 2, _LEAST_OF_QUESTION))
        out.print(Text(f"{head}  {question}".rstrip()), soft_wrap=True)
    if not found.same_configuration:
        print("They are of different configurations: other agents, or other models.")
    columns: tuple[str, ...] = ("what", "A", "B", "change")
    rows: list[tuple[str, ...]] = [
        (
            line.name,
            _value(line, line.first, line.costless[0]),
            _value(line, line.second, line.costless[1]),
            _change(line),
        )
        for line in found.lines
    ]
    if any(line.spread is not None for line in found.lines):
        columns = (*columns, "earlier runs", "")
        rows = [(*row, _spread(line), "beyond it" if line.beyond else "") for row, line in zip(rows, found.lines, strict=True)]
    terminal.draw_table(out, columns, rows, numeric=frozenset({"A", "B", "change"}))
    for title, counts in (("tool calls", found.tools), ("findings", found.findings)):
        if counts:
            print()
            terminal.draw_table(out, (title, "A", "B"), [(name, str(one), str(other)) for name, one, other in counts], numeric=frozenset({"A", "B"}))


def _value(line: Line, value: float | None, costless: int = 0) -> str:
    if value is None:
        return "not recorded"
    if line.unit == "s":
        return text.duration(value)
    return text.cost(value, at_least=costless > 0) if line.unit == "USD" else f"{value:,.0f}"


def _change(line: Line) -> str:
    if line.first is None or line.second is None or line.first == line.second:
        return ""
    if line.costless[0]:
        return "unknown"
    if not line.first:
        return f"+{_value(line, line.second, line.costless[1])}"
    return f"{'≥' if line.costless[1] else ''}{(line.second - line.first) / line.first:+,.0%}"


def _spread(line: Line) -> str:
    return "" if line.spread is None else f"{_value(line, line.spread[0])} to {_value(line, line.spread[1])}"

"""`massgen-tracing logs list`: the recorded runs, newest first, with what came of them and whether they were analyzed."""

from __future__ import annotations

import argparse
import itertools
import json
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

from massgen_tracing.errors import QueryError
from massgen_tracing.insight.summary import Summary
from massgen_tracing.store.roots import catalogue
from massgen_tracing.views import listing, options, text

COMMAND: Final = "logs"
_DEFAULT_LIMIT: Final = 20
_QUESTION_WIDTH: Final = 48
_NARROWEST_QUESTION: Final = 12
_DROPPED: Final = (("when", "agents"), ("turns", "report"), ("tokens",), ("duration",), ("cost",), ("question",))
"""Columns that are left out where the width is not enough for all, in this order: first what the run's name and its tree tell too."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    options.add_root(parser, "where the runs are recorded")
    parser.add_argument("--limit", type=int, default=_DEFAULT_LIMIT, metavar="N", help=f"the newest N runs (default: {_DEFAULT_LIMIT})")
    parser.add_argument("--format", choices=("table", "json"), default="table", help="how the runs are printed (default: table)")
    analyzed = parser.add_mutually_exclusive_group()
    analyzed.add_argument("--analyzed", action="store_true", default=False, help="only runs each of whose questions has a report")
    analyzed.add_argument("--unanalyzed", action="store_true", default=False, help="only runs of which some question has no report yet")


def run(args: argparse.Namespace) -> int:
    """List the runs; only the recordings of those that are shown are read."""
    if args.limit < 1:
        raise QueryError("--limit cannot be right", expected="a number from 1", got=args.limit)
    many, listed = listing.runs(args.root)
    if args.analyzed or args.unanalyzed:
        listed = (item for item in listed if item.turns and item.is_analyzed is args.analyzed)
    note, left = partial(options.note, COMMAND), catalogue.was_left(Path(args.root))
    shown = [(item, listing.read(item.run, note, alone=many == 1 and item.run.started is None)) for item in itertools.islice(listed, args.limit)]
    if args.format == "json":
        print(json.dumps([listing.document(item, summary) for item, summary in shown], ensure_ascii=False, indent=1))
    elif not many and not left:
        options.note(COMMAND, f'there are no runs under {args.root} yet; start one with `massgen-tracing run "your question"`')
    elif not shown and many:
        options.note(COMMAND, f"none of the {many:,} runs is {'analyzed' if args.analyzed else 'unanalyzed'}")
    elif shown:
        _draw(shown)
    if left:
        options.note(
            COMMAND, "what a server was sent before it was killed is not listed yet; `massgen-tracing serve` makes runs of it, `sql` knows it"
        )
    if any(True for _ in listed):
        options.note(COMMAND, f"the newest {len(shown)} of {many:,} runs; see more with --limit")
    return 0


def _draw(shown: list[tuple[listing.Listed, Summary | None]]) -> None:
    from massgen_tracing.views import terminal

    out = terminal.console()
    rows = [
        {"run": item.run.run_id, "when": text.moment(_when(item.run, summary)), **_cells(summary), "turns": _turns(item), "report": _reports(item)}
        for item, summary in shown
    ]
    # Turns and reports are left out where all runs have one and none.
    plain = {name for name, value in (("turns", "1"), ("report", "no")) if all(row[name] in {value, ""} for row in rows)}
    every = [name for name in rows[0] if name not in plain]
    whole = frozenset(every) - {"question"}

    def fits(columns: list[str]) -> bool:
        cells = [[row[name] for name in columns] for row in rows]
        return terminal.needed(columns, cells, whole=whole, narrowest=_NARROWEST_QUESTION) <= out.width

    dropped = (list(itertools.chain(*_DROPPED[:many])) for many in range(len(_DROPPED) + 1))
    # Where not even name and outcome fit, each run is a block, which has room for all.
    columns = next(filter(fits, ([name for name in every if name not in names] for names in dropped)), every)
    cells = [[row[name] for name in columns] for row in rows]
    terminal.draw_table(out, columns, cells, numeric=frozenset({"agents", "duration", "cost", "turns"}), whole=whole, heading="run")


def _turns(item: listing.Listed) -> str:
    """How many questions, and where some were attempted more than once, how many attempts."""
    attempts = sum(turn.attempts for turn in item.turns)
    if not item.turns:
        return ""
    return str(len(item.turns)) + (f" ({attempts} attempts)" if attempts > len(item.turns) else "")


def _reports(item: listing.Listed) -> str:
    if not item.turns:
        return ""
    made = sum(turn.report is not None for turn in item.turns)
    return "yes" if made == len(item.turns) else f"{made} of {len(item.turns)}" if made else "no"


def _when(item: catalogue.Run, summary: Summary | None) -> datetime | None:
    """When a run began, in this machine's zone; as its name tells where nothing was recorded."""
    if summary is None or summary.start_ns is None:
        return item.started
    return datetime.fromtimestamp(summary.start_ns / 1e9, UTC).astimezone()


def _cells(summary: Summary | None) -> dict[str, str]:
    names = ("question", "agents", "duration", "outcome", "tokens", "cost")
    if summary is None:
        return dict.fromkeys(names, "") | {"outcome": "no recording"}
    winner = f"{summary.winner} won" if summary.winner else "ended" if summary.work else summary.watched or "no winner"
    values = (
        text.shorten(summary.question or summary.work, _QUESTION_WIDTH),
        str(len(summary.agents)),
        text.duration(summary.seconds),
        winner if summary.state == "ended" else summary.state,
        text.tokens(summary.usage.input, summary.usage.output).removesuffix(" tok"),
        text.cost(summary.usage.cost, at_least=summary.costless_calls > 0),
    )
    return dict(zip(names, values, strict=True))

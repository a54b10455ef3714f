"""`massgen-tracing logs`: `list` the recorded runs, newest first; `import` runs of MassGen that were not traced; `rebuild` a run's files."""

from __future__ import annotations

import argparse
import itertools
import json
from datetime import UTC, datetime
from typing import Any, Final

from massgen_tracing.errors import QueryError
from massgen_tracing.insight.summary import Summary, summarise
from massgen_tracing.store.roots import catalogue, order, reader
from massgen_tracing.views import options, text

COMMAND: Final = "logs"
_DEFAULT_LIMIT: Final = 20
_QUESTION_WIDTH: Final = 48
_ROOMY: Final = 110


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    _add_list_arguments(parser)
    actions = parser.add_subparsers(dest="action", metavar="{list,import,rebuild}")
    listing = actions.add_parser("list", help="list the runs, newest first (this is what `logs` alone does)", argument_default=argparse.SUPPRESS)
    _add_list_arguments(listing)
    importing = actions.add_parser("import", help="make recordings of MassGen runs that were not traced, beside their logs")
    importing.add_argument("paths", nargs="+", metavar="PATH", help="a .massgen, a massgen_logs, a log_… directory, or a turn or attempt of one")
    rebuilding = actions.add_parser(
        "rebuild", help="make the files of a run anew of its recording: status, answers, metrics, logs", argument_default=argparse.SUPPRESS
    )
    rebuilding.add_argument(
        "run", nargs="?", metavar="RUN", default=None, help="a run's name or directory, or an attempt's (default: the newest run)"
    )
    options.add_root(rebuilding, "where the runs are recorded")


def _add_list_arguments(parser: argparse.ArgumentParser) -> None:
    options.add_root(parser, "where the runs are recorded")
    parser.add_argument("--limit", type=int, default=_DEFAULT_LIMIT, metavar="N", help=f"the newest N runs (default: {_DEFAULT_LIMIT})")
    parser.add_argument("--format", choices=("table", "json"), default="table", help="how the runs are printed (default: table)")


def run(args: argparse.Namespace) -> int:
    """Carry out what was asked for."""
    if args.action == "import":
        from massgen_tracing.views.cli import imports

        return imports.run(args.paths)
    if args.action == "rebuild":
        from massgen_tracing.views.cli import rebuild

        return rebuild.run(args.root, args.run)
    return _list(args)


def _list(args: argparse.Namespace) -> int:
    """List the runs; only the recordings of those that are shown are read."""
    if args.limit < 1:
        raise QueryError("--limit cannot be right", expected="a number from 1", got=args.limit)
    known = catalogue.runs(args.root)
    roots = (item for item in order.newest_first(known) if not item.is_nested)
    shown = [(item, _read(item)) for item in itertools.islice(roots, args.limit)]
    if args.format == "json":
        print(json.dumps([_object(item, summary) for item, summary in shown], ensure_ascii=False, indent=1))
    elif not known:
        options.note(COMMAND, f'there are no runs under {args.root} yet; start one with `massgen-tracing run "your question"`')
    else:
        _draw(shown)
    if any(True for _ in roots):
        options.note(COMMAND, f"the newest {len(shown)} of {len(known):,} runs; see more with --limit")
    return 0


def _read(item: catalogue.Run) -> Summary | None:
    """The totals of a run; None where nothing was recorded."""
    recording = reader.read(item.files())
    if recording.report.sentence:
        options.note(COMMAND, recording.report.sentence)
    return summarise(recording.spans) if recording.spans else None


def _draw(shown: list[tuple[catalogue.Run, Summary | None]]) -> None:
    from massgen_tracing.views import terminal

    out = terminal.console()
    rows = [{"run": item.run_id, "when": text.moment(_when(item, summary)), **_cells(summary)} for item, summary in shown]
    # In a narrow terminal, what the run's name and its tree tell too is left out.
    columns = [name for name in rows[0] if out.width >= _ROOMY or name not in {"when", "agents"}]
    cells = [[row[name] for name in columns] for row in rows]
    terminal.draw_table(out, columns, cells, numeric=frozenset({"agents", "duration", "cost"}), whole=frozenset(columns) - {"question"})


def _when(item: catalogue.Run, summary: Summary | None) -> datetime | None:
    """When a run began, in this machine's zone; as its name tells where nothing was recorded."""
    if summary is None or summary.start_ns is None:
        return item.started
    return datetime.fromtimestamp(summary.start_ns / 1e9, UTC).astimezone()


def _cells(summary: Summary | None) -> dict[str, str]:
    names = ("question", "agents", "duration", "outcome", "tokens", "cost")
    if summary is None:
        return dict.fromkeys(names, "") | {"outcome": "no recording"}
    winner = f"{summary.winner} won" if summary.winner else "ended" if summary.work else "no winner"
    values = (
        text.shorten(summary.question or summary.work, _QUESTION_WIDTH),
        str(len(summary.agents)),
        text.duration(summary.seconds),
        winner if summary.state == "ended" else summary.state,
        text.tokens(summary.usage.input, summary.usage.output).removesuffix(" tok"),
        text.cost(summary.usage.cost, at_least=summary.costless_calls > 0),
    )
    return dict(zip(names, values, strict=True))


def _object(item: catalogue.Run, summary: Summary | None) -> dict[str, Any]:
    """One run for programs; what is not known is null."""
    started = item.started.astimezone(UTC) if item.started is not None else None
    if summary is not None and summary.start_ns is not None:
        started = datetime.fromtimestamp(summary.start_ns / 1e9, UTC)
    known: dict[str, Any] = {
        "run": item.run_id,
        "directory": None if item.log_dir is None else str(item.log_dir),
        "started": None if started is None else started.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "state": None,
    }
    if summary is None:
        return known
    return known | {
        "state": summary.state,
        "trace_ids": list(summary.trace_ids),
        "question": summary.question or None,
        "work": summary.work or None,
        "agents": list(summary.agents),
        "seconds": summary.seconds,
        "winner": summary.winner or None,
        "winner_label": summary.winner_label or None,
        "input_tokens": summary.usage.input,
        "output_tokens": summary.usage.output,
        "cost_usd": summary.usage.cost,
        "calls_of_unknown_cost": summary.costless_calls,
        "errors": summary.errors,
        "open": summary.open,
        "interrupted": summary.interrupted,
    }

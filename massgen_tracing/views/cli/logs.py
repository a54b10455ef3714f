"""`massgen-tracing logs`: `list`, `analyze`, `compare` and `link` runs; `import` those of MassGen that were not traced; `rebuild` files."""

from __future__ import annotations

import argparse
import importlib
from typing import Final

from massgen_tracing.views import options
from massgen_tracing.views.cli import listing

_MODULES: Final = {
    "analyze": "write a run's report, computed: ANALYSIS_REPORT.md",
    "compare": "two runs, or two questions, side by side, and what is beyond the spread of earlier runs",
    "link": "where a run's trace can be looked at",
}
"""Actions with a module of their own."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    listing.add_arguments(parser)
    actions = parser.add_subparsers(dest="action", metavar="{list,analyze,compare,link,import,rebuild}")
    listing.add_arguments(
        actions.add_parser("list", help="list the runs, newest first (this is what `logs` alone does)", argument_default=argparse.SUPPRESS)
    )
    for name, help_text in _MODULES.items():
        module = importlib.import_module(f"massgen_tracing.views.cli.{name}")
        module.add_arguments(actions.add_parser(name, help=help_text, argument_default=argparse.SUPPRESS))
    importing = actions.add_parser("import", help="make recordings of MassGen runs that were not traced, beside their logs")
    importing.add_argument("paths", nargs="+", metavar="PATH", help="a .massgen, a massgen_logs, a log_… directory, or a turn or attempt of one")
    rebuilding = actions.add_parser(
        "rebuild", help="make the files of a run anew of its recording: status, answers, metrics, logs", argument_default=argparse.SUPPRESS
    )
    rebuilding.add_argument(
        "run", nargs="?", metavar="RUN", default=None, help="a run's name or directory, or an attempt's (default: the newest run)"
    )
    options.add_root(rebuilding, "where the runs are recorded")


def run(args: argparse.Namespace) -> int:
    """Carry out what was asked for."""
    if args.action in _MODULES:
        return int(importlib.import_module(f"massgen_tracing.views.cli.{args.action}").run(args))
    if args.action == "import":
        from massgen_tracing.views.cli import imports

        return imports.run(args.paths)
    if args.action == "rebuild":
        from massgen_tracing.views.cli import rebuild

        return rebuild.run(args.root, args.run)
    return listing.run(args)

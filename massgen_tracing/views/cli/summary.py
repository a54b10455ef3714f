"""`massgen-tracing summary`: what to look at in a run, on one screen."""

from __future__ import annotations

import argparse
import json
from typing import Final

from massgen_tracing.views import options, wanted

COMMAND: Final = "summary"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    wanted.add_argument(parser)
    parser.add_argument("--format", choices=("table", "json"), default="table", help="how it is printed (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Print it."""
    from massgen_tracing import settings
    from massgen_tracing.insight.overview import overview
    from massgen_tracing.views import overview as views
    from massgen_tracing.views import terminal

    title, recording = wanted.find(args)
    found = overview(recording.spans, settings.thresholds())
    if args.format == "json":
        print(json.dumps(views.document(found, title=title), ensure_ascii=False, indent=1, allow_nan=False))
    else:
        views.draw(terminal.console(), found, title=title)
    if recording.report.sentence:
        options.note(COMMAND, recording.report.sentence)
    return 0

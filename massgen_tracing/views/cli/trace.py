"""`massgen-tracing trace`: the span tree of a run."""

from __future__ import annotations

import argparse
from typing import Final

from massgen_tracing.insight.summary import summarise
from massgen_tracing.insight.tree import trees
from massgen_tracing.views import options, text, wanted

COMMAND: Final = "trace"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    wanted.add_argument(parser)
    parser.add_argument("--depth", type=int, metavar="N", help="draw only N levels below the roots (default: all)")


def run(args: argparse.Namespace) -> int:
    """Draw the tree."""
    from massgen_tracing.views import terminal

    title, recording = wanted.find(args)
    roots, left_out = trees(recording.spans), 0
    if args.depth is not None:
        cut = [root.pruned(args.depth) for root in roots]
        roots, left_out = [root for root, _ in cut], sum(number for _, number in cut)
    terminal.draw_run(terminal.console(), roots, summarise(recording.spans), title=title)
    if left_out:
        options.note(COMMAND, f"{text.count(left_out, 'span')} lie deeper than --depth {args.depth} and are not drawn")
    if recording.report.sentence:
        options.note(COMMAND, recording.report.sentence)
    return 0

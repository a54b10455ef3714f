"""`massgen-tracing trace`: the span tree of a run."""

from __future__ import annotations

import argparse
import json
from typing import Final

from massgen_tracing.insight import words
from massgen_tracing.insight.summary import summarise
from massgen_tracing.insight.tree import bounded, only, trees
from massgen_tracing.views import options, text, wanted

COMMAND: Final = "trace"

_MOST_SPANS: Final = 1000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    wanted.add_argument(parser)
    parser.add_argument("--depth", type=options.not_negative, metavar="N", help="only N levels below the roots (default: all)")
    parser.add_argument("--only", choices=("errors",), help="only spans that failed or were interrupted, and those that they are in")
    parser.add_argument(
        "--format",
        choices=("tree", "json"),
        default="tree",
        help="tree: a drawing; json: one object with the run's totals, its rounds and its spans, parents first (default: %(default)s)",
    )
    parser.add_argument(
        "--limit",
        type=options.not_negative,
        metavar="N",
        help=f"at most N spans, those of the upper levels (default: all of a drawing, {_MOST_SPANS} in JSON)",
    )


def run(args: argparse.Namespace) -> int:
    """Draw the tree, or print it."""
    from massgen_tracing.views import terminal, tree_json

    title, recording = wanted.find(args)
    roots, summary = trees(recording.spans), summarise(recording.spans)
    if args.only:
        roots = only(roots, words.has_failed)
    most = _MOST_SPANS if args.limit is None and args.format == "json" else args.limit
    out = terminal.console()
    depth, fits = args.depth, terminal.deepest(out)
    if args.format == "tree" and (depth is None or depth > fits):
        depth = fits
    roots, left_out = bounded(roots, depth=depth, most=most)
    if args.format == "json":
        print(json.dumps(tree_json.document(title, roots, summary, left_out=left_out, most=most), ensure_ascii=False, indent=1, allow_nan=False))
    else:
        terminal.draw_run(out, roots, summary, title=title)
        if args.only and not roots:
            options.note(COMMAND, "no span has failed")
    if left_out:
        room = f"; {depth} levels have room in {out.width} columns" if args.format == "tree" and depth == fits else ""
        options.note(COMMAND, f"{text.count(left_out, 'span')} more left out, by --depth and --limit{room}")
    if recording.report.sentence:
        options.note(COMMAND, recording.report.sentence)
    return 0

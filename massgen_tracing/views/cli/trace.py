"""`massgen-tracing trace`: the span tree of a run."""

from __future__ import annotations

import argparse
import json
import time
from typing import Final

from massgen_tracing.insight import words
from massgen_tracing.insight.summary import Summary, summarise
from massgen_tracing.insight.tree import Node, bounded, only, trees
from massgen_tracing.views import options, text, wanted

COMMAND: Final = "trace"

_MOST_SPANS: Final = 1000

_FOLLOW_SECONDS: Final = 0.5
"""Between two looks at a run that goes on."""


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
    parser.add_argument(
        "--follow",
        action="store_true",
        help="each span in a line when it ends, until the run has ended, and then its totals; with --format json an object a line",
    )


def run(args: argparse.Namespace) -> int:
    """Draw the tree, or print it; or tell of each span as it ends."""
    if args.follow:
        return _follow(args)
    title, recording = wanted.find(args)
    roots, summary = trees(recording.spans), summarise(recording.spans)
    if args.only:
        roots = only(roots, words.has_failed)
    (_print if args.format == "json" else _draw)(args, title, roots, summary)
    if recording.report.sentence:
        options.note(COMMAND, recording.report.sentence)
    return 0


def _follow(args: argparse.Namespace) -> int:
    from massgen_tracing.views import run_json, terminal

    if args.depth is not None or args.limit is not None:
        args.refuse("--follow tells of every span; leave out --depth and --limit")
    out, read = terminal.console(), wanted.again(args)
    told: set[tuple[str, str]] = set()
    while True:
        _, recording = read()
        summary = summarise(recording.spans)
        begin_ns = summary.start_ns or 0
        ended = [span for span in recording.spans if span.state != "open" and span.key not in told and (not args.only or words.has_failed(span))]
        ended.sort(key=lambda span: span.end_ns or span.start_ns)
        told.update(span.key for span in ended)
        if args.format == "json":
            for span in ended:
                print(json.dumps(run_json.of_span(span, begin_ns), ensure_ascii=False, allow_nan=False), flush=True)
        else:
            terminal.draw_ended(out, ended, begin_ns, summary.agents)
            out.file.flush()
        if recording.spans and summary.state != "live":
            break
        time.sleep(_FOLLOW_SECONDS)
    if args.format != "json":
        out.print()
        out.print(terminal.closing(summary))
    return 0


def _print(args: argparse.Namespace, title: str, roots: list[Node], summary: Summary) -> None:
    from massgen_tracing.views import run_json

    most = _MOST_SPANS if args.limit is None else args.limit
    roots, left_out = bounded(roots, depth=args.depth, most=most)
    print(json.dumps(run_json.document(title, roots, summary, left_out=left_out, most=most), ensure_ascii=False, indent=1, allow_nan=False))
    if left_out:
        options.note(COMMAND, f"{text.count(left_out, 'span')} more; see more with a larger --limit, or --depth")


def _draw(args: argparse.Namespace, title: str, roots: list[Node], summary: Summary) -> None:
    from massgen_tracing.views import terminal

    out = terminal.console()
    shown, left_out = bounded(roots, depth=args.depth, most=args.limit)
    shown, too_deep = bounded(shown, depth=terminal.deepest(out))
    terminal.draw_run(out, shown, summary, title=title)
    if args.only:
        failed = sum(words.has_failed(node.span) for root in roots for _, node in root.walk())
        if not failed:
            options.note(COMMAND, "no span has failed")
        elif failed != summary.errors:
            counted = f"of them the totals count {summary.errors:,}, each error once, where it began"
            options.note(COMMAND, f"{text.count(failed, 'span')} failed; {counted}")
    if left_out:
        options.note(COMMAND, f"{text.count(left_out, 'span')} more that --depth or --limit leaves out")
    if too_deep:
        options.note(COMMAND, f"{text.count(too_deep, 'span')} more that {out.width} columns have no room for")

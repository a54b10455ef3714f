"""`massgen-tracing trace`: the span tree of a run."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from massgen_tracing.errors import RecordingError
from massgen_tracing.insight.summary import summarise
from massgen_tracing.insight.tree import trees
from massgen_tracing.store.reading.recording import Recording
from massgen_tracing.store.roots import catalogue, lookup, reader
from massgen_tracing.views import options, text

COMMAND: Final = "trace"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "trace", nargs="?", metavar="TRACE", help="a trace id or its first digits, a run's directory, or a recording (default: the newest run)"
    )
    options.add_root(parser, "where to look for it")
    parser.add_argument("--depth", type=int, metavar="N", help="draw only N levels below the roots (default: all)")


def run(args: argparse.Namespace) -> int:
    """Draw the tree."""
    from massgen_tracing.views import terminal

    title, recording = _find(args.root, args.trace)
    if not recording.spans:
        raise RecordingError(f"There are no spans in {title}", hint=f"The reader {recording.report.sentence or 'found nothing at all in it'}")
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


def _find(root: str, wanted: str | None) -> tuple[str, Recording]:
    """What was asked for, and a title for it."""
    if wanted is None:
        if Path(root).is_file():
            return Path(root).name, reader.read([Path(root)])
        newest = lookup.newest_run(root)
        return newest.run_id, reader.read(newest.files())
    place = lookup.place_named(root, wanted)
    if place is not None:
        return place.name, reader.read(catalogue.files(place))
    return f"trace {wanted}", lookup.trace(root, wanted)

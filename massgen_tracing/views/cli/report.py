"""`massgen-tracing report`: a run and the report on it as one page of HTML that asks nobody for anything, to be sent to somebody."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

from massgen_tracing.views import options, text
from massgen_tracing.views.cli import EXIT_OK

COMMAND: Final = "report"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("run", nargs="?", metavar="RUN", help="a run's name or directory, a recording, or a trace (default: the newest run)")
    options.add_root(parser, "where the runs are recorded")
    parser.add_argument("--turn", type=int, metavar="N", help="which question of the run (default: the last one)")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="where the page goes (default: stdout)")


def run(args: argparse.Namespace) -> int:
    """Write the page."""
    from massgen_tracing.views.cli import analyze
    from massgen_tracing.views.report import analysed, build, page
    from massgen_tracing.views.web import single

    found = analysed.find(args.root, args.run, args.turn)
    if found.recording.report.sentence:
        options.note(COMMAND, found.recording.report.sentence)
    opened = single.opened(found)
    view, left_out = single.view(opened)
    if left_out:
        options.note(COMMAND, f"what {text.count(left_out, 'span')} say is left out, for the page would be too large; they are drawn")
    written = page.render(build(opened.subject), view)
    if args.output is None:
        sys.stdout.write(written.encode("utf-8", "backslashreplace").decode("utf-8"))
    else:
        analyze.write(args.output, written)
        print(args.output)
    return EXIT_OK

"""`massgen-tracing logs link`: where a run's trace can be looked at."""

from __future__ import annotations

import argparse
import json
from typing import Final

from massgen_tracing.views import options
from massgen_tracing.views.cli import EXIT_CONFIG, EXIT_OK

COMMAND: Final = "logs link"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "run", nargs="?", metavar="RUN", default=None, help="a run's name or directory, a recording, or a trace (default: the newest run)"
    )
    options.add_root(parser, "where the runs are recorded")
    parser.add_argument("--turn", type=int, metavar="N", default=None, help="which question of the run (default: the last one)")
    parser.add_argument("--project", metavar="URL", default=None, help="the Logfire project: https://logfire-us.pydantic.dev/ORGANIZATION/PROJECT")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="how it is printed (default: text)")


def run(args: argparse.Namespace) -> int:
    """Print the addresses, one a line; an exit code of 1 says that there is none."""
    from massgen_tracing.views import links
    from massgen_tracing.views.report import analysed

    subject = analysed.subject(analysed.find(args.root, args.run, args.turn), compare=False)
    found = links.links(subject.trace_id, subject.files, project=args.project)
    here = links.of_server(args.root, subject.trace_id)
    if here is not None:
        found.insert(0, links.Link("local", here, len(subject.analysis.parts.spans)))
    if args.format == "json":
        told = [{"kind": link.kind, "url": link.url, "spans": link.spans, "note": link.note or None} for link in found]
        print(
            json.dumps(
                {"run": subject.title, "turn": subject.turn, "trace_id": subject.trace_id or None, "links": told}, ensure_ascii=False, indent=1
            )
        )
        return EXIT_OK
    for link in found:
        if link.url is not None:
            print(link.url)
        if link.note:
            options.note(COMMAND, f"{link.kind} has {link.spans:,} of its spans; {link.note}" if link.url is None else link.note)
    if any(link.url is not None for link in found):
        return EXIT_OK
    if not found:
        options.note(
            COMMAND,
            f"the trace {subject.trace_id} was not sent anywhere; `massgen-tracing push --to logfire` or `--to URL` sends it,"
            " `massgen-tracing trace` draws it here",
        )
    return EXIT_CONFIG

"""The run, the recording or the trace that a command was asked for."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from massgen_tracing.errors import RecordingError
from massgen_tracing.store.reading.recording import Recording
from massgen_tracing.store.roots import catalogue, lookup, reader
from massgen_tracing.views import options


def add_argument(parser: argparse.ArgumentParser) -> None:
    """Declare what `find` reads."""
    parser.add_argument(
        "trace", nargs="?", metavar="TRACE", help="a trace id or its first digits, a run's directory, or a recording (default: the newest run)"
    )
    options.add_root(parser, "where to look for it")


def find(args: argparse.Namespace) -> tuple[str, Recording]:
    """What was asked for, and a title for it.

    Raises:
        RecordingError: if there is none, or nothing in it.
    """
    return named(args.root, args.trace)


def named(root: str, wanted: str | None) -> tuple[str, Recording]:
    """The same, told what `--root` and TRACE are.

    Raises:
        RecordingError: if there is none, or nothing in it.
    """
    title, recording = _find(root, wanted)
    if not recording.spans:
        raise RecordingError(f"There are no spans in {title}", hint=f"The reader {recording.report.sentence or 'found nothing at all in it'}")
    return title, recording


def again(args: argparse.Namespace) -> Callable[[], tuple[str, Recording]]:
    """What was asked for, to be read again and again: the newest run is the one that is the newest now.

    Raises:
        RecordingError: if there is none.
    """
    if args.trace is None and not catalogue.is_whole(args.root):
        run = lookup.newest_run(args.root)
        return lambda: (run.run_id, reader.read(run.files()))
    return lambda: _find(args.root, args.trace)


def _find(root: str, wanted: str | None) -> tuple[str, Recording]:
    if wanted is not None and not wanted.strip():
        raise RecordingError(
            "TRACE is empty", expected="a trace id or its first digits, a run's directory, or a recording", hint="Leave it out for the newest run"
        )
    if wanted is None:
        if catalogue.is_whole(root):
            return Path(root).name, reader.read(catalogue.files(root))
        run = lookup.newest_run(root)
        return run.run_id, reader.read(run.files())
    place = lookup.place_named(root, wanted)
    if place is not None:
        return place.name, reader.read(catalogue.files(place))
    return f"trace {wanted}", lookup.trace(root, wanted)

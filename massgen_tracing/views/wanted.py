"""The run, the recording or the trace that a command was asked for."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
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
    return checked(locate(root, wanted))


def checked(located: Located) -> tuple[str, Recording]:
    """What lies there.

    Raises:
        RecordingError: if there is nothing in it.
    """
    recording = located.read()
    if not recording.spans:
        raise RecordingError(f"There are no spans in {located.title}", hint=f"The reader {recording.report.sentence or 'found nothing at all in it'}")
    return located.title, recording


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
    located = locate(root, wanted)
    return located.title, located.read()


@dataclass(frozen=True, slots=True)
class Located:
    """Where what was asked for lies.

    Attributes:
        title: what it is called.
        root: where it was looked for.
        files: its recordings; of a trace, those that may have spans of it.
        trace: the first digits of a trace's id, where that is what was asked for.
    """

    title: str
    root: str
    files: tuple[Path, ...]
    trace: str = ""

    def read(self) -> Recording:
        """What the recordings say."""
        return lookup.trace(self.root, self.trace) if self.trace else reader.read(self.files)


def locate(root: str, wanted: str | None) -> Located:
    """Where what was asked for lies; nothing is read yet.

    Raises:
        RecordingError: if there is no such thing.
    """
    if wanted is not None and not wanted.strip():
        raise RecordingError(
            "TRACE is empty", expected="a trace id or its first digits, a run's directory, or a recording", hint="Leave it out for the newest run"
        )
    if wanted is None:
        if catalogue.is_whole(root):
            return Located(Path(root).name, root, tuple(catalogue.files(root)))
        run = lookup.newest_run(root)
        return Located(run.run_id, root, tuple(run.files()))
    place = lookup.place_named(root, wanted)
    if place is not None:
        return Located(place.name, root, tuple(catalogue.files(place)))
    return Located(f"trace {wanted}", root, lookup.files_of_trace(root, wanted), wanted)

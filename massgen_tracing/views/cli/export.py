"""`massgen-tracing export`: the spans of a run as OTLP, which other programs read, however they are kept here."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Final

from massgen_tracing.errors import UsageError
from massgen_tracing.model import SpanRecord
from massgen_tracing.views import options, output, text, wanted

COMMAND: Final = "export"
JSON: Final = "otlp-json"
PROTO: Final = "otlp-proto"

_TOGETHER: Final = 1000
"""Spans that are written together."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    wanted.add_argument(parser)
    parser.add_argument(
        "--format",
        choices=(JSON, PROTO),
        default=JSON,
        help="otlp-json: JSON lines, each a TracesData object, as the Collector's file exporter writes them; otlp-proto: one TracesData message"
        " (default: %(default)s)",
    )
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="where to (default: standard output)")


def run(args: argparse.Namespace) -> int:
    """Write the spans."""
    title, recording = wanted.find(args)
    if args.output is None:
        if args.format == PROTO and sys.stdout.isatty():
            raise UsageError("Protobuf is not for terminals", expected="a file or a pipe", hint="Name a file: -o run.binpb")
        _write(recording.spans, args.format, sys.stdout.buffer)
        sys.stdout.buffer.flush()
    else:
        _write_file(recording.spans, args.format, args.output)
    unfinished = sum(span.end_ns is None for span in recording.spans)
    if unfinished:
        options.note(COMMAND, f"{text.count(unfinished, 'span')} of {title} without an end: not ended when this was written, or interrupted")
    if recording.report.sentence:
        options.note(COMMAND, recording.report.sentence)
    return 0


def _write_file(spans: Sequence[SpanRecord], form: str, path: Path) -> None:
    """All of it or, where that fails, nothing: what was there stays."""
    try:
        with output.writing(path) as out:
            _write(spans, form, out)
    except OSError as error:
        raise UsageError(f"{path} cannot be written ({error.strerror})", hint="Name another place with -o") from error


def _write(spans: Sequence[SpanRecord], form: str, out: BinaryIO) -> None:
    from massgen_tracing.delivery.encode import Json, Protobuf

    # Protobuf messages one behind the other are one message, whose lists have all of theirs.
    encoding, end = (Protobuf(), b"") if form == PROTO else (Json(), b"\n")
    parts = (spans[start : start + _TOGETHER] for start in range(0, len(spans), _TOGETHER))
    out.writelines(encoding.request(map(encoding.record, part)) + end for part in parts)

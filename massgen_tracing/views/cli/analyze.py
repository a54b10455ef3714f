"""`massgen-tracing logs analyze`: the report on a question of a run, a prompt for a coding assistant, or three agents that judge it."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from massgen_tracing import layout
from massgen_tracing.errors import ConfigError
from massgen_tracing.views import options, output, text
from massgen_tracing.views.cli import EXIT_OK

if TYPE_CHECKING:
    from massgen_tracing.views.report.subject import Subject

COMMAND: Final = "logs analyze"
_MOST: Final = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "run", nargs="?", metavar="RUN", default=None, help="a run's name or directory, a recording, or a trace (default: the newest run)"
    )
    options.add_root(parser, "where the runs are recorded")
    parser.add_argument("--log-dir", metavar="PATH", default=None, help="the run's directory, in the place of RUN")
    parser.add_argument("--turn", type=int, metavar="N", default=None, help="which question of the run (default: the last one)")
    parser.add_argument("--force", action="store_true", default=False, help="write over a report that is there")
    parser.add_argument("--mode", choices=("report", "prompt", "self"), default="report", help="what is made of it (default: %(default)s)")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="json: the same facts as data, to stdout; no report is written")
    parser.add_argument("--config", type=Path, metavar="FILE", default=None, help="with --mode self: the agents and their endpoints")
    parser.add_argument("--dry-run", action="store_true", default=False, help="with --mode self: a scripted model in the place of the endpoint")


def run(args: argparse.Namespace) -> int:
    """Carry out what was asked for."""
    from massgen_tracing.views.report import analysed

    if args.run is not None and args.log_dir is not None:
        raise ConfigError("RUN and --log-dir name two runs", expected="one of them")
    if args.format == "json" and args.mode != "report":
        raise ConfigError(f"--mode {args.mode} has no data of its own", hint="The facts as data are those of --mode report")
    found = analysed.find(args.root, args.run if args.log_dir is None else args.log_dir, args.turn)
    if found.recording.report.sentence:
        options.note(COMMAND, found.recording.report.sentence)
    subject = analysed.subject(found)
    if args.mode == "prompt":
        from massgen_tracing.views.report import prompt

        print(prompt.render(subject))
        return EXIT_OK
    if args.mode == "self":
        from massgen_tracing.views.cli.self_analysis import run as judge

        return judge(args, subject)
    if args.format == "json":
        from massgen_tracing.views.report import facts

        print(json.dumps(facts.document(subject), ensure_ascii=False, indent=1, allow_nan=False))
        return EXIT_OK
    return _report(subject, force=args.force)


def _report(subject: Subject, *, force: bool) -> int:
    """Write the report beside the run, and say where; that on a bare recording, which has no such place, is printed."""
    from massgen_tracing.views.report import build, markdown

    path = path_of(subject)
    if path is not None:
        allow(path, force=force)
    written = markdown.render(build(subject))
    if path is None:
        print(written, end="")
        return EXIT_OK
    write(path, written)
    say(subject)
    print(f"report: {path}")
    return EXIT_OK


def path_of(subject: Subject) -> Path | None:
    """Where the report lies, beside the attempts at its question; None for a bare recording."""
    from massgen_tracing.views.report import FILE

    if subject.log_dir is None:
        return None
    turn = subject.log_dir / f"{layout.TURN_PREFIX}{subject.turn}"
    return (turn if turn.is_dir() else subject.log_dir) / FILE


def allow(path: Path, *, force: bool) -> None:
    """Go on where nothing is written over that somebody may want.

    Raises:
        ConfigError: if there is a report, and it may not be written over.
    """
    if force or not path.exists():
        return
    if sys.stdin.isatty() and sys.stderr.isatty():
        print(f"{path} is there already. Write over it? [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() in {"y", "yes"}:
            return
    raise ConfigError(f"There is a report already: {path}", hint="Say --force to write over it")


def write(path: Path, content: str) -> None:
    """Put a report at *path*, whole or not at all.

    Raises:
        ConfigError: if it cannot be written.
    """
    try:
        with output.writing(path) as out:
            out.write(content.encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise ConfigError(f"The report {path} cannot be written ({error.strerror or error})", hint="Make its directory writable") from None


def say(subject: Subject) -> None:
    """The summary, for people."""
    from massgen_tracing.views import terminal
    from massgen_tracing.views.report.subject import told

    out = terminal.console()
    out.print(terminal.headline(subject.analysis.summary, subject.title, out.width))
    out.print(terminal.closing(subject.analysis.summary))
    findings = subject.analysis.findings
    counts = ", ".join(f"{number} {severity}" for severity, number in subject.analysis.severities.items() if number)
    print(f"findings: {counts or 'none'}")
    for line in told(findings[:_MOST]):
        print(f"  {text.shorten(line, max(40, out.width - 4))}")
    if len(findings) > _MOST:
        print(f"  … and {len(findings) - _MOST} more in the report")

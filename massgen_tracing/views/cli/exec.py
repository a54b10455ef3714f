"""`massgen-tracing exec -- COMMAND …`: any Python program, traced, and otherwise as it is."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping
from typing import Final, NoReturn

from massgen_tracing import autostart, libraries, settings
from massgen_tracing.views import options

COMMAND: Final = "exec"
END_OF_OPTIONS: Final = "--"

EXIT_CANNOT_RUN: Final = 126
EXIT_NOT_FOUND: Final = 127
"""As env(1), nohup(1) and every shell have them: the program was found but cannot be run; it was not found."""

_VARIABLES: Final = {setting.name: setting.variable for setting in settings.SETTINGS}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.usage = f"{parser.prog} [--logfire] [--otlp URL] [--otlp-pending] [--root DIR] [--dry-run] -- COMMAND [ARGUMENT ...]"
    parser.epilog = (
        "The command is replaced by COMMAND: exit code, output, signals and terminal are its own. COMMAND may be a Python program, or whatever "
        "starts one: a shell, uv run. "
        f"Exit codes of its own: 1 wrong use, {EXIT_CANNOT_RUN} COMMAND cannot be run, {EXIT_NOT_FOUND} COMMAND was not found."
    )
    parser.add_argument("--logfire", action="store_true", help=f"also export to Logfire (sets {_VARIABLES['logfire']})")
    parser.add_argument("--otlp", metavar="URL", help=f"also export to an OTLP collector (sets {_VARIABLES['otlp_endpoint']})")
    parser.add_argument("--otlp-pending", action="store_true", help=f"send it the starts of spans too (sets {_VARIABLES['otlp_pending']})")
    parser.add_argument("--root", metavar="DIR", help=f"directory of runs and recordings (sets {_VARIABLES['root']}; default: .massgen)")
    parser.add_argument(
        "--dry-run", action="store_true", help="run nothing; say what would be set, and who traces which library that is installed here"
    )
    parser.add_argument("words", nargs=argparse.REMAINDER, metavar="-- COMMAND", help="what to run, with its arguments")


def run(args: argparse.Namespace) -> int:
    """Become the program; returns only where that fails."""
    if not args.words:
        args.refuse("there is nothing to run; put it after --, as in: massgen-tracing exec -- massgen --help")
    if args.words[0] != END_OF_OPTIONS:
        args.refuse(f"put -- before the command: massgen-tracing exec … -- {' '.join(args.words)}")
    words: list[str] = args.words[1:]
    if not words:
        args.refuse("there is nothing to run after --; put the command there, as in: massgen-tracing exec -- massgen --help")
    env = environment(args)
    if args.dry_run:
        print("\n".join(_plan(words, env)))
        return 0
    try:
        _become(words, env)
    except OSError as error:
        return _said(words[0], error)


def environment(args: argparse.Namespace) -> dict[str, str]:
    """This process's environment, with the flags as variables and Python's start prepared."""
    env = autostart.environment()
    env.setdefault(_VARIABLES["instrument"], "true")
    if args.logfire:
        env[_VARIABLES["logfire"]] = "true"
    if args.otlp:
        env[_VARIABLES["otlp_endpoint"]] = args.otlp
        env.pop("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", None)  # it would win, and a flag wins over a variable
    if args.otlp_pending:
        env[_VARIABLES["otlp_pending"]] = "true"
    if args.root:
        env[_VARIABLES["root"]] = os.path.abspath(args.root)  # the program may go elsewhere before it is asked for
    return env


def _plan(words: list[str], env: Mapping[str, str]) -> Iterator[str]:
    """What would be run, the variables that would be set for it, and the libraries of this Python's environment."""
    yield shlex.join(words)
    yield ""
    yield "With these variables:"
    for name, value in sorted(env.items()):
        if value != os.environ.get(name):
            yield f"  {name}={shlex.quote(value)}"
    yield ""
    yield f"Of the libraries in {sys.prefix}, when it imports them:"
    found = libraries.installed()
    for library in found:
        yield f"  {library.module:<14}  {library.version:<10}  {library.how}"
    if any(not library.instrumentor for library in found):
        yield "The extra `instrument` brings the instrumentors of all of them: pip install 'massgen_tracing[instrument]'"


def _become(words: list[str], env: dict[str, str]) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    # Python ignores these for itself, and what is ignored stays so in the next program: `yes | head` would not end.
    for name in ("SIGPIPE", "SIGXFSZ"):
        signal.signal(getattr(signal, name), signal.SIG_DFL)
    os.execvpe(words[0], words, env)  # noqa: S606 - becoming what was asked for is the point


def _said(command: str, error: OSError) -> int:
    """One line that says why the program was not started; returns the exit code."""
    if isinstance(error, FileNotFoundError):
        if os.path.dirname(command) or shutil.which(command):
            options.note(COMMAND, f"{command}: no such file, or its interpreter (the path after #! in its first line) is missing")
        else:
            options.note(COMMAND, f"{command}: command not found; is its environment activated?")
        return EXIT_NOT_FOUND
    options.note(COMMAND, f"{command} cannot be run: {error.strerror or error}")
    return EXIT_CANNOT_RUN

"""The `massgen-tracing` command.

One module a command, each with `add_arguments(parser)` and `run(args) -> int`, and some with `only_asks(args)`, which says whether `run` does nothing
but ask the store and print the answer; a module is imported only when its command is asked for, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import difflib
import errno
import importlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, NoReturn

from massgen_tracing import errors
from massgen_tracing._version import __version__

COMMANDS: Final[dict[str, str]] = {
    "run": "ask a question: agents answer, vote and present, and everything is traced",
    "exec": "run a Python program, MassGen say, traced and otherwise as it is",
    "sql": "ask Logfire's SQL of the local recordings",
    "logs": "list the recorded runs, analyze and compare them; make recordings of MassGen runs that were not traced; make a run's files anew",
    "watch": "follow runs, terminals, logs, folders and processes, also of agents that nobody traces: what each is doing, and by which evidence",
    "trace": "draw the span tree of a run",
    "summary": "say on one screen what a run cost, what was thrown away, which tools took long, where nothing went on, what failed",
    "view": "look at runs in a browser: agents over time, answers and votes, costs, errors, every span; SQL and dashboards",
    "report": "write a run and the report on it as one page that can be sent to somebody: what went on, what it cost, what is worth a look",
    "export": "write a run's spans as OTLP, also those of a sealed recording",
    "serve": "be a local Logfire: take what SDKs send, answer its query clients",
    "push": "send recorded spans to Logfire or a collector that has not taken them yet",
    "mcp": "serve runs, and SQL over them, to coding assistants as tools of the Model Context Protocol",
    "compact": "seal the recordings of ended runs into small, fast files",
    "doctor": "say what works here, what does not, and what to do about it",
}
"""Every command and its one-line help; the command's module has the same name."""

_ELSEWHERE: Final = {"serve": "massgen_tracing.serve.command", "view": "massgen_tracing.serve.viewing"}
"""Commands of rooms that lean on this one, and are known here by name only."""

_LIKE: Final = 0.7
"""How much alike, of 1, an option has to be to be meant."""

EXIT_OK: Final = 0
EXIT_CONFIG: Final = 1
EXIT_EXECUTION: Final = 2
EXIT_TIMEOUT: Final = 3
EXIT_INTERRUPTED: Final = 4


class _Parser(argparse.ArgumentParser):
    """Arguments that are wrong end a command as a wrong configuration does: nothing was started.

    Attributes:
        takes_command: whether what follows `--` is another command, with its own options, which `words` has then.
    """

    takes_command = False

    def __init__(self, **kwargs: Any) -> None:
        # What an option is called is written out: half a name would be another option as soon as there is one that begins so.
        super().__init__(allow_abbrev=False, **kwargs)
        self.set_defaults(refuse=self.error, refuse_unknown=self.refuse_unknown)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        words: list[str] | None = None
        if self.takes_command and args is not None and "--" in args:
            at = args.index("--")
            args, words = args[:at], args[at + 1 :]
        found, unknown = super().parse_known_args(args, namespace)
        if self.takes_command:
            found.words = words
        return found, unknown

    def refuse_unknown(self, words: Sequence[str]) -> NoReturn:
        """End the command for arguments that it does not have, with the option that may have been meant."""
        known = [option for option in self._option_string_actions if option.startswith("--")]
        meant = []
        for name in (word.partition("=")[0] for word in words if word.startswith("--") and word != "--"):
            longer = [option for option in known if option.startswith(name)]
            meant += longer or difflib.get_close_matches(name, known, n=1, cutoff=_LIKE)
        self.error(f"unrecognized arguments: {' '.join(words)}" + (f"; did you mean {' or '.join(meant)}?" if meant else ""))

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(EXIT_CONFIG, f"{self.prog}: {message}\n")


def exit_code(error: errors.MassGenTracingError) -> int:
    """The exit code that an error stands for."""
    if isinstance(error, errors.RunTimeout):
        return EXIT_TIMEOUT
    if isinstance(error, errors.RunError):
        return EXIT_EXECUTION
    return EXIT_CONFIG


def _as_json(error: errors.MassGenTracingError) -> str:
    """An error as one line of JSON; parts that it does not have are null."""
    parts = {"type": type(error).__name__, "message": str(error), "problem": error.problem, "expected": error.expected}
    got = None if error.got is None else str(error.got)
    return json.dumps({"error": {**parts, "got": got, "hint": error.hint, "exit_code": exit_code(error)}}, ensure_ascii=False)


def build_parser(command: str | None = None) -> argparse.ArgumentParser:
    """The parser; only *command*'s own arguments are loaded, the others are named with their help."""
    parser = _Parser(
        prog="massgen-tracing",
        description="See what many agents did: record their runs, draw them, ask SQL of them.",
        epilog="`massgen-tracing COMMAND --help` tells more about one command.",
    )
    parser.add_argument("--version", action="version", version=f"massgen-tracing {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, help_text in COMMANDS.items():
        sub = commands.add_parser(name, help=help_text, description=help_text[0].upper() + help_text[1:] + ".")
        if name == command:
            _module(name).add_arguments(sub)
    return parser


def _module(command: str):  # type: ignore[no-untyped-def]  # noqa: ANN202 - a module with the three names above
    return importlib.import_module(_ELSEWHERE.get(command, f"{__name__}.{command}"))


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    argv = sys.argv[1:] if argv is None else list(argv)
    command = next((arg for arg in argv if not arg.startswith("-")), None)
    if sys.stderr is None and command != "exec":  # it was closed; `print` would take the output instead
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - as long as the process
    if not argv:
        build_parser().print_help(sys.stderr)
        return EXIT_CONFIG
    args, unknown = build_parser(command).parse_known_args(argv)
    if unknown:
        args.refuse_unknown(unknown)
    module = _module(args.command)
    run = partial(module.run, args)
    if hasattr(module, "only_asks") and module.only_asks(args):
        from massgen_tracing import store

        return _said(args, partial(store.attended, partial(_said, args, run)))
    return _said(args, run)


def _said(args: argparse.Namespace, run: Callable[[], int]) -> int:
    """The exit code of a command, whose errors are said."""
    try:
        return int(run()) if args.command == "exec" else _written(run)  # the output of what it executes is that program's own
    except errors.MassGenTracingError as error:
        from massgen_tracing.views.options import OBJECT_FORMATS

        in_json = getattr(args, "format", None) in OBJECT_FORMATS
        print(_as_json(error) if in_json else f"massgen-tracing {args.command}: {error}", file=sys.stderr)
        return exit_code(error)
    except KeyboardInterrupt:
        print(f"massgen-tracing {args.command}: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        _leave_output()  # the reader (`head`, a pager) went away; that is its right
        return EXIT_OK


_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _written(run: Callable[[], int]) -> int:
    """The exit code of a command, when all of its output is written.

    Raises:
        MassGenTracingError: if there is no room for it.
    """
    try:
        try:
            return int(run())
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()  # while it is still asked whether anybody reads it
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        _leave_output()
        raise errors.MassGenTracingError(f"The output cannot be written ({error.strerror})", hint="Make room, or send it elsewhere") from error


def _leave_output() -> None:
    """Drop what is still to be written: Python would complain again while it flushes at exit."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

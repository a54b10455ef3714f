"""`massgen-tracing push`: send recorded spans to a backend that has not taken them yet."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, Final

from massgen_tracing import ledger
from massgen_tracing.errors import ConfigError, MassGenTracingError, RecordingError
from massgen_tracing.views import options, text
from massgen_tracing.views.cli import EXIT_CONFIG, EXIT_EXECUTION, EXIT_OK
from massgen_tracing.views.progress import Progress

if TYPE_CHECKING:
    from pathlib import Path

    from massgen_tracing.delivery.backend import Backend
    from massgen_tracing.delivery.push import Pushed

COMMAND: Final = "push"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    options.add_root(parser, "a root, a run's directory, or one recording")
    parser.add_argument(
        "--to",
        metavar="logfire|URL",
        help="send all that this backend has not taken yet, a collector's URL being such as http://localhost:4318; its headers and the like are read"
        " from OTEL_EXPORTER_OTLP_* (default: every backend that is owed something)",
    )
    parser.add_argument("--since", metavar="AGE", help="only recordings written to since then: 90s, 30m, 1h, 7d, or an ISO 8601 time")
    parser.add_argument("--forget", action="store_true", help="give up what is owed: it stays in the recordings, and is not sent any more")
    parser.add_argument("--otlp-pending", action="store_true", help="also the starts of spans that have not ended, as Logfire's pending spans")


def run(args: argparse.Namespace) -> int:
    """Send, and say what became of it; 2 where something is still owed, or was refused."""
    from massgen_tracing.delivery import leftovers, push

    since = None if args.since is None else options.since(args.since).timestamp()
    left = list(leftovers.directories())
    try:
        paths = push.recordings(args.root, since=since)
    except RecordingError:
        if not left:
            raise
        paths = ()
    temporary = tuple(path for directory in left for path in push.recordings(directory))
    try:
        return _forget(args.to, paths + temporary) if args.forget else _push(args, paths, temporary)
    finally:
        for directory in left:
            leftovers.discard(directory)


def _push(args: argparse.Namespace, paths: tuple[Path, ...], temporary: tuple[Path, ...]) -> int:
    from massgen_tracing.delivery import push

    code = EXIT_OK
    wanted = _wanted(args.to, paths, temporary)
    if not wanted:
        print("nothing is owed to any backend; --to logfire, or --to URL, sends what was recorded without one")
    for backend, theirs in wanted:
        with Progress() as progress:
            pushed = push.push(
                theirs, backend, pending=args.otlp_pending, progress=lambda sent: progress.say(f"{sent:,} spans sent; Ctrl-C stops it")
            )
        code = max(code, _say(pushed))
    return code


def _wanted(to: str | None, paths: tuple[Path, ...], temporary: tuple[Path, ...]) -> list[tuple[Backend, list[Path]]]:
    """The backends, and the recordings for each; temporary ones for those that they owe something."""
    from massgen_tracing.delivery import backend as backends
    from massgen_tracing.delivery import push

    if to is not None:
        backend = push.backend_named(to, os.environ, lambda problem: options.note(COMMAND, problem))
        return [(backend, [*paths, *(path for path in temporary if push.owes(path, backend))])]
    owing = _owing(paths + temporary)
    found = []
    for entry, theirs in owing:
        try:
            found.append((backends.of_entry(entry, os.environ), theirs))
        except MassGenTracingError as error:
            options.note(COMMAND, str(error))
    if owing and not found:
        raise ConfigError("None of the backends that are owed spans can be reached")
    return found


def _owing(paths: tuple[Path, ...]) -> list[tuple[ledger.Entry, list[Path]]]:
    """Each backend that is owed something, by one of its ledgers, with the recordings that owe it."""
    owing: dict[tuple[str, str], tuple[ledger.Entry, list[Path]]] = {}
    for path in paths:
        for entry in ledger.unfinished(path):
            owing.setdefault((entry.kind, entry.url), (entry, []))[1].append(path)
    return list(owing.values())


def _forget(to: str | None, paths: tuple[Path, ...]) -> int:
    """Give up what the backend of that address, or every backend, is owed; 2 where another process is sending some of it."""
    from massgen_tracing.delivery import backend as backends
    from massgen_tracing.delivery import push

    only = None if to is None else backends.LOGFIRE if to == backends.LOGFIRE else backends.otlp(to, os.environ).place
    wanted = [(entry, theirs) for entry, theirs in _owing(paths) if only in {None, entry.url}]
    code = EXIT_OK
    for entry, theirs in wanted:
        count, busy = push.forget(theirs, entry)
        print(f"{entry.url}: {text.count(count, 'span')} given up")
        if busy:
            options.note(COMMAND, f"{text.clause(busy, 'recording', 'is', 'are')} being sent by another process just now, and still owed")
            code = EXIT_EXECUTION
    if not wanted:
        print("nothing is owed" if only is None else f"nothing is owed to {only}")
    return code


def _say(pushed: Pushed) -> int:
    """Say what became of the spans for one backend; returns the exit code."""
    tally = pushed.tally
    print(f"{pushed.place}: {text.count(tally.sent, 'span')} sent, from {text.count(pushed.recordings, 'recording')}")
    if tally.late:
        options.note(
            COMMAND,
            f"{text.count(tally.late, 'span')} began more than 24 hours ago, which Logfire drops without a word;"
            f" {'it stays' if tally.late == 1 else 'they stay'} local",
        )
    if tally.unreadable:
        options.note(COMMAND, f"{text.count(tally.unreadable, 'line')} of the recordings could not be read, and were not sent")
    if pushed.busy:
        options.note(COMMAND, f"{text.clause(pushed.busy, 'recording', 'is', 'are')} being sent by another process just now")
    for path, reason in pushed.unread.items():
        options.note(COMMAND, f"{path} was left out ({reason})")
    if tally.refused:
        options.note(COMMAND, f"{text.clause(tally.refused, 'span', 'was', 'were')} refused for good ({tally.why}), and kept local")
    if pushed.aside:
        why = f"{pushed.place} takes others, but not {'it' if pushed.aside == 1 else 'them'} ({tally.why})"
        then = "They are tried again by the next runs and pushes, a few times; `massgen-tracing push --forget` gives them up"
        options.note(COMMAND, f"{text.clause(pushed.aside, 'span', 'stays', 'stay')} owed: {why}. {then}")
    if pushed.stopped is not None:
        hint = getattr(pushed.stopped, "hint", "Try again later")
        forget = f"; `massgen-tracing push --forget --to {pushed.place}` gives {'it' if pushed.left == 1 else 'them'} up"
        options.note(COMMAND, f"{text.clause(pushed.left, 'span', 'stays', 'stay')} owed to {pushed.place}: {pushed.stopped.why}. {hint}{forget}")
    if pushed.unread:
        return EXIT_CONFIG
    return EXIT_EXECUTION if pushed.stopped is not None or pushed.aside or tally.refused else EXIT_OK

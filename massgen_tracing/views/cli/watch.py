"""`massgen-tracing watch TARGET…`: what runs and agents are doing, also those that nobody traces, and by which evidence."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from massgen_tracing.errors import ConfigError
from massgen_tracing.views import options, watching
from massgen_tracing.views.cli import EXIT_EXECUTION, EXIT_INTERRUPTED, EXIT_OK, EXIT_TIMEOUT, signals

if TYPE_CHECKING:
    from massgen_tracing.runs.watch import Change, Watcher
    from massgen_tracing.runs.watch.targets import Asked, Target

COMMAND: Final = "watch"
_A_SECOND: Final = 4
"""Times that the table is drawn anew."""

_KILL_ON: Final = {"timeout": "timed_out", "stall": "stalled"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.takes_command = True  # type: ignore[attr-defined]  # it is the command's own kind of parser
    parser.usage = f"{parser.prog} [options] TARGET... | {parser.prog} [options] --all | {parser.prog} [options] -- COMMAND [ARGUMENT ...]"
    parser.epilog = (
        "TARGET is a run (its directory or id), tmux:SESSION[:WINDOW[.PANE]] (also by pattern: 'tmux:agent-*'), pid:N, file:PATH (a log that "
        "grows), or dir:PATH (a workspace with output.log, status.txt, progress.txt, exit-code.txt, *status*.json). Exit codes: 0 all completed, "
        "1 wrong use, 2 one failed, 3 out of time, 4 interrupted; with COMMAND its own, also where a "
        "first Ctrl-C or SIGTERM was passed on to it. Nothing that is watched is ever ended without --kill-on."
    )
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="what to watch")
    parser.add_argument("--all", action="store_true", help="every run below the root")
    parser.add_argument(
        "--until",
        choices=("done", "any-failed", "never"),
        default="done",
        help="when to end: once all have ended, as soon as one has failed (an agent of a run too), or not at all (default: %(default)s)",
    )
    parser.add_argument("--timeout", type=_seconds, metavar="S", help="what has not ended after S seconds is timed_out")
    parser.add_argument(
        "--idle", type=_seconds, default=300.0, metavar="S", help="what does not change for S seconds is stalled (default: %(default)g)"
    )
    parser.add_argument(
        "--require", action="append", default=[], metavar="FILE", help="a file that has to be there at the end, and not empty; may be given again"
    )
    parser.add_argument("--marker", default="", metavar="TEXT", help="a text that has to stand in the output at the end, and means that all is done")
    parser.add_argument("--profile", metavar="NAME|FILE", help="the program that is watched, where it is not found out: a known one, or a YAML file")
    parser.add_argument("--json", action="store_true", help="one JSON object a change, and one at the end (views/schemas/watch.schema.json)")
    parser.add_argument("--audit", type=Path, metavar="FILE", help="append every observation and decision to FILE, as JSON lines")
    parser.add_argument("--poll", type=_seconds, default=0.2, metavar="S", help="look so soon again after a change (default: %(default)g)")
    parser.add_argument("--poll-max", type=_seconds, default=5.0, metavar="S", help="look at least so often (default: %(default)g)")
    parser.add_argument("--max-memory", type=_share, default=0.8, metavar="PERCENT", help="tell when a target uses more of the memory (default: 80)")
    parser.add_argument("--min-disk", type=_seconds, default=1.0, metavar="GB", help="tell when less is free where its files lie (default: 1)")
    parser.add_argument(
        "--max-files", type=_share, default=0.8, metavar="PERCENT", help="tell when it has more of its open files in use (default: 80)"
    )
    parser.add_argument(
        "--kill-on", action="append", choices=tuple(_KILL_ON), default=[], metavar="timeout|stall", help="end the processes of a target that is so"
    )
    parser.add_argument(
        "--record",
        action="store_true",
        help="record what is watched as spans, with the calls that agents tell, in transcripts or by the OpenTelemetry of their own that COMMAND is "
        "started with",
    )
    options.add_root(parser, "where runs lie, and --record records")


def run(args: argparse.Namespace) -> int:
    """Watch until there is nothing more to watch for; returns the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    if args.words is not None and not args.words:
        args.refuse("there is nothing to run after --; put the command there, as in: massgen-tracing watch -- make test")
    if not args.targets and not args.all and args.words is None:
        args.refuse("there is nothing to watch; name a run, tmux:SESSION, pid:N, file:PATH or dir:PATH, or use --all, or -- COMMAND")
    if args.poll > args.poll_max:
        args.refuse("--poll is more than --poll-max")
    with signals.as_interrupts():
        return asyncio.run(_watch(args))


async def _watch(args: argparse.Namespace) -> int:
    from massgen_tracing.runs.watch import Options, Pace, Watcher
    from massgen_tracing.runs.watch.limits import Thresholds

    targets = _targets(args)
    watcher = Watcher(
        targets,
        Options(
            until=None if args.until == "never" else args.until,
            pace=Pace(fastest=args.poll, slowest=args.poll_max),
            thresholds=Thresholds(args.max_memory, int(args.min_disk * 1e9), args.max_files),
            audit=args.audit,
            kill_on=frozenset(_KILL_ON[name] for name in args.kill_on),  # type: ignore[misc]  # states, by the table above
        ),
    )
    _handle_signals(watcher, targets)
    interrupted = False
    with contextlib.ExitStack() as recording:
        record = recording.enter_context(recorded(args.root, watcher, targets, told=True)) if args.record else _nothing
        async with watcher:
            with _shown(args, watcher) as show:
                try:
                    async for change in watcher:
                        show(change)
                        record(change)
                except asyncio.CancelledError:
                    interrupted = True
    code = EXIT_INTERRUPTED if interrupted else _exit_code(watcher, targets)
    _close(args, watcher, code)
    return code


def _handle_signals(watcher: Watcher, targets: list[Target]) -> None:
    """Have signals end the watching; the first one only reaches a command that was started here, which is watched to its end all the same."""
    from massgen_tracing.runs.watch.targets import CommandTarget

    task = asyncio.current_task()
    assert task is not None
    command = next((target for target in targets if isinstance(target, CommandTarget)), None)
    if command is None:
        signals.cancel(task)
        return
    passed_on = False

    def handle(number: int) -> None:
        nonlocal passed_on
        if not passed_on and command.pass_on(number):
            passed_on = True
            watcher.finish()
        else:
            task.cancel()

    signals.handle(handle)


def _targets(args: argparse.Namespace) -> list[Target]:
    from massgen_tracing.runs.watch import Asked, processes, profiles
    from massgen_tracing.runs.watch.judge import Patience
    from massgen_tracing.runs.watch.targets import CommandTarget, all_runs, named

    if args.kill_on:
        processes.library("ending processes")
    now = time.time()
    patience = Patience(quiet=min(60.0, args.idle), stalled=args.idle, run_time=args.timeout)
    asked: Asked = Asked(
        files=tuple(args.require),
        marker=args.marker,
        patience=patience,
        profile=None if args.profile is None else profiles.load(args.profile),
        root=args.root,
        own_streams=not args.json,
    )
    made: list[Target] = [named(name, asked, now) for name in dict.fromkeys(args.targets)]
    if args.all:
        known = {target.name for target in made}
        made += [target for target in all_runs(asked, now) if target.name not in known]
        if not made:
            raise ConfigError(f"There is no run below {args.root}", hint="Name another root with --root")
    if args.words is not None:
        made.append(CommandTarget(args.words, asked, now))
    return made


@contextlib.contextmanager
def _shown(args: argparse.Namespace, watcher: Watcher) -> Iterator[Any]:
    """What shows a change: a line of JSON, a table where there is a terminal for it, or a line, beside a command's output on stderr."""
    out = sys.stdout if args.json or args.words is None else sys.stderr
    if args.json or args.words is not None or not out.isatty() or os.environ.get("TERM") in {"dumb", "unknown"}:
        said = _as_json if args.json else watching.line
        yield lambda change: print(said(change), file=out, flush=True)
        return
    from rich.live import Live

    from massgen_tracing.views import terminal

    console = terminal.console(out)
    drawing = Live(get_renderable=lambda: watching.table(list(watcher.watched.values()), console), console=console, refresh_per_second=_A_SECOND)
    with drawing:
        yield lambda change: console.print(watching.line(change), soft_wrap=True) if change.kind in {"error", "limit"} else None


@contextlib.contextmanager
def recorded(root: str, watcher: Watcher, targets: Sequence[Target], *, told: bool) -> Iterator[Callable[[Change], None]]:
    """What records changes, and at the end what agents tell of themselves.

    Args:
        root: where.
        watcher: that watches them.
        targets: what is watched.
        told: whether it is said in which trace.
    """
    import massgen_tracing as mt
    from massgen_tracing.runs.watch.record import Record
    from massgen_tracing.runs.watch.targets import CommandTarget
    from massgen_tracing.runs.watch.telemetry import Telemetry
    from massgen_tracing.views import foreign_sessions

    there = functools.partial(foreign_sessions.recorded, root=root, since=time.time())
    record = Record(mt.configure(root=root), [target.name for target in targets], there)
    with contextlib.ExitStack() as listening:
        for target in targets:
            if isinstance(target, CommandTarget):
                target.environment = record.environment(target.name, target.environment)
                if target.may_send:
                    target.take_telemetry(listening.enter_context(Telemetry()))
        try:
            yield record.take
        finally:
            record.end(list(watcher.watched.values()))
            mt.shutdown()
            if told and record.written:
                options.note(COMMAND, f"recorded as trace {record.trace_id}; see massgen-tracing trace")


def _nothing(_: Change) -> None:
    """Of a change that is not recorded."""


def _as_json(change: Change) -> str:
    return _dumped(watching.document(change))


def _dumped(said: Mapping[str, Any]) -> str:
    return json.dumps(said, ensure_ascii=False, allow_nan=False)


def _close(args: argparse.Namespace, watcher: Watcher, code: int) -> None:
    """The summary."""
    watched = list(watcher.watched.values())
    if args.json:
        print(_dumped(watching.closing(watched, code)), flush=True)
        return
    for line in watching.summary(watched):
        print(line, file=sys.stdout if args.words is None else sys.stderr, flush=True)


def _exit_code(watcher: Watcher, targets: list[Target]) -> int:
    from massgen_tracing.runs.watch.targets import CommandTarget

    of_role = {
        role: [each.verdict.state for each in watcher.watched.values() if each.verdict is not None and each.subject.kind == role]
        for role in ("target", "agent")
    }
    states = of_role["target"] + (of_role["agent"] if watcher.options.until == "any-failed" else [])
    codes = [target.code for target in targets if isinstance(target, CommandTarget)]
    handed_on = next((code if code > 0 else 128 - code for code in codes if code), EXIT_OK)
    if handed_on and "timed_out" not in states:
        return handed_on
    if "failed" in states or "dead" in states:
        return EXIT_EXECUTION
    return EXIT_TIMEOUT if "timed_out" in states else EXIT_OK


def _seconds(said: str) -> float:
    return _number(said, "a number, more than 0")


def _share(said: str) -> float:
    return _number(said, "a percentage, more than 0") / 100


def _number(said: str, expected: str) -> float:
    try:
        number = float(said)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"expected {expected}, got {said!r}")
    return number

"""`massgen-tracing run`: several agents on one question, traced from the first span to the last."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import os
import shlex
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from massgen_tracing.errors import ConfigError, MassGenTracingError
from massgen_tracing.layout import DEFAULT_ROOT, recording_name
from massgen_tracing.views.cli import EXIT_INTERRUPTED, EXIT_OK, EXIT_TIMEOUT, exit_code

if TYPE_CHECKING:
    from massgen_tracing.runs.coordinator.config import RunConfig
    from massgen_tracing.runs.coordinator.coordinator import Coordination, RunResult
    from massgen_tracing.runs.coordinator.progress import Progress

HELP: Final = "ask a question: agents answer, vote and present, and everything is traced"

_SHOWN: Final = {
    "answer": "answered: {text}",
    "vote": "voted for {text}",
    "restart": "starts again, having seen {text}",
    "retry": "is asked again ({text})",
    "failed": "dropped out: {text}",
    "timeout": "out of time: {text}",
    "winner": "wins with {text}",
}
"""Progress lines; other kinds are not shown."""

_QUERY: Final = "SELECT span_name, duration FROM records ORDER BY start_timestamp"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("question", help="what the agents are asked")
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML: agents, their endpoints and tool servers")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="a scripted model in the place of the endpoint; without --config also three agents of its own",
    )
    parser.add_argument("--root", metavar="DIR", help=f"where runs and recordings are kept (default: MASSGEN_TRACING_ROOT, else {DEFAULT_ROOT})")
    parser.add_argument("--logfire", action="store_true", help="send the trace to Logfire too")
    parser.add_argument("--otlp", metavar="URL", help="send the trace to a collector too, such as http://localhost:4318")
    parser.add_argument("--otlp-pending", action="store_true", help="send it the starts of spans too, so that a killed run has its root there")
    parser.add_argument("--timeout", type=float, metavar="S", help="seconds for the whole run")
    parser.add_argument("--no-record", action="store_true", help="no local recording, and no files of the run")
    parser.add_argument("--quiet", action="store_true", help="nothing but the final answer")


def run(args: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    config = _config(args)
    if not args.quiet:
        for warning in config.warnings:
            _say(f"warning: {warning}")
    if not args.logfire:
        # Logfire's plugin for pydantic would load Logfire with the first model class, which costs half a second and does nothing here.
        os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "logfire-plugin")
    import massgen_tracing as mt

    with contextlib.ExitStack() as stack:
        if args.dry_run:
            config = _redirected(config, stack)
        # What was not asked for here is left to the environment's variables.
        tracer = mt.configure(
            record=False if args.no_record else None,
            root=args.root,
            logfire=args.logfire or None,
            otlp_endpoint=args.otlp,
            otlp_pending=args.otlp_pending or None,
        )
        stack.callback(mt.shutdown)
        from massgen_tracing.runs.coordinator.coordinator import Coordination

        coordination = Coordination(config, args.question, tracer=tracer, on_progress=_ignore if args.quiet else _show)
        code = _carry_out(coordination)
    if not args.quiet:
        _say_where(coordination, args.root)
    return code


def _config(args: argparse.Namespace) -> RunConfig:
    from massgen_tracing.runs.coordinator.config import load_config
    from massgen_tracing.runs.coordinator.script import dry_run_config

    if not args.question.strip():
        raise ConfigError("The question is empty", expected="a question", hint='Give it as the last argument: massgen-tracing run --dry-run "…"')
    if args.timeout is not None and args.timeout <= 0:
        raise ConfigError("--timeout is wrong", expected="seconds, more than 0", got=args.timeout)
    if args.config is not None:
        config = load_config(args.config, keys_needed=not args.dry_run)
    elif args.dry_run:
        config = dry_run_config(sys.executable)
    else:
        raise ConfigError("There is nothing to run", expected="--config FILE or --dry-run", hint="Try: massgen-tracing run --dry-run 'What is AI?'")
    if args.timeout is not None:
        config = dataclasses.replace(config, limits=dataclasses.replace(config.limits, overall_timeout=args.timeout))
    return config


def _redirected(config: RunConfig, stack: contextlib.ExitStack) -> RunConfig:
    from massgen_tracing.runs.coordinator.script import DryRunScript
    from massgen_tracing.runs.coordinator.scripted import ScriptedEndpoint

    endpoint = stack.enter_context(ScriptedEndpoint(DryRunScript([agent.id for agent in config.agents])))
    return dataclasses.replace(config, agents=tuple(endpoint.redirect(agent) for agent in config.agents))


def _carry_out(coordination: Coordination) -> int:
    try:
        result = asyncio.run(_until_signalled(coordination))
    except (asyncio.CancelledError, KeyboardInterrupt):
        _complain("interrupted; what there was by then is kept")
        return EXIT_INTERRUPTED
    except MassGenTracingError as error:
        _complain(str(error))
        return exit_code(error)
    print(result.answer, flush=True)
    if result.finish_reason == "timeout":
        _complain("the run's time was up; this is the best answer by then")
        return EXIT_TIMEOUT
    return EXIT_OK


async def _until_signalled(coordination: Coordination) -> RunResult:
    """The run, cancelled by SIGTERM as `asyncio.run` cancels it on Ctrl-C."""
    task = asyncio.current_task()
    assert task is not None
    with contextlib.suppress(NotImplementedError):  # not on Windows
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await coordination.run()


def _say_where(coordination: Coordination, root: str | None) -> None:
    if not coordination.trace_id:
        return
    print(f"trace: {coordination.trace_id}")
    if coordination.directory is None:
        return
    option = "" if root is None else f" --root {shlex.quote(root)}"
    print(f"recording: {coordination.directory.attempt_dir / recording_name()}")
    print(f"next: massgen-tracing trace{option}")
    print(f'      massgen-tracing sql{option} "{_QUERY}"', flush=True)


def _show(progress: Progress) -> None:
    if progress.kind in _SHOWN:
        _say(f"{progress.agent_id} {_SHOWN[progress.kind].format(text=progress.text)}")


def _ignore(_progress: Progress) -> None:
    return


def _say(line: str) -> None:
    """Progress goes to stderr, so that the answer can be piped."""
    print(line, file=sys.stderr, flush=True)


def _complain(message: str) -> None:
    print(f"massgen-tracing run: {message}", file=sys.stderr, flush=True)

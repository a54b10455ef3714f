"""`massgen-tracing run`: several agents on one question, traced from the first span to the last."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import math
import os
import shlex
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from massgen_tracing import layout
from massgen_tracing.errors import ConfigError, MassGenTracingError
from massgen_tracing.layout import DEFAULT_ROOT, RunDirectory, recording_name
from massgen_tracing.views.automation import Automation, Ended
from massgen_tracing.views.cli import EXIT_EXECUTION, EXIT_INTERRUPTED, EXIT_OK, EXIT_TIMEOUT, exit_code, signals

if TYPE_CHECKING:
    from massgen_tracing.runs.coordinator.config import RunConfig
    from massgen_tracing.runs.coordinator.coordinator import Coordination, RunResult
    from massgen_tracing.runs.coordinator.progress import Progress
    from massgen_tracing.runs.coordinator.protocol import Exchange
    from massgen_tracing.semconv import FinishReason

HELP: Final = "ask a question: agents answer, vote and present, and everything is traced"

_SHOWN: Final = {
    "answer": "answered: {text}",
    "vote": "voted for {text}",
    "restart": "starts again, having seen {text}",
    "retry": "is asked again ({text})",
    "failed": "dropped out: {text}",
    "timeout": "ran out of time: {text}",
    "winner": "wins with {text}",
}
"""Progress lines; other kinds are not shown."""

_QUERY: Final = "SELECT span_name, duration FROM records ORDER BY start_timestamp"

_CODES: Final[Mapping[FinishReason, int]] = {
    "completed": EXIT_OK,
    "error": EXIT_EXECUTION,
    "timeout": EXIT_TIMEOUT,
    "interrupted": EXIT_INTERRUPTED,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("question", nargs="?", help="what the agents are asked")
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML: agents, their endpoints and tool servers")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="a scripted model in the place of the endpoint; without --config also three agents of its own",
    )
    parser.add_argument("--automation", action="store_true", help="at most 20 lines, for programs: where the run's files are, and what came of it")
    parser.add_argument(
        "--continue",
        dest="run",
        metavar="RUN",
        help="go on with an earlier run, whose answers the agents are told: the next turn; without a question one more attempt at its last one",
    )
    parser.add_argument("--root", metavar="DIR", help=f"where runs and recordings are kept (default: MASSGEN_TRACING_ROOT, else {DEFAULT_ROOT})")
    parser.add_argument("--logfire", action="store_true", help="send the trace to Logfire too")
    parser.add_argument("--otlp", metavar="URL", help="send the trace to a collector too, such as http://localhost:4318")
    parser.add_argument("--otlp-pending", action="store_true", help="send it the starts of spans too, so that a killed run has its root there")
    parser.add_argument("--timeout", type=float, metavar="S", help="seconds for the whole run")
    parser.add_argument("--max-cost", type=float, metavar="USD", help="what the run may cost; then it ends with what there is")
    parser.add_argument("--max-tokens", type=int, metavar="N", help="the tokens, of input and output, that it may use; then the same")
    parser.add_argument("--no-record", action="store_true", help="no local recording, and no files of the run")
    parser.add_argument("--quiet", action="store_true", help="nothing but the final answer")


def run(args: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # whatever a model says can be printed
    with signals.as_interrupts():
        return _Run(args).carry_out()


class _Run:
    """One run of the command; what is wrong with its arguments is a `ConfigError` before anything is started."""

    def __init__(self, args: argparse.Namespace) -> None:
        from massgen_tracing import settings
        from massgen_tracing.runs.coordinator import packages

        self._args = args
        # Who asks for the lines that name the files asks for the files.
        self._record = False if args.no_record else True if args.automation else None
        values = settings.resolve({"root": args.root, "record": self._record})
        self._root, self._records = values["root"], values["enabled"] and values["record"]
        self._attempts: list[RunDirectory] = []
        self._question: str = args.question or ""
        for option, given in (("--automation", args.automation), ("--continue", args.run is not None)):
            if given and not self._records:
                hint = "Do without --no-record, and without variables that switch off the tracing or the recording"
                raise ConfigError(f"{option} needs the files of the run, which are switched off", hint=hint)
        if args.run is not None:
            self._continue(args.run)
        self._config = _config(args, self._question)
        with_tools = any(agent.tool_servers for agent in self._config.agents)
        packages.check("openai", *(["mcp"] if with_tools else []), *(["starlette", "uvicorn"] if args.dry_run else []))

    def carry_out(self) -> int:
        args = self._args
        if not args.quiet:
            for warning in self._config.warnings:
                _say(f"warning: {warning}")
        if not args.logfire:
            # Logfire's plugin for pydantic would load Logfire with the first model class, which costs half a second and does nothing here.
            os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "logfire-plugin")
        import massgen_tracing as mt

        began = time.monotonic()
        with contextlib.ExitStack() as stack:
            config = _redirected(self._config, stack) if args.dry_run else self._config
            # What was not asked for here is left to the environment's variables.
            tracer = mt.configure(
                record=self._record,
                root=args.root,
                run_files=args.automation or None,
                logfire=args.logfire or None,
                otlp_endpoint=args.otlp,
                otlp_pending=args.otlp_pending or None,
            )
            stack.callback(mt.shutdown)
            from massgen_tracing.runs.coordinator.coordinator import Coordination

            directory = self._directory()
            history = self._history(directory)
            automation = Automation(sys.stdout, directory) if args.automation and directory is not None else None
            if automation is not None:
                automation.begin(self._question)
            with contextlib.ExitStack() as showing:
                show = automation or self._display(showing)
                for left in reversed(range(config.limits.run_restarts + 1)):
                    coordination = Coordination(config, self._question, tracer=tracer, run=directory, history=history, on_progress=show)
                    reason, details = _carry_out(coordination)
                    if reason != "error" or coordination.result is not None or not left:
                        break
                    directory = self._once_more(coordination.directory, automation)
            result = coordination.result
            if automation is None and result is not None and reason != "interrupted":
                print(result.answer, flush=True)
        # Whoever waits for the last lines finds all files as they stay.
        if automation is not None:
            automation.end(Ended(reason, details, result, len(config.agents), time.monotonic() - began))
        elif not args.quiet:
            _say_where(coordination, args.root)
        return _CODES[reason]

    def _continue(self, name: str) -> None:
        """Find the run that is gone on with, and where no question is given its last one."""
        from massgen_tracing.views import continuing

        self._attempts = continuing.attempts_of(self._root, name)
        if not self._question:
            self._question = continuing.question_of(self._attempts[-1])

    def _directory(self) -> RunDirectory | None:
        """A new directory for this run; None where nothing is recorded, or none can be made, which is said when the run starts."""
        try:
            if self._attempts:
                last = self._attempts[-1]
                return layout.next_turn(last.log_dir) if self._args.question else layout.next_attempt(last.log_dir, last.turn)
            return layout.new_run(self._root) if self._records else None
        except (OSError, ValueError) as error:
            if self._args.automation or self._attempts:
                hint = "Make it writable, or choose another with --root"
                raise ConfigError(f"No directory for the run can be made under {self._root} ({error})", hint=hint) from None
            return None

    def _once_more(self, last: RunDirectory | None, automation: Automation | None) -> RunDirectory | None:
        """The directory of one more attempt at the question, after one that has failed."""
        directory = None if last is None else layout.next_attempt(last.log_dir, last.turn)
        _complain("the run is tried once more")
        if automation is not None and directory is not None:
            automation.retry(directory)
        return directory

    def _history(self, directory: RunDirectory | None) -> list[Exchange]:
        if not self._attempts or directory is None:
            return []
        from massgen_tracing.runs.coordinator.protocol import Exchange
        from massgen_tracing.views import continuing

        return [Exchange(*said) for said in continuing.history(self._attempts, directory.turn)]

    def _display(self, stack: contextlib.ExitStack) -> Callable[[Progress], None]:
        """What shows the run while it goes on, on stderr, so that the answer can be piped."""
        if self._args.quiet:
            return _ignore
        if not sys.stderr.isatty() or os.environ.get("TERM") in {"dumb", "unknown"}:
            return _show
        from massgen_tracing.views import live, terminal

        agents = [agent.id for agent in self._config.agents]
        return stack.enter_context(live.LiveRun(terminal.console(sys.stderr), self._question, agents))


def _config(args: argparse.Namespace, question: str) -> RunConfig:
    from massgen_tracing.runs.coordinator.config_file import load_config
    from massgen_tracing.runs.coordinator.script import dry_run_config

    if not question.strip():
        raise ConfigError("The question is empty", expected="a question", hint='Give it as the last argument: massgen-tracing run --dry-run "…"')
    for option, value, what in (
        ("--timeout", args.timeout, "seconds"),
        ("--max-cost", args.max_cost, "USD"),
        ("--max-tokens", args.max_tokens, "tokens"),
    ):
        if value is not None and not 0 < value < math.inf:
            raise ConfigError(f"{option} is wrong", expected=f"{what}, more than 0", got=value)
    if args.config is not None:
        config = load_config(args.config, keys_needed=not args.dry_run)
    elif args.dry_run:
        config = dry_run_config(sys.executable)
    else:
        raise ConfigError("There is nothing to run", expected="--config FILE or --dry-run", hint="Try: massgen-tracing run --dry-run 'What is AI?'")
    given = {"overall_timeout": args.timeout, "max_cost": args.max_cost, "max_tokens": args.max_tokens}
    limits = dataclasses.replace(config.limits, **{name: value for name, value in given.items() if value is not None})
    return dataclasses.replace(config, limits=limits, warnings=(*config.warnings, *_uncounted(config, limits)))


def _uncounted(config: RunConfig, limits: Any) -> Iterator[str]:
    """Why a bound on the cost may not hold."""
    if limits.max_cost is not None:
        from massgen_tracing.runs.coordinator.spending import unpriced

        if models := unpriced(config):
            yield f"what {', '.join(models)} costs is not known, so that it does not count for the bound on the cost; --max-tokens counts it"


def _redirected(config: RunConfig, stack: contextlib.ExitStack) -> RunConfig:
    from massgen_tracing.runs.coordinator.script import DryRunScript
    from massgen_tracing.runs.coordinator.scripted import ScriptedEndpoint

    endpoint = stack.enter_context(ScriptedEndpoint(DryRunScript([agent.id for agent in config.agents])))
    return dataclasses.replace(config, agents=tuple(endpoint.redirect(agent) for agent in config.agents))


def _carry_out(coordination: Coordination) -> tuple[FinishReason, str | None]:
    """Carry a run to its end; returns how it ended, in a word and in words."""
    try:
        result = asyncio.run(_until_signalled(coordination))
    except (asyncio.CancelledError, KeyboardInterrupt):
        _complain("interrupted; what there was by then is kept")
        return "interrupted", None
    except MassGenTracingError as error:
        _complain(str(error))
        return ("timeout" if exit_code(error) == EXIT_TIMEOUT else "error"), str(error)
    except Exception as error:  # noqa: BLE001 - whatever it is, the run has failed, and what there is of it is told
        traceback.print_exc()
        return "error", f"{type(error).__name__}: {error}"
    if result.finish_details is not None:
        _complain(f"{result.finish_details}; this is the best answer by then" if result.finish_reason != "completed" else result.finish_details)
    return result.finish_reason, result.finish_details


async def _until_signalled(coordination: Coordination) -> RunResult:
    """The run, cancelled by SIGTERM as by Ctrl-C."""
    task = asyncio.current_task()
    assert task is not None
    signals.cancel(task)
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
    if not progress.agent_id and progress.kind in {"timeout", "budget"}:
        _say(f"the run stops: {progress.text}")
    elif progress.kind in _SHOWN:
        _say(f"{progress.agent_id} {_SHOWN[progress.kind].format(text=progress.text)}")


def _ignore(_progress: Progress) -> None:
    return


def _say(line: str) -> None:
    """Progress goes to stderr, so that the answer can be piped; nobody has to read it."""
    with contextlib.suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)


def _complain(message: str) -> None:
    _say(f"massgen-tracing run: {message}")

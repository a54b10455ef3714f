"""`configure()` and `shutdown()`: what a process traces to, from the one to the other; `assembly` puts it together."""

from __future__ import annotations

import atexit
import inspect
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from opentelemetry import context as otel_context

from massgen_tracing import guard, layout, libraries, prices, settings
from massgen_tracing.configuration import problems, surroundings
from massgen_tracing.configuration.assembly import Assembly
from massgen_tracing.configuration.delivering import Deliveries
from massgen_tracing.configuration.neighbours import Neighbours
from massgen_tracing.errors import UsageError, compose, one_of
from massgen_tracing.model import RUN_CONTEXT_KEY
from massgen_tracing.trace import (
    borders,
    environment,  # noqa: F401 - so that no module is loaded later: what a signal handler raises meanwhile may be lost
    factory,
    outside,
)
from massgen_tracing.trace.arguments import identifier
from massgen_tracing.trace.current import current
from massgen_tracing.trace.payload import keep_content, scrub_also
from massgen_tracing.trace.tracer import NoopTracer, Tracer

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

    from massgen_tracing.trace.pipeline import Pipeline

EXIT_TIMEOUT: Final = 1.7
"""Seconds that backends may take at exit: less than two, for counting what is owed, and the rest of an exit, take some of them."""

F = TypeVar("F", bound=Callable[..., Tracer])

_NOOP: Final = NoopTracer()
_lock = threading.RLock()
_tracer: Tracer = _NOOP
_neighbours: Final = Neighbours()
_deliveries: Final = Deliveries()
_now = Assembly(_neighbours, _deliveries)
_given: dict[str, Any] = {}
"""What `configure()` was called with."""
_at_exit = False


def _takes_anything(function: F) -> F:
    """Have `configure()` take whatever it is called with: what it does not know is passed over, and counted; what it does know holds.

    Whatever goes wrong inside, it is not tried again with less: that would set up what the caller has refused.
    """
    names = inspect.signature(function).parameters

    @wraps(function)
    def called(*args: object, **options: Any) -> Tracer:
        given = {name: value for name, value in options.items() if name in names}
        wrong = [f"{len(args)} by place"] if args else []
        wrong += [f"an unknown {identifier(name)}" for name in options if name not in names]
        try:
            if wrong:
                given["strict"] = settings.checked({"strict": given.get("strict")})["strict"]
                expected = f"by name, {one_of(names)}"
                settings.misuse(given["strict"], "arguments.configure", f"configure() was called with {', '.join(wrong)}", expected)
            return function(**given)
        except UsageError:  # strict
            raise
        except Exception as error:  # noqa: BLE001 - telemetry never breaks the run
            guard.swallow("configure", error)
            return get_tracer()

    return cast("F", called)


@_takes_anything
def configure(
    *,
    service_name: str | None = None,
    logfire: bool | None = None,
    otlp_endpoint: str | None = None,
    record: bool | None = None,
    root: str | os.PathLike[str] | None = None,
    run_files: bool | None = None,
    seal: bool | None = None,
    tracer_provider: TracerProvider | None = None,
    enabled: bool | None = None,
    strict: bool | None = None,
    full_content: bool | None = None,
    price_list: str | os.PathLike[str] | None = None,
    scrub_patterns: Sequence[str] | None = None,
    otlp_pending: bool | None = None,
    instrument: bool | None = None,
) -> Tracer:
    """Set up tracing for this process; called again, it replaces what was set up before.

    Every argument that is None falls back to its environment variable (`massgen_tracing.settings`), then to its default. In a process that was
    started under `child_env()` spans continue the parent's trace.

    Args:
        service_name: who is running; default `massgen`.
        logfire: also export to Logfire (token from the environment or `logfire auth`).
        otlp_endpoint: also export to an OTLP collector, such as `http://localhost:4318`. What it does not take while the run goes on, the next run or
            `massgen-tracing push` sends from the recording; without a recording spans wait in a temporary file, and what is not taken is lost.
        record: write the local recording; default on.
        root: where recordings and run directories live; default `.massgen`.
        run_files: in the directory of a run of this package's own (not of MassGen's), keep `status.json` up to date and write answers, traces of
            rounds, metrics and logs, all of which `massgen-tracing logs rebuild` can make of the recording too; default on.
        seal: when this process has ended, have another one seal the recordings of all ended runs under *root* into Parquet files, as
            `massgen-tracing compact` does; default off, for the next query does it too.
        tracer_provider: an OpenTelemetry SDK provider of the caller's own; then nothing of the above is set up, and spans go there. With
            *record* given as True they are recorded too.
        enabled: False makes every call a no-op that costs next to nothing; default on.
        strict: raise `massgen_tracing.errors.UsageError` where the facade is called wrongly, instead of a counted warning.
        full_content: record messages, tool arguments and results in full, not as previews.
        price_list: a file with newer prices than those that come with the package, as genai-prices publishes them (`data.json`).
        scrub_patterns: regular expressions of further secrets: what matches is scrubbed, and the value of a key that has a match.
        otlp_pending: the collector gets the starts of spans too, as Logfire's pending spans, so that it has the root of a run that is killed.
        instrument: have the calls of libraries traced by their instrumentors, where these are installed (`massgen_tracing.libraries`), those that
            are imported and those that will be; default off, and on under `massgen-tracing exec`.

    Returns:
        The configured tracer, which `get_tracer()` returns from now on.
    """
    global _tracer, _given, _at_exit
    given = settings.checked(
        {
            "service_name": service_name,
            "logfire": logfire,
            "otlp_endpoint": otlp_endpoint,
            "record": record,
            "root": root,
            "run_files": run_files,
            "seal": seal,
            "enabled": enabled,
            "strict": strict,
            "full_content": full_content,
            "price_list": price_list,
            "scrub_patterns": scrub_patterns,
            "otlp_pending": otlp_pending,
            "instrument": instrument,
        }
    )
    if given["price_list"] is not None:
        with guard.ignored(OSError):  # a working directory that is gone
            given["price_list"] = os.path.abspath(given["price_list"])
    if tracer_provider is not None and not hasattr(type(tracer_provider), "get_tracer"):
        expected = "an OpenTelemetry tracer provider"
        settings.misuse(
            given["strict"], "configure.tracer_provider", "configure() was called with a wrong tracer_provider", expected, tracer_provider
        )
        tracer_provider = None
    with _lock:
        shutdown(EXIT_TIMEOUT)
        values = settings.resolve(given)
        borders.bypass(not values["enabled"])
        with guard.guarded("prices"):
            prices.use(values["price_list"])
        scrub_also(values["scrub_patterns"])
        keep_content(values["full_content"])
        if not values["enabled"]:
            return _NOOP
        _given = given
        try:
            _tracer = _now.set_up(values, tracer_provider, given)
        except Exception as error:  # noqa: BLE001 - whatever the environment holds, the program goes on
            guard.swallow("configure", error)
            shutdown(EXIT_TIMEOUT)
        # Blocks are left by setting what was current before. Where nothing was, that would be a variable more than there was: so it is set now.
        otel_context.attach(otel_context.get_current())
        if not _at_exit:
            _at_exit = True
            atexit.register(_end)
        tracer = _tracer
    # Without the lock, since it imports what another thread may be importing that waits for it.
    if values["instrument"] and tracer.enabled:
        libraries.trace(tracer_provider)
    return tracer


def get_tracer() -> Tracer:
    """The configured tracer; one that does nothing before `configure()`. Never an error."""
    return _tracer


factory.configured_by(lambda: _tracer.spans)


def root() -> str | None:
    """The directory of runs and recordings; None where nothing is recorded."""
    return _now.root


def variables() -> dict[str, str]:
    """The environment under which a process that does not share this one's, nor its working directory, is configured as this one is.

    It holds what was given to `configure()`, what the environment says to this package, OpenTelemetry and Logfire, the root as an absolute path, and
    the current run, to which that process then belongs. A provider of the caller's own stays here.
    """
    env = {name: value for name, value in os.environ.items() if name.startswith(surroundings.PREFIXES)}
    for setting in settings.SETTINGS:
        value = _given.get(setting.name)
        if value is not None:
            env[setting.variable] = settings.as_text(value)
    if _now.root is not None:
        env[layout.ROOT_VARIABLE] = _now.root
    run = current().get(RUN_CONTEXT_KEY)
    if isinstance(run, layout.RunDirectory):
        env[layout.RUN_VARIABLE] = str(run.attempt_dir)
    return env


def also_to_logfire() -> bool:
    """Have what is configured export to Logfire too; returns whether it does. For whoever would otherwise configure Logfire a second time."""
    with _lock:
        if _tracer.enabled and not _neighbours.sends_to_logfire():
            configure(**{**_given, "logfire": True})
        return _neighbours.sends_to_logfire()


def shutdown(timeout: float = 5.0) -> bool:
    """Flush and stop; afterwards the facade does nothing until it is configured again. Also runs at exit.

    Args:
        timeout: seconds that all backends together may take; what one has not taken by then is left to the local recording.

    Returns:
        Whether everything was done in time. A collector that is down has not taken its spans, and is not waited for to the end. The recording is
        written at once in any case; that the disk has been made to take it too, against loss of power, is waited for but not told.
    """
    global _tracer, _now
    try:
        timeout = max(0.0, min(float(timeout), threading.TIMEOUT_MAX / 2))
    except (TypeError, ValueError, OverflowError):
        problem = "shutdown() was called with a wrong timeout"
        guard.report("usage.argument.timeout", compose(problem, "a number of seconds", timeout, "5 seconds are taken"))
        timeout = 5.0
    with _lock:
        before, _now = _now, Assembly(_neighbours, _deliveries)
        _tracer = _NOOP
        borders.bypass(False)
        libraries.leave()
        pipeline, before.pipeline = before.pipeline, None
        if pipeline is None:
            return True
        from massgen_tracing.trace.provider import SHARED

        SHARED.clear()
        done = _stop(pipeline, timeout, before.root)
    if pipeline.unfinished:
        problem = f"The files of a run were not all written within {round(timeout, 1):g} s"
        guard.report("run.files.late", f"{problem}; `massgen-tracing logs rebuild` makes them of the recording, when it has ended.")
    _after(before)
    return done


def _end() -> None:
    """At the end of the process: the backends are stopped as by `shutdown`, and the recording goes on.

    What other exit handlers and finalizers trace after this one is in it too; it needs no end.
    """
    until = time.monotonic() + EXIT_TIMEOUT
    if not _lock.acquire(timeout=EXIT_TIMEOUT):  # another thread stops the backends just now, or sets them up, in its own time
        return
    try:
        if _now.pipeline is None:
            return
        from massgen_tracing.trace.others import Added
        from massgen_tracing.trace.provider import SHARED

        Added.ending = True
        goes_on = not _deliveries.are_temporary
        _stop(_now.pipeline, max(0.0, until - time.monotonic()), _now.root)
        for pipeline in (_now.pipeline, SHARED.others.shown):
            if pipeline is not None:
                pipeline.processors = tuple(processor for processor in pipeline.processors if goes_on and hasattr(processor, "resume"))
        for processor in _now.pipeline.processors:
            processor.resume()  # type: ignore[attr-defined]  # a recording's
    finally:
        _lock.release()
    _after(_now)


def _stop(pipeline: Pipeline, timeout: float, root: str | None) -> bool:
    """Stop what spans go to; whether all of it has taken its last spans in time. What is said of a backend that is down is one line."""
    until = time.monotonic() + timeout
    done = pipeline.shutdown(timeout)
    owed = _deliveries.finish(root, until)
    if not done:
        where = "they are lost, for nothing is recorded" if root is None else "they are in the local recording"
        level = logging.DEBUG if owed else logging.WARNING
        guard.report("shutdown.timeout", f"A backend did not take its last spans within {round(timeout, 1):g} s; {where}.", level=level)
    return done and not owed and not pipeline.unfinished


def _after(ended: Assembly) -> None:
    """Have the recordings sealed where that is asked for, and leave word of what went wrong."""
    outside.tell()
    if ended.seals and ended.root is not None:
        from massgen_tracing.sinks.recording import seal_apart  # loaded already, with the recording

        seal_apart(ended.root)
    problems.write(ended.root, makes=ended.records)


def _after_fork() -> None:
    # A thread of the parent may have held the lock at the moment of the fork.
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

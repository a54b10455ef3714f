"""`configure()`: puts tracer, provider and sinks together, once per process and again whenever it is called again."""

from __future__ import annotations

import atexit
import json
import os
import socket
import tempfile
import threading
import uuid
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import context as otel_context
from opentelemetry import trace as otel_trace

from massgen_tracing import guard, layout, prices, semconv, settings
from massgen_tracing._version import __version__
from massgen_tracing.errors import compose, one_of
from massgen_tracing.model import RUN_CONTEXT_KEY
from massgen_tracing.trace import borders, carriers, factory
from massgen_tracing.trace.lenient import function_takes_anything
from massgen_tracing.trace.tracer import SCOPE, NoopTracer, Tracer

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.trace import TracerProvider

    from massgen_tracing.sinks.logfire import Follower
    from massgen_tracing.trace.pipeline import Pipeline

EXIT_TIMEOUT: Final = 2.0
"""Seconds that backends may take at exit."""

_PREFIXES: Final = ("MASSGEN_TRACING_", "OTEL_", "LOGFIRE_")
"""What the names of variables begin with that say how to trace."""

_NOOP: Final = NoopTracer()
_lock = threading.RLock()
_tracer: Tracer = _NOOP
_pipeline: Pipeline | None = None
_root: str | None = None
_seals = False
_logfire: Follower | None = None
_to_logfire = False
_given: dict[str, Any] = {}
"""What `configure()` was called with."""
_at_exit = False


def _misfit(kind: str, problem: str, expected: str) -> None:
    settings.misuse(None, kind, problem, expected)


@function_takes_anything(_misfit)
def configure(
    *,
    service_name: str | None = None,
    logfire: bool | None = None,
    otlp_endpoint: str | None = None,
    record: bool | None = None,
    root: str | os.PathLike[str] | None = None,
    seal: bool | None = None,
    tracer_provider: TracerProvider | None = None,
    enabled: bool | None = None,
    strict: bool | None = None,
    full_content: bool | None = None,
    price_list: str | os.PathLike[str] | None = None,
) -> Tracer:
    """Set up tracing for this process; called again, it replaces what was set up before.

    Every argument that is None falls back to its environment variable (`massgen_tracing.settings`), then to its default. In a process that was
    started under `child_env()` spans continue the parent's trace.

    Args:
        service_name: who is running; default `massgen`.
        logfire: also export to Logfire (token from the environment or `logfire auth`).
        otlp_endpoint: also export to an OTLP collector, such as `http://localhost:4318`.
        record: write the local recording; default on.
        root: where recordings and run directories live; default `.massgen`.
        seal: when this process has ended, have another one seal the recordings of all ended runs under *root* into Parquet files, as
            `massgen-tracing compact` does; default off, for the next query does it too.
        tracer_provider: an OpenTelemetry SDK provider of the caller's own; then nothing of the above is set up, and spans go there. With
            *record* given as True they are recorded too.
        enabled: False makes every call a no-op that costs next to nothing; default on.
        strict: raise `massgen_tracing.errors.UsageError` where the facade is called wrongly, instead of a counted warning.
        full_content: record messages, tool arguments and results in full, not as previews.
        price_list: a file with newer prices than those that come with the package, as genai-prices publishes them (`data.json`).

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
            "seal": seal,
            "enabled": enabled,
            "strict": strict,
            "full_content": full_content,
            "price_list": price_list,
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
        if not values["enabled"]:
            return _NOOP
        _given = given
        try:
            _tracer = _set_up_as(values, tracer_provider, given)
        except Exception as error:  # noqa: BLE001 - whatever the environment holds, the program goes on
            guard.swallow("configure", error)
            shutdown(EXIT_TIMEOUT)
        # Blocks are left by setting what was current before. Where nothing was, that would be a variable more than there was: so it is set now.
        otel_context.attach(otel_context.get_current())
        if not _at_exit:
            _at_exit = True
            atexit.register(_end)
        return _tracer


def get_tracer() -> Tracer:
    """The configured tracer; one that does nothing before `configure()`. Never an error."""
    return _tracer


factory.configured_by(lambda: _tracer.spans)


def root() -> str | None:
    """The directory of runs and recordings; None where nothing is recorded."""
    return _root


def variables() -> dict[str, str]:
    """The environment under which a process that does not share this one's, nor its working directory, is configured as this one is.

    It holds what was given to `configure()`, what the environment says to this package, OpenTelemetry and Logfire, the root as an absolute path, and
    the current run, to which that process then belongs. A provider of the caller's own stays here.
    """
    env = {name: value for name, value in os.environ.items() if name.startswith(_PREFIXES)}
    for setting in settings.SETTINGS:
        value = _given.get(setting.name)
        if value is not None:
            env[setting.variable] = str(value).lower() if isinstance(value, bool) else os.fspath(value)
    if _root is not None:
        env[{setting.name: setting.variable for setting in settings.SETTINGS}["root"]] = _root
    run = otel_context.get_value(RUN_CONTEXT_KEY)
    if isinstance(run, layout.RunDirectory):
        env[layout.RUN_VARIABLE] = str(run.attempt_dir)
    return env


def also_to_logfire() -> bool:
    """Have what is configured export to Logfire too; returns whether it does. For whoever would otherwise configure Logfire a second time."""
    with _lock:
        if _tracer.enabled and not _sends_to_logfire():
            configure(**{**_given, "logfire": True})
        return _sends_to_logfire()


def _sends_to_logfire() -> bool:
    from massgen_tracing.trace.provider import SHARED

    return _logfire is not None and SHARED.delegate is not None and _logfire.is_proxy(SHARED.delegate)


def shutdown(timeout: float = 5.0) -> bool:
    """Flush and stop; afterwards the facade does nothing until it is configured again. Also runs at exit.

    Args:
        timeout: seconds that all backends together may take; what one has not taken by then is left to the local recording.

    Returns:
        Whether everything was done in time.
    """
    global _tracer, _pipeline, _root, _seals
    try:
        timeout = float(timeout)
    except (TypeError, ValueError, OverflowError):
        problem = "shutdown() was called with a wrong timeout"
        guard.report("usage.argument.timeout", compose(problem, "a number of seconds", timeout, "5 seconds are taken"))
        timeout = 5.0
    with _lock:
        pipeline, _pipeline = _pipeline, None
        root, _root = _root, None
        seals, _seals = _seals, False
        _tracer = _NOOP
        borders.bypass(False)
        if pipeline is None:
            return True
        from massgen_tracing.trace.provider import SHARED

        SHARED.clear()
        done = pipeline.shutdown(timeout)
    _after(done, timeout, root, seals=seals)
    return done


def _end() -> None:
    """At the end of the process: the backends are stopped as by `shutdown`, and the recording goes on.

    What other exit handlers and finalizers trace after this one is in it too; it needs no end.
    """
    with _lock:
        if _pipeline is None:
            return
        from massgen_tracing.trace.others import Added
        from massgen_tracing.trace.provider import SHARED

        Added.ending = True
        done = _pipeline.shutdown(EXIT_TIMEOUT)
        for pipeline in (_pipeline, SHARED.others.shown):
            if pipeline is not None:
                pipeline.processors = tuple(processor for processor in pipeline.processors if hasattr(processor, "resume"))
        for processor in _pipeline.processors:
            processor.resume()  # type: ignore[attr-defined]  # a recording's
    _after(done, EXIT_TIMEOUT, _root, seals=_seals)


def _after(done: bool, timeout: float, root: str | None, *, seals: bool) -> None:
    """Say what was not done in time, have the recordings sealed where that is asked for, and leave word of what went wrong."""
    if not done:
        guard.report("shutdown.timeout", f"A backend did not take its last spans within {timeout:g} s; they are in the local recording.")
    if seals and root is not None:
        from massgen_tracing.sinks.recording import seal_apart  # loaded already, with the recording

        seal_apart(root)
    _write_problems(root)


def _set_up_as(values: dict[str, Any], provider: TracerProvider | None, given: dict[str, Any]) -> Tracer:
    """Set up what was asked for; returns the tracer.

    Args:
        values: every setting.
        provider: the caller's own, if any.
        given: the caller's arguments.
    """
    global _root, _seals
    from massgen_tracing.trace.provider import SHARED

    _check_surroundings()
    make = partial(
        Tracer,
        service_name=values["service_name"],
        price=prices.estimate,
        remote=carriers.remote_context(),
        strict=values["strict"],
        full_content=values["full_content"],
    )
    beside = provider is not None and provider is not SHARED  # which is global for good, also where nothing is configured
    record = bool(given["record"]) if beside else values["record"]
    if record or not beside:
        _root = values["root"] = _absolute(values["root"])
    _seals = values["seal"] and record
    if beside:
        assert provider is not None
        return _set_up_beside(provider, values, make, record=record)
    return _set_up(values, make, given["otlp_endpoint"])


def _absolute(root: str | os.PathLike[str]) -> str:
    """The root as it is now, for the program may go elsewhere.

    In a working directory that is gone a relative one is a new directory among the temporary ones.
    """
    try:
        return os.path.abspath(root)
    except OSError:
        place = tempfile.mkdtemp(prefix="massgen-tracing-")
        problem = f"The working directory is gone, so the root {os.fspath(root)!r} cannot be there; runs are recorded under {place}"
        guard.report("recording.root", compose(problem, hint="Name an absolute one with root=…, or MASSGEN_TRACING_ROOT"))
        return place


def _check_surroundings() -> None:
    """Say what the environment holds that cannot be used."""
    written = os.environ.get(semconv.TRACEPARENT.upper())
    if written and not otel_trace.get_current_span(carriers.remote_context()).get_span_context().is_valid:
        problem = "The environment variable TRACEPARENT is wrong, so this process begins a trace of its own"
        guard.report("settings.traceparent", compose(problem, "W3C's form, 00-<32 hex digits>-<16 hex digits>-01", written))
    unknown = settings.unknown(os.environ)
    if unknown:
        problem = f"Nobody reads {', '.join(unknown)}"
        guard.report("settings.unknown", compose(problem, one_of(setting.variable for setting in settings.SETTINGS)))


def _set_up(values: dict[str, Any], make: partial[Tracer], given_endpoint: str | None) -> Tracer:
    """The package's own provider, or Logfire's.

    Args:
        values: every setting; `root` is absolute.
        make: makes the tracer.
        given_endpoint: the collector that the caller has named, where it was not a variable that did.
    """
    global _pipeline, _to_logfire
    from massgen_tracing.trace.pipeline import Pipeline
    from massgen_tracing.trace.provider import SHARED

    root, run = values["root"] if values["record"] else None, _run_of_parent()
    processors = [*_recording(root, run), *(_export(given_endpoint) if given_endpoint else ())]
    resource, remote = _resource(values["service_name"]), carriers.remote_context()
    shown = Pipeline(resource, processors, remote=remote)
    _pipeline = Pipeline(resource, processors, remote=remote)
    _follow_others()
    delegate: TracerProvider | None = None
    if values["logfire"]:
        from massgen_tracing.sinks.logfire import LogfireFlush

        delegate = _logfire_takes_ours(values["service_name"])
        _pipeline.processors += (LogfireFlush(),)
    if delegate is None and given_endpoint is None:
        # Logfire's SDK, and any other's, exports by itself to what OpenTelemetry's variables name: so only what is this package's own goes there.
        traces = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
        if traces or values["otlp_endpoint"]:
            _pipeline.processors += tuple(_export(traces or values["otlp_endpoint"], whole=bool(traces)))
    _to_logfire = bool(values["logfire"])
    SHARED.install(_pipeline, shown, delegate)
    # A Logfire that is given its token later takes the spans then, and cleans nothing.
    cleans = not values["logfire"]
    return make(SHARED.facade_tracer(SCOPE, __version__), open_run=partial(_open_run, root, run), cleans=cleans)


def _set_up_beside(provider: TracerProvider, values: dict[str, Any], make: partial[Tracer], *, record: bool) -> Tracer:
    """The caller's own provider, with the local recording in it where that is asked for; returns the tracer."""
    global _pipeline
    from massgen_tracing.trace.pipeline import Pipeline
    from massgen_tracing.trace.provider import SHARED

    root, run = values["root"] if record else None, _run_of_parent()
    processors = _recording(root, run)
    _pipeline = Pipeline(_resource(""), processors)
    if record:
        _follow_others()
        _follow(provider)
    SHARED.install(_pipeline, Pipeline(_resource(""), processors), provider)
    return make(provider.get_tracer(SCOPE, __version__), cleans=False, open_run=partial(_open_run, root, run if record else None))


def _recording(root: str | None, run: layout.RunDirectory | None) -> list[SpanProcessor]:
    if root is None:
        return []
    from massgen_tracing.sinks.recording import Recording

    return [Recording(root, run)]


# --- other providers ---------------------------------------------------------------------------------------------------------------


def _follow_others() -> None:
    """See to it that the spans of the global provider and of Logfire are in the same tree, whenever and by whomever these are set."""
    global _logfire
    from massgen_tracing.sinks.logfire import Follower
    from massgen_tracing.trace import global_provider
    from massgen_tracing.trace.provider import SHARED

    with guard.guarded("others"):
        if _logfire is None:
            _logfire = Follower(SHARED.others, _logfire_configured)
        global_provider.take(_follow)
        _logfire.look()


def _notice_others() -> None:
    """Follow what was set in a way that nobody was told of."""
    from massgen_tracing.trace import global_provider

    with guard.guarded("others"):
        if _logfire is not None:
            global_provider.notice()
            _logfire.look()


def _follow(provider: TracerProvider) -> bool:
    """Follow one provider; whether it can be followed."""
    from massgen_tracing.trace.provider import SHARED

    if _logfire is not None and _logfire.is_proxy(provider):
        _logfire_configured(provider)
        return True
    return SHARED.others.follow(provider)


def _logfire_takes_ours(service_name: str) -> TracerProvider | None:
    """Logfire's provider, where Logfire takes the facade's spans."""
    from massgen_tracing.trace.provider import SHARED

    provider = None if _logfire is None else _logfire.use(service_name)
    if provider is not None and _logfire is not None:
        SHARED.masked = _logfire.masked
    return provider


def _logfire_configured(provider: TracerProvider) -> None:
    """The program has configured Logfire: it is what others' spans go through, and the facade's where that was asked for."""
    from massgen_tracing.trace import global_provider
    from massgen_tracing.trace.provider import SHARED

    global_provider.announce(provider)
    if SHARED.pipeline is not None and _logfire is not None and _to_logfire:
        SHARED.masked = _logfire.masked
        SHARED.pipeline, SHARED.delegate = None, provider


def _export(endpoint: str, *, whole: bool = False) -> list[SpanProcessor]:
    from massgen_tracing.sinks.otlp import otlp_processor

    processor = otlp_processor(endpoint, whole=whole)
    return [] if processor is None else [processor]


def _run_of_parent() -> layout.RunDirectory | None:
    """The run that this process was started in, if it was told."""
    attempt = os.environ.get(layout.RUN_VARIABLE)
    return layout.run_of(Path(attempt)) if attempt else None


def _open_run(root: str | None, parent: layout.RunDirectory | None, given: layout.RunDirectory | None) -> layout.RunDirectory | None:
    """The directory of a session: *given*, or *parent*, which this process belongs to, or a new one; none is made without a root."""
    if _pipeline is not None:
        _notice_others()
    if given is not None or root is None:
        return given
    if parent is not None:
        return parent
    try:
        return layout.new_run(root)
    except (OSError, ValueError) as error:
        guard.passing(error)
        reason = getattr(error, "strerror", None) or error
        guard.report(
            "recording.directory",
            f"No run directory can be made under {root} ({reason}). The run goes on without being recorded."
            " Make it writable, or choose another with root=….",
            error=error,
        )
        return None


def _resource(service_name: str) -> Resource:
    from opentelemetry.sdk.resources import Resource

    from massgen_tracing.trace.origin import clean_resource

    return clean_resource(
        Resource.create(
            {
                semconv.SERVICE_NAME: service_name,
                semconv.SERVICE_INSTANCE_ID: uuid.uuid4().hex,
                semconv.PROCESS_PID: os.getpid(),
                semconv.HOST_NAME: socket.gethostname(),
            }
        )
    )


def _write_problems(root: str | None) -> None:
    """Leave what was swallowed where `massgen-tracing doctor` finds it."""
    found = guard.problems()
    if root is None or not found:
        return
    from massgen_tracing.trace.scrub import scrub

    path = Path(root) / layout.PROBLEMS_FILE
    try:
        with path.open("a", encoding="utf-8") as file:
            for problem in found:
                said = {"message": scrub(problem.message), "detail": scrub(problem.detail)}
                file.write(json.dumps({"pid": os.getpid(), "version": __version__, **asdict(problem), **said}) + "\n")
    except (OSError, ValueError) as error:  # also a root that no file system can name
        guard.passing(error)
        guard.logger.debug("the problems could not be written to %s", path, exc_info=True)

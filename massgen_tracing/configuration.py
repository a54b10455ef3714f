"""`configure()`: puts tracer, provider and sinks together, once per process and again whenever it is called again."""

from __future__ import annotations

import atexit
import json
import os
import socket
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
from massgen_tracing.model import RUN_CONTEXT_KEY
from massgen_tracing.trace import borders, carriers, factory
from massgen_tracing.trace.tracer import SCOPE, NoopTracer, Tracer

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.trace import TracerProvider

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
_given: dict[str, Any] = {}
"""What `configure()` was called with."""
_at_exit = False


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
    global _tracer, _root, _seals, _given, _at_exit
    given: dict[str, Any] = {
        "service_name": service_name,
        "logfire": logfire,
        "otlp_endpoint": otlp_endpoint,
        "record": record,
        "root": root,
        "seal": seal,
        "enabled": enabled,
        "strict": strict,
        "full_content": full_content,
        "price_list": None if price_list is None else os.path.abspath(price_list),
    }
    with _lock:
        shutdown(EXIT_TIMEOUT)
        values = settings.resolve(given)
        borders.bypass(not values["enabled"])
        with guard.guarded("prices"):
            prices.use(values["price_list"])
        if not values["enabled"]:
            return _NOOP
        make = partial(
            Tracer,
            service_name=values["service_name"],
            price=prices.estimate,
            remote=carriers.remote_context(),
            strict=values["strict"],
            full_content=values["full_content"],
        )
        _given = given
        if tracer_provider is not None:
            open_run = partial(_open_run, None, None)
            if record:
                _root = os.path.abspath(values["root"])
                _seals = values["seal"]
                open_run = _record_beside(tracer_provider, _root)
            _tracer = make(tracer_provider.get_tracer(SCOPE, __version__), cleans=False, open_run=open_run)
        else:
            _root = os.path.abspath(values["root"])  # the program may go elsewhere
            _seals = values["seal"] and values["record"]
            _tracer = _set_up(values, make, otlp_endpoint)
        # Blocks are left by setting what was current before. Where nothing was, that would be a variable more than there was: so it is set now.
        otel_context.attach(otel_context.get_current())
        if not _at_exit:
            _at_exit = True
            atexit.register(shutdown, EXIT_TIMEOUT)
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
    from massgen_tracing.trace.provider import SHARED

    with _lock:
        if _tracer.enabled and SHARED.delegate is None:
            configure(**{**_given, "logfire": True})
        return SHARED.delegate is not None


def shutdown(timeout: float = 5.0) -> bool:
    """Flush and stop; afterwards the facade does nothing until it is configured again. Also runs at exit.

    Args:
        timeout: seconds that all backends together may take; what one has not taken by then is left to the local recording.

    Returns:
        Whether everything was done in time.
    """
    global _tracer, _pipeline, _root, _seals
    with _lock:
        pipeline, _pipeline = _pipeline, None
        root, _root = _root, None
        seals, _seals = _seals, False
        _tracer = _NOOP
        borders.bypass(False)
        if pipeline is None:
            return True
        from massgen_tracing.trace.provider import SHARED

        SHARED.pipeline = None
        SHARED.delegate = None
        done = pipeline.shutdown(timeout)
    if not done:
        guard.report("shutdown.timeout", f"A backend did not take its last spans within {timeout:g} s; they are in the local recording.")
    if seals and root is not None:
        from massgen_tracing.sinks.recording.ended import seal_apart

        seal_apart(root)
    _write_problems(root)
    return done


def _set_up(values: dict[str, Any], make: partial[Tracer], given_endpoint: str | None) -> Tracer:
    """The package's own provider, or Logfire's with our recording in it.

    Args:
        values: every setting.
        make: makes the tracer.
        given_endpoint: the collector that the caller has named, where it was not a variable that did.
    """
    global _pipeline
    from massgen_tracing.trace.payload import clean_all
    from massgen_tracing.trace.pipeline import Pipeline
    from massgen_tracing.trace.provider import SHARED

    root, run = values["root"], _run_of_parent()
    processors: list[SpanProcessor] = []
    recording = None
    if values["record"]:
        from massgen_tracing.sinks.recording import Recording

        recording = Recording(root, run)
        processors.append(recording)
    if given_endpoint:
        processors += _export(given_endpoint)
    _pipeline = Pipeline(_resource(values["service_name"]), processors, remote=carriers.remote_context())
    provider: TracerProvider | None = None
    if values["logfire"]:
        from massgen_tracing.sinks.logfire import LogfireFlush, logfire_provider

        provider = logfire_provider(values["service_name"], processors)
        if provider is not None:
            _pipeline.processors += (LogfireFlush(),)
        if provider is not None and recording is not None:
            recording.clean = clean_all  # the SDK's spans hold what a stranger set
    own = provider is None
    if own:
        # Logfire's SDK exports by itself to what OpenTelemetry's variables name.
        traces = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
        if given_endpoint is None and (traces or values["otlp_endpoint"]):
            _pipeline.processors += tuple(_export(traces or values["otlp_endpoint"], whole=bool(traces)))
        SHARED.pipeline = _pipeline
        provider = SHARED
    else:
        SHARED.delegate = provider
    if isinstance(otel_trace.get_tracer_provider(), otel_trace.ProxyTracerProvider):
        otel_trace.set_tracer_provider(SHARED)
    assert provider is not None
    return make(provider.get_tracer(SCOPE, __version__), open_run=partial(_open_run, root if recording is not None else None, run), cleans=own)


def _record_beside(provider: TracerProvider, root: str) -> partial[layout.RunDirectory | None]:
    """The local recording, in the caller's own provider; returns what makes the directory of a run."""
    global _pipeline
    from massgen_tracing.sinks.recording import Recording
    from massgen_tracing.trace.payload import clean_all
    from massgen_tracing.trace.pipeline import Pipeline

    run = _run_of_parent()
    recording = Recording(root, run)
    recording.clean = clean_all  # the SDK's spans hold what a stranger set
    provider.add_span_processor(recording)  # type: ignore[attr-defined]  # the SDK's; the API's has none
    _pipeline = Pipeline(_resource(""), [recording])
    return partial(_open_run, root, run)


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
    if given is not None or root is None:
        return given
    if parent is not None:
        return parent
    try:
        return layout.new_run(root)
    except OSError as error:
        guard.passing(error)
        guard.report(
            "recording.directory",
            f"No run directory can be made under {Path(root).resolve()} ({error.strerror or error}). The run goes on without being recorded."
            " Make it writable, or choose another with root=….",
            error=error,
        )
        return None


def _resource(service_name: str) -> Resource:
    from opentelemetry.sdk.resources import Resource

    return Resource.create(
        {
            semconv.SERVICE_NAME: service_name,
            semconv.SERVICE_INSTANCE_ID: uuid.uuid4().hex,
            semconv.PROCESS_PID: os.getpid(),
            semconv.HOST_NAME: socket.gethostname(),
        }
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
    except OSError as error:
        guard.passing(error)
        guard.logger.debug("the problems could not be written to %s", path, exc_info=True)

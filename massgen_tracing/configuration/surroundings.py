"""What a process finds around itself when it is configured: its environment, its working directory, the state of its interpreter."""

from __future__ import annotations

import os
import socket
import tempfile
import uuid
from typing import TYPE_CHECKING, Final

from opentelemetry import trace as otel_trace

from massgen_tracing import guard, semconv, settings
from massgen_tracing.errors import compose, one_of
from massgen_tracing.trace import carriers

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource

PREFIXES: Final = ("MASSGEN_TRACING_", "OTEL_", "LOGFIRE_")
"""What the names of variables begin with that say how to trace."""


def check() -> None:
    """Say what the environment holds that cannot be used."""
    written = os.environ.get(semconv.TRACEPARENT.upper())
    if written and not otel_trace.get_current_span(carriers.remote_context()).get_span_context().is_valid:
        problem = "The environment variable TRACEPARENT is wrong, so this process begins a trace of its own"
        guard.report("settings.traceparent", compose(problem, "W3C's form, 00-<32 hex digits>-<16 hex digits>-01", written))
    unknown = settings.unknown(os.environ)
    if unknown:
        problem = f"Nobody reads {', '.join(unknown)}"
        guard.report("settings.unknown", compose(problem, one_of(setting.variable for setting in settings.SETTINGS)))


def load_sdk() -> None:
    """Load OpenTelemetry's SDK, also where a variable of its own says what it refuses to be loaded with: then without that variable."""
    try:
        import opentelemetry.sdk.trace
    except ValueError as error:
        guard.passing(error)
        said = str(error)
        wrong = {name: value for name, value in os.environ.items() if name.startswith("OTEL_") and name in said}
        if not wrong:
            raise
        for name in wrong:
            del os.environ[name]
        try:
            import opentelemetry.sdk.trace  # noqa: F401 - loaded, for whoever needs it
        finally:
            os.environ.update(wrong)
        problem = f"OpenTelemetry does not take {' and '.join(f'{name}={value!r}' for name, value in wrong.items())} ({said})"
        guard.report("settings.opentelemetry", compose(problem, hint="It counts as not set. Correct or unset it"))


def absolute(root: str | os.PathLike[str]) -> str:
    """The root as it is now, for the program may go elsewhere.

    In a working directory that is gone a relative one is a new directory among the temporary ones.
    """
    try:
        return os.path.abspath(root)
    except OSError as error:
        guard.passing(error)
        place = tempfile.mkdtemp(prefix="massgen-tracing-")
        problem = f"The working directory is gone, so the root {os.fspath(root)!r} cannot be there; runs are recorded under {place}"
        guard.report("recording.root", compose(problem, hint="Name an absolute one with root=…, or MASSGEN_TRACING_ROOT"))
        return place


def resource(service_name: str) -> Resource:
    """Who writes the spans: this process, and what OpenTelemetry's variables say of it."""
    from opentelemetry.sdk import resources
    from opentelemetry.sdk.environment_variables import OTEL_EXPERIMENTAL_RESOURCE_DETECTORS
    from opentelemetry.sdk.version import __version__ as sdk_version

    from massgen_tracing.trace.exceptions import summary
    from massgen_tracing.trace.origin import clean_resource
    from massgen_tracing.trace.scrub import scrub

    own: dict[str, str | int] = {
        semconv.SERVICE_NAME: service_name,
        semconv.SERVICE_INSTANCE_ID: uuid.uuid4().hex,
        semconv.PROCESS_PID: os.getpid(),
        semconv.HOST_NAME: socket.gethostname(),
    }
    sdk = {
        resources.TELEMETRY_SDK_LANGUAGE: "python",
        resources.TELEMETRY_SDK_NAME: "opentelemetry",
        resources.TELEMETRY_SDK_VERSION: sdk_version,
    }
    with guard.overheard("opentelemetry.sdk.resources", "opentelemetry.attributes") as passed_over:
        made = resources.Resource(sdk).merge(resources.OTELResourceDetector().detect()).merge(resources.Resource(own))
        # The SDK asks its detectors on threads, also where there is but the one above: those are started only for others.
        if os.environ.get(OTEL_EXPERIMENTAL_RESOURCE_DETECTORS):
            try:
                made = resources.Resource.create(own)
            except Exception as error:  # noqa: BLE001 - a detector is a stranger's, and not worth a run
                guard.passing(error)
                passed_over.append(summary(error))
    if passed_over:
        problem = f"Of the resource some is passed over ({scrub('; '.join(dict.fromkeys(passed_over)))})"
        hint = "Correct or unset OTEL_RESOURCE_ATTRIBUTES or OTEL_EXPERIMENTAL_RESOURCE_DETECTORS"
        guard.report("settings.resource", compose(problem, hint=hint))
    return clean_resource(made)

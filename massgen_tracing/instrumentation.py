"""`MassGenInstrumentor`: an OpenTelemetry instrumentor that makes an unmodified MassGen produce this package's tree."""

from __future__ import annotations

import importlib.metadata
import re
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from opentelemetry import trace as otel_trace
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]

from massgen_tracing import autostart, configuration, guard
from massgen_tracing.runs.massgen.patches import Patches, Point
from massgen_tracing.runs.massgen.points import points
from massgen_tracing.trace.environment import child_env

OLDEST: Final = "0.1.32"
"""The first version of MassGen with `--logfire`; older ones have none of what is seen here."""

NEWEST: Final = "0.1.97"
"""The newest version that this release was tested with."""


class MassGenInstrumentor(BaseInstrumentor):  # type: ignore[misc]  # OpenTelemetry does not type it
    """Patches MassGen when it is imported, or at once where it is already.

    `instrument()` configures the facade where nobody has: spans go to the process's own OpenTelemetry provider, if one is set, and to the local
    recording. `uninstrument()` puts the same functions back, and ends what it has configured. A second `instrument()` changes nothing.

    A version of MassGen that is not known is instrumented as far as its shape allows, with one line for each part that is missing.
    """

    _patches: Patches | None = None
    _has_configured = False

    def instrumentation_dependencies(self) -> Collection[str]:
        """What must be installed; OpenTelemetry's convention."""
        return (f"massgen >= {OLDEST}",)

    def instrument(self, **kwargs: Any) -> Any:
        """Begin; see the class. Arguments are OpenTelemetry's: `tracer_provider`, `skip_dep_check`.

        Args:
            kwargs: `tracer_provider` is where the spans go, if the facade is not configured.
        """
        return None if self.is_instrumented_by_opentelemetry else super().instrument(**kwargs)

    def uninstrument(self, **kwargs: Any) -> Any:
        """End it; every function is the object that it was."""
        return super().uninstrument(**kwargs) if self.is_instrumented_by_opentelemetry else None

    def _instrument(self, **kwargs: Any) -> None:
        self._has_configured = not configuration.get_tracer().enabled
        if self._has_configured:
            _configure(kwargs.get("tracer_provider"))
        table = points(
            configuration.get_tracer,
            version=_version,
            root=configuration.root,
            logfire_is_ours=_logfire_is_ours,
            child_environment=_child_environment,
        )
        self._patches = Patches(table, _missing)
        self._patches.apply()

    def _uninstrument(self, **kwargs: Any) -> None:  # noqa: ARG002
        patches, self._patches = self._patches, None
        type(self)._instance = None  # noqa: SLF001 - OpenTelemetry's base class would keep this object for ever
        if patches is not None:
            patches.undo()
        if self._has_configured:
            configuration.shutdown()


def _configure(provider: Any) -> None:
    """Configure the facade from the environment, into the provider of the process where there is one."""
    if provider is None:
        current = otel_trace.get_tracer_provider()
        provider = None if isinstance(current, otel_trace.ProxyTracerProvider | otel_trace.NoOpTracerProvider) else current
    if provider is not None and not hasattr(provider, "add_span_processor"):
        provider = None
    configuration.configure(tracer_provider=provider, record=_recorded() if provider is not None else None)


def _recorded() -> bool:
    from massgen_tracing import settings

    return bool(settings.resolve({})["record"])


@contextmanager
def _logfire_is_ours() -> Iterator[None]:
    from massgen_tracing.sinks.logfire import configured_by

    with configured_by(configuration.also_to_logfire):
        yield


def _child_environment(env: Mapping[str, str]) -> dict[str, str]:
    """What a child process gets that works elsewhere and whose environment need not be this one's: the configuration, the span, the start."""
    if not configuration.get_tracer().enabled:
        return dict(env)
    return autostart.environment(child_env({**autostart.location(), **env, **configuration.variables()}))


def _version() -> str | None:
    try:
        return importlib.metadata.version("massgen")
    except importlib.metadata.PackageNotFoundError:
        return None


def _missing(point: Point) -> None:
    if "massgen" not in sys.modules:
        return  # a library that others use too, of a version that MassGen may not know either
    version = _version()
    if point.since and version is not None and _numbers(version) < _numbers(point.since):
        return
    guard.report(
        f"massgen.missing.{point.gives}",  # one line for each part, not for each function that it takes
        f"MassGen {version or 'of unknown version'} has no {point.module}.{point.path} as it is known: its traces will lack {point.gives}."
        f" Versions {OLDEST} to {NEWEST} are known; look for a newer massgen_tracing.",
    )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:4])

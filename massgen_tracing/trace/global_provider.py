"""The process's global tracer provider: the package's own where nobody has set another.

OpenTelemetry lets it be set once. Whoever sets one later would be refused, and what goes through theirs would be missing in the tree. So it is told
here, too: theirs is followed, and where the package's own is the global one, it hands on to theirs what everybody else's tracers make, as if theirs
had been set first.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from opentelemetry import trace as otel_trace
from opentelemetry.trace import NoOpTracerProvider, ProxyTracerProvider
from opentelemetry.trace import TracerProvider as ApiTracerProvider

from massgen_tracing import guard
from massgen_tracing.errors import compose
from massgen_tracing.trace.provider import SHARED

_VARIABLE = "OTEL_PYTHON_TRACER_PROVIDER"

Follow = Callable[[ApiTracerProvider], bool]
"""Follows a provider; returns whether it can be followed."""

_theirs: Final = otel_trace.set_tracer_provider
_follow: Follow | None = None
_ours = False


def take(follow: Follow) -> None:
    """Make the package's own provider the global one where nobody has set another; follow the one that is set, and any that is set later."""
    global _follow
    if _follow is None:
        otel_trace.set_tracer_provider = _set
    _follow = follow
    if isinstance(_present(), ProxyTracerProvider):
        _theirs(SHARED)
    notice()


def notice() -> None:
    """Follow the global provider where it is another one than this package knows: there are private ways to set it anew."""
    present = _present()
    if present is not SHARED and not isinstance(present, ProxyTracerProvider | NoOpTracerProvider) and _follow is not None and not _follow(present):
        SHARED.others.report_unfollowed(present)


@contextmanager
def our_own() -> Iterator[None]:
    """Who sets the global provider in this block does it for this package."""
    global _ours
    _ours = True
    try:
        yield
    finally:
        _ours = False


def is_our_own() -> bool:
    """Whether it is this package that acts just now."""
    return _ours


def announce(provider: ApiTracerProvider) -> None:
    """*provider* was to be the global one: where the package's own is, it hands on to the first of these."""
    if SHARED.announced is None and _present() is SHARED:
        SHARED.announced = provider


@functools.wraps(_theirs)
def _set(tracer_provider: ApiTracerProvider) -> None:
    if _ours:
        return
    if tracer_provider is not SHARED and _follow is not None and not isinstance(tracer_provider, NoOpTracerProvider):
        with guard.guarded("global_provider"):
            followed = _follow(tracer_provider)
            if followed and SHARED.announced is None:
                announce(tracer_provider)
            elif not followed:
                SHARED.others.report_unfollowed(tracer_provider)
        if SHARED.announced is tracer_provider:
            return
    _theirs(tracer_provider)


def _present() -> ApiTracerProvider:
    """The global provider; OpenTelemetry's placeholder where its variable names one that cannot be loaded."""
    try:
        with guard.overheard("opentelemetry.util._providers"):
            return otel_trace.get_tracer_provider()
    except Exception as error:  # noqa: BLE001 - what the variable names may raise anything
        guard.passing(error)
        problem = f"The environment variable {_VARIABLE} names a tracer provider that cannot be loaded"
        guard.report(
            "settings.tracer_provider", compose(problem, got=os.environ.get(_VARIABLE), hint="Spans go to this package's own; unset it"), error=error
        )
        return ProxyTracerProvider()

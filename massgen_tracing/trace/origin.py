"""Who makes spans, scrubbed and bounded as what they say is: instrumentation scopes and resources."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from massgen_tracing.trace.payload import clean_all, clean_name

T = TypeVar("T")

_MAX_KEPT: Final = 256
_cleaned: dict[int, tuple[Any, Any]] = {}
"""By identity, since most spans have the same ones. Each entry holds what it was made from, so that its id is not used again meanwhile."""


def clean_scope(scope: InstrumentationScope) -> InstrumentationScope:
    """*scope* with its name, its version, its schema's URL and its attributes cleaned; the same object for the same scope."""
    return _once(scope, _scope)


def clean_resource(resource: Resource) -> Resource:
    """*resource* with its attributes cleaned, since `OTEL_RESOURCE_ATTRIBUTES` may hold anything; the same object for the same resource."""
    return _once(resource, _resource)


def _once(origin: T, make: Callable[[T], T]) -> T:
    known = _cleaned.get(id(origin))
    if known is None or known[0] is not origin:
        if len(_cleaned) >= _MAX_KEPT:  # a provider that makes a scope for every tracer it gives
            _cleaned.clear()
        known = _cleaned[id(origin)] = origin, make(origin)
    cleaned: T = known[1]
    return cleaned


def _scope(scope: InstrumentationScope) -> InstrumentationScope:
    version, url = scope.version, scope.schema_url
    return InstrumentationScope(
        clean_name(scope.name),
        None if version is None else clean_name(version),
        clean_name(url) if url else None,
        clean_all(scope.attributes or {}),
    )


def _resource(resource: Resource) -> Resource:
    return Resource(clean_all(resource.attributes), resource.schema_url)

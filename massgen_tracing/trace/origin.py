"""Who makes spans, scrubbed and bounded as what they say is: instrumentation scopes and resources."""

from __future__ import annotations

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from massgen_tracing.trace.payload import clean_all, clean_name


def clean_scope(scope: InstrumentationScope) -> InstrumentationScope:
    """*scope* with its name, its version, its schema's URL and its attributes cleaned."""
    version, url = scope.version, scope.schema_url
    return InstrumentationScope(
        clean_name(scope.name),
        None if version is None else clean_name(version),
        clean_name(url) if url else None,
        clean_all(scope.attributes or {}),
    )


def clean_resource(resource: Resource) -> Resource:
    """*resource* with its attributes cleaned: `OTEL_RESOURCE_ATTRIBUTES` may hold anything."""
    return Resource(clean_all(resource.attributes), resource.schema_url)

"""What the columns of `records_all` do not say of a span: the rest that makes it whole again.

The columns hold attributes as JSON, which has no bytes, no NaN and fewer numbers than OTLP; events with microseconds; and neither flags nor
dropped counts of links. Only what they leave out is kept, as one JSON text of OTLP values; most spans have none.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from massgen_tracing.model import EMPTY, Attributes, AttributeValue, Event, Link, Resource, Scope, SpanRecord
from massgen_tracing.store.reading import encode
from massgen_tracing.store.reading.values import attributes as from_otlp
from massgen_tracing.store.tables import jsontext


def of(span: SpanRecord, shown: Attributes) -> str | None:
    """The rest of a span whose `attributes` column says *shown*; None for nothing."""
    kept = {key: value for key, value in span.attributes.items() if not exact(value)}
    if shown is not span.attributes:
        kept |= {key: value for key, value in span.attributes.items() if key not in shown or shown[key] is not value}
    parts: dict[str, list[Any]] = {
        "attributes": encode.attributes(kept),
        "events": [_event(event) for event in span.events],
        "links": [_link(link) for link in span.links],
        "resource": _inexact(span.resource.attributes),
        "scope": _inexact(span.scope.attributes),
    }
    said = {name: part for name, part in parts.items() if part}
    return jsontext.dumps(said) if said else None


def exact(value: AttributeValue) -> bool:
    """Whether JSON gives the value back as it was."""
    if isinstance(value, float):
        return math.isfinite(value)
    if value is None or isinstance(value, str | int):
        return True
    if isinstance(value, bytes):
        return False
    return all(map(exact, value.values() if isinstance(value, Mapping) else value))


def attributes(text: str, rest: list[dict[str, Any]]) -> Attributes:
    """The attributes that a JSON column and its rest say."""
    values = {key: _plain(value) for key, value in json.loads(text).items()}
    values.update(from_otlp(rest))
    return values or EMPTY


def events(text: str, rest: list[dict[str, Any]]) -> tuple[Event, ...]:
    """The events of `otel_events`."""
    return tuple(
        Event(said["event_name"], int(more["time"]), attributes(json.dumps(said["attributes"]), more["attributes"]), more["dropped"])
        for said, more in zip(json.loads(text), rest, strict=True)
    )


def links(text: str, rest: list[dict[str, Any]]) -> tuple[Link, ...]:
    """The links of `otel_links`."""
    return tuple(
        Link(
            trace_id=said["trace_id"],
            span_id=said["span_id"],
            trace_state=said["trace_state"],
            attributes=attributes(json.dumps(said["attributes"]), more["attributes"]),
            flags=more["flags"],
            dropped_attributes=more["dropped"],
        )
        for said, more in zip(json.loads(text), rest, strict=True)
    )


def resource(text: str, rest: list[dict[str, Any]]) -> Resource:
    """The resource of `otel_resource_attributes`."""
    return Resource(attributes(text, rest))


def scope(name: str | None, version: str | None, text: str, rest: list[dict[str, Any]]) -> Scope:
    """The scope of its three columns."""
    return Scope(name or "", version or "", attributes(text, rest))


def _event(event: Event) -> dict[str, Any]:
    return {"time": str(event.time_ns), "dropped": event.dropped_attributes, "attributes": _inexact(event.attributes)}


def _link(link: Link) -> dict[str, Any]:
    return {"flags": link.flags, "dropped": link.dropped_attributes, "attributes": _inexact(link.attributes)}


def _inexact(values: Attributes) -> list[dict[str, Any]]:
    return encode.attributes({key: value for key, value in values.items() if not exact(value)})


def _plain(value: Any) -> AttributeValue:
    """Arrays as the reader gives them."""
    if isinstance(value, list):
        return tuple(map(_plain, value))
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()} or EMPTY
    return value  # type: ignore[no-any-return]

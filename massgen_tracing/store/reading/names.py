"""Names of OTLP's keys, however a writer spells them: `traceId` in OTLP/JSON, `trace_id` where protobuf's own names are kept, `TraceId` elsewhere."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

_FIELDS: Final = (
    *("traceId", "spanId", "parentSpanId", "traceState", "flags", "name", "kind", "startTimeUnixNano", "endTimeUnixNano", "attributes", "events"),
    *("links", "status", "code", "message", "droppedAttributesCount", "droppedEventsCount", "droppedLinksCount", "timeUnixNano", "version"),
    *("observedTimeUnixNano", "severityNumber", "severityText", "body", "eventName", "description", "unit", "gauge", "sum", "histogram"),
    *(
        "exponentialHistogram",
        "summary",
        "dataPoints",
        "aggregationTemporality",
        "isMonotonic",
        "asDouble",
        "asInt",
        "exemplars",
        "count",
        "min",
        "max",
    ),
    *("filteredAttributes", "bucketCounts", "explicitBounds", "scale", "zeroCount", "zeroThreshold", "positive", "negative", "offset", "quantile"),
    *("quantileValues", "value", "key"),
)
_BY_PLAIN_NAME: Final = {name.lower(): name for name in _FIELDS}

_NO_FIELDS: Final = frozenset({"attributes", "body", "filteredAttributes", "value"})
"""Keys whose values have keys of the user's own."""


@lru_cache(maxsize=4096)
def plain(key: str) -> str:
    """A key without what spellings differ in."""
    return key.replace("_", "").lower()


def usual(value: Any) -> Any:
    """An object with OTLP/JSON's own names for its keys, and those of the objects in it, whatever names they have."""
    if isinstance(value, list):
        return [usual(item) for item in value]
    if not isinstance(value, dict):
        return value
    made = {}
    for key, inner in value.items():
        name = _BY_PLAIN_NAME.get(plain(key), key)
        made[name] = inner if name in _NO_FIELDS and not isinstance(inner, int | float) else usual(inner)
    return made

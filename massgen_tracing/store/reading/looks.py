"""What a file is that is no OTLP, as far as its beginning and its keys tell."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Final

_BY_KEYS: Final[tuple[tuple[frozenset[str], str], ...]] = tuple(
    (frozenset(keys), name)
    for keys, name in (
        ({"traceID", "processes"}, "JSON of Jaeger's UI; its API gives OTLP at /api/v3/traces/TRACE_ID"),
        ({"traceID", "operationName"}, "JSON of Jaeger's UI; its API gives OTLP at /api/v3/traces/TRACE_ID"),
        ({"traceId", "id", "localEndpoint"}, "Zipkin's JSON; the Collector's zipkin receiver makes OTLP of it"),
        ({"traceId", "id", "timestamp"}, "Zipkin's JSON; the Collector's zipkin receiver makes OTLP of it"),
        ({"traceId", "id", "annotations"}, "Zipkin's JSON; the Collector's zipkin receiver makes OTLP of it"),
        ({"traceId", "id", "duration"}, "Zipkin's JSON; the Collector's zipkin receiver makes OTLP of it"),
        ({"traceId", "id", "name"}, "Zipkin's JSON; the Collector's zipkin receiver makes OTLP of it"),
        ({"context", "parent_id"}, "what an SDK's exporter prints to a console; let an OTLP exporter write instead"),
        ({"SpanContext", "Parent"}, "what an SDK's exporter prints to a console; let an OTLP exporter write instead"),
        ({"instrumentationScope", "traceId", "id"}, "what an SDK's exporter prints to a console; let an OTLP exporter write instead"),
        ({"traceEvents"}, "Chrome's trace events"),
        ({"trace_id", "span_id", "resource", "meta"}, "Datadog's JSON"),
    )
)
_BY_TEXT: Final = (
    ("instrumentationScope:", "what an SDK's exporter prints to a console; let an OTLP exporter write instead"),
    ("traceId: '", "what an SDK's exporter prints to a console; let an OTLP exporter write instead"),
    ("Activity.TraceId:", "what an SDK's exporter prints to a console; let an OTLP exporter write instead"),
    ("InstrumentationScope ", "what the Collector's debug exporter prints; its file exporter writes OTLP"),
    ("ResourceSpans #", "what the Collector's debug exporter prints; its file exporter writes OTLP"),
)
_MAGIC: Final = (
    (b"PK\x03\x04", "a zip archive"),
    (b"SQLite format 3", "a SQLite database"),
    (b"ARROW1", "an Arrow file"),
    (b"BZh", "data compressed by bzip2"),
    (b"\xfd7zXZ", "data compressed by xz"),
    (b"\x04\x22\x4d\x18", "data compressed by lz4"),
    (b"\x89PNG", "an image"),
    (b"%PDF", "a PDF file"),
    (b"<", "XML or HTML"),
)
_SHOWN: Final = 60


def like(head: bytes, keys: Collection[str], reason: str) -> str:
    """In words, what a file looks like.

    Args:
        head: how it begins.
        keys: the keys of its first objects; none where it has none.
        reason: the first thing in it that could not be read.
    """
    known = next((name for wanted, name in _BY_KEYS if wanted <= set(keys)), None)
    known = known or next((name for begins, name in _MAGIC if head.lstrip().startswith(begins)), None)
    text = head.decode("utf-8", "replace")
    known = known or next((name for words, name in _BY_TEXT if words in text), None)
    if known is not None:
        return f"it looks like {known}"
    if b"\0" in head[:_SHOWN] or sum(character == "\ufffd" for character in text[:_SHOWN]) > _SHOWN // 10:
        return f"it is binary and no message of OTLP ({reason})"
    beginning = " ".join(text[:_SHOWN].split())
    what = "JSON, but of another kind" if keys or _is_json(text) else "no JSON"
    return f"it is {what}, and begins with {beginning} ({reason})"


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True

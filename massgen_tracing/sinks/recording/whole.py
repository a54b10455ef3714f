"""A recording that is written at once, of spans that have all ended: what an import makes."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from opentelemetry.sdk.trace import ReadableSpan

from massgen_tracing import guard, layout
from massgen_tracing.sinks.recording.lines import SpanLines, head


def encode(spans: Iterable[ReadableSpan]) -> bytes:
    """Ended spans in the live format, a line each; without the lines of their starts, which only a reader of unfinished runs needs."""
    lines = []
    for span in spans:
        context = span.get_span_context()
        if context is not None:
            lines.append(SpanLines(head(span.resource, span.instrumentation_scope), span, context).end(span, context))
    return "".join(lines).encode()


def write(path: Path, content: bytes) -> None:
    """Put *content* at *path*, whole or not at all.

    Raises:
        OSError: if it cannot be written; then what was there before is there still.
    """
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), 0o644)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        with guard.ignored(OSError):
            layout.goes_on(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise

"""Lines of a recording as requests of OTLP, in protobuf or in JSON.

In protobuf, which every backend takes, a plain span of our own writer is carried over field by field, for decoding it and building OpenTelemetry's
messages takes several times as long; what recurs is encoded once, and of many lines their fields are found all at once (`block`). In JSON such a
span is taken as it stands. Every other span is read by the total reader.
"""

from __future__ import annotations

from massgen_tracing.delivery.encode.protobuf import Protobuf
from massgen_tracing.delivery.encode.spans import EncodedSpan, Form, Home, attempted
from massgen_tracing.delivery.encode.text import Json

__all__ = ["EncodedSpan", "Form", "Home", "Json", "Protobuf", "attempted", "form"]


def form(protocol: str) -> Form:
    """The form of the requests of a protocol of OpenTelemetry's."""
    return Json() if protocol.endswith("json") else Protobuf()

"""The same spans, log records and data points in every shape that other programs write them in."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Callable
from typing import Any, Final

import pyarrow as pa
from google.protobuf import json_format
from opentelemetry.proto.logs.v1.logs_pb2 import LogsData
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

Document = dict[str, Any]

MESSAGES: Final[dict[str, Any]] = {"resourceSpans": TracesData, "resourceLogs": LogsData, "resourceMetrics": MetricsData}


def lines(documents: list[Document]) -> bytes:
    """One document a line, as the Collector writes them."""
    return b"".join(json.dumps(document, separators=(",", ":")).encode() + b"\n" for document in documents)


def pretty(documents: list[Document]) -> bytes:
    """Documents over many lines, one behind the other."""
    return "\n".join(json.dumps(document, indent=2) for document in documents).encode()


def _parts(documents: list[Document]) -> list[Document]:
    return [part for document in documents for part in next(iter(document.values()))]


def _swapped(value: Any) -> Any:
    """The same with the members of each object in the other order."""
    if isinstance(value, dict):
        return {key: _swapped(value[key]) for key in reversed(value)}
    return [_swapped(item) for item in value] if isinstance(value, list) else value


def _renamed(value: Any, name: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {name(key): _renamed(inner, name) for key, inner in value.items()}
    return [_renamed(item, name) for item in value] if isinstance(value, list) else value


def _snake(key: str) -> str:
    return re.sub("[A-Z]", lambda found: f"_{found[0].lower()}", key)


def message(document: Document) -> bytes:
    """A document in protobuf."""
    made = _renamed(document, lambda key: key)
    _ids_as_base64(made)
    (signal,) = made
    return bytes(json_format.ParseDict(made, MESSAGES[signal]()).SerializeToString())


def _ids_as_base64(value: Any) -> None:
    """Ids as protobuf's own JSON has them, in place."""
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _ids_as_base64(inner)
    if isinstance(value, dict):
        for key in {"traceId", "spanId", "parentSpanId"} & value.keys():
            value[key] = base64.b64encode(bytes.fromhex(value[key])).decode()


def framed(pieces: list[bytes]) -> bytes:
    """Pieces behind their lengths, as the Collector's file exporter writes them."""
    return b"".join(len(piece).to_bytes(4, "big") + piece for piece in pieces)


def zstd(content: bytes) -> bytes:
    """Content, compressed."""
    return bytes(pa.compress(content, codec="zstd", asbytes=True))


def _scopes(documents: list[Document]) -> bytes:
    """Lists of scopes without the resource that they have."""
    return lines([scope for part in _parts(documents) for scope in next(inner for key, inner in part.items() if key != "resource")])


_CLOSING: Final = re.compile(rb'("(?:[^"\\]|\\.)*")|([]}])(?=\s*[]}])')
"""A text, or a bracket before another one."""

SHAPES: Final[dict[str, Callable[[list[Document]], bytes]]] = {
    "lines": lines,
    "pretty": pretty,
    "on one line": lambda documents: b" ".join(map(str.encode, map(json.dumps, documents))),
    "an array": lambda documents: json.dumps(documents).encode(),
    "an array, a document a line": lambda documents: b"[\n" + b",\n".join(map(str.encode, map(json.dumps, documents))) + b"\n]\n",
    "a pretty array": lambda documents: json.dumps(documents, indent=4).encode(),
    "commas behind": lambda documents: b",\n".join(map(str.encode, map(json.dumps, documents))) + b",\n",
    "commas within": lambda documents: re.sub(_CLOSING, lambda found: found[1] or found[2] + b",", pretty(documents)),
    "resources": lambda documents: lines(_parts(documents)),
    "an array of resources": lambda documents: json.dumps(_parts(documents), indent=1).encode(),
    "batches": lambda documents: pretty([{"batches": part} for document in documents for part in document.values()]),
    "a trace": lambda documents: pretty([{"trace": document} for document in documents]),
    "a result": lambda documents: lines([{"result": document} for document in documents]),
    "inside of others": lambda documents: json.dumps({"status": "ok", "data": {"n": 1, "items": documents}}).encode(),
    "protobuf's names": lambda documents: lines(_renamed(documents, _snake)),
    "pretty with protobuf's names": lambda documents: pretty(_renamed(documents, _snake)),
    "names in capitals": lambda documents: pretty(_renamed(documents, lambda key: key if key == "key" else key[0].upper() + key[1:])),
    "the other way round": lambda documents: pretty(_swapped(documents)),
    "lines the other way round": lambda documents: lines(_swapped(documents)),
    "a byte order mark": lambda documents: b"\xef\xbb\xbf" + pretty(documents),
    "old names": lambda documents: (
        pretty(documents).replace(b'"scopeSpans":', b'"instrumentationLibrarySpans":').replace(b'"scope":', b'"instrumentationLibrary":')
    ),
    "gzip": lambda documents: gzip.compress(lines(documents)),
    "several gzip": lambda documents: b"".join(gzip.compress(lines([document])) for document in documents),
    "zstd": lambda documents: zstd(pretty(documents)),
    "several zstd": lambda documents: b"".join(zstd(lines([document])) for document in documents),
    "framed zstd": lambda documents: framed([zstd(json.dumps(document).encode()) for document in documents]),
    "framed JSON": lambda documents: framed([json.dumps(document).encode() for document in documents]),
    "zstd of framed JSON": lambda documents: zstd(framed([json.dumps(document).encode() for document in documents])),
    "messages": lambda documents: framed(list(map(message, documents))),
    "zstd messages": lambda documents: framed([zstd(message(document)) for document in documents]),
    "zstd of messages": lambda documents: zstd(framed(list(map(message, documents)))),
    "one message a signal": lambda documents: message(documents[0]),
}
"""How a file can have a list of documents, by name."""

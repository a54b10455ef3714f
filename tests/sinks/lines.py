"""Recordings read without the package's own reader: by plain `json`, and by protobuf's JSON mapping."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

_IDS = ("traceId", "spanId", "parentSpanId")


def parse(line: bytes | str) -> dict[str, Any]:
    """One whole line as JSON, which must be as strict as JSON is."""

    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is not JSON")

    document: dict[str, Any] = json.loads(line, parse_constant=refuse)
    return document


def spans(*paths: Path) -> Iterator[dict[str, Any]]:
    """Every span object of whole lines, pending ones too."""
    for path in paths:
        content = path.read_bytes()
        assert not content or content.endswith(b"\n")
        for line in content.splitlines():
            for group in parse(line)["resourceSpans"]:
                for scope in group["scopeSpans"]:
                    yield from scope["spans"]


def attributes(span: dict[str, Any]) -> dict[str, Any]:
    """A span's attributes, each as its AnyValue's one value."""
    return {pair["key"]: next(iter(pair["value"].values()), None) for pair in span["attributes"]}


def is_pending(span: dict[str, Any]) -> bool:
    """Whether it says that a span has started."""
    return attributes(span).get("logfire.span_type") == "pending_span"


def ended(*paths: Path) -> dict[str, dict[str, Any]]:
    """The spans that have ended, by id."""
    return {span["spanId"]: span for span in spans(*paths) if not is_pending(span)}


def started(*paths: Path) -> set[str]:
    """The ids of the spans whose start is recorded."""
    return {span["parentSpanId"] for span in spans(*paths) if is_pending(span)}


def names(*paths: Path) -> list[str]:
    """The names of the ended spans in the order of their lines."""
    return [span["name"] for span in spans(*paths) if not is_pending(span)]


def recordings(root: Path) -> list[Path]:
    """Every recording under a root."""
    return sorted(root.rglob("*.otlp.jsonl"))


def message(line: bytes | str) -> TracesData:
    """A line as OTLP's own message. OTLP/JSON writes ids in hexadecimal, protobuf's JSON mapping in base64."""
    document = parse(line)
    _ids_to_base64(document)
    found: TracesData = json_format.Parse(json.dumps(document), TracesData())
    return found


def _ids_to_base64(value: Any) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            if key in _IDS:
                assert len(item) == (32 if key == "traceId" else 16)
                assert item == item.lower()
                value[key] = base64.b64encode(bytes.fromhex(item)).decode()
            elif key not in ("attributes", "body"):  # an attribute named traceId is not an id
                _ids_to_base64(item)
    elif isinstance(value, list):
        for item in value:
            _ids_to_base64(item)

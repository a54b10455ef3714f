"""What the server's tests send, and how they ask."""

from __future__ import annotations

import gzip
import json
import secrets
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from massgen_tracing import store
from tests.store import otlp

PROTOBUF = "application/x-protobuf"
JSON = "application/json"
BEGINNING = datetime(2020, 1, 1, tzinfo=UTC)

REQUESTS: Mapping[str, type[Any]] = {"traces": ExportTraceServiceRequest, "logs": ExportLogsServiceRequest, "metrics": ExportMetricsServiceRequest}
ENCODINGS: Mapping[str, Callable[[bytes], bytes]] = {
    "identity": bytes,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": lambda body: pa.compress(body, codec="zstd", asbytes=True),
}


def trace_id() -> str:
    """A trace of a test's own."""
    return secrets.token_hex(16)


def spans(*given: dict[str, Any], resource: Mapping[str, Any] = otlp.RESOURCE) -> dict[str, Any]:
    """A request with spans, as OTLP/JSON."""
    return json.loads(otlp.line(*given, resource=resource))  # type: ignore[no-any-return]


def protobuf(document: dict[str, Any], signal: str = "traces") -> bytes:
    """The same request in protobuf, whose JSON has ids in base64."""
    message = json_format.ParseDict(_with_base64(document), REQUESTS[signal](), ignore_unknown_fields=True)
    return bytes(message.SerializeToString())


def _with_base64(value: Any) -> Any:
    import base64

    if isinstance(value, dict):
        ids = {"traceId", "spanId", "parentSpanId"}
        return {key: base64.b64encode(bytes.fromhex(item)).decode() if key in ids else _with_base64(item) for key, item in value.items()}
    return [_with_base64(item) for item in value] if isinstance(value, list) else value


@dataclass(frozen=True)
class Client:
    """A client of a server, and its root."""

    http: httpx.Client
    root: Path

    @property
    def url(self) -> str:
        return str(self.http.base_url).rstrip("/")

    def send(self, document: dict[str, Any], signal: str = "traces", form: str = PROTOBUF, encoding: str = "identity") -> httpx.Response:
        """Send a request; it has to be taken."""
        body = protobuf(document, signal) if form == PROTOBUF else json.dumps(document).encode()
        answer = self.post(f"/v1/{signal}", ENCODINGS[encoding](body), form, encoding)
        assert answer.status_code == 200, answer.text
        return answer

    def post(self, path: str, body: bytes, form: str = PROTOBUF, encoding: str = "identity") -> httpx.Response:
        """Post a body."""
        return self.http.post(path, content=body, headers={"content-type": form, "content-encoding": encoding})

    def ask(self, sql: str) -> list[dict[str, Any]]:
        """What the server's own interface answers."""
        answer = self.http.post("/v2/query", json={"sql": sql, "min_timestamp": BEGINNING.isoformat(), "limit": 10_000})
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]  # type: ignore[no-any-return]

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """What the files under the root answer."""
        return store.query(sql, self.root).rows

"""How fast recorded spans get to a backend: `python -m benchmarks.push`.

`massgen-tracing push` beside OpenTelemetry's own batch exporter with the same spans, into the same server, which is a process of its own, reads
requests and answers. The exporter is given spans that have ended, and told to flush.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from benchmarks._measure import Figure, arguments, interleave, report
from benchmarks._spans import recordings
from massgen_tracing.delivery import backend, push
from massgen_tracing.model import SpanRecord
from massgen_tracing.store.roots import reader

SERVER = """
import http.server

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
"""


@contextlib.contextmanager
def taking() -> Iterator[str]:
    """The URL of a server that takes everything."""
    with subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


def of_sdk(records: Sequence[SpanRecord]) -> list[ReadableSpan]:
    """The same spans as OpenTelemetry's SDK has them when they have ended."""
    provider = TracerProvider(shutdown_on_exit=False)
    tracer = provider.get_tracer("massgen_tracing", "0.1.0")
    made: list[ReadableSpan] = []
    for record in records:
        span = tracer.start_span(record.name, attributes=dict(record.attributes), start_time=record.start_ns)
        for event in record.events:
            span.add_event(event.name, dict(event.attributes), event.time_ns)
        span.end(record.end_ns)
        assert isinstance(span, ReadableSpan)
        made.append(span)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    args = arguments(__doc__ or "", rounds=7, argv=argv, spans=20_000)
    with tempfile.TemporaryDirectory() as place, taking() as url:
        root = Path(place)
        paths = list(recordings(root, spans=args.spans, spans_a_run=2000))
        spans = of_sdk([record for record in reader.read(paths).spans if record.end_ns is not None])

        def ours(protocol: str) -> float:
            to = backend.otlp(url, {"OTEL_EXPORTER_OTLP_PROTOCOL": protocol})
            for ledger in root.rglob(".*.delivery"):
                ledger.unlink()
            begin = time.perf_counter()
            pushed = push.push(paths, to)
            taken = time.perf_counter() - begin
            assert pushed.tally.sent == len(spans), pushed
            return taken / len(spans)

        def theirs() -> float:
            processor = BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{url}/v1/traces"), max_queue_size=len(spans) + 1)
            begin = time.perf_counter()
            for span in spans:
                processor.on_end(span)
            assert processor.force_flush(600_000)
            taken = time.perf_counter() - begin
            processor.shutdown()
            return taken / len(spans)

        protocols = (backend.HTTP, backend.HTTP_JSON)
        samples = interleave({**{each: partial(ours, each) for each in protocols}, "theirs": theirs}, args.rounds)
        shutil.rmtree(root / "massgen_logs")
    figures = [Figure(f"a span by push, {each} / by OpenTelemetry's batch exporter", samples[each], samples["theirs"], 0.2) for each in protocols]
    return report(f"Spans to a backend, {len(spans):,} of them, {args.rounds} rounds", figures, unit="µs", check=args.check)


if __name__ == "__main__":
    sys.exit(main())

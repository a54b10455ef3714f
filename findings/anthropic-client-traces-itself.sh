#!/bin/sh
# Anthropic's client 2.14.0 with OpenInference's instrumentor of it 3.1.0 and OpenTelemetry's SDK 1.45.2, seen on 2026-11-29: the client makes spans
# of its own, and with the instrumentor a streamed call is in two spans of which neither is within the other.
#
# The good guess: a client library has no spans without an instrumentor, and with one each call has one, or one within the other.
# Seen: without any instrumentor there is a span anthropic.messages.create for each request, with model and tokens, where a global provider is set.
# The instrumentor's span of a plain call is around it. Its span of a stream (`messages.stream`) is not current while the request is made: both are
# roots, both carry the same tokens, and a sum over calls that have no call within them is twice what was used.
# Ends with 1 if any of this is no longer so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check anthropic==2.14.0 openinference-instrumentation-anthropic==3.1.0 \
    opentelemetry-sdk==1.45.2
cat >"$folder/calls.py" <<'PYTHON'
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

MESSAGE = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-any", "content": [], "stop_reason": None, "stop_sequence": None,
    "usage": {"input_tokens": 11, "output_tokens": 1},
}
TEXT = {"type": "text", "text": "Forty-two."}
EVENTS = [
    {"type": "message_start", "message": MESSAGE},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Forty-two."}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": 7}},
    {"type": "message_stop"},
]


class Endpoint(BaseHTTPRequestHandler):
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if asked.get("stream"):
            kind, body = "text/event-stream", "".join(f"event: {each['type']}\ndata: {json.dumps(each)}\n\n" for each in EVENTS)
        else:
            whole = {**MESSAGE, "content": [TEXT], "stop_reason": "end_turn", "usage": {"input_tokens": 11, "output_tokens": 7}}
            kind, body = "application/json", json.dumps(whole)
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
threading.Thread(target=server.serve_forever, daemon=True).start()
memory = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(memory))
trace.set_tracer_provider(provider)

import anthropic

client = anthropic.Anthropic(base_url=f"http://127.0.0.1:{server.server_port}", api_key="none")
question = {"model": "claude-any", "max_tokens": 20, "messages": [{"role": "user", "content": "Six times seven?"}]}


def spans(call):
    memory.clear()
    call()
    ended = memory.get_finished_spans()
    names = {span.context.span_id: span.name for span in ended}
    return sorted((span.name, names.get(span.parent.span_id) if span.parent else None) for span in ended)


def streamed():
    with client.messages.stream(**question) as stream:
        for _ in stream.text_stream:
            pass


alone = spans(lambda: client.messages.create(**question))
print("no instrumentor:", alone)
from openinference.instrumentation.anthropic import AnthropicInstrumentor

AnthropicInstrumentor().instrument()
plain, stream = spans(lambda: client.messages.create(**question)), spans(streamed)
print("with it, plain:", plain)
print("with it, streamed:", stream)
OWN = "anthropic.messages.create"
right = alone == [(OWN, None)] and plain == [(OWN, "messages.create"), ("messages.create", None)]
sys.exit(0 if right and stream == [(OWN, None), ("messages.stream", None)] else 1)
PYTHON
"$folder/venv/bin/python" -W ignore "$folder/calls.py"

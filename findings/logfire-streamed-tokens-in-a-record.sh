#!/bin/sh
# Logfire 5.4.0 with OpenAI's client 3.57.0, seen on 2026-11-28: what a streamed chat completion has used is on no span.
#
# The good guess: `logfire.instrument_openai` puts tokens and cost on the span of the call, streamed or not, so that a sum over the spans of
# operation `chat` is what was used, and each is one call.
# Seen: the span of a streamed call ends as soon as the stream begins, without tokens. They stand in a record of their own, "streaming response from …
# took …", written when the stream is exhausted: it has no duration, the same operation `chat`, the call's parent for its parent, and nothing that
# names the call. Counting by operation counts the call twice; a stream that is left early has no tokens anywhere.
# Ends with 1 if any of this is no longer so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check logfire==5.4.0 openai==3.57.0
cat >"$folder/call.py" <<'PYTHON'
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import logfire
import openai
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

CHUNKS = [
    {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "Yes."}, "finish_reason": None}]},
    {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    {"choices": [], "usage": {"prompt_tokens": 50, "completion_tokens": 5, "total_tokens": 55}},
]


class Model(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for chunk in CHUNKS:
            said = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-5-mini", **chunk}
            self.wfile.write(b"data: " + json.dumps(said).encode() + b"\n\n")
        self.wfile.write(b"data: [DONE]\n\n")

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Model)
threading.Thread(target=server.serve_forever, daemon=True).start()
kept = InMemorySpanExporter()
logfire.configure(send_to_logfire=False, console=False, inspect_arguments=False, additional_span_processors=[SimpleSpanProcessor(kept)])
client = openai.OpenAI(api_key="none", base_url=f"http://127.0.0.1:{server.server_port}/v1")
logfire.instrument_openai(client)


def asked():
    return client.chat.completions.create(
        model="gpt-5-mini", stream=True, stream_options={"include_usage": True}, messages=[{"role": "user", "content": "Is it?"}]
    )


with logfire.span("agent"):
    for _ in asked():
        pass
whole = [span for span in kept.get_finished_spans() if span.attributes.get("gen_ai.operation.name") == "chat"]
kept.clear()
with logfire.span("agent"):
    stream = asked()
    next(iter(stream))
    stream.close()
left = [span for span in kept.get_finished_spans() if span.attributes.get("gen_ai.operation.name") == "chat"]
TOKENS = "gen_ai.usage.input_tokens"
for title, spans in (("exhausted", whole), ("left early", left)):
    for span in spans:
        kind = span.attributes.get("logfire.span_type")
        print(f"{title:10} {kind:5} {span.attributes['logfire.msg'][:40]:40} tokens {span.attributes.get(TOKENS)}")
spans = [span for span in whole if span.attributes["logfire.span_type"] == "span"]
records = [span for span in whole if span.attributes["logfire.span_type"] == "log"]
apart = len(spans) == len(records) == 1 and TOKENS not in spans[0].attributes and records[0].attributes.get(TOKENS) == 50
beside = apart and spans[0].parent.span_id == records[0].parent.span_id and records[0].start_time >= spans[0].end_time
print("in a record, beside the call:", beside, "- tokens of the one left early:", any(TOKENS in span.attributes for span in left))
sys.exit(not (beside and not any(TOKENS in span.attributes for span in left)))
PYTHON
"$folder/venv/bin/python" "$folder/call.py"

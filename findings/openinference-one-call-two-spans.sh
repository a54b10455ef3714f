#!/bin/sh
# OpenInference's instrumentations of LangChain 0.1.80 and of OpenAI's client 0.1.66 with langchain-openai 1.7.4 and OpenTelemetry's SDK 1.45.2, seen
# on 2026-11-28: switched on together, they report each model call twice, and neither span is within the other.
#
# The good guess: the client's span is a child of LangChain's, which is open around it, so that a total over the calls that have no call below them
# counts each once.
# Seen: LangChain's span is never made current. Both spans have the same parent, the client's lies within LangChain's in time only, and both carry the
# same tokens: a sum over spans of kind LLM is twice what was used.
# Ends with 1 if any of this is no longer so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check langchain-openai==1.7.4 langchain-core==1.8.3 openai==3.57.0 \
    openinference-instrumentation-langchain==0.1.80 openinference-instrumentation-openai==0.1.66 opentelemetry-sdk==1.45.2
cat >"$folder/call.py" <<'PYTHON'
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from langchain_openai import ChatOpenAI
from openinference.instrumentation.langchain import LangChainInstrumentor
from openinference.instrumentation.openai import OpenAIInstrumentor
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

ANSWER = {
    "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-5-mini",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Yes."}}],
    "usage": {"prompt_tokens": 50, "completion_tokens": 5, "total_tokens": 55},
}


class Model(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        body = json.dumps(ANSWER).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Model)
threading.Thread(target=server.serve_forever, daemon=True).start()
kept = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(kept))
trace.set_tracer_provider(provider)
LangChainInstrumentor().instrument()
OpenAIInstrumentor().instrument()
model = ChatOpenAI(model="gpt-5-mini", api_key="none", base_url=f"http://127.0.0.1:{server.server_port}/v1")
with trace.get_tracer("agent").start_as_current_span("agent") as agent:
    model.invoke("Is it?")
calls = {span.name: span for span in kept.get_finished_spans() if span.attributes.get("openinference.span.kind") == "LLM"}
for name, span in calls.items():
    print(f"{name:15} parent {span.parent.span_id:016x}, tokens {span.attributes.get('llm.token_count.total')}")
print(f"{'the agent':15} span   {agent.context.span_id:016x}; served once, 55 tokens")
outer, inner = calls["ChatOpenAI"], calls["ChatCompletion"]
siblings = outer.parent.span_id == inner.parent.span_id == agent.context.span_id
within = outer.start_time <= inner.start_time and inner.end_time <= outer.end_time
twice = sum(span.attributes["llm.token_count.total"] for span in calls.values()) == 110
sys.exit(not (siblings and within and twice))
PYTHON
"$folder/venv/bin/python" "$folder/call.py"

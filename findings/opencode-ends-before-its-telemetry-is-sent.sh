#!/bin/sh
# opencode-ai 1.18.33, seen on 2026-11-29: `opencode run` ends without sending what its span processor still holds.
#
# The good guess: with OTEL_EXPORTER_OTLP_ENDPOINT and `experimental.openTelemetry` each model call comes as a span `ai.streamText.doStream`, for
# exporters are flushed when a program ends.
# Seen: of the calls of a run that takes a few seconds only those come whose batch was due before the end (every 5 s); with OTEL_BSP_SCHEDULE_DELAY=200
# all of them come. The endpoint serves three: one for a title, two for the answer.
# Ends with 1 if none is lost as it stands, or one is lost with the shorter delay.
set -eu
for each in node npm python3; do command -v "$each" >/dev/null || { echo "$each is missing" >&2; exit 2; }; done
folder=$(mktemp -d)
trap 'kill "$server" 2>/dev/null; rm -rf "$folder"' EXIT
server=
npm install --silent --no-audit --no-fund --prefix "$folder" opencode-ai@1.18.33 >/dev/null 2>&1
cat >"$folder/endpoint.py" <<'PROGRAM'
import json, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_): ...

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        kind, said = "application/json", b"{}"
        with open(sys.argv[1], "a") as log:
            if self.path.endswith("/traces"):
                log.write("told\n" * body.count(b'"name":"ai.streamText.doStream"'))
            elif self.path.endswith("/completions"):
                asked, kind = json.loads(body), "text/event-stream"
                call = {"index": 0, "id": "c", "type": "function", "function": {"name": "bash", "arguments": '{"command": "true", "description": "x"}'}}
                first = asked.get("tools") and asked["messages"][-1]["role"] == "user"
                delta = {"role": "assistant", **({"tool_calls": [call]} if first else {"content": "hello"})}
                base = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m"}
                used = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
                ends = {"index": 0, "delta": {}, "finish_reason": "tool_calls" if first else "stop"}
                chunks = [{"choices": [{"index": 0, "delta": delta}]}, {"choices": [ends]}, {"choices": [], "usage": used}]
                said = b"".join(b"data: " + json.dumps({**base, **chunk}).encode() + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"
                print("served", file=log)
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
PROGRAM
mkdir -p "$folder/home/.config/opencode" "$folder/work"
mkfifo "$folder/port"
python3 "$folder/endpoint.py" "$folder/log" >"$folder/port" &
server=$!
read -r port <"$folder/port"
cat >"$folder/home/.config/opencode/opencode.json" <<CONFIG
{"autoupdate": false, "model": "x/m", "small_model": "x/m", "experimental": {"openTelemetry": true}, "provider": {"x": {
  "npm": "@ai-sdk/openai-compatible", "options": {"baseURL": "http://127.0.0.1:$port/v1", "apiKey": "k"}, "models": {"m": {"name": "m"}}}}}
CONFIG
told() {
    rm -f "$folder/log"
    (cd "$folder/work" && env HOME="$folder/home" OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:$port" "$@" \
        "$folder/node_modules/.bin/opencode" run "say hi" </dev/null >/dev/null 2>&1)
    grep -c told "$folder/log" || true
}
told env >/dev/null # which fetches what it needs
late=$(told env)
soon=$(told env OTEL_BSP_SCHEDULE_DELAY=200)
echo "of three calls: $late told, with a shorter delay $soon"
[ "$late" -lt 3 ] && [ "$soon" -ge 3 ]

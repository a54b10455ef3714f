#!/bin/sh
# Logfire 5.4.0, seen on 2026-11-29: a program that pytest has started sends nothing, without a word, though it has a token and LOGFIRE_BASE_URL.
#
# The good guess: a program in a process of its own, started by a test, does what it does when a user starts it.
# Seen: pytest sets PYTEST_VERSION, processes inherit it, and `logfire.configure()` then takes `send_to_logfire` for false. `force_flush()` says that
# all is well. A test that starts such a program and waits for what it sends waits for ever.
# Ends with 1 if this is no longer so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check logfire==5.4.0
cat >"$folder/program.py" <<'PYTHON'
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import logfire

asked = []


class Server(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        asked.append(self.path)
        self.send_response(200)
        self.end_headers()

    def do_GET(self):
        self.send_response(404)
        self.end_headers()

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
logfire.configure(
    token="any", console=False, inspect_arguments=False, advanced=logfire.AdvancedOptions(base_url=f"http://127.0.0.1:{server.server_port}")
)
logfire.info("hello")
flushed = logfire.force_flush()
print(len([path for path in asked if path == "/v1/traces"]))
PYTHON
cd "$folder"
plain=$(env -u PYTEST_VERSION venv/bin/python program.py 2>"$folder/said")
under=$(PYTEST_VERSION=9.0.0 venv/bin/python program.py 2>>"$folder/said")
echo "requests with spans: $plain, under pytest: $under"
[ "$plain" -ge 1 ] && [ "$under" -eq 0 ]

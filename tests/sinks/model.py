"""A model behind HTTP: chat completions that say one word, whole or as a stream."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

USAGE: Final = {"prompt_tokens": 7, "completion_tokens": 1, "total_tokens": 8}
_COMMON: Final[dict[str, Any]] = {"id": "c", "created": 1, "model": "gpt-5-mini"}


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not asked.get("stream"):
            choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hello"}}
            self._answer("application/json", json.dumps({**_COMMON, "object": "chat.completion", "choices": [choice], "usage": USAGE}))
            return
        choices = [{"index": 0, "delta": {"content": "Hello"}}, {"index": 0, "delta": {}, "finish_reason": "stop"}]
        chunks = [{**_COMMON, "object": "chat.completion.chunk", "choices": [choice]} for choice in choices]
        self._answer("text/event-stream", "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n")

    def _answer(self, kind: str, text: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as the base class names it
        pass


@contextmanager
def answering() -> Iterator[str]:
    """The base URL of a model, for one block."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()

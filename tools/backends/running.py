"""The Collector and Jaeger as processes of this machine, each on ports that were free, with the files of `collector/` as they stand there."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx2

from .binaries import CONFIGURATION, JAEGER, collector

PATIENCE: Final = 60.0
"""Seconds in which a program is ready, or has ended."""

GATE: Final = "--feature-gates=ottl.functions.enableLambda"
"""What `collector.yaml` needs, as `docker-compose.yaml` says it."""


class NotReady(Exception):
    """A program ended, or did not answer, before it was ready; the text has its last lines."""


def free_ports(count: int) -> list[int]:
    """That many ports of this machine that nothing listens on."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [one.getsockname()[1] for one in held]
    finally:
        for one in held:
            one.close()


@dataclass
class Running:
    """A program that can be started, killed and started again.

    Attributes:
        words: its command line.
        variables: its environment, beside ours.
        health: where it answers when it is ready.
        log: the file that has what it says.
    """

    words: Sequence[str]
    variables: Mapping[str, str]
    health: str
    log: Path
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self) -> None:
        """Start it, and wait until it is ready.

        Raises:
            NotReady: where it does not come to that.
        """
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(list(self.words), env={**os.environ, **self.variables}, stdout=log, stderr=log, start_new_session=True)
        until = time.monotonic() + PATIENCE
        while self._process.poll() is None and time.monotonic() < until:
            if answered(self.health):
                return
            time.sleep(0.05)
        self.kill()
        raise NotReady(f"{self.words[0]} was not ready in {PATIENCE:g} s, or has ended:\n" + "\n".join(self.said().splitlines()[-20:]))

    def stop(self) -> None:
        """End it as a user would, with what it holds written down."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(how)
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def cpu_seconds(self) -> float:
        """The processor's time that it has taken so far."""
        assert self._process is not None
        fields = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> int:
        """The most bytes of memory that it has had."""
        assert self._process is not None
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="utf-8")
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))

    def said(self) -> str:
        """What it has said so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")


def answered(url: str) -> bool:
    """Whether a request there has success."""
    try:
        return httpx2.get(url, timeout=5).is_success
    except httpx2.HTTPError:
        return False


@dataclass
class Jaeger(Running):
    """Jaeger, with where to send and where to look.

    Attributes:
        grpc: where it takes OTLP over gRPC, as host:port.
        http: the same over HTTP, as a URL.
        query: the URL of its pages and its API.
    """

    grpc: str = ""
    http: str = ""
    query: str = ""

    def trace(self, trace_id: str) -> list[dict[str, Any]]:
        """The spans of a trace as `/api/v3` has them, with their resource's attributes in `resource`; none where it has no such trace."""
        found = self.asked(f"/api/v3/traces/{trace_id}")
        return [
            {**span, "resource": resource.get("resource", {}).get("attributes", []), "scope": scope.get("scope", {})}
            for resource in (found or {}).get("result", {}).get("resourceSpans", ())
            for scope in resource["scopeSpans"]
            for span in scope["spans"]
        ]

    def older(self, trace_id: str) -> dict[str, Any] | None:
        """A trace as `/api/traces`, which its own pages ask, has it; None where it has no such trace."""
        found = self.asked(f"/api/traces/{trace_id}")
        return found["data"][0] if found and found["data"] else None

    def asked(self, path: str) -> dict[str, Any] | None:
        """What the API says; None for what is not there.

        Raises:
            httpx2.HTTPStatusError: for any other refusal.
        """
        answer = httpx2.get(self.query + path, timeout=PATIENCE)
        if answer.status_code == httpx2.codes.NOT_FOUND:
            return None
        return dict(answer.raise_for_status().json())


@dataclass
class Collector(Running):
    """The Collector, with where to send.

    Attributes:
        grpc: where it takes OTLP over gRPC, as a URL.
        http: the same over HTTP.
        data: the directory of its queue and its file.
    """

    grpc: str = ""
    http: str = ""
    data: Path = Path()

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The requests in its file."""
        return [json.loads(line) for path in sorted((self.data / "spans").glob("*.json")) for line in path.read_text(encoding="utf-8").splitlines()]


@contextmanager
def jaeger(place: Path) -> Iterator[Jaeger]:
    """A Jaeger that keeps its traces below *place*; started, and ended at the end."""
    place.mkdir(parents=True, exist_ok=True)
    health, query, query_grpc, grpc, http = free_ports(5)
    names = {"HEALTH": health, "QUERY": query, "QUERY_GRPC": query_grpc, "GRPC": grpc, "HTTP": http}
    variables = {"JAEGER_DATA": str(place / "data"), **{f"JAEGER_{name}": f"127.0.0.1:{port}" for name, port in names.items()}}
    here = Jaeger(
        [str(JAEGER.path), f"--config={CONFIGURATION / 'jaeger.yaml'}"],
        variables,
        f"http://127.0.0.1:{health}/status",
        place / "log",
        grpc=f"127.0.0.1:{grpc}",
        http=f"http://127.0.0.1:{http}",
        query=f"http://127.0.0.1:{query}",
    )
    here.start()
    try:
        yield here
    finally:
        here.stop()


@contextmanager
def collecting(place: Path, variables: Mapping[str, str], *beside: Path) -> Iterator[Collector]:
    """A Collector that keeps its queue and its file below *place*, by `collector.yaml` and the configurations beside it."""
    place.mkdir(parents=True, exist_ok=True)
    health, grpc, http = free_ports(3)
    own = {
        "COLLECTOR_DATA": str(place / "data"),
        "COLLECTOR_HEALTH": f"127.0.0.1:{health}",
        "COLLECTOR_GRPC": f"127.0.0.1:{grpc}",
        "COLLECTOR_HTTP": f"127.0.0.1:{http}",
    }
    here = Collector(
        [str(collector()), GATE, *(f"--config={path}" for path in (CONFIGURATION / "collector.yaml", *beside))],
        {**own, **variables},
        f"http://127.0.0.1:{health}/",
        place / "log",
        grpc=f"http://127.0.0.1:{grpc}",
        http=f"http://127.0.0.1:{http}",
        data=place / "data",
    )
    here.start()
    try:
        yield here
    finally:
        here.stop()

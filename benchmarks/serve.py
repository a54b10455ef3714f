"""What `massgen-tracing serve` takes and answers: `python -m benchmarks.serve`.

Four senders post ready-made gzipped protobuf, each request when the one before is acknowledged; Jaeger with badger, which does not sync, takes
others of the kind in turn (where `make collector` has built it). Arize Phoenix, where `--phoenix` names a Python that has it, takes its own
afterwards, alone, for it goes on long after it has acknowledged them. A question goes to the query interface, and to `store.query`, as the command
asks it when it has started; each has a worker process of its own.
"""

from __future__ import annotations

import contextlib
import gzip
import http.client
import os
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from benchmarks._measure import Figure, arguments, interleave, report
from massgen_tracing import layout, store
from tools.backends import binaries, running

_SENDERS = 4
_OF_A_REQUEST = 500
_OF_A_TRACE = 50
_LEAST = 20_000
"""Spans a second that are to be taken, whatever the peer takes."""

_OF_PHOENIX = 20_000
_PHOENIX_SECONDS = 30
_PHOENIX_STARTS_IN = 300

_SINCE = datetime(2020, 1, 1, tzinfo=UTC)
_SQL = "SELECT span_name, count(*) AS c, max(duration) AS longest FROM records GROUP BY 1 ORDER BY 2 DESC, 1"


def bodies(spans: int, seed: int) -> list[bytes]:
    """Requests of model calls with ten attributes."""
    chance = random.Random(seed)
    made = []
    for _ in range(spans // _OF_A_REQUEST):
        message = ExportTraceServiceRequest()
        resource = message.resource_spans.add()
        resource.resource.attributes.add(key="service.name").value.string_value = "agents"
        scope = resource.scope_spans.add()
        scope.scope.name = "benchmark"
        now = time.time_ns()
        for number in range(_OF_A_REQUEST):
            if number % _OF_A_TRACE == 0:
                trace, root = chance.randbytes(16), chance.randbytes(8)
            span = scope.spans.add(
                trace_id=trace,
                span_id=root if number % _OF_A_TRACE == 0 else chance.randbytes(8),
                parent_span_id=b"" if number % _OF_A_TRACE == 0 else root,
                name=f"chat model-{number % 7}",
                kind=3,
                start_time_unix_nano=now + number * 1000,
                end_time_unix_nano=now + number * 1000 + chance.randrange(10**9),
            )
            for key in ("gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model", "massgen.agent_id"):
                span.attributes.add(key=key).value.string_value = f"value {number % 5}"
            for key in ("gen_ai.response.id", "session.id", "user.id"):
                span.attributes.add(key=key).value.string_value = f"{chance.getrandbits(64):x}"
            for key in ("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"):
                span.attributes.add(key=key).value.int_value = chance.randrange(10_000)
            span.attributes.add(key="massgen.cost").value.double_value = chance.random()
        made.append(gzip.compress(message.SerializeToString()))
    return made


def sent(url: str, given: Sequence[bytes]) -> float:
    """Seconds a span until the last of the bodies is acknowledged."""
    place = urlsplit(url)
    failed: list[object] = []

    def send(own: Sequence[bytes]) -> None:
        try:
            connection = http.client.HTTPConnection(place.hostname or "", place.port)
            for body in own:
                connection.request("POST", "/v1/traces", body, {"content-type": "application/x-protobuf", "content-encoding": "gzip"})
                answer = connection.getresponse()
                answer.read()
                if answer.status != 200:
                    failed.append(answer.status)
        except OSError as error:
            failed.append(error)

    threads = [threading.Thread(target=send, args=(given[number::_SENDERS],)) for number in range(_SENDERS)]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken = (time.monotonic() - begun) / (len(given) * _OF_A_REQUEST)
    if failed:
        raise SystemExit(f"{len(failed)} requests were not taken; the first: {failed[0]}")
    return taken


@contextlib.contextmanager
def serving(root: Path) -> Iterator[tuple[str, int]]:
    """The command, in a process of its own."""
    command = [sys.executable, "-m", "massgen_tracing", "serve", "--root", str(root), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            yield process.stderr.readline().split()[0], process.pid
        finally:
            process.terminate()
            process.wait()


@contextlib.contextmanager
def phoenix(python: str, place: Path) -> Iterator[str]:
    """Arize Phoenix, with its database below *place*."""
    port, grpc = running.free_ports(2)
    own = {"PHOENIX_WORKING_DIR": str(place), "PHOENIX_HOST": "127.0.0.1", "PHOENIX_PORT": str(port), "PHOENIX_GRPC_PORT": str(grpc)}
    command = [python, "-m", "phoenix.server.main", "serve"]
    quiet = {"PHOENIX_TELEMETRY_ENABLED": "false"}
    with (place / "log").open("wb") as log, subprocess.Popen(command, env={**os.environ, **own, **quiet}, stdout=log, stderr=log) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            until = time.monotonic() + _PHOENIX_STARTS_IN
            while not running.answered(f"{url}/healthz"):
                if process.poll() is not None or time.monotonic() > until:
                    raise SystemExit(f"Phoenix does not start:\n{(place / 'log').read_text()[-2000:]}")
                time.sleep(0.1)
            yield url
        finally:
            process.terminate()
            process.wait()


def kept_by_phoenix(place: Path) -> int:
    """How many spans are in its database."""
    with contextlib.closing(sqlite3.connect(f"file:{place / 'phoenix.db'}?mode=ro", uri=True)) as database:
        return int(database.execute("SELECT count(*) FROM spans").fetchone()[0])


def beside_phoenix(python: str, place: Path) -> None:
    """What Phoenix acknowledges, by the same senders, and what of it is in its database half a minute later."""
    place.mkdir()
    with phoenix(python, place) as url:
        given = bodies(_OF_PHOENIX, seed=-1)
        rate = 1 / sent(url, given)
        time.sleep(_PHOENIX_SECONDS)
        kept = kept_by_phoenix(place)
    print(f"Phoenix: {rate:,.0f} spans a second acknowledged; of {_OF_PHOENIX:,}, {kept:,} in its database {_PHOENIX_SECONDS} s later")


def cpu(pid: int) -> float:
    """Processor seconds of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def sorted_all(root: Path) -> float:
    """Seconds until all that was acknowledged is in recordings."""
    begun = time.monotonic()
    while any(name.endswith(layout.ARRIVAL_SUFFIX) for name in os.listdir(root / layout.ARRIVALS_DIR)):
        time.sleep(0.01)
    return time.monotonic() - begun


def asked(url: str) -> float:
    """Seconds of a question to the query interface."""
    place = urlsplit(url)
    begun = time.monotonic()
    connection = http.client.HTTPConnection(place.hostname or "", place.port)
    body = f'{{"sql": "{_SQL}", "min_timestamp": "{_SINCE.isoformat()}", "limit": 10000}}'
    connection.request("POST", "/v2/query", body, {"content-type": "application/json"})
    answer = connection.getresponse()
    if answer.status != 200:
        raise SystemExit(answer.read().decode())
    answer.read()
    return time.monotonic() - begun


def by_command(root: Path) -> float:
    """Seconds of the same question as the command asks it, when it has started."""
    begun = time.monotonic()
    store.query(_SQL, root, min_timestamp=_SINCE)
    return time.monotonic() - begun


def main(argv: Sequence[str] | None = None) -> int:
    made = "the Python of an environment with arize-phoenix, to measure it as well"
    args = arguments(__doc__ or "", rounds=5, argv=argv, spans=40_000, peers={"phoenix": made})
    figures = []
    with contextlib.ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        root = place / "root"
        url, pid = stack.enter_context(serving(root))
        given = iter([bodies(args.spans, seed) for seed in range(2 * (args.rounds + 1))])
        contenders: dict[str, Callable[[], float]] = {"own": lambda: sent(url, next(given))}
        if binaries.JAEGER.path.exists():
            jaeger = stack.enter_context(running.jaeger(place / "jaeger"))
            contenders["peer"] = lambda: sent(jaeger.http, next(given))
        else:
            print(f"Jaeger, the peer, is {binaries.MISSING}")
        before = cpu(pid)
        taken = interleave(contenders, args.rounds)
        spent = (cpu(pid) - before) / ((args.rounds + 1) * args.spans)
        rate = 1 / statistics.median(taken["own"].seconds)
        print(f"taken, durably: {rate:,.0f} spans a second (at least {_LEAST:,}: {'ok' if rate >= _LEAST else 'MISSED'});", end=" ")
        print(f"{spent * 1e6:.1f} µs of the server's processor time a span; in recordings {sorted_all(root):.1f} s later")
        if "peer" in taken:
            print(f"by Jaeger with badger: {1 / statistics.median(taken['peer'].seconds):,.0f} spans a second")
            figures.append(Figure("a span taken by the server / by Jaeger with badger", taken["own"], taken["peer"], 0.5))
        subprocess.run(
            [sys.executable, "-m", "massgen_tracing", "compact", "--root", str(root)],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        queries = interleave({"own": lambda: asked(url), "peer": lambda: by_command(root)}, max(args.rounds, 10))
        figures.append(Figure("a question to the query interface / to the store by the command", queries["own"], queries["peer"], 1.3))
        status = report("The server", figures, unit="ms", check=args.check)
    if args.phoenix:
        with tempfile.TemporaryDirectory() as elsewhere:
            beside_phoenix(args.phoenix, Path(elsewhere) / "phoenix")
    return 1 if args.check and rate < _LEAST else status


if __name__ == "__main__":
    sys.exit(main())

"""How much later a traced program ends, and what a backend that is away costs its run: `python -m benchmarks.exit`.

From its last statement to the end of its process, beside the same program with tracing switched off; for several things that may be open then. A run
beside a backend that is down, silent or slow, beside the same run without one.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence

from benchmarks._measure import Figure, Round, Samples, arguments, interleave, report

ALLOWED = 2.0
"""Seconds that backends may take at exit, together."""

BEGINNING = """
import os, sys, threading, time
import massgen_tracing as mt

tracer = mt.configure()

def answer(question):
    with tracer.session(question, agents=["a"]) as session, session.agent_round("a"):
        yield "forty"
        yield "two"

def goes_on():
    while True:
        for _ in answer("for ever"):
            pass
"""
ENDINGS = {
    "a run that has ended": "list(answer('What is 6 x 7?'))",
    "a stream that nobody finished": "stream = answer('What is 6 x 7?'); next(stream)",
    "two hundred such streams": "streams = [answer(str(number)) for number in range(200)]; [next(stream) for stream in streams]",
    "a daemon thread that goes on": "list(answer('first')); threading.Thread(target=goes_on, daemon=True).start(); time.sleep(0.05)",
}
COLLECTOR = "a collector that never answers"
RUN = """
begun = time.monotonic()
with tracer.session("What?", agents=["a"]) as session:
    for number in range(100):
        with session.agent_round("a") as rnd:
            for _ in range(5):
                with rnd.llm_call("openai", model="m"):
                    time.sleep(0.004)
print(time.monotonic() - begun, flush=True)
os._exit(0)
"""
RUNS = """
begun = time.monotonic()
for number in range(100):
    with tracer.session(str(number), agents=["a"]) as session, session.agent_round("a") as rnd:
        for _ in range(4):
            with rnd.llm_call("openai", model="m"):
                time.sleep(0.005)
print(time.monotonic() - begun, flush=True)
os._exit(0)
"""


def ending(program: str, environment: dict[str, str], *, traced: bool) -> Round:
    def run() -> float:
        with tempfile.TemporaryDirectory() as root:
            told = {"MASSGEN_TRACING_ROOT": root, "MASSGEN_TRACING_ENABLED": str(traced).lower()}
            last = "print(time.monotonic(), flush=True)"
            command = [sys.executable, "-c", f"{BEGINNING}\n{program}\n{last}"]
            done = subprocess.run(command, env={**os.environ, **environment, **told}, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            return time.monotonic() - float(done.stdout)

    return run


def running(roots: str, program: str, environment: dict[str, str]) -> Round:
    """What 600 spans and two seconds of waiting for models take, whose recordings stay: some file systems are slow for minutes when many go."""

    def run() -> float:
        root = tempfile.mkdtemp(dir=roots)
        told = {"MASSGEN_TRACING_ROOT": root, "MASSGEN_TRACING_ENABLED": "true", "MASSGEN_TRACING_RUN_FILES": "false"}
        command = [sys.executable, "-c", f"{BEGINNING}\n{program}"]
        done = subprocess.run(command, env={**os.environ, **environment, **told}, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        return float(done.stdout)

    return run


@contextlib.contextmanager
def collector(byte: bytes = b"") -> Iterator[str]:
    """The URL of a server that takes connections and never answers, or with this byte each second."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = []

        def take() -> None:
            with contextlib.suppress(OSError):
                while True:
                    taken.append(server.accept()[0])

        def speak() -> None:
            while byte:
                time.sleep(1)
                for connection in taken:
                    with contextlib.suppress(OSError):
                        connection.send(byte)

        threading.Thread(target=speak, daemon=True).start()
        threading.Thread(target=take, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        for connection in taken:
            connection.close()


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print."""
    args = arguments(__doc__, rounds=5, argv=argv)
    with collector() as url, collector(b"H") as slow, socket.socket() as nobody, tempfile.TemporaryDirectory() as roots:
        nobody.bind(("127.0.0.1", 0))
        programs: dict[str, tuple[str, dict[str, str]]] = {what: (program, {}) for what, program in ENDINGS.items()}
        programs[COLLECTOR] = ENDINGS["a run that has ended"], {"OTEL_EXPORTER_OTLP_ENDPOINT": url}
        contenders = {(what, traced): ending(*given, traced=traced) for what, given in programs.items() for traced in (True, False)}
        samples = interleave(contenders, args.rounds)
        backends = {"is down": f"http://127.0.0.1:{nobody.getsockname()[1]}", "never answers": url, "answers a byte a second": slow}
        places = {how: {"OTEL_EXPORTER_OTLP_ENDPOINT": at} for how, at in backends.items()}
        runs = {how: running(roots, RUN, place) for how, place in places.items()}
        many = {beside: running(roots, RUNS, place) for beside, place in ((True, places["is down"]), (False, {}))}
        lasted = interleave({**runs, "": running(roots, RUN, {}), **many}, args.rounds)
    figures = [Figure(f"a run beside a collector that {how} / the same run without", lasted[how], lasted[""], 1.01) for how in backends]
    figures.append(Figure("a hundred runs of 20 ms beside one that is down / the same without", lasted[True], lasted[False]))
    for what in programs:
        untraced = samples[what, False]
        allowed = Samples([each + ALLOWED for each in untraced.seconds])
        figures.append(Figure(f"{what} / {ALLOWED:.0f} s", samples[what, True], allowed, 1.0, base=untraced))
    return report(f"A program's end, and its run beside a backend that is away, {args.rounds} rounds", figures, unit="ms", check=args.check)


if __name__ == "__main__":
    sys.exit(main())

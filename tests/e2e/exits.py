"""Small programs that end in some way, run untraced and traced, and what must be the same of both.

A program is a number of parts, each of which leaves something open or does something at the end (streams that nobody finished, threads, children,
`atexit` handlers, `__del__`), and an ending. It writes the key of each span that it has ended into a ledger, a file of its own, so that what was
lost can be seen. Run untraced (the facade switched off) it is what is expected: its exit code, its output. Lines that begin with `~` are
printed by what is finalized, and their order is the interpreter's affair.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hypothesis import strategies as st

KEY: Final = "exit.key"
"""The attribute by which a span is found again."""

FINALIZED: Final = "Of what is finalized not all, or more, was printed:"
"""Whether it comes to that is at times chance, as where a program leaves a thread running that never ends."""

LIMIT: Final = 60.0
"""Seconds after which a program never ends; it takes less than two."""

_TELLING: Final = 5.0
"""Seconds in which a program that never ends says where it is."""

HEAD = """\
import asyncio, atexit, concurrent.futures, contextlib, gc, multiprocessing, os, signal, subprocess, sys, threading, time, weakref

LEDGER = os.open(os.environ["EXIT_LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
WORK = []  # futures of what threads are at

def ended(key, write=os.write, ledger=LEDGER):
    write(ledger, key.encode() + b"\\n")
"""

BEGIN = """\
import massgen_tracing as mt
from opentelemetry import trace as otel

tracer = mt.configure() if os.environ["EXIT_CONFIGURES"] else mt.get_tracer()

class part:  # a span, whose end is written down when it is over
    def __init__(self, key, opener=None, pid=os.getpid):
        self.key, self.opener, self.pid = key, opener or tracer.span(key, {"exit.key": key}), pid()

    def __enter__(self, current=mt.get_tracer):
        self.opener.__enter__()
        self.counts = current() is tracer  # what begins after a shutdown is not recorded
        return self.opener

    def __exit__(self, *error, ended=ended, pid=os.getpid):
        self.opener.__exit__(*error)
        if self.counts and self.pid == pid():  # in a forked child it is the parent's to end
            ended(self.key)

def session(key):
    return part(key, tracer.session("Why?", agents=["a"], attributes={"exit.key": key}))

def foreign(key):
    if not os.environ["EXIT_TRACED"]:
        return part(key)  # OpenTelemetry without a provider complains of blocks that are left in another context
    return part(key, otel.get_tracer("foreign").start_as_current_span(key, attributes={"exit.key": key}))

def stream(key, said=True):
    try:
        with session(key + ".session") as run, part(key + ".round", run.agent_round("a", attributes={"exit.key": key + ".round"})):
            for number in range(3):
                with part(f"{key}.call{number}", tracer.llm_call("openai", model="m", attributes={"exit.key": f"{key}.call{number}"})):
                    yield number
    finally:
        if said:
            print("~ closed", key)

async def astream(key):
    try:
        with session(key + ".session"), foreign(key + ".foreign"):
            for number in range(3):
                with part(f"{key}.{number}"):
                    await asyncio.sleep(0)
                    yield number
    finally:
        print("~ closed", key)
"""

BEFORE: Final[dict[str, str]] = {
    "atexit ends what is open": """
held_{n} = []
atexit.register(lambda: (held_{n}.clear(), print("cleared {n}")))
""",
    "atexit after ours": """
@atexit.register
def late_{n}():
    with tracer.session("late"), tracer.span("late"):
        print("late {n}")
""",
    "a finalizer that prints": """
class Watched_{n}:
    def __del__(self, print=print):
        print("~ finalized {n}")
watched_{n} = Watched_{n}()
""",
}
"""Before tracing is set up; `{n}` is the part's number."""

PARTS: Final[dict[str, str]] = {
    "a stream broken out of, held": """
held_{n} = stream("p{n}")
for number in held_{n}:
    break
""",
    "a stream broken out of, dropped": """
for number in stream("p{n}"):
    break
""",
    "a bound stream, held": """
held_{n} = mt.bind_stream(stream("p{n}"))
next(held_{n})
""",
    "a bound stream, held by what outlives the module": """
held_{n} = mt.bind_stream(stream("p{n}"))
next(held_{n})
sys.held_{n} = held_{n}
""",
    "a stream in a cycle": """
class Cycle_{n}:
    pass
cycle = Cycle_{n}()
cycle.itself, cycle.stream = cycle, stream("p{n}", said=False)  # who knows when it is collected
next(cycle.stream)
del cycle
""",
    "an async stream, closed by its loop": """
held_{n} = []
async def main_{n}():
    held_{n}.append(astream("p{n}"))
    await anext(held_{n}[0])
asyncio.run(main_{n}())
""",
    "a bound async stream, closed by its loop": """
held_{n} = []
async def main_{n}():
    held_{n}.append(mt.bind_stream(astream("p{n}")))
    await anext(held_{n}[0])
asyncio.run(main_{n}())
""",
    "an async stream that outlives its loop": """
loop_{n} = asyncio.new_event_loop()
held_{n} = astream("p{n}")
loop_{n}.run_until_complete(anext(held_{n}))
loop_{n}.close()
""",
    "a bound async stream that outlives its loop": """
loop_{n} = asyncio.new_event_loop()
held_{n} = mt.bind_stream(astream("p{n}"))
loop_{n}.run_until_complete(anext(held_{n}))
loop_{n}.close()
""",
    "a loop cut short": """
async def work_{n}():
    with session("p{n}.session"), part("p{n}.work"):
        async for number in mt.bind_stream(astream("p{n}.stream")):
            await asyncio.sleep(60)
async def main_{n}():
    asyncio.create_task(work_{n}())
    await asyncio.sleep(0.01)
    raise LookupError("cut short")
try:
    asyncio.run(main_{n}())
except LookupError as error:
    print(error)
""",
    "a span that nobody ends": """
held_{n} = tracer.session("open", agents=["a"])
held_{n}.__enter__()
with part("p{n}.inside"):
    pass
""",
    "spans of plain OpenTelemetry": """
with session("p{n}.session"), foreign("p{n}.foreign"):
    open_{n} = otel.get_tracer("foreign").start_span("open")
    with foreign("p{n}.inner"):
        pass
""",
    "__del__ ends a span": """
class Ends_{n}:
    def __init__(self):
        self.part = session("p{n}.session")
        self.part.__enter__()
    def __del__(self, print=print):
        self.part.__exit__(None, None, None)
        print("~ ended {n}")
held_{n} = Ends_{n}()
""",
    "__del__ makes spans": """
class Makes_{n}:
    def __del__(self, tracer=tracer, print=print):
        with tracer.session("late"), tracer.span("late"):
            print("~ made {n}")
held_{n} = Makes_{n}()
""",
    "a finalizer ends a span": """
class Finalized_{n}:
    pass
held_{n}, part_{n} = Finalized_{n}(), session("p{n}.session")
part_{n}.__enter__()
weakref.finalize(held_{n}, part_{n}.__exit__, None, None, None)
""",
    "atexit before ours": """
@atexit.register
def early_{n}():
    with session("p{n}.session"), part("p{n}.early"):
        print("early {n}")
""",
    "atexit ends a stream": """
held_{n} = stream("p{n}")
next(held_{n})
atexit.register(held_{n}.close)
""",
    "a daemon thread with an open span": """
begun_{n} = threading.Event()
def work_{n}():
    with session("p{n}.session"), part("p{n}.work"):
        with part("p{n}.first"):
            pass
        begun_{n}.set()
        threading.Event().wait()
threading.Thread(target=work_{n}, daemon=True).start()
begun_{n}.wait()
""",
    "a busy daemon thread": """
begun_{n} = threading.Event()
def work_{n}():
    with session("p{n}.session") as run:
        with part("p{n}.first"):
            pass
        while True:
            with run.agent_round("a"), tracer.span("busy"):
                begun_{n}.set()
threading.Thread(target=work_{n}, daemon=True).start()
begun_{n}.wait()
""",
    "a thread that goes on after the main one": """
def work_{n}():
    with session("p{n}.session"):
        threading.main_thread().join()
        with part("p{n}.after"):
            pass
threading.Thread(target=work_{n}).start()
""",
    "an executor left running": """
executor_{n} = concurrent.futures.ThreadPoolExecutor(1)
def work_{n}(key):
    with part(key):
        time.sleep(0.01)
with session("p{n}.session"):
    WORK.extend(executor_{n}.submit(mt.bind(work_{n}), f"p{n}.{{number}}") for number in range(3))
""",
    "a forked child that ends as an interpreter does": """
sys.stdout.flush()
concurrent.futures.wait(WORK)  # what a thread is at when a child is forked, the child never finalizes
with session("p{n}.session"):
    held_{n} = stream("p{n}.stream")
    next(held_{n})
    child = os.fork()
    if not child:
        with part("p{n}.child"):
            pass
        sys.exit(4)
    print("child", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
""",
    "a forked child that ends at once": """
with session("p{n}.session"), part("p{n}.fork"):
    child = os.fork()
    if not child:
        with session("p{n}.child"):
            os._exit(5)
    print("child", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
""",
    "a child process": """
with session("p{n}.session"), part("p{n}.call"):
    code = "import os, sys, massgen_tracing as mt; tracer = mt.configure(); span = tracer.session('child'); span.__enter__(); sys.exit(6)"
    print("child", subprocess.run([sys.executable, "-c", code], env=mt.child_env()).returncode)
""",
    "multiprocessing": """
def work_{n}():
    with part("p{n}.child"):
        pass
sys.stdout.flush()
with session("p{n}.session"):
    process = multiprocessing.get_context("fork").Process(target=mt.bind(work_{n}))
    process.start()
    process.join()
    print("child", process.exitcode)
""",
    "a process pool left running": """
def work_{n}(key):
    with part(key):
        return 7
sys.stdout.flush()
with session("p{n}.session"):
    pool_{n} = concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("fork"))
    print("child", pool_{n}.submit(work_{n}, "p{n}.child").result())
""",
    "shut down by the program": """
held_{n} = stream("p{n}")
next(held_{n})
mt.shutdown()
tracer = mt.configure()
""",
    "a signal handler with spans": """
def handler_{n}(number, frame):
    with part("p{n}.handler"):
        pass
signal.signal(signal.SIGUSR1, handler_{n})
with session("p{n}.session"):
    os.kill(os.getpid(), signal.SIGUSR1)
""",
}

ENDINGS: Final[dict[str, str]] = {
    "falls off the end": "",
    "sys.exit()": "sys.exit()",
    "sys.exit(3)": "sys.exit(3)",
    "sys.exit(text)": 'sys.exit("sorry")',
    "an exception": 'raise ValueError("wrong")',
    "an exception in a stream": """
def failing():
    with part("ending.span"):
        yield 1
        raise ValueError("wrong")
for number in mt.bind_stream(failing()):
    print(number)
""",
    "KeyboardInterrupt": "raise KeyboardInterrupt",
    "SIGINT": "os.kill(os.getpid(), signal.SIGINT)\ntime.sleep(60)",
    "SIGINT in a loop": """
async def main():
    with part("ending.span"):
        asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGINT)
        await asyncio.sleep(60)
asyncio.run(main())
""",
    "SIGTERM": "sys.stdout.flush()\nos.kill(os.getpid(), signal.SIGTERM)\ntime.sleep(60)",
    "SIGTERM, handled": """
signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(8))
os.kill(os.getpid(), signal.SIGTERM)
time.sleep(60)
""",
    "SIGKILL": "sys.stdout.flush()\nos.kill(os.getpid(), signal.SIGKILL)",
    "os._exit": "sys.stdout.flush()\nos._exit(9)",
    "another program": 'sys.stdout.flush()\nos.execv(sys.executable, [sys.executable, "-c", "print(10); raise SystemExit(10)"])',
    "a thread raises": """
def fails():
    with part("ending.span"):
        raise ValueError("in a thread")
thread = threading.Thread(target=mt.bind(fails))
thread.start()
thread.join()
""",
}


@dataclass(frozen=True)
class Program:
    """What a program is made of: names of `BEFORE`, `PARTS` and `ENDINGS`.

    Attributes:
        inside: whether it ends inside of a session's and a span's blocks.
    """

    parts: tuple[str, ...]
    ending: str = "falls off the end"
    before: tuple[str, ...] = ()
    inside: bool = False

    def source(self) -> str:
        """Its text."""
        ending = ENDINGS[self.ending].strip() or "pass"
        if self.inside:
            ending = f'with session("ending.session"), part("ending.part"):\n{_indented(ending)}'
        before = [BEFORE[name].format(n=100 + n) for n, name in enumerate(self.before)]
        parts = [f"{PARTS[name].format(n=n)}print({n})\n" for n, name in enumerate(self.parts)]
        return "\n".join([HEAD, *before, BEGIN, *parts, ending, ""])


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" if line else line for line in text.splitlines())


PROGRAMS: Final = st.builds(
    Program,
    parts=st.lists(st.sampled_from(sorted(PARTS)), min_size=1, max_size=5).map(tuple),
    ending=st.sampled_from(list(ENDINGS)),
    before=st.lists(st.sampled_from(sorted(BEFORE)), max_size=2).map(tuple),
    inside=st.booleans(),
)


@dataclass(frozen=True)
class Ending:
    """How a run ended.

    Attributes:
        code: its exit code, negative for a signal; None where it did not end.
        output, errors: what it printed, without what names the run or our own frames, and with what was finalized last.
        lost: keys of spans that had ended and are not in the recording.
        text: everything that it printed to stderr.
    """

    code: int | None
    output: tuple[str, ...]
    errors: str
    lost: tuple[str, ...]
    text: str

    def differs(self, expected: Ending) -> list[str]:
        """What is wrong with this one, beside *expected*."""
        if self.code is None:
            return [f"it did not end within {LIMIT:g} s:\n{self.text}"]
        found = {name: (getattr(self, name), getattr(expected, name)) for name in ("code", "output", "errors")}
        wrong = [f"{name} is {got!r}, untraced {untraced!r}" for name, (got, untraced) in found.items() if got != untraced]
        if len(wrong) == 1 and self.output != expected.output and _certain(self.output) == _certain(expected.output):
            wrong = [f"{FINALIZED} {wrong[0]}"]
        return [*wrong, *([f"ended and lost: {', '.join(self.lost)}"] if self.lost else [])]


def _certain(output: Sequence[str]) -> list[str]:
    """The lines that no finalizer has printed."""
    return [line for line in output if not line.startswith("~")]


class Running:
    """A program that runs in an interpreter and a directory of its own.

    Args:
        mode: `untraced`, `configured` (it calls `configure()`) or `exec` (it runs under `massgen-tracing exec`).
    """

    def __init__(self, program: Path, python: str, mode: str, place: Path) -> None:
        self._place = place
        self._traced = mode != "untraced"
        place.mkdir()
        words = [python, str(program)]
        if mode == "exec":
            words = [python, "-m", "massgen_tracing", "exec", "--", *words]
        env = {name: value for name, value in os.environ.items() if not name.startswith(("MASSGEN_TRACING_", "OTEL_", "PYTHON", "EXIT_"))}
        env |= {
            "EXIT_LEDGER": str(place / "ledger"),
            "EXIT_CONFIGURES": "" if mode == "exec" else "1",
            "EXIT_TRACED": "1" if self._traced else "",
            "MASSGEN_TRACING_ENABLED": str(self._traced).lower(),
            "MASSGEN_TRACING_ROOT": str(place / "root"),
            "PYTHONHASHSEED": "0",
            "PYTHONFAULTHANDLER": "1",
        }
        # Files, for a program's children may outlive it, as those of a pool do when it is killed.
        with (place / "output").open("wb") as output, (place / "errors").open("wb") as errors:
            self._process = subprocess.Popen(
                words, cwd=place, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, start_new_session=True
            )

    def ending(self) -> Ending:
        """Wait for its end; where it does not come, what it printed ends with where its threads are."""
        try:
            code: int | None = self._process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            code = None
            self._process.send_signal(signal.SIGABRT)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_TELLING)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        errors = (self._place / "errors").read_text()
        lost = tuple(self._lost()) if self._traced else ()
        return Ending(code, _in_order((self._place / "output").read_text()), _comparable(errors), lost, errors)

    def _lost(self) -> Iterator[str]:
        ledger = self._place / "ledger"
        if ledger.exists():
            recorded = ended_keys(self._place / "root")
            yield from (key for key in dict.fromkeys(ledger.read_text().split()) if key not in recorded)


def ended_keys(root: Path) -> set[str]:
    """The keys of the spans that are recorded as ended below *root*."""
    keys = set()
    for path in root.rglob("*.otlp.jsonl"):
        for line in path.read_text().splitlines():
            with suppress(ValueError):  # torn by a kill
                attributes = _attributes(json.loads(line)["resourceSpans"][0]["scopeSpans"][0]["spans"][0])
                if attributes.get("logfire.span_type") != "pending_span" and KEY in attributes:
                    keys.add(attributes[KEY])
    return keys


def _attributes(span: Mapping[str, Any]) -> dict[str, str]:
    return {attribute["key"]: attribute["value"].get("stringValue", "") for attribute in span.get("attributes", ())}


_OUR_FRAME: Final = re.compile(r'^( *)File "[^"]*[/\\]massgen_tracing[/\\][^"]*", line .*\n(?:\1 +.*\n)*', re.MULTILINE)
_NUMBER: Final = re.compile(r"0x[0-9a-f]+|pid=\d+")


def _comparable(errors: str) -> str:
    return _NUMBER.sub("number", _OUR_FRAME.sub("", errors))


def _in_order(output: str) -> tuple[str, ...]:
    lines = output.splitlines()
    return (*(line for line in lines if line[0] != "~"), *sorted(line for line in lines if line[0] == "~"))


def interpreter(version: str) -> str | None:
    """The Python of that version with the package installed: this one, or that of `.venv-<version>`; None where there is neither."""
    if version == f"{sys.version_info[0]}.{sys.version_info[1]}":
        return sys.executable
    path = Path(__file__).parents[2] / f".venv-{version}" / "bin" / "python"
    return str(path) if path.exists() else None


def faults(program: Program, place: Path, python: str, modes: Sequence[str]) -> list[str]:
    """What is different when *program* is traced in one of the *modes*, in the words of a report; they run at the same time."""
    place.mkdir()
    path = place / "program.py"
    path.write_text(program.source())
    running = {mode: Running(path, python, mode, place / mode) for mode in ("untraced", *modes)}
    endings = {mode: each.ending() for mode, each in running.items()}
    untraced = endings["untraced"]
    assert {str(n) for n in range(len(program.parts))} <= set(untraced.output), f"The program itself is wrong:\n{untraced.errors}"
    return [f"{mode}: {fault}" for mode in modes for fault in endings[mode].differs(untraced)]

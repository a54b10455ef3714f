"""A forked child writes to files of its own, with ids of its own, below the parent's open span."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from massgen_tracing.store.roots import reader
from tests.sinks import lines

PRELUDE = """
import json, multiprocessing, os, random, sys
import massgen_tracing as mt
random.seed(0)
root = sys.argv[1]
tracer = mt.configure(root=root, enabled=True, logfire=False)

def work(name):
    random.seed(0)
    with tracer.span(name):
        with tracer.span(name + " inner"):
            pass

def wait(child):
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""


def run(tmp_path: Path, program: str) -> str:
    """Run a program that traces below `tmp_path`."""
    command = [sys.executable, "-c", PRELUDE + program, str(tmp_path)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def by_name(tmp_path: Path) -> dict[str, dict[str, Any]]:
    """The ended spans of all recordings; no name and no id twice."""
    found: dict[str, dict[str, Any]] = {}
    ids = set()
    for path in lines.recordings(tmp_path):
        for span_id, span in lines.ended(path).items():
            assert span["name"] not in found
            assert span_id not in ids
            ids.add(span_id)
            found[span["name"]] = span | {"file": path.name}
    return found


def pid_of(path: Path) -> str:
    """The process id that a recording's resource names."""
    resource = lines.parse(path.read_bytes().splitlines()[0])["resourceSpans"][0]["resource"]
    return str(lines.attributes(resource)["process.pid"])


FORKED = """
with tracer.session("q", agents=["a"]) as session:
    child = os.fork()
    if child == 0:
        work("child")
        os._exit(0)
    work("parent")
    wait(child)
    print(child)
"""


def test_a_bare_fork(tmp_path: Path) -> None:
    """The child's spans are in `trace.<pid>.otlp.jsonl` beside the parent's, and are children of the session that was open at the fork."""
    child = run(tmp_path, FORKED).strip()
    spans = by_name(tmp_path)
    session = spans["coordination.session"]
    assert {name: span["file"] for name, span in spans.items()} == {
        "coordination.session": "trace.otlp.jsonl",
        "parent": "trace.otlp.jsonl",
        "parent inner": "trace.otlp.jsonl",
        "child": f"trace.{child}.otlp.jsonl",
        "child inner": f"trace.{child}.otlp.jsonl",
    }
    for name in ("parent", "child"):
        assert spans[name]["parentSpanId"] == session["spanId"]
        assert spans[f"{name} inner"]["parentSpanId"] == spans[name]["spanId"]
        assert spans[name]["traceId"] == session["traceId"]
    (path,) = [path for path in lines.recordings(tmp_path) if child in path.name]
    assert pid_of(path) == child
    assert all(span.state == "ended" for span in reader.read(lines.recordings(tmp_path)).spans)


def test_ids_differ_though_both_seed_alike(tmp_path: Path) -> None:
    """Parent and child seed Python's random numbers alike, and their spans still have different ids, pending spans too."""
    run(tmp_path, FORKED)
    ids = [span["spanId"] for path in lines.recordings(tmp_path) for span in lines.spans(path)]
    assert len(ids) == len(set(ids)) == 10


def test_a_child_that_leaves_the_parents_blocks(tmp_path: Path) -> None:
    """A child that runs on out of the parent's `with` blocks to its own end does not end the parent's spans a second time."""
    run(
        tmp_path,
        """
with tracer.session("q", agents=["a"]) as session, session.agent_round("a"):
    child = os.fork()
    work("child" if child == 0 else "parent")
work("after, in the child" if child == 0 else "after, in the parent")
if child:
    wait(child)
""",
    )
    spans = by_name(tmp_path)
    assert set(spans) == {
        *("coordination.session", "agent.a.round_0", "child", "child inner", "parent", "parent inner"),
        *("after, in the child", "after, in the child inner", "after, in the parent", "after, in the parent inner"),
    }
    assert spans["child"]["parentSpanId"] == spans["agent.a.round_0"]["spanId"]
    assert "parentSpanId" not in spans["after, in the child"]
    assert spans["after, in the child"]["file"] != spans["after, in the parent"]["file"]


def test_processes_of_multiprocessing(tmp_path: Path) -> None:
    """Each worker that multiprocessing forks has a file of its own, and its spans hang below the session."""
    run(
        tmp_path,
        """
with tracer.session("q", agents=["a"]):
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=work, args=(f"worker {number}",)) for number in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
""",
    )
    spans = by_name(tmp_path)
    session = spans["coordination.session"]["spanId"]
    assert [spans[f"worker {number}"]["parentSpanId"] for number in range(3)] == [session] * 3
    assert len({spans[f"worker {number}"]["file"] for number in range(3)}) == 3


def test_a_child_holds_no_lock_of_the_parents(tmp_path: Path) -> None:
    """While a child that does nothing lives on, the recording of its killed parent is not taken for a live one."""
    found = run(
        tmp_path,
        """
import signal
read, write = os.pipe()
parent = os.fork()
if parent == 0:
    with tracer.session("q", agents=["a"]) as session:
        if os.fork() == 0:
            os.write(write, str(session.run.attempt_dir).encode())  # it runs now, and has what it does after a fork behind it
            os.close(write)
            sys.stdin.read()  # until the test is over
            os._exit(0)
        signal.pause()
place = os.read(read, 4096).decode()
os.kill(parent, signal.SIGKILL)
os.waitpid(parent, 0)
from pathlib import Path
from massgen_tracing.store.reading import liveness
print(json.dumps([[path.name, liveness.writer_alive(path)] for path in Path(place).glob("*.otlp.jsonl")]))
""",
    )
    assert [alive for _, alive in json.loads(found)] == [False]


def test_a_fork_while_other_threads_write(tmp_path: Path) -> None:
    """Locks that other threads held at the moment of the fork do not stop the child."""
    run(
        tmp_path,
        """
import threading
stop = threading.Event()

def busy():
    while not stop.is_set():
        with tracer.session("busy", agents=["a"]) as session, session.agent_round("a"):
            pass

threads = [threading.Thread(target=busy) for _ in range(3)]
for thread in threads:
    thread.start()
with tracer.span("parent"):
    for number in range(20):
        child = os.fork()
        if child == 0:
            work(f"child {number}")
            with tracer.session("in the child", agents=["a"]):
                pass
            os._exit(0)
        wait(child)
stop.set()
for thread in threads:
    thread.join()
""",
    )
    names = [name for path in lines.recordings(tmp_path) for name in lines.names(path)]
    assert {f"child {number}" for number in range(20)} <= set(names)
    assert names.count("parent") == 1

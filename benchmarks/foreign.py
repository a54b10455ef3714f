"""A large file of another program, asked for the first time: in one line, and in lines of many spans.

The peers are `json.loads` of the same file, which gives no rows, and the build that read such a file as a whole. Memory is what a process has that
has asked, above what it had before.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_SPANS = 120_000
_LINES = 1_500
_BASE_NS = 1_700_000_000_000_000_000
_MOST_TIME, _MOST_MEMORY = 1.0, 0.5
"""Of what `json.loads` takes."""

_MOST_OF_EARLIER = 0.25
"""Of what the earlier build takes, in time and in memory."""


def _span(number: int, chance: random.Random) -> dict[str, Any]:
    start = _BASE_NS + number * 1_000_000
    values: dict[str, Any] = {
        "http.method": {"stringValue": "GET"},
        "http.status_code": {"intValue": "200"},
        "net.peer.ip": {"stringValue": f"10.0.0.{number % 255}"},
        "user.id": {"stringValue": f"user-{number * 7919 % 10007}"},
        "payload": {"stringValue": f"lorem ipsum dolor {chance.randrange(10**9)}"},
        "ratio": {"doubleValue": chance.random()},
    }
    event = {"timeUnixNano": str(start + 1000), "name": "retry", "attributes": [{"key": "last", "value": {"boolValue": True}}]}
    return {
        "traceId": f"{number // 20 + 1:032x}",
        "spanId": f"{number + 1:016x}",
        "parentSpanId": f"{number // 20 * 20 + 1:016x}" if number % 20 else "",
        "name": f"operation {number % 50}",
        "kind": number % 5 + 1,
        "startTimeUnixNano": str(start),
        "endTimeUnixNano": str(start + 5_000_000),
        "attributes": [{"key": key, "value": value} for key, value in values.items()],
        "events": [event] if number % 10 == 0 else [],
        "status": {"code": number % 3},
    }


def _document(first: int, last: int, chance: random.Random) -> str:
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}
    spans = [_span(number, chance) for number in range(first, last)]
    return json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": {"name": "lib"}, "spans": spans}]}]})


def _make(directory: Path, spans: int) -> dict[str, Path]:
    one, many = directory / "one.json", directory / "lines.jsonl"
    one.write_text(_document(0, spans, random.Random(1)))
    with many.open("w") as file:
        chance = random.Random(1)
        for line in range(_LINES):
            file.write(_document(line * spans // _LINES, (line + 1) * spans // _LINES, chance) + "\n")
    return {"one line": one, f"{_LINES:,} lines": many}


def _loaded(path: Path) -> int:
    """What is measured against: every line parsed, and kept as long as a reader needs that keeps it."""
    with path.open() as file:
        return len([json.loads(line) for line in file])


def _asked(path: Path) -> int:
    from massgen_tracing.store.engine import execute

    head, _, _ = execute.answer(
        "SELECT count(*), count(DISTINCT trace_id) FROM records",
        [str(path)],
        params={},
        min_us=None,
        max_us=None,
        limit=10,
        max_bytes=10**8,
        on_stage=lambda _stage: None,
    )
    return int(head["report"]["spans"])


def _measured(how: str, path: Path, environment: Mapping[str, str]) -> tuple[float, float]:
    """Processor time and memory, in a process of its own that has done the same with a small file."""
    line = [sys.executable, "-P", __file__, "--one", how, str(path)]
    said = subprocess.run(line, env=environment, check=True, capture_output=True, text=True).stdout
    seconds, megabytes = said.split()
    return float(seconds), float(megabytes)


def _one(how: str, path: Path) -> None:
    work = {"loaded": _loaded, "asked": _asked}[how]
    with tempfile.TemporaryDirectory() as directory:
        small = Path(directory) / "small.json"
        small.write_text(_document(0, 1, random.Random(1)))
        work(small)
    if how == "asked":
        with contextlib.suppress(ImportError):  # the earlier build has none
            from massgen_tracing.store.engine import spilled  # noqa: F401 - what only large files need
    before = _megabytes()
    begun = time.process_time()
    work(path)
    print(time.process_time() - begun, _megabytes() - before)


def _megabytes() -> float:
    """The most that this process has had; of `getrusage` a new process begins with what its parent had."""
    found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--spans", type=int, default=_SPANS)
    parser.add_argument("--check", action="store_true", help="exit code 1 when a target is missed")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        _one(args.one[0], Path(args.one[1]))
        return
    from benchmarks import _earlier

    missed = False
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        build = _earlier.build(place / "earlier")
        here = dict(os.environ)
        contenders = {"asked": ("asked", here), "json.loads": ("loaded", here)}
        if build is not None:
            contenders["the earlier build"] = ("asked", build.environment)
        for name, path in _make(place, args.spans).items():
            rounds = [{who: _measured(how, path, where) for who, (how, where) in contenders.items()} for _ in range(args.rounds)]
            best = {who: (min(each[who][0] for each in rounds), max(each[who][1] for each in rounds)) for who in contenders}
            print(f"{name}, {os.path.getsize(path) / 1e6:.0f} MB: asked in {best['asked'][0]:.1f} s and {best['asked'][1]:.0f} MB")
            for peer, most in {"json.loads": (_MOST_TIME, _MOST_MEMORY), "the earlier build": (_MOST_OF_EARLIER, _MOST_OF_EARLIER)}.items():
                if peer in best:
                    ratios = [own / max(its, 0.01) for own, its in zip(best["asked"], best[peer], strict=True)]
                    missed |= any(ratio > target for ratio, target in zip(ratios, most, strict=True))
                    seconds, megabytes = best[peer]
                    print(
                        f"  {peer}, {seconds:.1f} s and {megabytes:.0f} MB: {ratios[0]:.2f} of its time (target {most[0]}),"
                        f" {ratios[1]:.2f} of its memory (target {most[1]})",
                        flush=True,
                    )
    if args.check and missed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()

"""A process that is killed at any moment loses nothing that it was told had been recorded."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from massgen_tracing.store.roots import reader
from tests.sinks import lines

ROUNDS = 100


def whole_lines(path: Path) -> list[bytes]:
    """The lines of a recording; only the last one may be torn, and then it is left out."""
    found = path.read_bytes().split(b"\n")
    last = found.pop()
    if last:
        try:
            lines.parse(last)
        except json.JSONDecodeError:
            return found
        return [*found, last]
    return found


def test_a_hundred_kills_lose_nothing(tmp_path: Path) -> None:
    """SIGKILL at a hundred random moments, three threads each.

    What was announced as ended is ended, what was announced as started is started, no line but the last is torn, and the reader shows what
    was open as interrupted.
    """
    subprocess.run([sys.executable, str(Path(__file__).with_name("crash_program.py")), str(tmp_path), str(ROUNDS), "7"], check=True)
    total = 0
    for number in range(ROUNDS):
        place = tmp_path / str(number)
        announced: dict[str, set[str]] = {"started": set(), "ended": set()}
        for announcement in (place / "announced").read_text().splitlines():
            what, span_id = announcement.split()
            announced[what].add(span_id)
        paths = lines.recordings(place)
        started, ended = set(), set()
        for path in paths:
            for line in whole_lines(path):
                (span,) = lines.parse(line)["resourceSpans"][0]["scopeSpans"][0]["spans"]
                if lines.is_pending(span):
                    started.add(span["parentSpanId"])
                else:
                    ended.add(span["spanId"])
        assert announced["ended"] <= ended
        assert announced["started"] <= started
        assert ended <= started
        found = reader.read(paths)
        assert {span.span_id for span in found.spans if span.state == "ended"} == ended
        assert {span.span_id for span in found.spans if span.state == "interrupted"} == started - ended
        assert found.report.skipped <= len(paths)
        assert (started - ended) or not started, "a killed session is never ended"
        total += len(announced["ended"])
    assert total > ROUNDS

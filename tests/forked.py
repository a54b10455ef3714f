"""Runs many small programs, each in a process of its own that is forked from this one, where the slow imports have been done.

    python -m tests.forked PROGRAMS.json

PROGRAMS.json is a list of `{"place": directory, "program": text, "environment": variables}`. Beside each program's directory come its `stdout` and
`stderr`, and its exit code in `code`.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import traceback
from pathlib import Path

import logfire  # noqa: F401 - what every program would load anyway
import openai  # noqa: F401
import opentelemetry.exporter.otlp.proto.http.trace_exporter
import opentelemetry.sdk.trace  # noqa: F401

import massgen_tracing.sinks.recording  # noqa: F401

SECONDS = 60


def main(path: str) -> None:
    """Run the programs, one after the other; in the child the interpreter ends as it does anywhere."""
    gc.freeze()  # a collection in a child would copy all of it
    for each in json.loads(Path(path).read_text(encoding="utf-8")):
        place = Path(each["place"])
        place.mkdir(parents=True)
        child = os.fork()
        if child == 0:
            play(place, each["program"], each["environment"])
            return
        _, status = os.waitpid(child, 0)
        (place / "code").write_text(str(os.waitstatus_to_exitcode(status)))


def play(place: Path, program: str, environment: dict[str, str]) -> None:
    """One program, in the child."""
    signal.alarm(SECONDS)
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(place / name, os.O_CREAT | os.O_WRONLY), number)
    os.environ.update({"HOME": str(place), **environment})
    os.chdir(place)
    file = place / "program.py"
    file.write_text(program)
    try:
        exec(compile(program, file, "exec"), {"__name__": "__main__", "root": str(place / "root")})
    except Exception:
        traceback.print_exc()
        sys.exit(1)


if __name__ == "__main__":
    main(sys.argv[1])

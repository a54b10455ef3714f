"""A build of the package of earlier days, with its own code, in this environment: what today's is compared with."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks._measure import Round, timed

COMMIT: Final = "458a85e6df0d654f96f680ba51838485d25c3c61"
"""The last one in which each run was a Parquet file, and files of other programs were read as a whole (28 November 2026)."""

_ASKING: Final = """
import json, sys, time
from massgen_tracing import store

for line in sys.stdin:
    sql, root = json.loads(line)
    begun = time.perf_counter()
    store.query(sql, root, timeout=3600)
    print(time.perf_counter() - begun, flush=True)
"""


class Build:
    """The code of a commit, in a directory."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.environment = {**os.environ, "PYTHONPATH": str(place)}
        self.python = [sys.executable, "-P"]

    def command(self, *words: str | Path) -> Round:
        """A command, with its start."""
        line = [*self.python, "-m", "massgen_tracing.views.cli", *map(str, words)]
        return timed(lambda: subprocess.run(line, env=self.environment, check=True, capture_output=True))

    @contextmanager
    def asking(self) -> Iterator[subprocess.Popen[str]]:
        """A process for `asked`."""
        with subprocess.Popen(
            [*self.python, "-c", _ASKING], env=self.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            yield process
            assert process.stdin is not None
            process.stdin.close()

    @staticmethod
    def asked(process: subprocess.Popen[str], root: Path, sql: str) -> Round:
        """`store.query` in a process that stays, as today's is asked here."""

        def run() -> float:
            assert process.stdin is not None
            assert process.stdout is not None
            print(json.dumps([sql, str(root)]), file=process.stdin, flush=True)
            return float(process.stdout.readline())

        return run


def build(place: Path, commit: str = COMMIT) -> Build | None:
    """Puts the code of a commit there; None, and a line that says so, where there is no history to take it from."""
    here = Path(__file__).resolve().parents[1]
    archive = subprocess.run(["git", "-C", here, "archive", commit, "massgen_tracing"], check=False, capture_output=True)
    if archive.returncode:
        print(f"  no earlier build: {archive.stderr.decode().strip() or 'git fails'}")
        return None
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        tar.extractall(place, filter="data")
    return Build(place)

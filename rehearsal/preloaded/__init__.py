"""MassGen's libraries, loaded once for many runs: a process that has them forks for each program.

Loading them takes about twelve seconds of processor time, most of a short run. What is loaded is what a run that was started as a user starts it
had loaded in the end, without MassGen itself, this package, OpenTelemetry and Logfire: those load in each run as ever.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

from rehearsal.environments import Environment

HERE: Final = Path(__file__).resolve().parent
OWN: Final = frozenset({"massgen", "massgen_tracing", "opentelemetry", "logfire", "sitecustomize", "__main__"})
"""Packages that each run loads for itself."""


def preloaded(environment: Environment, modules: Iterable[str], address: Path, owner: int) -> Environment:
    """The same environment; its programs are forked from a process that has loaded its libraries, and that is started where there is none.

    Args:
        environment: whose Python loads them.
        modules: names, in the order in which they are loaded; what cannot be loaded by itself is left out.
        address: the socket of that process.
        owner: the id of the process with whose end that process ends.
    """
    if not address.exists():
        libraries = [name for name in modules if name.partition(".")[0] not in OWN]
        subprocess.run(
            [str(environment.python), "-I", str(HERE / "server.py"), str(address), str(owner)],
            input=json.dumps(libraries),
            stdout=subprocess.DEVNULL,
            env={"PATH": os.environ.get("PATH", os.defpath), "HOME": str(address.parent), "LANG": "C.UTF-8"},
            text=True,
            check=True,
        )
    return replace(environment, launcher=(str(environment.python), "-IS", str(HERE / "client.py"), str(address)))

"""Tracing of a Python program that does not know of it: by an environment in which the interpreter prepares itself.

`environment()` puts a folder first on PYTHONPATH. Its `sitecustomize.py` runs at the start of whatever Python comes next, takes the folder away
again, and leaves `massgen_tracing.activation` behind: nothing of the package or of OpenTelemetry is loaded until the program itself asks for one of
them or for an instrumented library.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

FOLDER: Final = str(Path(__file__).resolve().parent / "path")
"""What goes on PYTHONPATH. It holds nothing but `sitecustomize.py`, so that it shadows nothing else."""

PACKAGE_IN: Final = str(Path(__file__).resolve().parents[2])
"""The directory that this package lies in."""

VARIABLE: Final = "PYTHONPATH"


def environment(env: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment in which the next Python interpreter is traced, whether it is started at once, from a shell or by a launcher.

    The interpreter needs the package installed; settings and TRACEPARENT are what the environment says (`massgen_tracing.settings`). Interpreters
    that it starts in its turn are not traced, unless they get such an environment too. Python's options -I, -E and -S switch it off.

    Args:
        env: the environment to start from, left as it is; None: this process's.
    """
    result = dict(os.environ if env is None else env)
    others = [entry for entry in result.get(VARIABLE, "").split(os.pathsep) if entry and entry != FOLDER]
    result[VARIABLE] = os.pathsep.join([FOLDER, *others])
    return result


def location() -> dict[str, str]:
    """For an environment that is not made from this process's: the part of PYTHONPATH that leads to this package, empty where nothing there does."""
    entries = [os.path.abspath(entry) for entry in os.environ.get(VARIABLE, "").split(os.pathsep) if entry]
    return {VARIABLE: PACKAGE_IN} if PACKAGE_IN in entries else {}

"""The MassGen versions that are tried, and the environments that hold them.

    python -m rehearsal.environments            make those that are missing, in .venv-massgen/<version>
    python -m rehearsal.environments --newest   the newest version only, or nothing where any environment is there

MASSGEN_ENVIRONMENTS names others instead, separated as in PATH.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from .versions import VERSIONS

REPOSITORY: Final = Path(__file__).resolve().parents[1]
PLACE: Final = REPOSITORY / ".venv-massgen"
VARIABLE: Final = "MASSGEN_ENVIRONMENTS"
OLDER: Final = tuple(tried.version for tried in VERSIONS[1:])
"""Tried beside the newest on the package index, which may be newer than the first of the table."""

COMPLETE: Final = "complete"
"""A file in an environment whose installation was not interrupted."""

GIGABYTES: Final = 1.5
"""What one environment takes on the disk."""


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment with MassGen and this package in it.

    Attributes:
        path: its directory.
        version: of MassGen.
        borrowed: whether it was named by the variable; then this repository is put on PYTHONPATH, since another may be installed in it.
        launcher: words that start a Python program in another way than its interpreter does (`rehearsal.preloaded`).
    """

    path: Path
    version: str
    borrowed: bool = False
    launcher: tuple[str, ...] = ()

    @property
    def python(self) -> Path:
        return self.path / "bin" / "python"

    @property
    def massgen(self) -> Path:
        return self.path / "bin" / "massgen"

    def command(self, program: Path) -> list[str]:
        """The words that start a Python program of this environment."""
        return [*(self.launcher or (str(self.python),)), str(program)]

    @property
    def key(self) -> tuple[int, ...]:
        """By which versions are ordered."""
        return tuple(int(part) for part in self.version.split(".") if part.isdigit())


@cache
def found() -> tuple[Environment, ...]:
    """The environments that are there, newest MassGen first."""
    named = os.environ.get(VARIABLE)
    paths = [Path(entry) for entry in named.split(os.pathsep) if entry] if named else [complete.parent for complete in PLACE.glob(f"*/{COMPLETE}")]
    environments = [Environment(path, version, bool(named)) for path in paths if (version := _version(path))]
    return tuple(sorted(environments, key=lambda environment: environment.key, reverse=True))


def _version(path: Path) -> str | None:
    """The version of the MassGen in an environment; None where there is none."""
    installed = sorted(path.glob("lib/python3*/site-packages/massgen-*.dist-info/METADATA"))
    if not installed or not (path / "bin" / "massgen").exists():
        return None
    return next(
        (line.split(": ", 1)[1].strip() for line in installed[-1].read_text(encoding="utf-8").splitlines() if line.startswith("Version: ")), None
    )


def make(version: str | None) -> Environment:
    """Make the environment of one version beside the others, or take the one that is there.

    Args:
        version: of MassGen; None: the newest on the package index.

    Raises:
        SystemExit: where it cannot be installed; uv has said why.
    """
    version = version or newest()
    path = PLACE / version
    if _version(path) == version and (path / COMPLETE).exists():
        print(f"MassGen {version}: {path.relative_to(REPOSITORY)} is there", flush=True)
        return Environment(path, version)
    print(f"MassGen {version}: installing into {path.relative_to(REPOSITORY)}, about {GIGABYTES} GB …", flush=True)
    PLACE.mkdir(exist_ok=True)
    (PLACE / ".gitignore").write_text("*\n", encoding="utf-8")
    _uv("venv", "--quiet", "--clear", "--python", sys.executable, str(path))
    beside = next((tried.needs for tried in VERSIONS if tried.version == version), ())
    _uv("pip", "install", "--quiet", "--python", str(path), f"massgen=={version}", *beside, "--editable", str(REPOSITORY))
    (path / COMPLETE).touch()
    return Environment(path, version)


def newest() -> str:
    """The newest MassGen that the package index has for this Python.

    Raises:
        SystemExit: where the index cannot be asked.
    """
    command = [
        sys.executable,
        "-m",
        "uv",
        "pip",
        "compile",
        "--quiet",
        "--no-deps",
        "--no-header",
        "--no-annotate",
        "--refresh-package",
        "massgen",
        "-",
    ]
    done = subprocess.run(command, input="massgen\n", capture_output=True, text=True, check=False)
    for line in done.stdout.splitlines():
        if line.startswith("massgen=="):
            return line.removeprefix("massgen==").split()[0]
    sys.exit(f"The package index could not be asked for the newest version of MassGen: {done.stderr.strip()}")


def _uv(*words: str) -> None:
    done = subprocess.run([sys.executable, "-m", "uv", *words], check=False)
    if done.returncode:
        sys.exit(f"uv {words[0]} failed with exit code {done.returncode}")


def main(argv: Sequence[str] | None = None) -> int:
    """Make what is missing; returns an exit code."""
    parser = argparse.ArgumentParser(prog="python -m rehearsal.environments", description="Environments with MassGen, for tests and the demo.")
    parser.add_argument("--newest", action="store_true", help="one will do: the newest, unless there is one already")
    args = parser.parse_args(argv)
    if os.environ.get(VARIABLE) or (args.newest and found()):
        print("\n".join(f"MassGen {environment.version}: {environment.path} is there" for environment in found()))
        return 0
    for version in (None,) if args.newest else (None, *OLDER):
        make(version)
    return 0


if __name__ == "__main__":
    sys.exit(main())

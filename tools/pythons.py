"""The tests on the other versions of Python that the package is for: `python -m tools.pythons [OPTIONS OF PYTEST …]`.

The versions are those of `pyproject.toml`'s classifiers but for the one that runs this. Each has an environment of its own, `.venv-<version>`, made
from `requirements.lock`. A version that is not on this machine is said in one line, and is no failure.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).resolve().parents[1]
LOCK: Final = REPOSITORY / "requirements.lock"
_CLASSIFIER: Final = re.compile(r"Programming Language :: Python :: (3\.\d+)")
_UV: Final = (sys.executable, "-m", "uv")


def others() -> list[str]:
    """The versions, such as 3.12, oldest first."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    versions = [found[1] for classifier in project["classifiers"] if (found := _CLASSIFIER.fullmatch(classifier))]
    return [version for version in versions if version != f"{sys.version_info.major}.{sys.version_info.minor}"]


def find(version: str) -> Path | None:
    """An interpreter of that version that really runs; None where there is none."""
    return next((path for path in _candidates(version) if _runs(path, version)), None)


def _candidates(version: str) -> Iterator[Path]:
    """On PATH, where pyenv's stand-ins may be for versions that are not chosen, then among pyenv's own versions, then where uv keeps its."""
    for folder in os.get_exec_path():
        yield Path(folder) / f"python{version}"
    if shutil.which("pyenv"):
        yield from sorted(Path(_said("pyenv", "root")).glob(f"versions/{version}.*/bin/python"), reverse=True)
    if managed := _said(*_UV, "python", "find", "--no-python-downloads", "--managed-python", version):
        yield Path(managed)


def _runs(python: Path, version: str) -> bool:
    return os.access(python, os.X_OK) and _said(str(python), "-c", "import sys; print('%d.%d' % sys.version_info[:2])") == version


def _said(*words: str) -> str:
    """What a program prints; nothing where it fails."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return "" if done.returncode else done.stdout.strip()


def environment(version: str, python: Path) -> Path:
    """The interpreter of the version's environment, which is made where it is missing or of another lock file.

    Raises:
        SystemExit: where it cannot be made; uv has said why.
    """
    place = REPOSITORY / f".venv-{version}"
    made, lock = place / ".lock", hashlib.sha256(LOCK.read_bytes()).hexdigest()
    if not made.exists() or made.read_text(encoding="utf-8") != lock:
        print(f"Python {version}: installing requirements.lock into {place.name} …", flush=True)
        _uv("venv", "--quiet", "--clear", "--python", str(python), str(place))
        _uv("pip", "install", "--quiet", "--python", str(place), "--require-hashes", "--requirement", str(LOCK))
        _uv("pip", "install", "--quiet", "--python", str(place), "--no-deps", "--no-build-isolation", "--editable", str(REPOSITORY))
        made.write_text(lock, encoding="utf-8")
    return place / "bin" / "python"


def _uv(*words: str) -> None:
    done = subprocess.run([*_UV, *words], check=False)
    if done.returncode:
        sys.exit(f"uv {words[0]} failed with exit code {done.returncode}")


def main(options: Sequence[str] | None = None) -> int:
    """Run the tests on each version; returns pytest's exit code where one failed, and 0 otherwise."""
    code = 0
    for version in others():
        python = find(version)
        if python is None:
            print(f"Python {version}: not found on PATH, among pyenv's versions or uv's; the tests were not run on it", flush=True)
            continue
        words = [str(environment(version, python)), "-m", "pytest", *(sys.argv[1:] if options is None else options)]
        print(f"Python {version}: {python}", flush=True)
        code = subprocess.run(words, cwd=REPOSITORY, check=False).returncode or code
    return code


if __name__ == "__main__":
    sys.exit(main())

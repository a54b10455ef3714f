"""Programs that are built by Go: the Collector, Jaeger and what checks dashboards.

`python -m tools.backends.binaries collector` (`make collector`) builds those that `collector/docker-compose.yaml` names as images, the same with
`percli` (`make percli`) the linter of dashboards, and without either (`make binaries`) all of them. They go to `.collector/`, each named with its
version. A cold build of the first takes about nine minutes of processor time, 4.3 GB of disk while it works (Go's own caches, which other builds
use too) and 140 MB when it is done; of the linter 100 seconds, 1 GB and 35 MB.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).resolve().parents[2]
CONFIGURATION: Final = REPOSITORY / "collector"
PLACE: Final = REPOSITORY / ".collector"
LOG: Final = PLACE / "build.log"
"""What the build says that `.ci/run` begins."""

MISSING: Final = (
    "neither built nor found: `make collector` builds the Collector and Jaeger where Go 1.26 or newer is "
    "(https://go.dev/dl/; about nine minutes of processor time, once); where Docker is, `docker compose up` in collector/ runs their images"
)

NO_PERCLI: Final = (
    "percli was neither built nor found: `make percli` builds it where Go 1.26 or newer is (https://go.dev/dl/; about two minutes, once)"
)

_MANIFEST: Final = CONFIGURATION / "builder.yaml"
_SMALL: Final = ("-trimpath", "-buildvcs=false", "-ldflags=-s -w")


@dataclass(frozen=True, slots=True)
class Program:
    """A program to be built.

    Attributes:
        name: of its file.
        version: as its image has it.
        module: Go's, with the version that it has there.
        package: to be built, of that module.
    """

    name: str
    version: str
    module: str
    package: str

    @property
    def path(self) -> Path:
        return PLACE / f"{self.name}-{self.version}"


BUILDER: Final = Program("builder", "0.161.0", "go.opentelemetry.io/collector/cmd/builder@v0.161.0", "go.opentelemetry.io/collector/cmd/builder")
JAEGER: Final = Program("jaeger", "2.13.0", "github.com/jaegertracing/jaeger@v1.76.0", "github.com/jaegertracing/jaeger/cmd/jaeger")
"""Its module kept version 1 in its name, and has both numbers."""
COMPOSE: Final = Program("compose", "2.16.2", "github.com/compose-spec/compose-go/v2@v2.16.2", "github.com/compose-spec/compose-go/v2/cli")
"""What reads a compose file as Docker Compose does, and says what is wrong with it: the library, and `compose.go` here."""

PERCLI: Final = Program("percli", "0.53.1", "github.com/perses/perses@v0.53.1", "github.com/perses/perses/cmd/percli")
"""What Perses checks dashboards with."""


def collector() -> Path:
    """Where the Collector is, or will be: another manifest makes another one."""
    return PLACE / f"otelcol-{BUILDER.version}-{hashlib.sha256(_MANIFEST.read_bytes()).hexdigest()[:8]}"


def missing() -> list[Path]:
    """The programs that are not there."""
    return [path for path in (collector(), JAEGER.path, COMPOSE.path) if not path.exists()]


def last_words() -> str:
    """The last lines of the build that `.ci/run` began, in parentheses; empty where there was none."""
    try:
        said = LOG.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return f" (its build has ended with: {'; '.join([line.strip() for line in said if line.strip()][-2:]) or 'nothing'})"


@contextmanager
def settled() -> Iterator[None]:
    """A block in which nobody else builds; who builds just now is waited for."""
    PLACE.mkdir(exist_ok=True)
    with (PLACE / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def build(*, backends: bool = True, linter: bool = False) -> None:
    """Build what is missing, of the Collector and Jaeger, and of what lints dashboards.

    Raises:
        SystemExit: where Go is not there, or fails; it has said why.
    """

    def wanted() -> list[Path]:
        return [*(missing() if backends else ()), *([PERCLI.path] if linter and not PERCLI.path.exists() else ())]

    if wanted() and shutil.which("go") is None:
        sys.exit(f"The Collector and Jaeger are {MISSING}." if backends else f"{NO_PERCLI}.")
    with settled():
        _build(wanted())


def _build(wanted: Sequence[Path]) -> None:
    if PERCLI.path in wanted:
        _from_module(PERCLI)
    if COMPOSE.path in wanted:
        _from_module(COMPOSE, source=Path(__file__).with_name("compose.go"))
    if JAEGER.path in wanted:
        _from_module(JAEGER)
    if collector() in wanted:
        _collector()


def _from_module(program: Program, source: Path | None = None) -> None:
    """By a module of our own that requires it, for `go install` refuses a module that replaces others; the program is *source*, where given."""
    _say(f"{program.name} {program.version}")
    with tempfile.TemporaryDirectory(prefix="massgen-tracing-build-") as place:
        _go("mod", "init", "build", cwd=place)
        _go("get", program.package + "@" + program.module.rpartition("@")[2], cwd=place)
        if source is not None:
            shutil.copy(source, place)
        _compile(program.package if source is None else ".", program.path, place)


def _collector() -> None:
    if not BUILDER.path.exists():
        _from_module(BUILDER)
    _say(f"otelcol {BUILDER.version}")
    with tempfile.TemporaryDirectory(prefix="massgen-tracing-build-") as place:
        manifest = Path(place, "builder.yaml")
        manifest.write_text(_MANIFEST.read_text(encoding="utf-8").replace("dist:\n", f"dist:\n  output_path: {place}\n", 1), encoding="utf-8")
        _run([str(BUILDER.path), "--config", str(manifest), "--skip-compilation"], cwd=place)
        _compile(".", collector(), place)


def _compile(package: str, path: Path, place: str) -> None:
    """Under another name first: a program that is there is whole."""
    unfinished = path.with_suffix(".unfinished")
    _go("build", *_SMALL, "-o", str(unfinished), package, cwd=place)
    unfinished.replace(path)


def _go(*words: str, cwd: str) -> None:
    _run(["go", *words], cwd=cwd)


def _run(words: list[str], *, cwd: str) -> None:
    done = subprocess.run(words, cwd=cwd, env={**os.environ, "CGO_ENABLED": "0"}, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(words[:3])} failed with exit code {done.returncode}:\n{done.stdout}{done.stderr}")


def _say(what: str) -> None:
    print(f"Building {what} …", flush=True)


if __name__ == "__main__":
    build(backends=sys.argv[1:] != ["percli"], linter=sys.argv[1:] != ["collector"])

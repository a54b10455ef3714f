"""Runs of real MassGen: each once in a test session, however many tests look at it."""

from __future__ import annotations

import fcntl
import os
import pickle
import re
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from rehearsal.cases import CASES
from rehearsal.environments import OLDER, Environment, found
from rehearsal.preloaded import preloaded
from rehearsal.run import Ran, stage
from rehearsal.versions import VERSIONS as TRIED

MISSING = "MassGen {version} is not installed: `make massgen` does it (about 1.5 GB a version), or name environments in MASSGEN_ENVIRONMENTS"

PARALLEL = "PYTEST_XDIST_WORKER" in os.environ
NEWEST = "newest"
FIRST = next(iter(CASES))
VERSIONS = (NEWEST, *OLDER)
RUNS = [(version, name) for version in VERSIONS for name, case in CASES.items() if version == NEWEST or case.older]


class Runs:
    """The runs of a test session: under way one after the other, and at once where a test asks for one that was not begun.

    A version's first run is started as a user starts it. The others are forked from a process that has loaded what that one had.

    Args:
        shared: the directory that they are kept in.
        asked: all that will be asked for, versions and names of cases.
    """

    def __init__(self, shared: Path, asked: Iterable[tuple[str, str]]) -> None:
        self._shared = shared
        self._pool = ThreadPoolExecutor(1)
        self._begun = {each: self._pool.submit(self._run, *each) for each in dict.fromkeys(asked) if _find(each[0])}

    def result(self, version: str, name: str) -> Ran:
        """That run, when it has ended."""
        begun = self._begun[version, name]
        return self._run(version, name) if begun.cancel() else begun.result()

    def preloaded(self, version: str) -> Environment:
        """The environment of a version, with its libraries loaded; the test is skipped where it is missing."""
        here = environment(version)
        (program,) = [process for process in self._run(version, FIRST).witness if process["argv"] == [str(here.massgen)]]
        address = self._shared / f"{here.version}.socket"
        with self._one_at_a_time(address):
            return preloaded(here, program["modules"], address, os.getppid() if PARALLEL else os.getpid())

    def end(self) -> None:
        """Begin no other."""
        self._pool.shutdown(cancel_futures=True)

    def _run(self, version: str, name: str) -> Ran:
        case, place = CASES[name], self._shared / re.sub(r"\W+", "_", f"{version} {name}")
        here = environment(version) if name == FIRST else self.preloaded(version)
        with self._one_at_a_time(place):
            if (there := Path(f"{place}.ran")).exists():
                known: Ran = pickle.loads(there.read_bytes())
                return known
            shutil.rmtree(place, ignore_errors=True)  # of one that failed: whoever asks again sees it fail again
            place.mkdir()
            with stage(here, case.script(), case.setup, place=place) as where:
                ran = where.run(where.massgen(*case.options))
            there.write_bytes(pickle.dumps(ran))
            return ran

    @staticmethod
    @contextmanager
    def _one_at_a_time(path: Path) -> Iterator[None]:
        """No other thread or process of this test session is at the same path."""
        with Path(f"{path}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What the table says a version lacks must fail, and nothing else may."""
    for item in items:
        part = item.get_closest_marker("part")
        parameters = getattr(getattr(item, "callspec", None), "params", {})
        version = parameters["ran"][0] if "ran" in parameters else parameters.get("version")
        for tried in TRIED:
            if part is not None and tried.version == version and part.args[0] in tried.lacks:
                item.add_marker(pytest.mark.xfail(reason=tried.lacks[part.args[0]]))


def environment(version: str) -> Environment:
    """The environment of a version, *newest* for the newest that is there; the test is skipped where it is missing."""
    here = _find(version)
    if here is None:
        pytest.skip(MISSING.format(version=version))
    return here


def _find(version: str) -> Environment | None:
    return next((one for one in found() if version == one.version or (version == NEWEST and one.version not in OLDER)), None)


@pytest.fixture(scope="session")
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """Every run that a selected test asks for; where several processes share the tests, they share the runs too."""
    parameters = [getattr(item, "callspec", None) for item in request.session.items]
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if PARALLEL else base) / "massgen"
    shared.mkdir(exist_ok=True)
    under_way = Runs(shared, [found.params["ran"] for found in parameters if found is not None and "ran" in found.params])
    yield under_way
    under_way.end()


@pytest.fixture(params=RUNS, ids=[f"{version}-{name}" for version, name in RUNS])
def ran(request: pytest.FixtureRequest, runs: Runs) -> Ran:
    """Every run of the list, in turn."""
    version, _ = request.param
    environment(version)
    return runs.result(*request.param)


@pytest.fixture
def newest() -> Environment:
    return environment(NEWEST)


@pytest.fixture
def newest_preloaded(runs: Runs) -> Environment:
    """The newest version, for a test in which the start of the program does not matter."""
    return runs.preloaded(NEWEST)

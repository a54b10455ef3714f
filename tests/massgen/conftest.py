"""Runs of real MassGen: each once in a test session, however many tests look at it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from rehearsal.cases import CASES
from rehearsal.environments import OLDER, Environment, found
from rehearsal.run import Ran, stage
from rehearsal.versions import VERSIONS as TRIED

MISSING = "MassGen {version} is not installed: `make massgen` does it (about 1.5 GB a version), or name environments in MASSGEN_ENVIRONMENTS"

NEWEST = "newest"
VERSIONS = (NEWEST, *OLDER)
RUNS = [(version, name) for version in VERSIONS for name, case in CASES.items() if version == NEWEST or case.older]

AT_ONCE = 2
"""Runs side by side: most of one is loading MassGen, on one core."""


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
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[tuple[str, str], Future[Ran]]]:
    """Every run that a selected test asks for, under way."""
    parameters = [getattr(item, "callspec", None) for item in request.session.items]
    asked = [found.params["ran"] for found in parameters if found is not None and "ran" in found.params]

    def run(version: str, name: str, place: Path) -> Ran:
        case, here = CASES[name], _find(version)
        assert here is not None
        with stage(here, case.script(), case.setup, place=place) as where:
            return where.run(where.massgen(*case.options))

    with ThreadPoolExecutor(AT_ONCE) as pool:
        # Directories are made here: where several threads ask for the first one, pytest removes it again.
        there = [(version, name) for version, name in dict.fromkeys(asked) if _find(version)]
        yield {(version, name): pool.submit(run, version, name, tmp_path_factory.mktemp("massgen")) for version, name in there}
        pool.shutdown(cancel_futures=True)


@pytest.fixture(params=RUNS, ids=[f"{version}-{name}" for version, name in RUNS])
def ran(request: pytest.FixtureRequest, runs: dict[tuple[str, str], Future[Ran]]) -> Ran:
    """Every run of the list, in turn."""
    version, _ = request.param
    environment(version)
    return runs[request.param].result()


@pytest.fixture
def newest() -> Environment:
    return environment(NEWEST)

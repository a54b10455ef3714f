"""Runs of real MassGen: each once in a test session, however many tests look at it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rehearsal.cases import CASES
from rehearsal.environments import OLDER, Environment, found
from rehearsal.run import Ran, stage

MISSING = "MassGen {version} is not installed: `make massgen` does it (about 1.5 GB a version), or name environments in MASSGEN_ENVIRONMENTS"

NEWEST = "newest"


def environment(version: str) -> Environment:
    """The environment of a version, *newest* for the newest that is there; the test is skipped where it is missing."""
    for candidate in found():
        if version == candidate.version or (version == NEWEST and candidate.version not in OLDER):
            return candidate
    pytest.skip(MISSING.format(version=version))


VERSIONS = (NEWEST, *OLDER)
RUNS = [(version, name) for version in VERSIONS for name, case in CASES.items() if version == NEWEST or case.older]


@pytest.fixture(scope="session")
def rehearse(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Ran]:
    """A run by version and case, with all that is known of it; run when it is asked for the first time."""
    done: dict[tuple[str, str], Ran] = {}

    def get(version: str, name: str) -> Ran:
        here = environment(version)
        if (version, name) not in done:
            case = CASES[name]
            with stage(here, case.script(), case.setup, place=tmp_path_factory.mktemp("massgen")) as where:
                done[version, name] = where.run(where.massgen(*case.options))
        return done[version, name]

    return get


@pytest.fixture(params=RUNS, ids=[f"{version}-{name}" for version, name in RUNS])
def ran(request: pytest.FixtureRequest, rehearse: Callable[[str, str], Ran]) -> Ran:
    """Every run of the list, in turn."""
    return rehearse(*request.param)


@pytest.fixture
def newest() -> Environment:
    return environment(NEWEST)

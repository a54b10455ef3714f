"""The real Collector and the real Jaeger, with the configuration of `collector/`; their tests are skipped where neither was built."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tools.backends import binaries, running
from tools.backends.running import Collector, Jaeger


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Where a program is missing, each test that needs it says so, after whoever builds it just now."""
    if item.get_closest_marker("binaries") is not None and binaries.missing():
        with binaries.settled():
            if binaries.missing():
                pytest.skip(f"The Collector and Jaeger were {binaries.MISSING}{binaries.last_words()}")


@pytest.fixture(scope="module")
def jaeger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jaeger]:
    """A Jaeger for all tests of a file."""
    with running.jaeger(tmp_path_factory.mktemp("jaeger")) as here:
        yield here


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory, jaeger: Jaeger) -> Iterator[Collector]:
    """A Collector in front of it."""
    with running.collecting(tmp_path_factory.mktemp("collector"), {"JAEGER_OTLP": jaeger.grpc}) as here:
        yield here


def eventually(condition: Callable[[], Any]) -> Any:
    """What it gives as soon as that is true; where it never is, pytest ends the test."""
    while not (found := condition()):
        time.sleep(0.1)
    return found


def dry_run(place: Path, *options: str) -> Path:
    """The directory with the recordings of a dry run, ended, with these options."""
    from massgen_tracing import layout
    from massgen_tracing.views.cli import main

    assert main(["run", "--dry-run", "--root", str(place / layout.DEFAULT_ROOT), *options, "Which layout?"]) == 0
    return place / layout.DEFAULT_ROOT


def massgen_run(place: Path, url: str) -> Path:
    """The root of a run of real MassGen, sent there by `massgen-tracing exec`."""
    from massgen_tracing import layout
    from rehearsal.run import agents, stage
    from rehearsal.script import Script
    from tests.massgen.conftest import NEWEST, environment

    with stage(environment(NEWEST), Script(agents(2), seed=35), place=place) as here:
        ran = here.run(here.massgen(), options=["--otlp", url], env={"MASSGEN_TRACING_OTLP_PENDING": "true"})
    assert ran.code == 0, ran.stderr
    return ran.place / layout.DEFAULT_ROOT

"""What every test stands on: no span is current when it begins, nothing is swallowed unseen, nothing is left configured."""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Generator, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from opentelemetry import trace

import massgen_tracing as mt
from massgen_tracing import guard
from massgen_tracing.testing import left_behind
from massgen_tracing.trace.payload import keep_content, scrub_also
from tests.sinks.collector import Collector, collecting

settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
settings.load_profile("default")

_LEAVES_MARK = "Failed to detach context"


LONG_SECONDS = 3600
"""After which a long test is taken to hang; for others `pyproject.toml` says when."""


@pytest.hookimpl
def pytest_xdist_auto_num_workers() -> int:
    """Half as many processes again as there are cores, for many tests wait for something."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(2, cores * 3 // 2)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Long tests have the time that they take, and come first in the part of each process, so that none waits for one at the end.

    What needs the Collector comes last, and waits for it: it may be built meanwhile.
    """
    built = [item for item in items if item.get_closest_marker("binaries") is not None]
    for item in items:
        if item.get_closest_marker("long") is not None or item.get_closest_marker("binaries") is not None:
            item.add_marker(pytest.mark.timeout(LONG_SECONDS))
    slow = [item for item in items if item not in built and _takes_long(item)]
    others = [item for item in items if item not in built and not _takes_long(item)]
    parts = getattr(config, "workerinput", {}).get("workercount", 1)
    bounds = [len(others) * part // parts for part in range(parts + 1)]
    items[:] = [item for part in range(parts) for item in (*slow[part::parts], *others[bounds[part] : bounds[part + 1]])] + built


def _takes_long(item: pytest.Item) -> bool:
    """A soak, a search, or a test that starts MassGen for itself."""
    starts = item.get_closest_marker("massgen") is not None and "ran" not in getattr(item, "fixturenames", ())
    return starts or item.get_closest_marker("long") is not None


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, dict[str, Any] | None, dict[str, Any] | None]:
    """Reports of processes beside this one can be sent, whatever a test has said: what cannot be encoded would end the whole run."""
    report: dict[str, Any] | None = _encodable((yield))
    return report


def _encodable(value: Any) -> Any:
    """A report's data with escapes where UTF-8 has nothing: for lone surrogates."""
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, dict):
        return {_encodable(key): _encodable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_encodable, value))
    return value


@pytest.fixture(scope="session", autouse=True)
def _collected() -> None:
    """What pytest itself holds need not be looked at by the garbage collector each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def cheap_collections() -> Iterator[None]:
    """For searches in which each case freezes what Hypothesis holds by then (`gc.freeze`): what they leave is collected."""
    yield
    gc.unfreeze()
    gc.collect()
    gc.freeze()


@pytest.fixture
def collector() -> Iterator[Collector]:
    """A collector on this machine, which also is a Logfire."""
    with collecting() as server:
        yield server


@pytest.fixture(scope="module")
def one_collector() -> Iterator[Collector]:
    """The same, one for all tests of a file."""
    with collecting() as server:
        yield server


@pytest.fixture(autouse=True)
def _no_span_is_current() -> Iterator[None]:
    """A test that leaves a span behind would make its neighbour fail; this names the neighbour before and the culprit after."""
    assert not trace.get_current_span().get_span_context().is_valid
    assert left_behind() == []
    yield
    assert not trace.get_current_span().get_span_context().is_valid
    assert left_behind() == []


@pytest.fixture(autouse=True)
def swallowed() -> Iterator[list[str]]:
    """What production swallows makes a test fail at its end, unless the test expects it and takes it out of this list."""
    guard.reset()
    kinds: list[str] = []
    errors: list[BaseException] = []

    def seen(kind: str, error: BaseException | None) -> None:
        kinds.append(kind)
        if error is not None:
            errors.append(error)

    guard.observe(seen)
    yield kinds
    guard.observe(None)
    guard.reset()
    if kinds:
        raise AssertionError(f"The package swallowed problems that the test did not expect: {kinds}") from (errors[0] if errors else None)


@pytest.fixture(autouse=True)
def _nothing_more_is_secret() -> Iterator[None]:
    """Patterns that a test has configured, and that content is kept in full, are not for the next one."""
    yield
    scrub_also(())
    keep_content(False)


@pytest.fixture(autouse=True)
def _never_a_failed_detach(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """OpenTelemetry logs a reset in the wrong context as an error and goes on; here it is a failure."""
    caplog.set_level(logging.WARNING, logger="opentelemetry")
    yield
    assert not [record for when in ("setup", "call") for record in caplog.get_records(when) if _LEAVES_MARK in record.getMessage()]


@pytest.fixture(autouse=True)
def _unconfigured_afterwards(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test configures for itself, whatever the environment of the run says."""
    for name in ("TRACEPARENT", "TRACESTATE", "BAGGAGE", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_SERVICE_NAME", "LOGFIRE_TOKEN", "MASSGEN_TRACING_ROOT"):
        monkeypatch.delenv(name, raising=False)
    yield
    mt.shutdown()

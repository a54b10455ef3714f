"""Fixtures of the store's tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from massgen_tracing import store
from tests.store import otlp

Ask = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with one recorded run, the sample."""
    otlp.write_run(tmp_path)
    return tmp_path


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    """Ask SQL of spans that are given, each on a line of its own."""

    def call(sql: str, *spans: dict[str, Any]) -> list[dict[str, Any]]:
        path = otlp.write(tmp_path / "asked.otlp.jsonl", [otlp.line(span) for span in spans])
        return store.query(sql, path).rows

    return call

"""Fixtures of the server's tests: one real server a session, with all that is served, on a free port, with small bounds."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import httpx
import pytest

from massgen_tracing.serve import running
from massgen_tracing.serve.app import application
from massgen_tracing.serve.served import Served
from massgen_tracing.views import web
from tests.serve.client import Client

MOST_BODY = 2**18
MOST_CONTENT = 2**20


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client of the session's server. Tests share its root: each sends traces of its own."""
    with serving(Served(tmp_path_factory.mktemp("served"), most_body=MOST_BODY, most_content=MOST_CONTENT)) as client:
        yield client


@contextlib.contextmanager
def serving(served: Served) -> Iterator[Client]:
    """A client of a server of this process."""
    with (
        running.listener("127.0.0.1", 0) as of,
        application(served, pages=web.routes(served.root, served.path), address=running.address(of)) as app,
        running.running(app, of) as url,
        httpx.Client(base_url=url, timeout=60) as http,
    ):
        yield Client(http, served.root)

"""All that is served, as one application."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import BaseRoute

from massgen_tracing import layout
from massgen_tracing.serve import ingest, queries
from massgen_tracing.serve.guarding import Guard
from massgen_tracing.serve.ingest.spool import Spool
from massgen_tracing.serve.served import Served
from massgen_tracing.views import mcp


@contextlib.contextmanager
def application(served: Served, *, pages: Sequence[BaseRoute] = (), grpc: tuple[str, int] | None = None, address: str = "") -> Iterator[Starlette]:
    """The application, which can be served for as long as the block runs. A root has one such at a time.

    Args:
        served: what is served, and to whom.
        pages: what a browser and other clients ask besides Logfire's interface; the interface comes first.
        grpc: a host and a port on which OTLP is taken over gRPC as well; None for neither.
        address: the URL that it is served at, left beside the root's lock for those who look for a server (`views.links`).

    Raises:
        ConfigError: if the root cannot be written, or another server has it, or it cannot listen for gRPC.
    """
    with contextlib.ExitStack() as stack:
        spool = stack.enter_context(Spool(served.root))
        if address:
            lock = served.root / layout.ARRIVALS_DIR / layout.ARRIVALS_LOCK
            lock.write_text(f"{address}{served.path}", encoding="utf-8")
        if grpc is not None:
            from massgen_tracing.serve.ingest import over_grpc

            stack.enter_context(over_grpc.serving(served, spool, *grpc))
        yield make_app(served, spool, pages)


def make_app(served: Served, spool: Spool, pages: Sequence[BaseRoute] = ()) -> Starlette:
    """The same, with the spool into which what is sent goes."""
    tools = mcp.mounted(served.root, served.organization, served.project)
    routes = [*ingest.routes(served, spool), *queries.routes(served), tools, *pages]
    return Starlette(routes=routes, middleware=[Middleware(Guard, served=served)])

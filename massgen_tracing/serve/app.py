"""All that is served, as one application."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route

from massgen_tracing.serve.guarding import Guard
from massgen_tracing.serve.served import Served


def make_app(served: Served, *, pages: Sequence[BaseRoute] = ()) -> Starlette:
    """The application.

    Args:
        served: what is served, and to whom.
        pages: what a browser and other clients ask besides Logfire's interface; the interface comes first.
    """

    async def info(_request: Request) -> JSONResponse:
        return JSONResponse({"project_name": served.project, "organization_name": served.organization, "project_url": "/"})

    return Starlette(routes=[Route("/v1/info", info), *pages], middleware=[Middleware(Guard, served=served)])

"""The paths that Logfire's SDK and its query clients ask."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from massgen_tracing.serve.served import Served


def routes(served: Served) -> list[Route]:
    """The paths."""
    names = {"project_name": served.project, "organization_name": served.organization}

    async def info(request: Request) -> JSONResponse:
        return JSONResponse({**names, "project_url": f"{request.base_url}{served.organization}/{served.project}"})

    async def read_token_info(_request: Request) -> JSONResponse:
        return JSONResponse(names)

    return [Route("/v1/info", info), Route("/v1/read-token-info", read_token_info)]

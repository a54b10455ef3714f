"""What is wrong with a question, as Logfire's API says it: problem details (RFC 9457) for clients that take them, and the older body for others."""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse

PROBLEM: Final = "application/problem+json"
_TITLES: Final = {400: "Query execution error", 422: "Invalid query request", 429: "Too many queries"}
_RETRY_SECONDS: Final = 1


class Problem(Exception):
    """A question that is not answered.

    Args:
        status: 422 for a request that cannot be understood, 400 for a statement that fails, 429 for one too many.
        detail: in words; of a request, one of `wrong` for each thing that is wrong with it.
    """

    def __init__(self, status: int, detail: str | list[dict[str, Any]]) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


def wrong(place: tuple[str, ...], kind: str, message: str, got: Any = None) -> dict[str, Any]:
    """One thing that is wrong with a request.

    Args:
        place: where: `body` or `query`, and the name of the parameter.
        kind: a word for programs.
        message: what was expected.
        got: what was there.
    """
    return {"type": kind, "loc": list(place), "msg": message, "input": got}


def answer(problem: Problem, request: Request) -> JSONResponse:
    """The problem as the client takes it."""
    again = problem.status == 429
    headers = {"retry-after": str(_RETRY_SECONDS)} if again else None
    older = {"detail": problem.detail}
    if PROBLEM not in request.headers.get("accept", ""):
        return JSONResponse(older, problem.status, headers)
    detail = problem.detail if isinstance(problem.detail, str) else "; ".join(f"{'.'.join(each['loc'])}: {each['msg']}" for each in problem.detail)
    said = {
        "type": "about:blank",
        "title": _TITLES[problem.status],
        "status": problem.status,
        "detail": detail,
        "retryable": again,
        "error_details": older,
        **({"retry_after": _RETRY_SECONDS} if again else {}),
    }
    return JSONResponse(said, problem.status, headers, PROBLEM)

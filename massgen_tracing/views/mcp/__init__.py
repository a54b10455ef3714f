"""Runs, and SQL over them, as tools of the Model Context Protocol: what coding assistants ask instead of a person's commands.

    bounded     any value within a number of characters
    answers     what a tool answers with: what was recorded, marked as that, and what is left out
    parameters  what a tool takes
    backend     who is asked: recordings here (`local`, of which some are `kept`), or Logfire (`hosted`, by `rows` of `records`)
    tool        what clients are told of a tool
    logfire     the tools of Logfire's own server, under their old and their new names
    runs        tools for runs: which there are, what one came to, two side by side
    spans       tools for a run's spans: its tree, one of them in full
    worth       tools for what is worth a look: findings, errors, critical path, waste
    tools       all of them
    server      the protocol: stdio and streamable HTTP

Each leans on those above it. `SKILL.md` tells assistants how to go about it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from starlette.routing import Route

PATH: Final = "/mcp"
"""Where it is served over HTTP."""


def mounted(root: Path | str, organization: str = "local", project: str = "massgen") -> Route:
    """The tools over streamable HTTP, at `/mcp`. Who may ask, and by which host's name, is for the application to check.

    Args:
        root: where the runs are recorded; also anything else that `massgen-tracing sql` takes for `--root`.
        organization: the first part of the path at which the application shows traces: `/{organization}/{project}?q=trace_id='…'`.
        project: the second one.
    """
    from massgen_tracing.views.mcp import server

    return server.route(str(root), f"{organization}/{project}")


def skill() -> str:
    """How to go about it, in the form that coding assistants read."""
    return Path(__file__).with_name("SKILL.md").read_text(encoding="utf-8")

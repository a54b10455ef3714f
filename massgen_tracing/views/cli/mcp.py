"""`massgen-tracing mcp`: runs and SQL over them as tools of the Model Context Protocol, over stdio."""

from __future__ import annotations

import argparse
import os
import sys
from importlib.util import find_spec
from typing import Final

from massgen_tracing.errors import MissingPackageError
from massgen_tracing.views import options
from massgen_tracing.views.cli import EXIT_OK

_EXTRA: Final = "mcp"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    options.add_root(parser, "a root, a run's directory, any directory of recordings, or a file of OTLP, whoever wrote it")
    parser.add_argument(
        "--backend",
        choices=("local", "logfire"),
        default="local",
        help="who is asked: recordings here, or hosted Logfire, with LOGFIRE_READ_TOKEN (and LOGFIRE_BASE_URL) (default: %(default)s)",
    )
    parser.add_argument("--skill", action="store_true", help="print how to go about it, for coding assistants: the text of a SKILL.md")


def run(args: argparse.Namespace) -> int:
    """Serve until the input ends, or print the skill."""
    from massgen_tracing.views import mcp

    if args.skill:
        sys.stdout.write(mcp.skill())
        return EXIT_OK
    if find_spec("mcp") is None:
        raise MissingPackageError("The MCP server", "mcp", extra=_EXTRA)
    # Logfire installs a plugin for pydantic; loading it would take a third of this process's start.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    from massgen_tracing.views.mcp import server

    if args.backend == "logfire":
        from massgen_tracing.views.mcp import hosted

        server.over_stdio(hosted.connected())
    else:
        from massgen_tracing.views.mcp.local import Local

        server.over_stdio(Local(args.root))
    return EXIT_OK

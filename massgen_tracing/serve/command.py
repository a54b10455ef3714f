"""`massgen-tracing serve`: a local Logfire, for SDKs, query clients, assistants and a browser."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from massgen_tracing.errors import ConfigError, MissingPackageError
from massgen_tracing.serve.served import DEFAULT_PORT, Served, is_loopback
from massgen_tracing.views import options

COMMAND: Final = "serve"
TOKEN_VARIABLE: Final = "MASSGEN_TRACING_TOKEN"  # noqa: S105 - its name
_SHORTEST_TOKEN: Final = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    options.add_root(parser, "where what is sent is recorded, and what is asked of")
    parser.add_argument(
        "--host", default="127.0.0.1", help="the address to listen on; any but this machine's own needs a token (default: %(default)s)"
    )
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, metavar="N", help="0 for any that is free (default: %(default)s)")
    parser.add_argument("--grpc-port", type=int, metavar="N", help="take OTLP over gRPC as well, on this port; 4317 is its own (default: only HTTP)")
    parser.add_argument(
        "--token", metavar="TOKEN", default=os.environ.get(TOKEN_VARIABLE), help=f"what clients have to show (default: {TOKEN_VARIABLE}, or none)"
    )


def run(args: argparse.Namespace) -> int:
    """Serve until it is told to end."""
    if os.name != "posix":
        raise ConfigError("The server needs the file locks of a POSIX system", expected="Linux, macOS, or another one", got=os.name)
    for package in ("starlette", "uvicorn"):
        if find_spec(package) is None:
            raise MissingPackageError("The server", package, extra=COMMAND)
    if not args.token and not is_loopback(args.host):
        raise ConfigError("Other machines could ask the server and send to it", expected=f"--token or {TOKEN_VARIABLE} beside --host", got=args.host)
    if args.token and len(args.token) < _SHORTEST_TOKEN:
        raise ConfigError("The token is too short", expected=f"at least {_SHORTEST_TOKEN} characters")
    from massgen_tracing.serve import running
    from massgen_tracing.serve.app import application
    from massgen_tracing.views import web

    served = Served(Path(args.root).absolute(), args.token or None)
    grpc = None if args.grpc_port is None else (args.host, args.grpc_port)
    with contextlib.ExitStack() as stack:
        of = stack.enter_context(running.listener(args.host, args.port))
        url = running.address(of)
        app = stack.enter_context(application(served, grpc=grpc, pages=web.routes(served.root, served.path), address=url))
        print(f"{url} serves {served.root}; a browser shows its runs there", file=sys.stderr)
        print(f"Send to it: LOGFIRE_BASE_URL={url} LOGFIRE_TOKEN={'TOKEN' if args.token else 'any'}", file=sys.stderr)
        with contextlib.suppress(KeyboardInterrupt):
            running.serve(app, of)
    return 0

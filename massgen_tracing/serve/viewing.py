"""`massgen-tracing view`: the pages about runs, in a browser, for as long as the command runs."""

from __future__ import annotations

import argparse
import contextlib
import sys
import threading
import webbrowser
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode
from urllib.request import urlopen

from massgen_tracing import layout
from massgen_tracing.errors import MissingPackageError
from massgen_tracing.serve import running
from massgen_tracing.serve.served import Served
from massgen_tracing.views import options

if TYPE_CHECKING:
    from starlette.applications import Starlette

COMMAND: Final = "view"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("run", nargs="?", metavar="RUN", help="a run's name or directory, a recording, or a trace (default: the list of runs)")
    options.add_root(parser, "where the runs are recorded")
    parser.add_argument("--port", type=int, default=0, metavar="N", help="the port of this machine's own address (default: any that is free)")
    parser.add_argument("--no-browser", action="store_true", help="print the address only")


def run(args: argparse.Namespace) -> int:
    """Show the pages until it is told to end."""
    for package in ("starlette", "uvicorn"):
        if find_spec(package) is None:
            raise MissingPackageError("The pages", package, extra="serve")
    root, path = wanted(args.root, args.run)
    with running.listener("127.0.0.1", args.port) as of:
        address = f"{running.address(of)}{path}"
        print(address, flush=True)
        threading.Thread(target=_read_ahead, args=(address,), daemon=True).start()
        if not args.no_browser:
            # It listens already, so that a browser waits for no longer than the server needs; a browser in the terminal is not waited for.
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
            options.note(COMMAND, "Ctrl-C ends it")
        try:
            running.serve(application(Path(root)), of)
        except KeyboardInterrupt:
            print(file=sys.stderr)
    return 0


def _read_ahead(address: str) -> None:
    """Asks for the page, so that a large run is read while the browser starts."""
    with contextlib.suppress(OSError), urlopen(address) as answer:  # noqa: S310 - the server's own address
        answer.read()


def application(root: Path) -> Starlette:
    """The pages of one root, to this machine only; nothing is written."""
    from starlette.applications import Starlette
    from starlette.middleware import Middleware

    from massgen_tracing.serve.guarding import Guard
    from massgen_tracing.views import web

    served = Served(root)
    return Starlette(routes=web.routes(root, served.path), middleware=[Middleware(Guard, served=served)])


def wanted(root: str, run: str | None) -> tuple[str, str]:
    """The root and the path of the page that shows a run, wherever it lies, or the list.

    Raises:
        RecordingError: if there is no such run.
    """
    from massgen_tracing.store.roots import catalogue, lookup
    from massgen_tracing.views.report import analysed

    if run is None:
        catalogue.listed(root)
        return root, "/run" if catalogue.is_whole(root) else "/"
    located = analysed.locate(root, run)
    if located.trace:
        return root, f"/run?{urlencode({'run': located.trace})}"
    place = lookup.place_named(root, run)
    within = layout.run_of(place) if place is not None else None
    if within is not None:
        return str(within.root), f"/run?{urlencode({'run': within.log_dir.name, 'turn': located.turn})}"
    below, above = Path(str(place)).resolve(), Path(root).resolve()
    if below.parent == above / layout.TRACES_DIR:
        return root, f"/run?{urlencode({'run': below.name})}"
    if below != above and below.is_relative_to(above):
        return root, f"/run?{urlencode({'run': below.relative_to(above)})}"
    return str(place), "/run"

"""A server on its port: in this thread until it is told to end, or behind a block of code."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from massgen_tracing.errors import ConfigError

if TYPE_CHECKING:
    import uvicorn
    from starlette.types import ASGIApp

_BACKLOG: Final = 128
_MOST_CONNECTIONS: Final = 256
_START_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 10.0


def listener(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Args:
        host: a name or an address.
        port: 0 for any that is free.

    Raises:
        ConfigError: if it cannot.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except (OSError, OverflowError) as error:
        raise ConfigError(
            f"The server cannot listen on {host}, port {port} ({error})", hint="Name another port with --port, or 0 for any that is free"
        ) from None


def address(of: socket.socket) -> str:
    """The URL of a socket that listens; of one that listens on all addresses, this machine's."""
    host, port = of.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _server(app: ASGIApp) -> uvicorn.Server:
    import uvicorn

    return uvicorn.Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            loop="asyncio",
            limit_concurrency=_MOST_CONNECTIONS,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=2,
            server_header=False,
        )
    )


def serve(app: ASGIApp, of: socket.socket) -> None:
    """Serve until the process is told to end."""
    _server(app).run([of])


@contextlib.contextmanager
def running(app: ASGIApp, of: socket.socket) -> Iterator[str]:
    """Serve from a thread for as long as the block runs; gives the URL.

    Raises:
        ConfigError: if it does not start.
    """
    server = _server(app)
    thread = threading.Thread(target=server.run, args=([of],), name="massgen-tracing serve", daemon=True)
    thread.start()
    deadline = time.monotonic() + _START_SECONDS
    while not server.started and thread.is_alive() and time.monotonic() < deadline:
        time.sleep(0.005)
    if not server.started:
        raise ConfigError(f"The server did not start at {address(of)}", hint="Look for a firewall on this machine's own addresses")
    try:
        yield address(of)
    finally:
        server.should_exit = True
        thread.join(_STOP_SECONDS)

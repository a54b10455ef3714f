"""What is served, to whom, and how much of it."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

DEFAULT_PORT: Final = 4318
"""OTLP/HTTP's own, so that an SDK that is told nothing finds the server."""

LOCALHOST: Final = "localhost"


@dataclass(frozen=True, slots=True)
class Served:
    """What a server needs to know.

    Attributes:
        root: where runs and recordings lie; it need not be there yet.
        token: what a client has to show; None where every client of this machine may ask.
        organization, project: what the server says it is, as one of Logfire's projects.
        most_body: bytes of a request's body, as it is sent.
        most_content: bytes of a body when it is decompressed.
    """

    root: Path
    token: str | None = None
    organization: str = "local"
    project: str = "massgen"
    most_body: int = 2**25
    most_content: int = 2**27

    @property
    def path(self) -> str:
        """Where its project is shown."""
        return f"/{self.organization}/{self.project}"


def is_loopback(host: str) -> bool:
    """Whether a host name or an address can only mean this machine."""
    if host == LOCALHOST or host.endswith(f".{LOCALHOST}"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

"""Where a recorded trace can be looked at: at a local server, at Logfire, where it was sent there, and in Jaeger, where a collector has it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal
from urllib.parse import quote, urlsplit

from massgen_tracing import layout, ledger
from massgen_tracing.store.reading import liveness

PROJECT_VARIABLE: Final = "LOGFIRE_PROJECT_URL"
"""The variable that says where a project of Logfire is looked at: `https://logfire-us.pydantic.dev/<organization>/<project>`."""

JAEGER_VARIABLE: Final = "JAEGER_URL"
"""The variable that says where Jaeger is looked at."""

_CREDENTIALS: Final = Path(".logfire") / "logfire_credentials.json"
_JAEGER_PORT: Final = 16686


@dataclass(frozen=True, slots=True)
class Link:
    """Where a trace can be looked at.

    Attributes:
        kind: of what is there.
        url: None where its address is not known.
        spans: how many it has taken.
        note: what to do, or what to know; empty for nothing.
    """

    kind: Literal["local", "logfire", "jaeger"]
    url: str | None
    spans: int
    note: str = ""


def links(trace_id: str, files: Iterable[Path], *, project: str | None = None) -> list[Link]:
    """The backends that have taken spans of recordings, by what their ledgers say.

    Args:
        trace_id: the trace.
        files: its recordings.
        project: the address of the Logfire project; None: as the environment or Logfire's own credentials say.
    """
    entries = [entry for file in files for entry in ledger.entries(file) if entry.sent]
    return list(_links(trace_id, entries, project or project_url()))


def _links(trace_id: str, entries: list[ledger.Entry], project: str | None) -> Iterator[Link]:
    for kind, url in dict.fromkeys((entry.kind, entry.url) for entry in entries):
        sent = sum(entry.sent for entry in entries if (entry.kind, entry.url) == (kind, url))
        if kind == "logfire":
            note = "" if project else f"its project is not known here: name it with --project or {PROJECT_VARIABLE}"
            yield Link("logfire", of_project(project, trace_id) if project else None, sent, note)
        else:
            base = os.environ.get(JAEGER_VARIABLE) or f"http://{urlsplit(url).hostname or 'localhost'}:{_JAEGER_PORT}"
            yield Link("jaeger", f"{base.rstrip('/')}/trace/{trace_id}", sent, f"if Jaeger is behind {url}; else say where with {JAEGER_VARIABLE}")


def of_server(root: str, trace_id: str) -> str | None:
    """Where the server that runs on a root (`massgen-tracing serve`) shows a trace; None where none does."""
    lock = Path(root) / layout.ARRIVALS_DIR / layout.ARRIVALS_LOCK
    try:
        project = lock.read_text(encoding="utf-8") if liveness.writer_alive(lock) else ""
    except (OSError, ValueError):
        return None
    return of_project(project, trace_id) if project.startswith("http://") else None


def of_project(project: str, trace_id: str) -> str:
    """Where Logfire shows a trace."""
    condition = f"trace_id='{trace_id}'"
    return f"{project.rstrip('/')}?q={quote(condition)}"


def project_url() -> str | None:
    """The address of the Logfire project, by the variable or by what `logfire projects use` has left here; None where neither says it."""
    told = os.environ.get(PROJECT_VARIABLE)
    if told:
        return told
    folder = os.environ.get("LOGFIRE_CREDENTIALS_DIR")
    try:
        found = json.loads((Path(folder) / _CREDENTIALS.name if folder else _CREDENTIALS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    url = found.get("project_url") if isinstance(found, dict) else None
    return url if isinstance(url, str) and url.startswith(("https://", "http://")) else None

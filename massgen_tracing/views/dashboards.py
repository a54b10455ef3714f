"""The queries that come with the package, by name, and the dashboards that are made of them.

The queries are the files of `dashboards/sql`, each one statement in Logfire's SQL; `dashboards/dashboards.yaml` has the dashboards.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from massgen_tracing.errors import QueryError

TRACE: Final = "[TRACE_ID]"
"""Stands for a trace's id."""

_WHOLE_ID: Final = 32
_PARAMETER: Final = re.compile(r"\$(\w+)")


def statement(name: str) -> str:
    """The query of that name.

    Raises:
        QueryError: if there is none; it names those that there are.
    """
    known = dict(_files())
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"Did you mean {near[0]}?" if near else "dashboards/README.md says what each answers"
        raise QueryError("There is no such query", expected=", ".join(sorted(known)), got=name, hint=hint)
    return known[name].read_text(encoding="utf-8")


def about(sql: str, root: str, trace: str | None, *, name: str | None = None) -> str:
    """The statement with the id of a trace in its place.

    Args:
        sql: the statement, with `TRACE` or without.
        name: of the query that it is, for messages.
        root: where the trace is looked for.
        trace: its id or the first digits of it, or a run; None: the statement is about no trace.

    Raises:
        QueryError: if the statement and what is said of a trace do not go together.
        RecordingError: if there is no such trace.
    """
    if (TRACE in sql) != (trace is not None):
        what = "statement" if name is None else f"query {name}"
        if trace is not None:
            raise QueryError(f"The {what} has no place for a trace", expected=f"{TRACE} in it, or no --trace beside it")
        raise QueryError(f"The {what} is about one trace", expected="--trace RUN beside it", hint="RUN is a run's name, or a trace's first digits")
    return sql if trace is None else sql.replace(TRACE, _id(root, trace))


def _id(root: str, trace: str) -> str:
    from massgen_tracing.store.roots import catalogue, lookup, reader  # which most statements do not need

    place = lookup.place_named(root, trace)
    if place is None and len(trace) == _WHOLE_ID:
        return trace.lower()
    recording = lookup.trace(root, trace) if place is None else reader.read(catalogue.files(place))
    ids = list(dict.fromkeys(span.trace_id for span in sorted(recording.spans, key=lambda span: span.start_ns)))
    if len(ids) != 1:
        raise QueryError(f"{trace} has {len(ids)} traces", expected="one", hint="Name one of them: " + ", ".join(ids[:3]) if ids else None)
    return ids[0]


class Query(NamedTuple):
    """A query: what it answers, its statement, and the parameters that it needs."""

    name: str
    about: str
    sql: str
    params: tuple[str, ...]


def queries() -> list[Query]:
    """All of them, by name."""
    found = []
    for name, path in sorted(_files()):
        sql = path.read_text(encoding="utf-8")
        comments, code = ([line for line in sql.splitlines() if line.startswith("--") is is_comment] for is_comment in (True, False))
        about = " ".join(line.removeprefix("--").strip() for line in comments)
        found.append(Query(name, about, sql, tuple(dict.fromkeys(_PARAMETER.findall("\n".join(code))))))
    return found


def described() -> dict[str, Any]:
    """The dashboards and their variables, as `dashboards/dashboards.yaml` has them."""
    import yaml

    folder = _folder()
    path = None if folder is None else folder / "dashboards.yaml"
    said = yaml.safe_load(path.read_text(encoding="utf-8")) if path is not None and path.is_file() else {}
    return {"variables": said.get("variables", {}), "dashboards": said.get("dashboards", {})}


def _files() -> Iterator[tuple[str, Path]]:
    folder = _folder()
    for path in (folder / "sql").glob("*.sql") if folder is not None else ():
        yield path.stem, path


def _folder() -> Path | None:
    """Where the queries and dashboards lie: in the wheel within the package, in a checkout where people look for them."""
    package = Path(__file__).resolve().parents[1]
    return next((place for place in (package / "dashboards", package.parent / "dashboards") if (place / "sql").is_dir()), None)

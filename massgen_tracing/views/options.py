"""Command-line options that several commands share."""

from __future__ import annotations

import argparse
import re
import sys
from datetime import UTC, datetime, timedelta
from typing import Final

from massgen_tracing import settings
from massgen_tracing.errors import QueryError

OBJECT_FORMATS: Final = frozenset({"json", "jsonl"})
"""Formats for programs: rows are objects, and so are errors."""

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AGE: Final = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")


def add_root(parser: argparse.ArgumentParser, what: str) -> None:
    """Add `--root`; *what* says what else than a root it may name. Its default is where runs are recorded: the setting's."""
    root = settings.resolve({})["root"]
    parser.add_argument("--root", default=root, metavar="PATH", help=f"{what} (default: {root})")


def not_negative(text: str) -> int:
    """A whole number that an option takes, from 0.

    Raises:
        argparse.ArgumentTypeError: for anything else.
    """
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number from 0, got {text!r}")
    return int(text)


def since(text: str, *, now: datetime | None = None) -> datetime:
    """The moment that `--since` names: so long ago (`90s`, `30m`, `1h`, `7d`, `2w`), or an ISO 8601 time (UTC where it has no zone).

    Raises:
        QueryError: for anything else.
    """
    age = _AGE.fullmatch(text.strip())
    try:
        if age is not None:
            return (now or datetime.now(UTC)) - timedelta(**{_UNITS[age[2]]: float(age[1])})
        moment = datetime.fromisoformat(text.strip())
    except (ValueError, OverflowError):
        raise QueryError("--since is not understood", expected="an age such as 90s, 30m, 1h, 7d, or an ISO 8601 time", got=text) from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def note(command: str, message: str) -> None:
    """Say something beside the answer, where it does not get into a pipe."""
    print(f"massgen-tracing {command}: {message}", file=sys.stderr)

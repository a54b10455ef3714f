"""An event of a run: one line of `events.jsonl`, with the five keys that MassGen's readers take, and no other."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final

import orjson

from massgen_tracing.projection.encoded import as_json

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_STAMP: Final = "%Y%m%d_%H%M%S_%f"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened.

    Attributes:
        timestamp: ISO 8601 with microseconds and the run's offset from UTC.
        event_type: one of MassGen's types, so that its viewer shows it.
        agent_id: whose; None for the run itself.
        round_number: the agent's round.
        data: what there is to say, by type.
    """

    timestamp: str
    event_type: str
    agent_id: str | None
    round_number: int
    data: Mapping[str, Any]

    def line(self) -> bytes:
        """Its line. Lines that begin with their time are in its order when they are sorted."""
        said = {
            "timestamp": self.timestamp,
            "event_type": self.event_type,
            "agent_id": self.agent_id,
            "round_number": self.round_number,
            "data": self.data,
        }
        return as_json(said) + b"\n"

    @classmethod
    def of(cls, line: bytes) -> Event | None:
        """The event that a line tells; None where it tells none."""
        try:
            return cls(**orjson.loads(line))
        except (ValueError, TypeError):
            return None


def moment(ns: int, offset: int) -> datetime:
    """Unix nanoseconds as a time that is *offset* seconds from UTC; what no calendar has is the nearest that it has."""
    try:
        return (_EPOCH + timedelta(microseconds=ns // 1000)).astimezone(_zone(offset))
    except (OverflowError, ValueError):
        return _EPOCH


@functools.lru_cache(maxsize=16)
def _zone(offset: int) -> timezone:
    return timezone(timedelta(seconds=offset))


def iso(ns: int, offset: int) -> str:
    """Unix nanoseconds in ISO 8601."""
    return moment(ns, offset).isoformat(timespec="microseconds")


def stamp(ns: int, offset: int) -> str:
    """Unix nanoseconds as names of directories have them."""
    return moment(ns, offset).strftime(_STAMP)

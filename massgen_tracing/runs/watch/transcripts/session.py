"""What a transcript tells: model calls, each response once, and tool calls, with their times."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from massgen_tracing.store.reading.values import as_float

_LARGEST: Final = 256_000_000
"""Bytes of a transcript that are read."""


@dataclass(frozen=True, slots=True)
class Call:
    """A model call.

    Attributes:
        key: the provider's id of the response, or the program's own.
        provider, model: whose it is.
        start, end: Unix nanoseconds.
        estimated: whether the start is only when what came before it ended.
        input: tokens sent, cached ones included; output: received, reasoning included.
        cached, reasoning: those of them.
        cost: USD as the program says; None where it does not.
        usage: as it stands there.
        finish: why it stopped.
        agent: a sub-agent whose call it is; empty for the program's own.
    """

    key: str
    provider: str
    model: str
    start: int
    end: int
    estimated: bool
    input: int
    output: int
    cached: int = 0
    reasoning: int = 0
    cost: float | None = None
    usage: Mapping[str, Any] = field(default_factory=dict)
    finish: str = ""
    agent: str = ""


@dataclass(frozen=True, slots=True)
class ToolUse:
    """A tool call; it has failed where it, or what it ran, says so."""

    key: str
    name: str
    arguments: Any
    result: Any
    start: int
    end: int
    failed: bool
    agent: str = ""


@dataclass(slots=True)
class Session:
    """A session of a program, as far as its transcript goes.

    Attributes:
        id: the program's.
        cwd: where it works.
        version: of the program.
        calls, tools: by their keys.
        source: `transcript`, or `telemetry` where its calls are as the program sent them.
        began: when the request began of whose response nothing has been told yet, in Unix nanoseconds; 0 where that is not known.
    """

    id: str = ""
    cwd: str = ""
    version: str = ""
    calls: dict[str, Call] = field(default_factory=dict)
    tools: dict[str, ToolUse] = field(default_factory=dict)
    source: str = "transcript"
    began: int = 0


def entries(path: Path) -> Iterator[Mapping[str, Any]]:
    """The objects of a file of JSON lines; what is none, or torn, is left out."""
    try:
        with path.open("rb") as file:
            lines = file.read(_LARGEST).splitlines()
    except OSError:
        return
    for line in lines:
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(entry, Mapping):
            yield entry


def mapping(value: object) -> Mapping[str, Any]:
    """A value, where it is a mapping; else an empty one."""
    return value if isinstance(value, Mapping) else {}


def items(value: object) -> list[Mapping[str, Any]]:
    """The mappings of a list; none of anything else."""
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def count(value: object) -> int:
    """A number of tokens; 0 for what is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def amount(value: object) -> float | None:
    """An amount of money, which some write as a text; None for what is none, or has no end."""
    number = as_float(value)
    return number if number is not None and math.isfinite(number) and number >= 0 else None


def text(value: object) -> str:
    """A value, where it is a text; else an empty one."""
    return value if isinstance(value, str) else ""


def moment(value: object) -> int:
    """Unix nanoseconds of an ISO 8601 time; 0 for what is none."""
    try:
        seconds = datetime.fromisoformat(text(value)).timestamp()
    except (ValueError, OverflowError):
        return 0
    return int(seconds * 1_000_000) * 1000

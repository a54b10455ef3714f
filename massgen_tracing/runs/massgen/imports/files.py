"""The files of one run, in whatever state they are: what can be read of each, and a list of what cannot.

A file that is cut off, as a full disk or a killed process leaves it, gives the records before the cut.
"""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path
from typing import Any, Final

from massgen_tracing import layout
from massgen_tracing.runs.massgen.imports import values

EVENTS: Final = "coordination_events.json"
METRICS: Final = "metrics_events.json"
TOTALS: Final = "metrics_summary.json"
SNAPSHOTS: Final = "snapshot_mappings.json"
METADATA: Final = "execution_metadata.yaml"
STREAM: Final = "events.jsonl"
STATUS: Final = layout.STATUS_FILE
VOTE: Final = "vote.json"
CLOCKED_LOGS: Final = ("streaming_debug.log", layout.MASSGEN_LOG)
"""Logs whose lines begin with a time of the day; the more exact one first."""

TELLS: Final[dict[str, str]] = {
    EVENTS: "rounds, answers and votes with their times",
    METRICS: "tool calls and rounds with their times",
    TOTALS: "tokens of each agent",
    METADATA: "models and version",
    STATUS: "state and winner",
}
"""The files that a run should have, and what each alone tells, or tells best."""

_SINCE: Final = {STATUS: (0, 1, 8), METRICS: (0, 1, 24), TOTALS: (0, 1, 24)}
"""The first version of MassGen that writes a file; others are as old as MassGen's log directories."""

_BEFORE_VERSIONS: Final = (0, 1, 2)
"""The newest version whose metadata do not tell the version."""

_MAX_BYTES: Final = 256 * 1024 * 1024
_TOKENS: Final = re.compile(r'"(?:[^"\\]|\\.)*"|["\[\]{},]', re.DOTALL)
_CLOSERS: Final = {"{": "}", "[": "]"}
_NUMBER: Final = re.compile(r"\d{1,9}", re.ASCII)
_TIME_OF_DAY: Final = re.compile(r"(\d\d:\d\d:\d\d(?:\.\d{1,6})?) \|", re.ASCII)
_TAIL_BYTES: Final = 65_536


def has_any(directory: Path) -> bool:
    """Whether *directory* has a file that MassGen writes for each run."""
    return any((directory / name).is_file() for name in (*TELLS, STREAM, SNAPSHOTS, layout.MASSGEN_LOG))


class Files:
    """Reads the files of one directory.

    Attributes:
        found: names of the files of which something could be read.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._absent: list[str] = []
        self._problems: list[str] = []
        self.found: set[str] = set()
        self.cut: set[str] = set()
        """Names of the files of which something is lost."""

    def missing(self, version: str) -> list[str]:
        """What could not be read, in words.

        Args:
            version: the version that the metadata tell; it never wrote files that only later ones have.
        """
        written = tuple(map(int, _NUMBER.findall(version)[:3]))
        if not written and METADATA in self.found:
            written = max((_SINCE[name] for name in self.found & _SINCE.keys()), default=_BEFORE_VERSIONS)
        absent = [name for name in self._absent if not written or _SINCE.get(name, written) <= written]
        return [*(f"{name} ({TELLS[name]})" for name in absent), *self._problems]

    def mapping(self, name: str) -> dict[str, Any]:
        """A JSON object; empty where there is none."""
        content = self._read(name)
        if content is None:
            return {}
        value, whole = parse(content)
        return self._mapping(name, value, whole=whole)

    def lines(self, name: str) -> list[dict[str, Any]]:
        """The objects of a file that has one a line."""
        content = self._read(name)
        if content is None:
            return []
        found, damaged = [], 0
        for line in content.split("\n"):
            if not line.strip():
                continue
            value = _loads(line)
            if isinstance(value, dict):
                found.append(value)
            else:
                damaged += 1
        if damaged:
            self._damaged(name, f"has {damaged} lines that cannot be read" if damaged > 1 else "has a line that cannot be read")
        if found:
            self.found.add(name)
        return found

    def yaml(self, name: str) -> dict[str, Any]:
        """A YAML mapping; empty where there is none."""
        content = self._read(name)
        if content is None:
            return {}
        value = _yaml(content)
        whole = isinstance(value, dict)
        if not whole:  # its last line may be half a line
            value = _yaml(content.rpartition("\n")[0])
        return self._mapping(name, value, whole=whole)

    def text(self, *parts: str) -> str:
        """A text file below the directory; empty where there is none, or where the name leads out of it."""
        path = self._directory.joinpath(*parts)
        try:
            if not path.resolve().is_relative_to(self._directory.resolve()):
                return ""
        except (OSError, ValueError, RuntimeError):
            return ""
        return _content(path)[0] or ""

    def children(self, *parts: str) -> list[str]:
        """Names of the directories below one of them, sorted."""
        try:
            return sorted(child.name for child in self._directory.joinpath(*parts).iterdir() if child.is_dir())
        except OSError:
            return []

    def last_time_of_day(self) -> str:
        """The last time that a log's line begins with, `HH:MM:SS` with or without a fraction; empty where there is none."""
        for name in CLOCKED_LOGS:
            times = _TIME_OF_DAY.findall(_content(self._directory / name, last=_TAIL_BYTES)[0] or "")
            if times:
                return str(times[-1])
        return ""

    def _read(self, name: str) -> str | None:
        content, problem = _content(self._directory / name)
        if problem:
            self._damaged(name, problem)
        elif content is None:
            if name in TELLS:
                self._absent.append(name)
        elif not content.strip():
            self._damaged(name, "is empty")
            return None
        return content

    def _mapping(self, name: str, value: object, *, whole: bool) -> dict[str, Any]:
        if not isinstance(value, dict):
            self._damaged(name, "cannot be understood")
            return {}
        if not whole:
            self._damaged(name, "is cut off or damaged")
        self.found.add(name)
        return value

    def _damaged(self, name: str, how: str) -> None:
        self._problems.append(f"{name} {how}")
        self.cut.add(name)


def parse(content: str) -> tuple[object, bool]:
    """A JSON value, and whether it is whole; of one that is cut off, what stands before the cut, as far as it can be closed."""
    try:
        return json.loads(content), True
    except json.JSONDecodeError as error:
        return _salvaged(content[: error.pos]), False
    except (ValueError, RecursionError):
        return None, False


def _salvaged(content: str) -> object:
    """The value of which *content* is the beginning: closed after its last whole part."""
    stack: list[str] = []
    end, closers = 0, ""
    for token in _TOKENS.finditer(content):
        mark = token[0]
        if mark in _CLOSERS:
            stack.append(_CLOSERS[mark])
        elif mark in ("}", "]"):
            if not stack or stack.pop() != mark:
                break
            end, closers = token.end(), "".join(reversed(stack))
        elif mark == ",":
            end, closers = token.start(), "".join(reversed(stack))
        elif mark == '"':  # a text without an end
            break
    return _loads(content[:end] + closers)


def _loads(content: str) -> object:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _yaml(content: str) -> object:
    import yaml

    try:
        return yaml.safe_load(content)  # not the parser in C, which deep nesting makes overflow the stack, and the process end
    except Exception:  # noqa: BLE001 - the constructors raise whatever a stranger's values make them raise
        return None


def _content(path: Path, *, last: int = 0) -> tuple[str | None, str]:
    """A regular file's text (its *last* bytes), or why it cannot be read; neither where there is no such file."""
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):
            return None, "is not a file"
        if about.st_size > _MAX_BYTES and not last:
            return None, f"is too large ({about.st_size:,} bytes)"
        with path.open("rb") as file:
            if last:
                file.seek(max(0, about.st_size - last))
            return file.read(_MAX_BYTES).decode("utf-8-sig", "replace"), ""
    except FileNotFoundError:
        return None, ""
    except (OSError, ValueError) as error:
        return None, f"cannot be read ({getattr(error, 'strerror', None) or error})"


def settings_of_agents(metadata: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The backend settings of each agent in a run's configuration."""
    config = values.mapping(metadata.get("config"))
    listed = [*values.records(config.get("agents")), values.mapping(config.get("agent"))]
    return {name: values.mapping(item.get("backend")) for item in listed if (name := values.text(item.get("id")))}

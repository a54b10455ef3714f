"""Lines that look like errors, by category, with the lines around them."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

BEFORE: Final = 5
AFTER: Final = 5
"""Lines that are kept around an error."""

_LONGEST_TRACEBACK: Final = 200
_MOST_CHARS: Final = 500

_SIGNS: Final[Mapping[str, Sequence[str]]] = {
    "rate_limit": (
        r"RateLimitError|rate_limit_error|overloaded_error|RESOURCE_EXHAUSTED|Too Many Requests",
        r"(?i:rate limit(?:ed|s)? ?(?:was |is )?(?:exceeded|reached|hit))",
        r"\b429\b.{0,60}(?i:retry|error|limit)|(?i:error|status|http)\D{0,10}\b429\b",
    ),
    "auth": (
        r"AuthenticationError|authentication_error|\b401 Unauthorized\b|(?i:error|status|http)\D{0,10}\b401\b",
        r"(?i:invalid (?:x-)?api[ _-]?key|incorrect api key)",
    ),
    "out_of_memory": (r"MemoryError|\bOutOfMemory", r"(?i:out of memory|cannot allocate memory|oom[- ]kill)"),
    "file_not_found": (r"FileNotFoundError|No such file or directory|\bENOENT\b",),
    "permission_error": (r"PermissionError|Permission denied|\bEACCES\b|\bEPERM\b",),
    "timeout": (
        r"TimeoutError|TimeoutExpired|ReadTimeout|ConnectTimeout|\bETIMEDOUT\b",
        r"(?i:\b(?:request|connection|operation|command) timed out\b)",
    ),
    "network_error": (
        r"ConnectionError|Connection(?:Refused|Reset|Aborted)Error|\bECONN(?:REFUSED|RESET)\b|\bENOTFOUND\b",
        r"(?i:connection (?:refused|reset by peer)|network is unreachable|could not resolve host)",
    ),
    "traceback": (r"^\s*Traceback \(most recent call last\):|\bpanicked at\b",),
    "unknown_error": (
        r"(?<![\w-])(?:ERROR|FAILED|CRITICAL|FATAL|Fatal)(?![\w-])",
        r"^(?:[\w.]+\.)?\w*(?:Error|Exception)(?::|$)|^(?:fatal|error): ",
    ),
}
_CATEGORIES: Final = {name: re.compile("|".join(signs)) for name, signs in _SIGNS.items()}
_WORDS: Final = (
    "error", "fail", "exception", "traceback", "panicked", "fatal", "critical", "denied", "no such", "enoent", "eacces", "eperm", "timed out",
    "timeout", "etimedout", "refused", "reset by", "unreachable", "not resolve", "econn", "enotfound", "memory", "oom", "429", "401", "too many",
    "rate limit", "overloaded", "exhausted", "api",
)  # fmt: skip
"""One of these stands in each line that has a sign; looking for them first is much faster."""

_DENIED: Final = re.compile(
    r"(?i)\b(?:0|no|zero|without|any)\s+(?:\w+\s+)?(?:error|fail|exception)s?\w*|\b(?:error|fail(?:ed|ure)?|exception)s?\s*[:=]\s*(?:0|none|null)\b"
)
"""Says that there is none."""

_START: Final = re.compile(r"^\s*Traceback \(most recent call last\):")
_CHAINED: Final = re.compile(r"^(?:During handling of the above exception|The above exception was the direct cause)")


def categorise(line: str) -> str:
    """The category of a line; empty where it does not look like an error."""
    lower = line.lower()
    if not any(word in lower for word in _WORDS):
        return ""
    found = next((name for name, pattern in _CATEGORIES.items() if pattern.search(line)), "")
    return "" if found == "unknown_error" and _DENIED.search(line) else found


@dataclass(slots=True)
class Found:
    """An error in the output.

    Attributes:
        category: which kind.
        number: of its line, from 1.
        line: as it stands.
        ending: of a traceback, its last line.
        at: when it came, in Unix seconds.
        context: the lines before it, itself, and those after it.
    """

    category: str
    number: int
    line: str
    at: float
    ending: str = ""
    context: list[str] = field(default_factory=list)

    @property
    def quote(self) -> str:
        """The error with its place."""
        return f"line {self.number}: {self.line.strip()}" + (f" … {self.ending.strip()}" if self.ending else "")


class Errors:
    """Looks for errors in what comes, line by line.

    Attributes:
        after: lines since the last error, without its traceback, and without blank and indented ones, which may be what is left of a stack.
    """

    def __init__(self) -> None:
        self.after = 0
        self._before: deque[str] = deque(maxlen=BEFORE)
        self._open: Found | None = None
        self._to_come = 0
        self._in_traceback = 0

    def feed(self, lines: Iterable[tuple[int, str, str]], at: float) -> list[Found]:
        """The errors that these lines begin or complete, in their order.

        Args:
            lines: with their numbers: as they stand, and what of them may be an error.
            at: when they came, in Unix seconds.
        """
        touched: list[Found] = []
        for number, whole, suspicious in lines:
            line = suspicious[:_MOST_CHARS]
            if self._in_traceback and self._open is not None:
                self._traced(self._open, line)
                _touch(touched, self._open)
            elif category := categorise(line):
                self._open = Found(category, number, line, at, context=[*self._before, line])
                touched.append(self._open)
                self._to_come, self.after = AFTER, 0
                self._in_traceback = _LONGEST_TRACEBACK if _START.match(line) else 0
            else:
                self.after += bool(whole) and not whole[0].isspace()
                if self._to_come and self._open is not None:
                    self._open.context.append(line)
                    self._to_come -= 1
                    _touch(touched, self._open)
            self._before.append(line)
        return touched

    def _traced(self, found: Found, line: str) -> None:
        """A line of a traceback; the first that is not indented ends it and says what kind of error it was."""
        self._in_traceback -= 1
        found.context.append(line)
        del found.context[BEFORE + 1 : -AFTER]  # of a long one, its beginning and its end
        if line.strip() and not line.startswith((" ", "\t", "|", "+")) and not _START.match(line) and not _CHAINED.match(line):
            found.ending = line
            kind = categorise(line)
            found.category = kind if kind not in {"", "unknown_error"} else "traceback"
            self._in_traceback = 0


def _touch(touched: list[Found], found: Found) -> None:
    if not touched or touched[-1] is not found:
        touched.append(found)

"""Every error that the package raises on purpose.

    MassGenTracingError
    ├── UsageError              the facade was called in a way that cannot be right (strict mode; a counted warning otherwise)
    ├── ConfigError             a run's configuration is wrong; nothing was started
    ├── RunError                a run could not be carried to its end
    │   ├── EndpointError       the model's endpoint did not answer as it should
    │   ├── ToolServerError     an MCP server did not start, or died
    │   └── RunTimeout          a run, or all of its agents, ran out of time
    ├── QueryError              a SQL statement was refused or failed
    ├── RecordingError          a recording that was named cannot be read at all
    └── MissingPackageError     a feature needs a package that is not installed

Each message says what was expected, what was found, and what to do next; the constructors build it from those parts.
"""

from __future__ import annotations

from collections.abc import Iterable


def compose(problem: str, expected: str | None = None, got: object | None = None, hint: str | None = None) -> str:
    """One sentence a part: what is wrong; expected and got; what to do."""
    parts = [problem.rstrip(".") + "."]
    if expected is not None:
        parts.append(f"Expected {expected}" + (f", got {got!r}." if got is not None else "."))
    elif got is not None:
        parts.append(f"Got {got!r}.")
    if hint is not None:
        parts.append(hint if hint.endswith("?") else hint.rstrip(".") + ".")
    return " ".join(parts)


def one_of(names: Iterable[str]) -> str:
    """The words 'one of a, b, c' for an `expected` part."""
    return "one of " + ", ".join(names)


class MassGenTracingError(Exception):
    """Base of all of the package's own errors.

    Args:
        problem: what is wrong, as a sentence.
        expected: what would have been right.
        got: what was found instead; shown as its repr.
        hint: the next step.
    """

    def __init__(self, problem: str, *, expected: str | None = None, got: object | None = None, hint: str | None = None) -> None:
        super().__init__(compose(problem, expected, got, hint))
        self.problem = problem
        self.expected = expected
        self.got = got
        self.hint = hint


class UsageError(MassGenTracingError):
    """The facade was called in a way that cannot be right, such as a vote outside a round."""


class ConfigError(MassGenTracingError):
    """A run's configuration is wrong; nothing was started (exit code 1)."""


class RunError(MassGenTracingError):
    """A run could not be carried to its end (exit code 2)."""


class EndpointError(RunError):
    """The model's endpoint did not answer as it should."""


class ToolServerError(RunError):
    """An MCP server did not start, or died."""


class RunTimeout(RunError):
    """A run, or all of its agents, ran out of time (exit code 3)."""


class QueryError(MassGenTracingError):
    """A SQL statement was refused, or failed."""


class RecordingError(MassGenTracingError):
    """A recording that was named cannot be read at all."""


class MissingPackageError(MassGenTracingError):
    """A feature needs a package that is not installed."""

    def __init__(self, feature: str, package: str, *, extra: str | None = None) -> None:
        command = f'pip install "massgen_tracing[{extra}]"' if extra else f"pip install {package}"
        super().__init__(f"{feature} needs the package {package}, which is not installed", hint=f"Install it with: {command}")

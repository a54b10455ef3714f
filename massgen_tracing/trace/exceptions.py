"""What a span says of an exception: type, message and stack trace, in OpenTelemetry's words and Logfire's bounds."""

from __future__ import annotations

import traceback
from asyncio import CancelledError
from collections.abc import Iterator
from typing import Final

from massgen_tracing import guard, semconv
from massgen_tracing.trace.bounds import cut_clean, encodable
from massgen_tracing.trace.payload import holds_many, text_of
from massgen_tracing.trace.scrub import scrub

MAX_CHARS: Final = 32_000
"""Logfire's bound for exception messages and stack traces."""

_MAX_CHAIN: Final = 16
_MAX_SUMMARY: Final = 2000
"""Characters of such a message in a stack trace."""

_SECRET_MARGIN: Final = 4096
"""A secret that straddles the cut must be seen whole."""


def describe(exception: BaseException) -> str:
    """The exception's message; its type where even the message raises."""
    try:
        if not _is_large(exception):
            return str(exception)
        value = exception.args[0]
        return describe(value) if isinstance(value, BaseException) else text_of(value)
    except Exception as failure:  # noqa: BLE001 - a stranger's __str__ may raise anything
        guard.passing(failure)
        return f"<unreadable {type(exception).__name__}>"


def _is_large(exception: BaseException) -> bool:
    """Whether its message is the text of one argument that holds many values, which Python would make as long as it is."""
    if type(exception).__str__ is not BaseException.__str__ or len(exception.args) != 1:
        return False
    value = exception.args[0]
    return _is_large(value) if isinstance(value, BaseException) else holds_many(value)


_GIVEN_UP: Final = (GeneratorExit, KeyboardInterrupt, CancelledError)
"""How work is left that nothing went wrong with: its consumer, its user or its caller did not want it any more."""

_GIVEN_UP_NAMES: Final = frozenset({"Cancelled"})
"""The same by name, of libraries that this package does not import (trio)."""


def is_failure(error: BaseException) -> bool:
    """Whether an exception that left a block tells that something went wrong.

    An exception group does if any of its exceptions does; `SystemExit` does if its code is the one of a failure. Cancellations, closed generators
    and Ctrl-C do not.
    """
    return next(_failures(error), None) is not None


def is_timeout(error: BaseException) -> bool:
    """Whether all that went wrong is that time ran out."""
    failures = list(_failures(error))
    return bool(failures) and all(isinstance(failure, TimeoutError) for failure in failures)


def _failures(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _failures(inner)
    elif isinstance(error, SystemExit):
        if error.code is not None and error.code != 0:
            yield error
    elif not isinstance(error, _GIVEN_UP) and type(error).__name__ not in _GIVEN_UP_NAMES:
        yield error


def summary(error: BaseException) -> str:
    """The exception's type and message, as a status description."""
    return f"{type(error).__name__}: {describe(error)}"


def type_name(exception: BaseException) -> str:
    """`module.QualName`, without the module for built-in exceptions (OpenTelemetry's `exception.type`)."""
    kind = type(exception)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _chain(exception: BaseException) -> Iterator[tuple[BaseException, str]]:
    """The exception, what led to it, and so on; each with what Python says behind it."""
    known: set[int] = set()
    after, found = "", exception
    while id(found) not in known and len(known) < _MAX_CHAIN:
        known.add(id(found))
        yield found, after
        if found.__cause__ is not None:
            after, found = "\nThe above exception was the direct cause of the following exception:\n", found.__cause__
        elif found.__context__ is not None and not found.__suppress_context__:
            after, found = "\nDuring handling of the above exception, another exception occurred:\n", found.__context__


def _frames(exception: BaseException) -> str:
    return f"Traceback (most recent call last):\n{''.join(traceback.format_tb(exception.__traceback__))}"


def exception_attributes(exception: BaseException, *, escaped: bool) -> dict[str, str]:
    """The attributes of an `exception` event (OpenTelemetry semantic conventions, exceptions)."""
    try:
        chain = list(_chain(exception))
        if any(_is_large(each) for each, _ in chain):
            stack = "\n".join(f"{_frames(each)}{cut_clean(summary(each), _MAX_SUMMARY)}\n{why}" for each, why in reversed(chain))
        else:
            stack = "".join(traceback.format_exception(exception))
    except Exception as error:  # noqa: BLE001 - formatting runs the exception's own code
        guard.swallow("exception.format", error)
        stack = ""
    if len(stack) > MAX_CHARS:  # the end names the error
        shown = scrub(encodable(stack[-MAX_CHARS - _SECRET_MARGIN :]))[-MAX_CHARS:]
        stack = f"[cut, {len(stack)} characters] …{shown}"
    return {
        semconv.EXCEPTION_TYPE: type_name(exception),
        semconv.EXCEPTION_MESSAGE: cut_clean(describe(exception), MAX_CHARS),
        semconv.EXCEPTION_STACKTRACE: stack,
        semconv.EXCEPTION_ESCAPED: str(escaped),
    }

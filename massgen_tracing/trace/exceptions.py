"""What a span says of an exception: type, message and stack trace, in OpenTelemetry's words and Logfire's bounds."""

from __future__ import annotations

import traceback
from typing import Final

from massgen_tracing import guard, semconv
from massgen_tracing.trace.payload import cut_clean, encodable
from massgen_tracing.trace.scrub import scrub

MAX_CHARS: Final = 32_000
"""Logfire's bound for exception messages and stack traces."""

_SECRET_MARGIN: Final = 4096
"""A secret that straddles the cut must be seen whole."""


def describe(exception: BaseException) -> str:
    """The exception's message; its type where even the message raises."""
    try:
        return str(exception)
    except Exception:  # noqa: BLE001 - a stranger's __str__ may raise anything
        return f"<unreadable {type(exception).__name__}>"


def type_name(exception: BaseException) -> str:
    """`module.QualName`, without the module for built-in exceptions (OpenTelemetry's `exception.type`)."""
    kind = type(exception)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def exception_attributes(exception: BaseException, *, escaped: bool) -> dict[str, str]:
    """The attributes of an `exception` event (OpenTelemetry semantic conventions, exceptions)."""
    try:
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

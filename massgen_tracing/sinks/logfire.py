"""Export to Logfire, through the Logfire SDK: the only module that imports it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.trace import TracerProvider

from massgen_tracing import guard
from massgen_tracing._version import __version__
from massgen_tracing.errors import MissingPackageError

_OUR_KEYS: Final = ("massgen.", "gen_ai.", "mcp.")


def logfire_provider(service_name: str, processors: Sequence[SpanProcessor]) -> TracerProvider | None:
    """Configure Logfire and return its tracer provider, which also feeds *processors*; None, with one line, where it cannot be used.

    The token is Logfire's own affair: `LOGFIRE_TOKEN`, or what `logfire auth` and `logfire projects use` have left in `.logfire`.

    Args:
        service_name: `service.name` of every span.
        processors: what else sees every span, such as the local recording.
    """
    if not _has_token():
        guard.report(
            "logfire.token",
            "Logfire has no write token, so nothing is sent to it; the run goes on and is recorded locally."
            " Set LOGFIRE_TOKEN, or run `logfire auth` and then `logfire projects use`.",
        )
        return None
    try:
        import logfire
    except ImportError:
        guard.report("logfire.package", f"{MissingPackageError('Export to Logfire', 'logfire')} The run goes on and is recorded locally.")
        return None
    try:
        logfire.configure(
            service_name=service_name,
            service_version=__version__,
            send_to_logfire="if-token-present",
            console=False,
            inspect_arguments=False,
            additional_span_processors=list(processors),
            scrubbing=logfire.ScrubbingOptions(callback=_keep_ours),
        )
        return logfire.DEFAULT_LOGFIRE_INSTANCE.config.get_tracer_provider()
    except Exception as error:  # noqa: BLE001 - telemetry never breaks the run
        guard.report(
            "logfire.configure",
            f"Logfire could not be configured ({type(error).__name__}: {error}). The run goes on and is recorded locally.",
            error=error,
        )
        return None


@contextmanager
def configured_by(configure: Callable[[], bool]) -> Iterator[None]:
    """Have whoever configures Logfire within the block do *configure* instead, as a program does that would configure it a second time.

    Args:
        configure: returns whether Logfire is configured; where not, the program is told what Logfire would tell it.
    """
    try:
        import logfire
    except ImportError:
        yield
        return
    theirs = logfire.configure

    def ours(*_: Any, **__: Any) -> Any:
        logfire.configure = theirs  # `configure` itself needs it
        try:
            done = configure()
        finally:
            logfire.configure = ours
        if not done:
            raise RuntimeError("Logfire: not logged in")
        return logfire.DEFAULT_LOGFIRE_INSTANCE

    logfire.configure = ours
    try:
        yield
    finally:
        logfire.configure = theirs


class LogfireFlush(SpanProcessor):
    """Has Logfire send what it holds back when the pipeline shuts down; Logfire's own spans may go on afterwards."""

    def shutdown(self) -> None:
        import logfire

        logfire.force_flush(timeout_millis=30_000)


def _keep_ours(match: Any) -> Any:
    """Logfire would redact `massgen.task` for the word "session" in it; our values have been scrubbed, for secrets only, before."""
    path = match.path
    if len(path) > 1 and path[0] == "attributes" and isinstance(path[1], str) and path[1].startswith(_OUR_KEYS):
        return match.value
    return None


def _has_token() -> bool:
    if os.environ.get("LOGFIRE_TOKEN"):
        return True
    return (Path(os.environ.get("LOGFIRE_CREDENTIALS_DIR") or ".logfire") / "logfire_credentials.json").is_file()

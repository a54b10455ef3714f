"""What recordings are delivered to while the process runs: a collector, by a thread of ours; Logfire, whose SDK sends for itself."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from massgen_tracing import guard, layout
from massgen_tracing.errors import ConfigError, MissingPackageError, compose

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor

    from massgen_tracing.delivery.acknowledged import Acknowledged
    from massgen_tracing.delivery.live import LiveDelivery
    from massgen_tracing.delivery.temporary import Temporary
    from massgen_tracing.sinks.recording import Recording

_DELAY_VARIABLE: Final = "OTEL_BSP_SCHEDULE_DELAY"


class Deliveries:
    """What is configured of them."""

    def __init__(self) -> None:
        self._live: LiveDelivery | None = None
        self._acknowledged: Acknowledged | None = None
        self._spool: Temporary | None = None

    @property
    def are_temporary(self) -> bool:
        """Whether what is delivered is recorded in a temporary directory only."""
        return self._spool is not None

    def to_collector(
        self,
        recordings: Sequence[Recording],
        run: layout.RunDirectory | None,
        values: Mapping[str, Any],
        endpoint: str,
        *,
        whole: bool = False,
        only: str = "",
    ) -> list[SpanProcessor]:
        """What has to see the spans beside the recording, so that it is delivered; none, with one line, where that cannot be set up.

        Args:
            recordings: the recording; where there is none, one in a temporary directory is what is delivered, and is among what is returned.
            run: the run that this process belongs to.
            values: every setting.
            endpoint: the collector's URL.
            whole: whether it is that of traces itself.
            only: the `service.instance.id` of the spans that are meant; empty for all.
        """
        from massgen_tracing.trace.exceptions import summary
        from massgen_tracing.trace.scrub import scrub

        passed_over: list[str] = []
        try:
            from massgen_tracing.delivery import backend, live, temporary

            to = backend.otlp(endpoint, os.environ, whole=whole, say=passed_over.append)
            root, made = values["root"], []
            if not recordings:
                self._spool = temporary.Temporary()
                root, recordings, run = self._spool.directory, [self._spool], None
                made = [*recordings]
            path_of = recordings[0].path_of
            self._live = live.LiveDelivery(to, Path(root), path_of, run=run, only=only, pending=values["otlp_pending"], delay=_delay())
        except (ImportError, MissingPackageError):
            missing = MissingPackageError("Export to a collector", "opentelemetry-exporter-otlp")
            guard.report("otlp.package", f"{missing} The run goes on and is recorded locally.")
            return []
        except Exception as error:  # noqa: BLE001 - what the variables say may be nonsense
            guard.passing(error)
            guard.report(
                "otlp.configure",
                f"Export to the collector at {scrub(endpoint)} could not be set up ({scrub(summary(error))}). The run goes on and is recorded"
                " locally. Check the URL and the OTEL_EXPORTER_OTLP_* variables.",
                error=error,
            )
            return []
        if passed_over:
            guard.report("otlp.settings", f"{scrub(' '.join(dict.fromkeys(passed_over)))} The default is used.")
        return [*made, self._live]

    def by_logfire(self, recording: Recording, run: layout.RunDirectory | None, root: str) -> Acknowledged | None:
        """What notes which of the recorded spans Logfire's SDK has brought there; None where it has no token."""
        from massgen_tracing.delivery import acknowledged, backend

        try:
            to = backend.logfire(os.environ)
        except ConfigError:
            return None
        self._acknowledged = acknowledged.Acknowledged(to, Path(root), recording.path_of, run)
        return self._acknowledged

    def finish(self, root: str | None, until: float) -> int:
        """When all has been stopped: say, in one line for each, what backends have not taken; returns how many spans.

        Args:
            root: where recordings live; None where nothing is recorded.
            until: the monotonic time by which what earlier runs owe may still be sent.
        """
        live, acknowledged, spool = self._live, self._acknowledged, self._spool
        self._live = self._acknowledged = self._spool = None
        command = "" if spool is not None or root is None else f"massgen-tracing push --root {shlex.quote(root)}"
        if spool is not None and spool.is_anothers:
            live = None  # which sends what is left
        if acknowledged is not None:
            acknowledged.stop(until)
        owed = 0
        for each in (live, acknowledged):
            if each is not None:
                with guard.guarded("delivery.owed"):
                    owed += each.say_owed(command)
        if spool is not None:
            with guard.guarded("delivery.temporary"):
                spool.remove()
        return owed


def _delay() -> float:
    """Seconds that spans wait for others to be sent with them: what OpenTelemetry's own variable says, in milliseconds."""
    text = os.environ.get(_DELAY_VARIABLE, "")
    if text.isascii() and text.isdecimal() and len(text) < 9:
        return int(text) / 1000
    if text:
        problem = f"The environment variable {_DELAY_VARIABLE} is wrong"
        guard.report("settings.otel_bsp_schedule_delay", compose(problem, "milliseconds", text[:40], "1000 is used"))
    return 1.0

"""What one call of `configure()` has put together: tracer, provider and sinks, as the settings say."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any

from massgen_tracing import layout, prices, semconv
from massgen_tracing._version import __version__
from massgen_tracing.configuration import surroundings
from massgen_tracing.configuration.delivering import Deliveries
from massgen_tracing.configuration.neighbours import Neighbours
from massgen_tracing.configuration.places import Places, outer_recording, outer_run, run_of_parent
from massgen_tracing.trace import carriers
from massgen_tracing.trace.tracer import Tracer

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

    from massgen_tracing.sinks.recording import Recording
    from massgen_tracing.sinks.run_files import LiveFiles
    from massgen_tracing.trace.pipeline import Pipeline


class Assembly:
    """What spans go to, put together step by step: what fails in the middle can be stopped.

    Attributes:
        pipeline: what the package's own spans go through; None before it is set up, and when it has been stopped.
        root: the directory of runs and recordings; None where nothing is recorded.
        records: whether what is traced is recorded there.
        seals: whether the recordings are to be sealed at the end.

    Args:
        neighbours: other providers of the process, which outlive it.
        deliveries: what recordings are delivered to.
    """

    def __init__(self, neighbours: Neighbours, deliveries: Deliveries) -> None:
        self.pipeline: Pipeline | None = None
        self.root: str | None = None
        self.records = False
        self.seals = False
        self._neighbours = neighbours
        self._deliveries = deliveries

    def set_up(self, values: dict[str, Any], provider: TracerProvider | None, given: dict[str, Any]) -> Tracer:
        """Set up what was asked for; returns the tracer.

        Args:
            values: every setting.
            provider: the caller's own, if any.
            given: the caller's arguments.
        """
        surroundings.load_sdk()
        from massgen_tracing.trace.provider import SHARED

        surroundings.check()
        make = partial(
            Tracer,
            service_name=values["service_name"],
            price=prices.estimate,
            remote=carriers.remote_context(),
            strict=values["strict"],
            full_content=values["full_content"],
        )
        beside = provider is not None and provider is not SHARED  # which is global for good, also where nothing is configured
        record = bool(given["record"]) if beside else values["record"]
        if record or not beside:
            values["root"] = surroundings.absolute(values["root"])
            # What leaves nothing behind, as in tests, has no problems to leave there either.
            leaves = record or values["logfire"] or values["otlp_endpoint"] or os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
            self.root = values["root"] if leaves else None
            self.records = bool(record)
        self.seals = values["seal"] and record
        if beside:
            assert provider is not None
            return self._beside(provider, values, make, record=record)
        return self._own(values, make, given["otlp_endpoint"])

    def _own(self, values: dict[str, Any], make: partial[Tracer], given_endpoint: str | None) -> Tracer:
        """The package's own provider, or Logfire's.

        Args:
            values: every setting; `root` is absolute.
            make: makes the tracer.
            given_endpoint: the collector that the caller has named, where it was not a variable that did.
        """
        from massgen_tracing.trace.pipeline import Pipeline
        from massgen_tracing.trace.provider import SHARED

        root, run = values["root"] if values["record"] else None, outer_run()
        recordings = _recording(root, run)
        collectors = self._deliveries.to_collector(recordings, run, values, given_endpoint) if given_endpoint else ()
        processors = [*recordings, *_run_files(recordings, run, values), *collectors]
        resource, remote = surroundings.resource(values["service_name"]), carriers.remote_context()
        shown = Pipeline(resource, processors, remote=remote)
        self.pipeline = Pipeline(resource, processors, remote=remote)
        self._neighbours.follow()
        delegate: TracerProvider | None = None
        if values["logfire"]:
            from massgen_tracing.sinks.logfire import LogfireFlush

            acknowledged = self._deliveries.by_logfire(recordings[0], run, values["root"]) if recordings else None
            if acknowledged is not None:
                shown.processors += (acknowledged,)
            delegate = self._neighbours.logfire_takes_ours(values["service_name"], acknowledged)
            self.pipeline.processors += (LogfireFlush(),)
        if delegate is None and given_endpoint is None:
            # Logfire's SDK, and any other's, exports by itself to what OpenTelemetry's variables name: so only what is this package's own goes there.
            traces = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
            if traces or values["otlp_endpoint"]:
                only = str(resource.attributes[semconv.SERVICE_INSTANCE_ID])
                endpoint = traces or values["otlp_endpoint"]
                self.pipeline.processors += tuple(self._deliveries.to_collector(recordings, run, values, endpoint, whole=bool(traces), only=only))
        self._neighbours.to_logfire = bool(values["logfire"])
        SHARED.install(self.pipeline, shown, delegate)
        # A Logfire that is given its token later takes the spans then, and cleans nothing.
        cleans = not values["logfire"]
        places = _places(root, recordings, run)
        return make(SHARED.facade_tracer(semconv.SCOPE, __version__), open_run=partial(self._open_run, places), place=places.of_child, cleans=cleans)

    def _beside(self, provider: TracerProvider, values: dict[str, Any], make: partial[Tracer], *, record: bool) -> Tracer:
        """The caller's own provider, with the local recording in it where that is asked for; returns the tracer."""
        from massgen_tracing.trace.pipeline import Pipeline
        from massgen_tracing.trace.provider import SHARED

        root, run = values["root"] if record else None, outer_run()
        recordings = _recording(root, run)
        processors = [*recordings, *_run_files(recordings, run, values)]
        resource = surroundings.resource("")
        self.pipeline = Pipeline(resource, processors)
        if record:
            self._neighbours.follow()
            self._neighbours.follow_provider(provider)
        SHARED.install(self.pipeline, Pipeline(resource, processors), provider)
        places = _places(root, recordings, run)
        return make(provider.get_tracer(semconv.SCOPE, __version__), open_run=partial(self._open_run, places), place=places.of_child, cleans=False)

    def _open_run(self, places: Places, given: layout.RunDirectory | None, outer: layout.RunDirectory | None) -> layout.RunDirectory | None:
        if self.pipeline is not None:
            self._neighbours.notice()
        return places.opened(given, outer)


def _recording(root: str | None, run: layout.RunDirectory | None) -> list[Recording]:
    if root is None:
        return []
    from massgen_tracing.sinks.recording import Recording

    return [Recording(root, run, outer_recording())]


def _run_files(recordings: list[Recording], run: layout.RunDirectory | None, values: dict[str, Any]) -> list[LiveFiles]:
    if not recordings or not values["run_files"]:
        return []
    from massgen_tracing.sinks.run_files import LiveFiles

    return [LiveFiles(run)]


def _places(root: str | None, recordings: list[Recording], run: layout.RunDirectory | None) -> Places:
    return Places(root, recordings[0].outside if recordings else "", run_of_parent(), run)

"""Logfire, the only module that imports it: export to it, and its own spans in the tree.

A Logfire that the program has configured is added to, never replaced. One that is configured again, by whomever, is followed: its provider is then
a new one inside the same proxy.
"""

from __future__ import annotations

import functools
import gzip
import re
import string
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Literal

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace import TracerProvider as SdkTracerProvider
from opentelemetry.trace import TracerProvider

from massgen_tracing import guard, semconv
from massgen_tracing._version import __version__
from massgen_tracing.errors import MissingPackageError
from massgen_tracing.trace import global_provider
from massgen_tracing.trace.others import Following, Others, cleaned, described

if TYPE_CHECKING:
    from logfire import ScrubbingOptions, ScrubMatch
    from logfire._internal.config import LogfireConfig
    from logfire._internal.scrubbing import BaseScrubber
    from logfire.types import ServerResponseCallbackHelper

_OUR_KEYS: Final = ("massgen.", "gen_ai.", "mcp.")
_MEND: Final = "Set LOGFIRE_TOKEN, or run `logfire auth` and then `logfire projects use`."
_SUPPRESSED: Final = "suppress_instrumentation"
"""OpenTelemetry's key in a Context that asks for no telemetry."""

_TRACES: Final = "/v1/traces"
_DECODERS: Final[dict[str | None, Callable[[bytes], bytes]]] = {None: bytes, "gzip": gzip.decompress}
"""How the bodies of its SDK's requests are encoded; what is encoded in another way counts as not taken."""

_GOES_ON: Final = "The run goes on and is recorded locally."


class Follower:
    """Follows the process's Logfire, from the moment that it is loaded.

    Args:
        others: where its spans are shown.
        configured: called when the program, not this package, has configured it.
    """

    def __init__(self, others: Others, configured: Callable[[TracerProvider], None]) -> None:
        self._others = others
        self._configured = configured
        self._config: LogfireConfig | None = None
        self._is_ours = False

    def look(self) -> LogfireConfig | None:
        """Begin to follow it if it is loaded by now; returns its configuration, which is one object for good."""
        if self._config is None:
            # Not loaded, or being loaded just now.
            instance = getattr(sys.modules.get("logfire"), "DEFAULT_LOGFIRE_INSTANCE", None)
            if instance is not None:
                config = self._config = instance.config
                self._attach(config)
                config.configure = functools.partial(self._configure, config.configure)
        return self._config

    def is_proxy(self, provider: TracerProvider) -> bool:
        """Whether *provider* is Logfire's."""
        config = self.look()
        return config is not None and config.get_tracer_provider() is provider

    def use(self, service_name: str, taken: Callable[[bytes], None] | None = None) -> TracerProvider | None:
        """Have Logfire take the facade's spans; returns its provider, or None where it takes none.

        Configures it where the program has not done so. The token is Logfire's own affair: `LOGFIRE_TOKEN`, or what `logfire auth` and
        `logfire projects use` have left in `.logfire`. Without one it is configured all the same, so that its integrations' spans are recorded.

        Args:
            service_name: `service.name`, where it is this package that configures it.
            taken: then it is called with the body of each request of spans that Logfire has taken.
        """
        try:
            import logfire
        except ImportError:
            guard.report("logfire.package", f"{MissingPackageError('Export to Logfire', 'logfire')} {_GOES_ON}")
            return None
        except Exception as error:  # noqa: BLE001 - what variables say may be nonsense to what Logfire loads
            _report_unusable("loaded", error)
            return None
        config = self.look()
        assert config is not None
        provider = config.get_tracer_provider()
        if not self._is_ours and isinstance(provider.provider, SdkTracerProvider):
            if not (config.token and config.send_to_logfire):
                guard.report("logfire.token", f"The program has configured Logfire to send nothing, and so it stays. {_GOES_ON} {_MEND}")
            return provider
        try:
            with global_provider.our_own():
                logfire.configure(
                    service_name=service_name,
                    service_version=__version__,
                    send_to_logfire="if-token-present",
                    console=False,
                    inspect_arguments=False,
                    scrubbing=logfire.ScrubbingOptions(callback=_keep_ours),
                    advanced=None if taken is None else logfire.AdvancedOptions(server_response_hook=functools.partial(_answered, taken)),
                )
        except Exception as error:  # noqa: BLE001 - telemetry never breaks the run
            _report_unusable("configured", error)
            return None
        if not config.token:
            guard.report("logfire.token", f"Logfire has no write token, so nothing is sent to it; the run goes on and is recorded locally. {_MEND}")
        return provider if config.token else None

    def masked(self, attributes: Mapping[str, Any]) -> Mapping[str, Any]:
        """A facade's attributes with a message that says no more than Logfire's scrubbing leaves of its fields.

        Logfire takes a message for one that it has filled itself, from scrubbed values, and lets it pass.
        """
        template = attributes.get(semconv.LOGFIRE_MSG_TEMPLATE)
        config = self._config
        if self._is_ours or config is None or not isinstance(template, str):
            return attributes
        fields = {name for _, name, _, _ in string.Formatter().parse(template) if name is not None and name in attributes}
        values = {name: config.scrubber.scrub_value(("message",), {name: str(attributes[name])})[0][name] for name in fields}
        return {**attributes, semconv.LOGFIRE_MSG: template.format_map(values)} if values else attributes

    def _configure(self, theirs: Callable[..., None], *args: Any, **kwargs: Any) -> None:
        """`LogfireConfig.configure`, which makes a new provider inside its proxy."""
        ours = global_provider.is_our_own()
        self._is_ours = ours
        try:
            theirs(*args, **kwargs)
        finally:
            with guard.guarded("logfire.follow"):
                assert self._config is not None
                self._attach(self._config)
                if not ours:
                    self._configured(self._config.get_tracer_provider())

    def _attach(self, config: LogfireConfig) -> None:
        config.get_tracer_provider().add_span_processor(_FollowingLogfire(self._others, config))


class _FollowingLogfire(Following):
    """Shows what Logfire's own processors see, and no more of it than its scrubbing leaves.

    Args:
        others: where.
        config: Logfire's configuration.
    """

    def __init__(self, others: Others, config: LogfireConfig) -> None:
        super().__init__(others)
        self._config = config
        self._for_facade: tuple[BaseScrubber, BaseScrubber | None] | None = None

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Show a span that has started, unless it is one that Logfire passes over: `logfire.suppress_instrumentation()`."""
        if not otel_context.get_value(_SUPPRESSED):
            super().on_start(span, parent_context)

    def describe(self, span: ReadableSpan) -> dict[str, Any]:
        said = described(span)
        try:
            scrubber = self._scrubber(span)
            if scrubber is not None:
                scrubber.scrub_span(said)  # type: ignore[arg-type]  # a dict of just these keys
        except Exception as error:  # noqa: BLE001 - what cannot be scrubbed is not shown
            guard.swallow("logfire.scrub", error)
            said |= {"attributes": {}, "events": [], "links": []}
        return cleaned(said)

    def _scrubber(self, span: ReadableSpan) -> BaseScrubber | None:
        """Logfire's own; for the facade's spans, which are scrubbed for secrets before, only the patterns that the program has added to it."""
        scope, scrubber = span.instrumentation_scope, self._config.scrubber
        if scope is None or scope.name != semconv.SCOPE:
            return scrubber
        if self._for_facade is None or self._for_facade[0] is not scrubber:
            self._for_facade = scrubber, _added_patterns_only(scrubber, self._config.scrubbing)
        return self._for_facade[1]


def _added_patterns_only(scrubber: BaseScrubber, options: ScrubbingOptions | Literal[False]) -> BaseScrubber | None:
    """A scrubber like *scrubber* that leaves alone what only Logfire's own patterns match; None where the program has added none."""
    if not options or not options.extra_patterns:
        return None
    added = re.compile("|".join(options.extra_patterns), re.IGNORECASE | re.DOTALL)
    callback = options.callback

    def decide(match: ScrubMatch) -> Any:
        if added.search(match.pattern_match.string) is None:
            return match.value
        return None if callback is None else callback(match)

    return type(scrubber)(options.extra_patterns, decide)  # type: ignore[call-arg]  # the one that scrubs, for there are options


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
        logfire = sys.modules.get("logfire")
        if logfire is not None:
            logfire.force_flush(timeout_millis=30_000)


def _keep_ours(match: ScrubMatch) -> Any:
    """Logfire would redact `massgen.task` for the word "session" in it; our values have been scrubbed, for secrets only, before."""
    path = match.path
    if len(path) > 1 and path[0] == "attributes" and isinstance(path[1], str) and path[1].startswith(_OUR_KEYS):
        return match.value
    return None


def _answered(taken: Callable[[bytes], None], helper: ServerResponseCallbackHelper) -> None:
    """Logfire has answered a request of its SDK."""
    helper.default_hook()
    response, request = helper.response, helper.response.request
    has_spans = request.method == "POST" and (request.url or "").endswith(_TRACES)
    if not has_spans or not 200 <= response.status_code < 300 or not isinstance(request.body, bytes):
        return
    with guard.guarded("logfire.answer"):
        encoding = request.headers.get("Content-Encoding")
        if encoding in _DECODERS:
            taken(_DECODERS[encoding](request.body))


def _report_unusable(what: str, error: Exception) -> None:
    guard.passing(error)
    guard.report("logfire.configure", f"Logfire could not be {what} ({type(error).__name__}: {error}). {_GOES_ON}", error=error)

"""Logfire, the only module that imports it: export to it, and its own spans in the tree.

A Logfire that the program has configured is added to, never replaced. One that is configured again, by whomever, is followed: its provider is then
a new one inside the same proxy.
"""

from __future__ import annotations

import functools
import gzip
import logging
import re
import string
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, Protocol

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
    from requests import Response

_OUR_KEYS: Final = ("massgen.", "gen_ai.", "mcp.")
_MEND: Final = "Set LOGFIRE_TOKEN, or run `logfire auth` and then `logfire projects use`."
_SUPPRESSED: Final = "suppress_instrumentation"
"""OpenTelemetry's key in a Context that asks for no telemetry."""

_TRACES: Final = "/v1/traces"
_DECODERS: Final[dict[str | bytes | None, Callable[[bytes], bytes]]] = {None: bytes, "gzip": gzip.decompress}
"""How the bodies of its SDK's requests are encoded; what is encoded in another way counts as not taken."""

_GOES_ON: Final = "The run goes on and is recorded locally."
_EXPORTERS: Final = tuple(f"opentelemetry.exporter.otlp.proto.http.{name}" for name in ("trace_exporter", "metric_exporter", "_log_exporter"))
_FAILED: Final = "Failed to export "
_RETRYING: Final = ("Currently retrying ", "Already retrying ", "Export permanently refused ")
"""How the lines begin in which OpenTelemetry's exporters, and Logfire's SDK, say that something was not taken."""

_SESSION: Final = "OTLPExporterHttpSession"
"""The class of what Logfire's SDK sends its requests by."""

_MOST_LOOKED_AT: Final = 10_000


class Answered(NamedTuple):
    """An answer of Logfire's to a request of spans.

    Attributes:
        status: its status code.
        headers: its headers.
        content: its body.
        spans: the body of the request, an ExportTraceServiceRequest; None where it cannot be decoded.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes
    spans: bytes | None


class Listener(Protocol):
    """Is told what Logfire answers to its SDK, and says in the end what was not taken."""

    def begin(self) -> None:
        """From now on answers are told."""

    def heard(self, answer: Answered) -> None:
        """An answer, on the thread of the SDK that asked."""


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
        self._listener: Listener | None = None

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

    def use(self, service_name: str, listener: Listener | None = None) -> TracerProvider | None:
        """Have Logfire take the facade's spans; returns its provider, or None where it takes none.

        Configures it where the program has not done so. The token is Logfire's own affair: `LOGFIRE_TOKEN`, or what `logfire auth` and
        `logfire projects use` have left in `.logfire`. Without one it is configured all the same, so that its integrations' spans are recorded.

        Args:
            service_name: `service.name`, where it is this package that configures it.
            listener: is told Logfire's answers, where it is sent anything.
        """
        self._listener = listener
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
            self._listen(provider)
            return provider
        if listener is not None:
            _have_it_said_once()
        try:
            with global_provider.our_own():
                logfire.configure(
                    service_name=service_name,
                    service_version=__version__,
                    send_to_logfire="if-token-present",
                    console=False,
                    inspect_arguments=False,
                    scrubbing=logfire.ScrubbingOptions(callback=_keep_ours),
                    advanced=None if listener is None else logfire.AdvancedOptions(server_response_hook=functools.partial(_answered, listener)),
                )
        except Exception as error:  # noqa: BLE001 - telemetry never breaks the run
            _report_unusable("configured", error)
            return None
        if not config.token:
            guard.report("logfire.token", f"Logfire has no write token, so nothing is sent to it; the run goes on and is recorded locally. {_MEND}")
        elif listener is not None:
            listener.begin()
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
                    provider = self._config.get_tracer_provider()
                    self._listen(provider)
                    self._configured(provider)

    def _listen(self, provider: TracerProvider) -> None:
        """Have the listener told what is answered to a Logfire that the program has configured; it has told Logfire itself whom to tell."""
        listener = self._listener
        if listener is None:
            return
        for session in _sessions(provider):
            listener.begin()
            session.hooks.setdefault("response", []).append(functools.partial(_answer, listener))

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


def _answered(listener: Listener, helper: ServerResponseCallbackHelper) -> None:
    """Logfire has answered a request of an SDK that this package has configured."""
    helper.default_hook()
    _thread.failed = not helper.response.ok
    _answer(listener, helper.response)


def _answer(listener: Listener, response: Response, *_: object, **__: object) -> None:
    """Logfire has answered a request of its SDK."""
    request = response.request
    if request.method == "POST" and (request.url or "").endswith(_TRACES):
        with guard.guarded("logfire.answer"):
            decode = _DECODERS.get(request.headers.get("Content-Encoding"))
            body = request.body
            spans = decode(body) if decode is not None and isinstance(body, bytes) else None
            listener.heard(Answered(response.status_code, response.headers, response.content, spans))


def _sessions(provider: TracerProvider) -> Iterator[Any]:
    """What a provider's exporters send to Logfire by: `requests.Session` objects, wherever they are in it."""
    waiting: list[Any] = [provider]
    seen: set[int] = set()
    while waiting and len(seen) < _MOST_LOOKED_AT:
        each = waiting.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, tuple | list):
            waiting += each
        elif type(each).__name__ == _SESSION:
            yield each
        elif type(each).__module__.partition(".")[0] in {"logfire", "opentelemetry"}:
            waiting += getattr(each, "__dict__", {}).values()


_thread: Final = threading.local()
"""`failed`: whether the latest answer to this thread was no success, and nobody has said so yet."""


def _have_it_said_once() -> None:
    """Keep back what the SDK and its exporters say of each request that fails: the listener says it once, with what is missing and what to do."""
    for name in _EXPORTERS:
        logging.getLogger(name).addFilter(_is_of_others)
    logging.getLogger("logfire").addFilter(_is_of_no_retry)
    warnings.filterwarnings("ignore", "Logfire API (returned status code|is unreachable)", UserWarning)


def _is_of_others(record: logging.LogRecord) -> bool:
    """Whether a line of OpenTelemetry's exporters is not of Logfire's last answer: other exporters say theirs themselves."""
    if not str(record.msg).startswith(_FAILED) or not getattr(_thread, "failed", False):
        return True
    _thread.failed = False
    return False


def _is_of_no_retry(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith(_RETRYING)


def _report_unusable(what: str, error: Exception) -> None:
    guard.passing(error)
    guard.report("logfire.configure", f"Logfire could not be {what} ({type(error).__name__}: {error}). {_GOES_ON}", error=error)

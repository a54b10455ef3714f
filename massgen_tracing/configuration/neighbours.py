"""Other providers of the process: their spans are in the same tree, whenever and by whomever they are set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from massgen_tracing import guard

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

    from massgen_tracing.sinks.logfire import Follower, Listener


class Neighbours:
    """Follows the global provider and Logfire, from the first configuration on.

    Attributes:
        to_logfire: whether the facade's own spans are meant for Logfire.
    """

    def __init__(self) -> None:
        self.to_logfire = False
        self._logfire: Follower | None = None

    def follow(self) -> None:
        """Begin to follow them, where that has not begun."""
        from massgen_tracing.sinks.logfire import Follower
        from massgen_tracing.trace import global_provider
        from massgen_tracing.trace.provider import SHARED

        with guard.guarded("others"):
            if self._logfire is None:
                self._logfire = Follower(SHARED.others, self._logfire_configured)
            global_provider.take(self.follow_provider)
            self._logfire.look()

    def notice(self) -> None:
        """Follow what was set in a way that nobody was told of."""
        from massgen_tracing.trace import global_provider

        with guard.guarded("others"):
            if self._logfire is not None:
                global_provider.notice()
                self._logfire.look()

    def follow_provider(self, provider: TracerProvider) -> bool:
        """Follow one provider; whether it can be followed."""
        from massgen_tracing.trace.provider import SHARED

        if self._is_logfires(provider):
            self._logfire_configured(provider)
            return True
        return SHARED.others.follow(provider)

    def logfire_takes_ours(self, service_name: str, listener: Listener | None = None) -> TracerProvider | None:
        """Have Logfire take the facade's spans; its provider, or None where it takes none."""
        from massgen_tracing.trace.provider import SHARED

        if self._logfire is None:
            return None
        provider = self._logfire.use(service_name, listener)
        if provider is not None:
            SHARED.masked = self._logfire.masked
        return provider

    def sends_to_logfire(self) -> bool:
        """Whether it is Logfire that makes the facade's spans."""
        from massgen_tracing.trace.provider import SHARED

        return SHARED.delegate is not None and self._is_logfires(SHARED.delegate)

    def _is_logfires(self, provider: TracerProvider) -> bool:
        return self._logfire is not None and self._logfire.is_proxy(provider)

    def _logfire_configured(self, provider: TracerProvider) -> None:
        """The program has configured Logfire: it is what others' spans go through, and the facade's where that was asked for."""
        from massgen_tracing.trace import global_provider
        from massgen_tracing.trace.provider import SHARED

        global_provider.announce(provider)
        if SHARED.pipeline is not None and self._logfire is not None and self.to_logfire:
            SHARED.masked = self._logfire.masked
            SHARED.pipeline, SHARED.delegate = None, provider

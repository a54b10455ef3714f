"""The thread that delivers while a run goes on."""

from __future__ import annotations

from collections.abc import Callable

from massgen_tracing import guard
from massgen_tracing.worker import Rounds


class Worker(Rounds):
    """Does a round some time after each `wake`, again where the round asks for it, and a last one after `end`.

    Args:
        work: a round, as for `Rounds`.
        delay: seconds from `wake` to the round.

    Attributes:
        broken: whether the thread has ended before it was told to.
    """

    def __init__(self, work: Callable[[], float | None], delay: float) -> None:
        super().__init__(work, "otlp.deliver")
        self._delay = delay
        self.broken = False

    def _work(self) -> None:
        again: float | None = None
        try:
            while self._goes_on(again):
                self._fresh = False
                again = self._one()
            self._one()
        except Exception as error:  # noqa: BLE001 - a thread that ends without a word would be taken for one that has nothing to do
            self.broken = True
            guard.swallow("otlp.worker", error)

    def _goes_on(self, again: float | None) -> bool:
        """Wait until there is something to do, and then for more of it; False at the end."""
        self._idle = True
        if not self._fresh and not self._token(again):
            return False
        self._idle = False
        return self._rested(self._delay)

"""What a prepared interpreter waits for: the first use of the facade, of OpenTelemetry, or of a library that is instrumented.

Configuring takes 0.2 s and loading an OpenTelemetry instrumentor 0.6 s, and most interpreters that a command line starts (launchers, helpers of a
build) never need either. So a finder stands before the others on `sys.meta_path`, finds nothing itself, and

- configures the facade from the environment as soon as OpenTelemetry's API is loaded, by whomever, or a library that calls models; when this package
  is what loads the API, after that import is complete, since configuring needs the whole of it;
- instruments MassGen just before its first module is looked for.
"""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder

from massgen_tracing import libraries, loading

TYPE_CHECKING = False  # `typing` and `importlib.abc` would take longer to load than all the rest
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

API = "opentelemetry.trace"
PACKAGE = "massgen_tracing."
INSTRUMENTED = "massgen"


def prepare() -> None:
    """Wait for the first use. Costs a few milliseconds; the program goes on as if nothing had been done."""
    if API in sys.modules:  # a `sitecustomize` or a .pth file that uses OpenTelemetry itself
        _safely(_configure)
    sys.meta_path.insert(0, _Watch())


class _Watch:
    """A finder that sees each import before the real ones do."""

    def __init__(self) -> None:
        self._depth = 0

    def find_spec(self, name: str, path: Sequence[str] | None, _target: ModuleType | None = None) -> ModuleSpec | None:
        if name == INSTRUMENTED:
            sys.meta_path[:] = [finder for finder in sys.meta_path if finder is not self]
            _safely(_instrument)
        elif not _configured and (name == API or name in libraries.MODELS or name.startswith(PACKAGE)):
            return loading.around(PathFinder.find_spec(name, path), self._end, self._begin)
        return None

    def _begin(self) -> None:
        self._depth += 1

    def _end(self, _loaded: bool) -> None:
        self._depth -= 1
        if self._depth == 0 and (API in sys.modules or any(name in sys.modules for name in libraries.MODELS)):
            _safely(_configure)


_configured = False


def _configure(*, instrument: bool | None = None) -> None:
    global _configured
    if _configured:
        return
    _configured = True
    from massgen_tracing.configuration import configure

    configure(instrument=instrument)


def _instrument() -> None:
    _configure(instrument=False)  # what MassGen's agents call is seen in MassGen
    libraries.leave()
    from massgen_tracing.instrumentation import MassGenInstrumentor

    MassGenInstrumentor().instrument()


def _safely(step: Callable[[], None]) -> None:
    """Run a step of ours inside the program's import: what it raises is one line, and the program goes on untraced."""
    try:
        step()
    except Exception as error:  # noqa: BLE001 - telemetry never breaks the run; `guard` itself may be what could not be imported
        sys.stderr.write(
            f"massgen-tracing: {sys.executable} runs untraced ({type(error).__name__}: {error}); see what is missing: massgen-tracing doctor\n"
        )

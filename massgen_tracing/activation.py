"""What a prepared interpreter waits for: the first use of the facade, of OpenTelemetry, or of a library that is instrumented.

Configuring takes 0.2 s and loading an OpenTelemetry instrumentor 0.6 s, and most interpreters that a command line starts (launchers, helpers of a
build) never need either. So a finder stands before the others on `sys.meta_path`, finds nothing itself, and

- configures the facade from the environment as soon as OpenTelemetry's API is loaded, by whomever; when this package is what loads it, after that
  import is complete, since configuring needs the whole of it;
- instruments MassGen just before its first module is looked for.
"""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder

TYPE_CHECKING = False  # `typing` and `importlib.abc` would take longer to load than all the rest
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.abc import Loader
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
        elif not _configured and (name == API or name.startswith(PACKAGE)):
            spec = PathFinder.find_spec(name, path)
            if spec is not None and spec.loader is not None and hasattr(spec.loader, "exec_module"):
                spec.loader = _Then(spec.loader, self)  # type: ignore[assignment]
            return spec
        return None

    def begin(self) -> None:
        self._depth += 1

    def end(self) -> None:
        self._depth -= 1
        if self._depth == 0 and API in sys.modules:
            _safely(_configure)


class _Then:
    """A module's own loader, and the watch told before and after."""

    def __init__(self, loader: Loader, watch: _Watch) -> None:
        self._loader = loader
        self._watch = watch

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        # The module keeps the loader that it would have had: pkgutil, inspect and importlib.resources ask it for sources and files.
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._watch.begin()
        try:
            self._loader.exec_module(module)
        finally:
            self._watch.end()


_configured = False


def _configure() -> None:
    global _configured
    if _configured:
        return
    _configured = True
    from massgen_tracing.configuration import configure

    configure()


def _instrument() -> None:
    _configure()
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

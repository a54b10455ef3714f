"""The libraries whose calls are traced without a word in the program, and who does it: instrumentors that others keep, where they are installed.

Of several instrumentors for one library the first that is installed is taken. OpenInference's come first: they follow the libraries' newest
versions, have streams, the Responses API and tool calls, and need none of the libraries themselves. A library that traces itself needs none.
MassGen is ours (`massgen_tracing.instrumentation`). An instrumentor is loaded when the program has imported its library, never before.
"""

from __future__ import annotations

import sys

from massgen_tracing import loading

TYPE_CHECKING = False  # this module is loaded in every prepared interpreter
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any, Final

GROUP: Final = "opentelemetry_instrumentor"
"""The group of entry points that OpenTelemetry's launcher looks in too."""

MODELS: Final[Mapping[str, tuple[str, ...]]] = {
    "openai": ("openinference-instrumentation-openai", "opentelemetry-instrumentation-openai-v2"),
    "anthropic": ("openinference-instrumentation-anthropic", "opentelemetry-instrumentation-anthropic"),
    "google.genai": ("openinference-instrumentation-google-genai", "opentelemetry-instrumentation-google-genai"),
    "litellm": ("openinference-instrumentation-litellm",),
    "langchain_core": ("openinference-instrumentation-langchain", "opentelemetry-instrumentation-langchain"),
    "agents": ("openinference-instrumentation-openai-agents", "opentelemetry-instrumentation-openai-agents-v2"),
}
"""Modules that call models, and the distributions of their instrumentors."""

CARRIERS: Final[Mapping[str, tuple[str, ...]]] = {
    "mcp": ("openinference-instrumentation-mcp",),
    "httpx": ("opentelemetry-instrumentation-httpx",),
    "httpx2": ("opentelemetry-instrumentation-httpx",),
}
"""Modules that carry what others call: without an instrumentor nothing is missed."""

OURS: Final = ("massgen",)
"""What `massgen_tracing.activation` has instrumented, before its first module is looked for."""

DISTRIBUTIONS: Final[Mapping[str, str]] = {"google.genai": "google-genai", "langchain_core": "langchain-core", "agents": "openai-agents"}
"""What a module comes from, where that has another name."""

THEMSELVES: Final[Mapping[str, str]] = {"anthropic": "anthropic/_tracing.py", "mcp": "mcp/shared/_otel.py"}
"""Modules that make spans of their own in newer versions, with OpenTelemetry's API, and the file by which it is seen that they do."""

ITSELF: Final = "itself"
US: Final = "massgen_tracing"


class Library:
    """One of the libraries, as it is installed here.

    Attributes:
        module: its module.
        version: of the library; None where it is not installed.
        instrumentor: the distribution of the instrumentor that is taken, `ITSELF`, `US`, or empty where there is none.
        instrumentor_version: of that distribution, where it is another's.
        install: the command that installs one.
    """

    def __init__(self, module: str) -> None:
        candidates = {**dict.fromkeys(OURS, (US,)), **MODELS, **CARRIERS}[module]
        self.module = module
        distribution = DISTRIBUTIONS.get(module, module)
        self.version = _version(distribution)
        by_itself = self.version is not None and module in THEMSELVES and _has(distribution, THEMSELVES[module])
        self.instrumentor = ITSELF if by_itself else next((name for name in candidates if name == US or _version(name)), "")
        self.instrumentor_version = None if self.instrumentor in {"", ITSELF, US} else _version(self.instrumentor)
        self.install = f"pip install {candidates[0]}"

    @property
    def how(self) -> str:
        """Who traces its calls, or what to do that somebody does."""
        if not self.instrumentor:
            return f"not traced; for that: {self.install}"
        return f"by {self.instrumentor} {self.instrumentor_version or ''}".rstrip()


def installed() -> list[Library]:
    """Those of the libraries that are installed here, but for what only carries others' calls and has no instrumentor."""
    libraries = [Library(module) for module in (*OURS, *MODELS, *CARRIERS)]
    return [library for library in libraries if library.version is not None and (library.instrumentor or library.module in MODELS)]


def _version(distribution: str) -> str | None:
    from importlib import metadata

    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _has(distribution: str, file: str) -> bool:
    """Whether an installed distribution has a file; one that is installed in an unusual way is taken to have it not."""
    from importlib import metadata

    path = metadata.distribution(distribution).locate_file(file)
    return hasattr(path, "exists") and bool(path.exists())


def trace(provider: Any = None) -> None:
    """Instrument the libraries that are imported, and each of the others when it is.

    Args:
        provider: the OpenTelemetry provider that their spans go to; None: the global one.
    """
    global _waiting
    leave()
    _waiting = _Waiting(provider)
    sys.meta_path.insert(0, _waiting)
    _waiting.loaded(*MODELS, *CARRIERS)


def leave() -> None:
    """Instrument no more of them; those that are stay so."""
    global _waiting
    if _waiting is not None:
        sys.meta_path[:] = [finder for finder in sys.meta_path if finder is not _waiting]
        _waiting = None


def instrument(module: str, provider: Any = None) -> None:
    """Have a library that is imported traced, unless it is already; where that cannot be, one line says why and what to do. Never raises."""
    from massgen_tracing import finalization, guard

    if finalization.begun():
        return
    library = Library(module)
    try:
        if not library.instrumentor:
            if module in MODELS:
                found = f"{module} is used, and has no instrumentor here: its calls are not traced"
                guard.report(f"libraries.{module}", f"{found}. Install one: {library.install}")
        elif library.instrumentor != ITSELF:
            instrumentor = _load(library)
            if not instrumentor.is_instrumented_by_opentelemetry:
                instrumentor.instrument(raise_exception_on_conflict=True, **({} if provider is None else {"tracer_provider": provider}))
            if module == "langchain_core":
                from massgen_tracing.libraries import langchain

                langchain.nest(instrumentor)
    except Exception as error:  # noqa: BLE001 - an instrumentor is another's code, and its imports may raise anything
        guard.passing(error)
        by = f"{library.instrumentor} {library.instrumentor_version}"
        problem = f"{module} {library.version or ''} is not traced: {by} failed ({type(error).__name__}: {error})"
        guard.report(f"libraries.{module}", f"{problem}. Bring both up to date: {library.install} --upgrade", error=error)


def _load(library: Library) -> Any:
    """The instrumentor of a library, which may be one of several in its distribution."""
    from importlib import metadata

    entries = metadata.distribution(library.instrumentor).entry_points.select(group=GROUP)
    named = [entry for entry in entries if entry.name == library.module]
    return (named or list(entries))[0].load()()


class _Waiting:
    """A finder that sees each import of a library before the real ones do, and finds what they find."""

    def __init__(self, provider: Any) -> None:
        self._provider = provider
        self._looking: set[str] = set()
        self._to_do: list[str] = []

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if (name not in MODELS and name not in CARRIERS) or name in self._looking:
            return None
        self._looking.add(name)
        try:
            found = next(self._others(name, path, target), None)
        finally:
            self._looking.discard(name)
        return loading.around(found, lambda loaded: self.loaded(name) if loaded else None)

    def _others(self, name: str, path: Sequence[str] | None, target: ModuleType | None) -> Iterator[ModuleSpec]:
        for finder in list(sys.meta_path):
            find_spec = getattr(finder, "find_spec", None)  # Python passes over finders of the old kind
            if finder is not self and find_spec is not None and (spec := find_spec(name, path, target)) is not None:
                yield spec

    def loaded(self, *names: str) -> None:
        """Instrument those of the modules that are there; one that an instrumentor imports meanwhile comes after it, which may be its own too."""
        begun = bool(self._to_do)
        self._to_do += names
        if begun:
            return
        try:
            for name in self._to_do:
                if _waiting is self and sys.modules.get(name) is not None:
                    instrument(name, self._provider)
        finally:
            self._to_do.clear()


_waiting: _Waiting | None = None

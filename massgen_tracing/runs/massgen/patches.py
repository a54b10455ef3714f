"""Patching an installed package from outside: each function once, when its module is imported, and undone to the same object."""

from __future__ import annotations

import functools
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Final

from massgen_tracing import guard

Wrapper = Callable[..., Any]
"""Called with the original function, then with what that was called with."""

_MISSING: Final = object()


@dataclass(frozen=True, slots=True)
class Point:
    """One function that is replaced.

    Attributes:
        module: where it is defined.
        path: its name in there, `Class.method` or `function`.
        wrapper: what runs in its place.
        gives: what is not traced where the installed version has no such function; empty where nothing is lost.
        since: the first version known to have it; an older one is not reproached for it.
    """

    module: str
    path: str
    wrapper: Wrapper
    gives: str
    since: str = ""


class Patches:
    """A set of points, applied to each module when it is imported, or at once where it is already.

    Args:
        points: what to replace.
        missing: told of each point that the installed version does not have, or calls in a way that its wrapper does not know.
    """

    def __init__(self, points: Sequence[Point], missing: Callable[[Point], None]) -> None:
        self._points: dict[str, list[Point]] = {}
        for point in points:
            self._points.setdefault(point.module, []).append(point)
        self._missing = missing
        self._undo: list[tuple[Any, str, Any, Any]] = []
        self._finder = _Finder(self._points, self._imported)

    def apply(self) -> None:
        """Patch what is imported, and from now on what is being imported."""
        sys.meta_path.insert(0, self._finder)
        for name in self._points:
            module = sys.modules.get(name)
            if module is not None and getattr(getattr(module, "__spec__", None), "_initializing", False) is not True:
                self._imported(module)

    def undo(self) -> None:
        """Put the same objects back as were there; what somebody has patched over ours since is left alone."""
        if self._finder in sys.meta_path:
            sys.meta_path.remove(self._finder)
        while self._undo:
            owner, name, original, ours = self._undo.pop()
            if vars(owner).get(name) is not ours:
                continue
            if original is _MISSING:
                delattr(owner, name)
            else:
                setattr(owner, name, original)

    def _imported(self, module: ModuleType) -> None:
        for point in self._points[module.__name__]:
            try:
                self._replace(module, point)
            except Exception as error:  # noqa: BLE001 - telemetry never breaks the run
                guard.swallow(f"massgen.patch.{point.path}", error)

    def _replace(self, module: ModuleType, point: Point) -> None:
        *parents, name = point.path.split(".")
        owner: Any = module
        for parent in parents:
            owner = getattr(owner, parent, None)
        function = getattr(owner, name, None)
        if function is None:
            if point.gives:
                self._missing(point)
            return
        if isinstance(vars(owner).get(name), staticmethod):
            replacement: Any = staticmethod(self._wrapped(function, point))
        else:
            replacement = self._wrapped(function, point)
        self._undo.append((owner, name, vars(owner).get(name, _MISSING), replacement))
        setattr(owner, name, replacement)

    def _wrapped(self, function: Callable[..., Any], point: Point) -> Callable[..., Any]:
        """The wrapper in the place of *function*, looking like it; a call that it does not understand goes to the function itself.

        Wrappers know arguments by their places. A caller may name them, and a version may have other names.
        """
        wrapper, own, known = point.wrapper, inspect.signature(function), inspect.signature(point.wrapper)

        @functools.wraps(function)
        def replacement(*args: Any, **kwargs: Any) -> Any:
            try:
                given = own.bind(*args, **kwargs)
            except TypeError:
                return function(*args, **kwargs)  # the caller is wrong, and is told so
            try:
                known.bind(function, *given.args, **given.kwargs)
            except TypeError:
                self._missing(point)
                return function(*args, **kwargs)
            return wrapper(function, *given.args, **given.kwargs)

        return replacement


class _Finder(MetaPathFinder):
    """Finds nothing itself: it has the others find the modules that are waited for, and is told when they have been loaded."""

    def __init__(self, names: Mapping[str, object], imported: Callable[[ModuleType], None]) -> None:
        self._names = names
        self._imported = imported
        self._finding: set[str] = set()

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:  # noqa: ARG002
        if name not in self._names or name in self._finding:
            return None
        self._finding.add(name)
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._finding.discard(name)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, self._imported)
        return spec


class _Loader(Loader):
    """A loader that tells when the module has been executed."""

    def __init__(self, loader: Loader, imported: Callable[[ModuleType], None]) -> None:
        self._loader = loader
        self._imported = imported

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader  # whoever asks the module for its loader later gets its own
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._imported(module)

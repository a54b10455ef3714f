"""What is done around the import of another library's module. Loaded in every prepared interpreter, so it needs next to nothing itself."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from importlib.abc import Loader
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any


def around(spec: ModuleSpec | None, after: Callable[[bool], None], before: Callable[[], None] = lambda: None) -> ModuleSpec | None:
    """A spec whose module is loaded as ever; *spec* itself where there is nothing to load.

    Args:
        spec: of the module.
        after: is called when it was loaded, with whether that went without an error.
        before: is called before that.
    """
    if spec is not None and spec.loader is not None and hasattr(spec.loader, "exec_module"):
        spec.loader = _Around(spec.loader, before, after)  # type: ignore[assignment]
    return spec


class _Around:
    """A module's own loader, with something before and after."""

    def __init__(self, loader: Loader, before: Callable[[], None], after: Callable[[bool], None]) -> None:
        self._loader = loader
        self._before = before
        self._after = after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)  # for whoever asks the loader for sources and files before the module is loaded

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        # The module keeps the loader that it would have had: pkgutil, inspect and importlib.resources ask it for sources and files.
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._before()
        loaded = False
        try:
            self._loader.exec_module(module)
            loaded = True
        finally:
            self._after(loaded)

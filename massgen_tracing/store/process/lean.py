"""What answers queries loads less than it could."""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Final

_NOT_NEEDED: Final = frozenset({"numpy", "pandas", "cloudpickle", "pyarrow._azurefs", "pyarrow._gcsfs", "pyarrow._hdfs", "pyarrow._s3fs"})
"""Arrow loads them where they are and does without them elsewhere, which takes longer than all else here; nothing here uses them."""

_METADATA: Final = "importlib.metadata"


class _Without:
    """Refuses to import them."""

    @staticmethod
    def find_spec(name: str, _path: object = None, _target: object = None) -> None:
        if name in _NOT_NEEDED:
            raise ModuleNotFoundError(name=name)


def do_without() -> None:
    """Have this process do without what it does not need."""
    sys.meta_path.insert(0, _Without())


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """In the block the engine is loaded, without what only tells its version."""
    # DataFusion asks for its own version, whose library takes longer to load than DataFusion.
    stand_in = ModuleType(_METADATA)
    stand_in.version = lambda _name: ""  # type: ignore[attr-defined]  # a module has what is put into it
    known = sys.modules.setdefault(_METADATA, stand_in)
    was = gc.isenabled()
    gc.disable()  # next to nothing of what is loaded is garbage
    try:
        yield
    finally:
        if known is stand_in:
            del sys.modules[_METADATA]
        gc.freeze()
        if was:
            gc.enable()

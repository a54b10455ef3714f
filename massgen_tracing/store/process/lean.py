"""What answers queries loads less than it could."""

from __future__ import annotations

import sys


class _Without:
    """Refuses the import of pandas and NumPy: Arrow loads them where they are, which takes longer than all else here, and nothing here uses them."""

    @staticmethod
    def find_spec(name: str, _path: object = None, _target: object = None) -> None:
        if name in {"numpy", "pandas"}:
            raise ModuleNotFoundError(name=name)


def without_numpy() -> None:
    """Let this process do without them from now on."""
    sys.meta_path.insert(0, _Without())

"""The packages that only the coordinator and its endpoint for dry runs need: the extra `coordinator`."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

from massgen_tracing.errors import MissingPackageError

EXTRA: Final = "coordinator"


def check(*names: str) -> None:
    """Say which package is missing, before anything begins.

    Raises:
        MissingPackageError: if one is not installed.
    """
    for name in names:
        if find_spec(name) is None:
            raise MissingPackageError("The coordinator", name, extra=EXTRA)

"""Sealed files that went away, or turned out to be damaged, while a query read them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import pyarrow as pa

from massgen_tracing import layout
from massgen_tracing.errors import QueryError

_WORDS: Final = re.compile(r"parquet|object store|no such file|i/o error|os error|thrift|decompress|snappy|zstd", re.IGNORECASE)


def of_storage(error: QueryError) -> bool:
    """Whether an error may come from a file rather than from the statement; what looks so is only looked into, not believed.

    On some damaged files the engine panics, which is no `Exception`.
    """
    panicked = error.__cause__ is not None and not isinstance(error.__cause__, Exception)
    return panicked or _WORDS.search(f"{error} {error.__cause__}") is not None


def gone(paths: Iterable[Path]) -> dict[Path, str]:
    """The files that are no longer there; the engine says nothing of them."""
    return {path: "it was deleted while it was read" for path in paths if not os.path.exists(path)}


def unreadable(paths: Iterable[Path]) -> dict[Path, str]:
    """The sealed files that cannot be read from their first byte to their last, with the reasons."""
    from pyarrow import parquet

    found = {}
    for path in filter(layout.is_sealed, paths):
        try:
            with parquet.ParquetFile(path) as file:
                for _ in file.iter_batches():
                    pass
        except (OSError, pa.ArrowException) as error:
            found[path] = str(error)
    return found

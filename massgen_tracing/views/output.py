"""Files that people name: written whole or not at all, where that can be."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def writing(path: Path) -> Iterator[BinaryIO]:
    """A file to write into: it is what it was until the block ends, and stays so where the block raises.

    A link stays one, and what it leads to is written. What is no regular file (a pipe, a terminal, `/dev/stdout`) is written into as it is.

    Raises:
        OSError: if it cannot be written.
    """
    if path.exists() and not path.is_file():
        with path.open("wb") as out:
            yield out
        return
    target = path.resolve()
    beside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with beside.open("wb") as out:
            yield out
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)

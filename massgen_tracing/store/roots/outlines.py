"""Outlines of recordings, live and sealed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from massgen_tracing import layout
from massgen_tracing.store.reading.outline import Asked, Lines, Outline
from massgen_tracing.store.roots import reader

M = TypeVar("M")


def read(paths: Iterable[Path], asked: Asked[M]) -> list[Outline[M]] | None:
    """The spans of recordings, of which each has to have spans of its own; None where they have to be read in full to know them.

    Args:
        paths: the recordings.
        asked: what is asked of the spans.
    """
    lines = Lines(asked)
    found: list[Outline[M]] = []
    try:
        for path in paths:
            if not reader.is_columnar(path):
                found += lines.read(path)
            elif layout.is_small(path):
                return None
            else:
                from massgen_tracing.store.sealing import outlined  # loads Arrow, which live files do not need

                found += outlined.read(path, asked)
    except Exception:  # noqa: BLE001 - whatever stops an outline, damage of any kind among it, the total reader skips it and reads the rest
        return None
    return found

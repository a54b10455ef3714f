"""What stands for one piece of work, or for one configuration, is not doubled by a copy."""

from __future__ import annotations

from typing import Self


class Single:
    """Copied and deep-copied, as `dataclasses.asdict` does with all that a dataclass holds, it stays the same object."""

    __slots__ = ()

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

"""A process that dies at a step of its work, as by SIGKILL."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import pytest


class Killed(BaseException):
    """Stands for SIGKILL."""


@contextlib.contextmanager
def dying(step: int, steps: Iterable[tuple[Any, str]]) -> Iterator[None]:
    """Within, the process dies when it has taken so many steps.

    Args:
        step: how many.
        steps: what is one: functions, by their owner and their name there.
    """
    left = step

    def until(real: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal left
            if left == 0:
                raise Killed
            left -= 1
            return real(*args, **kwargs)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for owner, name in steps:
            patch.setattr(owner, name, until(getattr(owner, name)))
        with contextlib.suppress(Killed):
            yield

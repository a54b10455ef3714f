"""Containers that are read as they go: what JSON text and protobuf have in common, and values that are in memory already.

A node is an object or an array. Its members or items are asked for once and in order, and what was given is used up when the next is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Protocol

DEEPEST: Final = 254
"""Levels of a value, as many as orjson writes; what is nested deeper is not read, for nothing here could work with it."""

TOO_DEEP: Final = f"a value that is nested deeper than {DEEPEST} levels"


class Broken(Exception):
    """The input does not go on as it has begun; the text says why."""


class Node(Protocol):
    """A container that has not been read yet."""

    is_object: bool

    def members(self) -> Iterator[tuple[str, Any]]:
        """Of an object, each key with a value or a node."""

    def items(self) -> Iterator[Any]:
        """Of an array, each value or node."""

    def batches(self) -> Iterator[list[Any]]:
        """Of an array, its items as values, some at a time."""

    def whole(self) -> Any:
        """All of it as a value."""

    def first_key(self) -> str:
        """The key of the first member, which is still to be read; empty where there is none."""


_ITEMS: Final = 256


def is_open(value: object) -> bool:
    """Whether a value is a node."""
    return hasattr(value, "whole")


def is_object(value: Any) -> bool:
    """Whether a value or node is an object."""
    return bool(value.is_object) if is_open(value) else isinstance(value, dict)


def is_array(value: Any) -> bool:
    """Whether a value or node is an array."""
    return not value.is_object if is_open(value) else isinstance(value, list)


def members(value: Any) -> Iterator[tuple[str, Any]]:
    """Of an object, each key with a value or a node."""
    return value.members() if is_open(value) else iter(value.items())


def items(value: Any) -> Iterator[Any]:
    """Of an array, each value or node."""
    return value.items() if is_open(value) else iter(value)


def batches(value: Any) -> Iterator[list[Any]]:
    """Of an array, its items as values, some at a time."""
    if is_open(value):
        return value.batches()  # type: ignore[no-any-return]
    return (value[start : start + _ITEMS] for start in range(0, len(value), _ITEMS))


def whole(value: Any) -> Any:
    """A value or node as a value."""
    return value.whole() if is_open(value) else value

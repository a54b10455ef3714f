"""Spans with their places in a recording: objects each, or columns of many, or some of both one after the other."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, chain
from typing import Self, final, overload

from massgen_tracing.delivery.encode.spans import Content, EncodedSpan, Home

Placed = tuple[EncodedSpan, int]
"""A span, and the position that is reached when it and all before it are dealt with."""


class Spans(Sequence[Placed], ABC):
    """Spans that follow each other."""

    @overload
    def __getitem__(self, at: int) -> Placed: ...
    @overload
    def __getitem__(self, at: slice) -> Self: ...
    @abstractmethod
    def __getitem__(self, at: int | slice) -> Placed | Self: ...

    @abstractmethod
    def contents(self) -> Iterator[tuple[Home, Content]]:
        """What they are in a request, in pieces of one span or of several, each with what it is of."""

    @abstractmethod
    def ended(self) -> Iterable[bytes]:
        """The keys of those that are no starts."""

    @abstractmethod
    def since(self, start_ns: float) -> Self:
        """Those that did not begin before."""


class Piece(Spans):
    """Those that were found together."""

    @abstractmethod
    def sizes(self) -> Sequence[int]:
        """How many bytes the first ones have in a request: none of them, one, and so on."""


@final
class Listed(Piece):
    """Each is an object."""

    def __init__(self, placed: Sequence[Placed]) -> None:
        self._placed = placed

    def __len__(self) -> int:
        return len(self._placed)

    def __iter__(self) -> Iterator[Placed]:
        return iter(self._placed)

    @overload
    def __getitem__(self, at: int) -> Placed: ...
    @overload
    def __getitem__(self, at: slice) -> Self: ...
    def __getitem__(self, at: int | slice) -> Placed | Self:
        return Listed(self._placed[at]) if isinstance(at, slice) else self._placed[at]

    def contents(self) -> Iterator[tuple[Home, Content]]:
        return ((span.home, span.content) for span, _ in self._placed)

    def sizes(self) -> Sequence[int]:
        return list(accumulate([len(span.content) for span, _ in self._placed], initial=0))

    def ended(self) -> Iterable[bytes]:
        return [span.key for span, _ in self._placed if not span.starts]

    def since(self, start_ns: float) -> Self:
        return Listed([placed for placed in self._placed if placed[0].start_ns >= start_ns])


NO_SPANS = Listed(())


@final
class Joined(Spans):
    """Some after the others."""

    def __init__(self, parts: Iterable[Spans] = ()) -> None:
        self._parts: list[Spans] = []
        self._begins = [0]
        """Of the parts, and of the next one."""
        for part in parts:
            self.append(part)

    def append(self, part: Spans) -> None:
        """Add some."""
        if part:
            self._parts.append(part)
            self._begins.append(len(self) + len(part))

    def __len__(self) -> int:
        return self._begins[-1]

    def __iter__(self) -> Iterator[Placed]:
        return chain.from_iterable(self._parts)

    @overload
    def __getitem__(self, at: int) -> Placed: ...
    @overload
    def __getitem__(self, at: slice) -> Self: ...
    def __getitem__(self, at: int | slice) -> Placed | Self:
        if isinstance(at, slice):
            begin, end, _ = at.indices(len(self))
            pairs = zip(self._parts, self._begins, strict=False)
            return Joined(part[max(0, begin - before) : max(0, end - before)] for part, before in pairs)
        number = range(len(self))[at]
        part = bisect_right(self._begins, number) - 1
        return self._parts[part][number - self._begins[part]]

    def contents(self) -> Iterator[tuple[Home, Content]]:
        return chain.from_iterable(part.contents() for part in self._parts)

    def ended(self) -> Iterable[bytes]:
        return chain.from_iterable(part.ended() for part in self._parts)

    def since(self, start_ns: float) -> Self:
        return Joined(part.since(start_ns) for part in self._parts)

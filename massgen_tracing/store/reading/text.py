"""JSON text as nodes, block by block: of a text of any length no more is in memory than one value that is asked for, and a block.

Where what is asked for is a list of many values, as many as a block has are parsed at once. That needs to know where a value ends: it is guessed, by
what stood between the first two, and the parser says whether the guess was right.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import orjson

from massgen_tracing.store.reading.nodes import DEEPEST, TOO_DEEP, Broken
from massgen_tracing.store.reading.values import Complain

_SPACE: Final = re.compile(r"[ \t\r\n\0\ufeff]*")
"""What may stand between values without harm: also the NULs that a power loss leaves, and a byte order mark."""

_BETWEEN: Final = re.compile(r'[ \t\r\n]*,[ \t\r\n]*\{[ \t\r\n]*"[^"\\]*"')
_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[][{}]', re.DOTALL)
_SPARE_COMMA: Final = re.compile(r'("(?:[^"\\]|\\.)*")|,(?=[ \t\r\n]*[]}])', re.DOTALL)
_DOCUMENT: Final = re.compile(r'\{\s*"(?:resource_?(?:[Ss]pans|[Ll]ogs|[Mm]etrics)|batches)"|(?<=\n)\{\s*"(?:resource|scope_?[Ss]pans)"')
"""Begins a document; inside of a JSON text its quotes would be escaped."""

_LINE_OF_DOCUMENT: Final = re.compile(rf"(?<=\n)(?:{_DOCUMENT.pattern})")
"""The same at the beginning of a line."""

_BEGINNING: Final = 64
"""Characters that are enough to know a document by."""

_FIRST_KEY: Final = re.compile(r'\{[ \t\r\n]*"([^"\\]*)"')
_AHEAD: Final = 4096

_AT_ONCE: Final = 2**17
"""Characters of a list that are parsed at once."""

_LINE: Final = 2**18
"""Longer lines are not tried as one document."""

_MENDED: Final = 2**22
"""Longer values are not mended."""

_LONGEST: Final = 2**26
"""A value of more characters is given up."""

_LOST: Final = object()

_scan: Final[Callable[[str, int], tuple[Any, int]]] = json.JSONDecoder().scan_once  # type: ignore[attr-defined]  # what `raw_decode` calls


class Text:
    """A text that comes in blocks.

    Args:
        blocks: gives the next block, empty at the end.
        complain: told of values that cannot be read and are passed over.
    """

    def __init__(self, blocks: Callable[[], str], complain: Complain) -> None:
        self._blocks = blocks
        self._complain = complain
        self._buffer = ""
        self._at = 0
        self._ended = False
        self._begins = _DOCUMENT
        self._lines_before = 0

    @property
    def line(self) -> int:
        """The number of the line that is being read, from 1."""
        return self._lines_before + self._buffer.count("\n", 0, self._at) + 1

    def more(self, at_least: int = 1) -> bool:
        """Read so many characters, or a block; False at the end.

        Raises:
            Broken: if there is too much already that is no whole value.
        """
        if len(self._buffer) - self._at > _LONGEST:
            raise Broken("a value that is too long")
        blocks: list[str] = []
        while not self._ended and sum(map(len, blocks)) < at_least:
            blocks.append(self._blocks())
            self._ended = not blocks[-1]
        self._lines_before += self._buffer.count("\n", 0, self._at)
        self._buffer = "".join((self._buffer[self._at :], *blocks))
        self._at = 0
        return any(blocks)

    def peek(self) -> str:
        """The next character that is no white space; empty at the end."""
        while True:
            self._at = _SPACE.match(self._buffer, self._at).end()  # type: ignore[union-attr]  # it always matches
            if self._at < len(self._buffer):
                return self._buffer[self._at]
            if not self.more():
                return ""

    def step(self) -> None:
        """Pass over the character that was peeked at."""
        self._at += 1

    def next(self, *, maybe_line: bool = False) -> Any:
        """The next value, or where that is a container its node.

        Args:
            maybe_line: whether it may well be all that its line has.
        """
        begins = self.peek()
        if begins not in {"{", "["}:
            return self.value()
        if maybe_line and begins == "{":
            if len(self._buffer) - self._at < _LINE:
                self.more()
            end = self._buffer.find("\n", self._at, self._at + _LINE)
            end = len(self._buffer) if end < 0 and self._ended else end
            piece = self._buffer[self._at : end].rstrip(", \t\r\0")
            if end >= 0 and piece.endswith("}"):
                try:
                    value = orjson.loads(piece)
                except ValueError:
                    pass
                else:
                    if not _is_too_deep(value):  # of others it may be one value only
                        self._at += len(piece)
                        return value
        return Container(self, is_object=begins == "{")

    def value(self) -> Any:
        """The next value, whole; None where it cannot be read but ends.

        Raises:
            Broken: if there is no end to it.
        """
        found = self._value()
        return None if found is _LOST else found

    def _value(self) -> Any:
        """The same; `_LOST` for a value that cannot be read."""
        self.peek()
        while True:
            try:
                value, end = _scan(self._buffer, self._at)
                if end < len(self._buffer) or self._ended or self._buffer[end - 1] in '}]"':
                    piece = self._buffer[self._at : end]
                    self._at = end
                    if _is_too_deep(value):
                        self._complain(TOO_DEEP)
                        return _LOST
                    return _without_halves(value) if "\\ud" in piece or "\\uD" in piece else value
                place = len(self._buffer)
            except StopIteration as stop:
                place = int(stop.value)
            except json.JSONDecodeError as error:
                place = len(self._buffer) if error.msg.startswith("Unterminated") else error.pos
            except ValueError:  # a number of thousands of digits
                return self._mended("a value that is too long")
            except RecursionError:
                raise self._too_deep() from None
            # Where the text that is here ends in the middle of something, the rest may come.
            if place < len(self._buffer) - 16:
                return self._mended("a value that is no JSON")
            if not self.more(len(self._buffer) - self._at):
                return self._mended("a value that breaks off")

    def _mended(self, problem: str) -> Any:
        """The value without commas that its writer has put in too much; `_LOST` if it is none without them either.

        Raises:
            Broken: if there is no end to it.
        """
        end = self._end()
        if end is None:
            raise Broken(problem)
        piece = _SPARE_COMMA.sub(r"\1", self._buffer[self._at : end])
        self._at = end
        try:
            return _without_halves(json.loads(piece, strict=False))
        except ValueError:
            self._complain(problem)
            return _LOST

    def _too_deep(self) -> Broken:
        """The next document is then looked for at the beginnings of lines: within such a value, each level may look like one."""
        self._begins = _LINE_OF_DOCUMENT
        return Broken(TOO_DEEP)

    def _end(self) -> int | None:
        """Where the container that begins here ends, by its brackets; None where it does not, or another document begins before.

        Raises:
            Broken: if it is nested too deep.
        """
        if self._buffer[self._at : self._at + 1] not in {"{", "["}:
            return None
        while True:
            depth = 0
            for token in _TOKEN.finditer(self._buffer, self._at):
                bracket = token[0]
                depth += (bracket in "{[") - (bracket in "}]") if len(bracket) == 1 else 0
                if depth > DEEPEST:
                    if _LINE_OF_DOCUMENT.search(self._buffer, self._at + 1, token.end()):
                        return None
                    raise self._too_deep()
                if not depth:
                    return None if _DOCUMENT.search(self._buffer, self._at + 1, token.end()) else token.end()
            if _DOCUMENT.search(self._buffer, self._at + 1) or len(self._buffer) - self._at > _MENDED or not self.more():
                return None

    def objects(self) -> Iterator[list[Any]]:
        """The values of a list up to its closing bracket, some at a time; each list of them has one at least."""
        between = ""
        while True:
            begins = self.peek()
            if begins == "]":
                self.step()
                return
            if begins == ",":
                self.step()
                continue
            if begins != "{":
                if begins in {"", "}", ":"}:
                    raise Broken("a list that breaks off")
                yield [self.value()]
                continue
            found = self._several(between) if between else []
            if found:
                shallow = self._shallow(found)
                if shallow:
                    yield shallow
                continue
            value = self._value()
            if value is not _LOST:
                yield [value]
            if len(self._buffer) - self._at < _AT_ONCE:
                self.more()
            shape = _BETWEEN.match(self._buffer, self._at)
            between = f"}}{shape[0]}" if shape is not None else ""

    def _several(self, between: str) -> list[Any]:
        """The next values, as many as are parsed at once; none where it cannot be told where they end."""
        if len(self._buffer) - self._at < _AT_ONCE:
            self.more()
        end = self._at + _AT_ONCE
        for _ in range(3):
            end = self._buffer.rfind(between, self._at, end)
            if end < 0:
                break
            piece = f"[{self._buffer[self._at : end + 1]}]"
            try:
                found: list[Any] = orjson.loads(piece)
            except orjson.JSONDecodeError as error:
                # The list may have ended before, and then the parser says where.
                closed = piece[: error.pos].rstrip()
                try:
                    found = orjson.loads(closed) if closed.endswith("]") and error.pos < len(piece) else []
                except orjson.JSONDecodeError:
                    continue
                if not found:
                    continue
                piece = closed
            self._at += len(piece) - 2
            return found
        return []

    def _shallow(self, values: list[Any]) -> list[Any]:
        """Those that are not nested too deep."""
        if not _is_too_deep(values):
            return values
        kept = [value for value in values if not _is_too_deep(value)]
        for _ in range(len(values) - len(kept)):
            self._complain(TOO_DEEP)
        return kept

    def recover(self) -> None:
        """After a broken document, go to where the next may begin: another document's first characters, or the next line."""
        in_document = self._buffer[self._at : self._at + 1] in {"{", "["}
        start = self._at + 1
        begins, self._begins = self._begins, _DOCUMENT
        while True:
            found = begins.search(self._buffer, start)
            line = -1 if in_document else self._buffer.find("\n", self._at)
            if line >= 0 and (found is None or line < found.start()):
                self._at = line + 1
                return
            if found is not None:
                self._at = found.start()
                return
            # The end of what was looked at may be how a document begins.
            self._at = start = max(min(start, len(self._buffer)), len(self._buffer) - _BEGINNING)
            if not self.more():
                self._at = len(self._buffer)
                return
            start = 0

    def key_ahead(self) -> str:
        """The first key of the object that comes next; empty where it has none."""
        if len(self._buffer) - self._at < _AHEAD:
            self.more()
        found = _FIRST_KEY.match(self._buffer, self._at)
        return found[1] if found is not None else ""


class Container:
    """An object or an array of a text."""

    def __init__(self, text: Text, *, is_object: bool) -> None:
        self._text = text
        self._used = False
        self.is_object = is_object

    def members(self) -> Iterator[tuple[str, Any]]:
        for begins in self._parts("}"):
            if begins != '"':
                raise Broken("an object that breaks off")
            key = self._text.value()
            if self._text.peek() != ":":
                raise Broken("an object that breaks off")
            self._text.step()
            value = self._text.next()
            yield key, value
            self._finish(value)

    def items(self) -> Iterator[Any]:
        for begins in self._parts("]"):
            if begins in {"}", ":"}:
                raise Broken("a list that breaks off")
            value = self._text.next(maybe_line=True)
            yield value
            self._finish(value)

    def batches(self) -> Iterator[list[Any]]:
        self._used = True
        self._text.step()
        return self._text.objects()

    def whole(self) -> Any:
        self._used = True
        return self._text.value()

    def first_key(self) -> str:
        return self._text.key_ahead()

    def _parts(self, closing: str) -> Iterator[str]:
        """What each part begins with, which is then to be read; commas do not count."""
        self._used = True
        self._text.step()
        while (begins := self._text.peek()) != closing:
            if begins == ",":
                self._text.step()
            elif begins:
                yield begins
            else:
                raise Broken("a document that breaks off")
        self._text.step()

    @staticmethod
    def _finish(value: Any) -> None:
        if isinstance(value, Container) and not value._used:  # noqa: SLF001 - one of our own
            value.whole()


def _is_too_deep(value: Any) -> bool:
    """Whether a value has more levels than are read."""
    try:
        orjson.dumps(value)  # which takes a tenth of what parsing took
    except orjson.JSONEncodeError:  # also for numbers and texts that orjson does not have
        pass
    else:
        return False
    level = [value]
    for _ in range(DEEPEST):
        level = [inner for each in level if isinstance(each, dict | list) for inner in (each.values() if isinstance(each, dict) else each)]
    return any(isinstance(each, dict | list) for each in level)


def _without_halves(value: Any) -> Any:
    """The same without halves of surrogate pairs, which cannot be written as UTF-8 and would stop Arrow and every terminal later."""
    text = json.dumps(value, ensure_ascii=False)
    if text.isascii():
        return value
    return json.loads(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))

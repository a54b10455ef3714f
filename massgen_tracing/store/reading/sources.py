"""Bytes of a file in whatever wrapping: compressed, or in pieces that say their lengths, as the Collector's file exporter writes them."""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Final

from massgen_tracing.store.reading import wire
from massgen_tracing.store.reading.values import Complain

GZIP: Final = b"\x1f\x8b"
ZSTD: Final = b"\x28\xb5\x2f\xfd"
WRAPPINGS: Final = {GZIP: "gzip", ZSTD[:2]: "zstd"}
PARQUET: Final = b"PAR1"
_UTF_16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, b"{\0", b"\0{", b"[\0", b"\0[")
HEAD: Final = 4096
_BLOCK: Final = 2**18
_DEEPEST: Final = 3
_LONGEST_PIECE: Final = 0x09000000
"""A piece is shorter, for no text begins as its length then does."""


class Foreign(Exception):
    """A file that is no OTLP at all; the text says what it is instead."""


class Source:
    """Bytes that can be looked at before they are read.

    Args:
        read: gives so many bytes at most, none at the end.
    """

    closed = False

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        self._ahead = b""

    def close(self) -> None:
        """There is nothing to be closed: who opened the file closes it."""

    def peek(self, size: int) -> bytes:
        """So many bytes, fewer at the end; they are still to be read."""
        while len(self._ahead) < size and (more := self._read(size - len(self._ahead))):
            self._ahead += more
        return self._ahead[:size]

    def some(self, size: int) -> bytes:
        """So many bytes at most, none at the end."""
        if self._ahead:
            found, self._ahead = self._ahead[:size], self._ahead[size:]
            return found
        return self._read(size)

    def read(self, size: int = -1) -> bytes:
        """So many bytes, fewer at the end."""
        parts = []
        while size and (part := self.some(size if size > 0 else _BLOCK)):
            parts.append(part)
            size -= len(part) if size > 0 else 0
        return b"".join(parts)

    def text(self) -> Callable[[], str]:
        """Gives the next block as text, empty at the end; what is no UTF-8 is replaced."""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")

        def block() -> str:
            text = ""
            while not text and (part := self.some(_BLOCK)):
                text = decoder.decode(part)
            return text or decoder.decode(b"", final=True)

        return block


class Piece:
    """A part of a file that is one text, or one message of protobuf.

    Attributes:
        source: its bytes.
        is_text: whether it is a text.
        alone: whether it is all of the file, so that its lines are the file's.
    """

    def __init__(self, source: Source, *, is_text: bool, alone: bool) -> None:
        self.source = source
        self.is_text = is_text
        self.alone = alone


def pieces(source: Source, complain: Complain, depth: int = 0) -> Iterator[Piece]:
    """The texts and messages that a file has, in order.

    Args:
        source: its bytes.
        complain: told where it breaks off.
        depth: how often it was unwrapped.

    Raises:
        Foreign: if it is something else.
    """
    head = source.peek(HEAD)
    if head.startswith((GZIP, ZSTD)) and depth < _DEEPEST:
        unwrap = _gunzip if head.startswith(GZIP) else _unzstd
        inner = Source(_ending(unwrap(source), complain))
        try:
            yield from pieces(inner, complain, depth + 1)
        except Foreign as foreign:
            raise Foreign(f"{WRAPPINGS[head[:2]]} of something else: {foreign}") from None
    elif head.startswith(PARQUET):
        raise Foreign("it is a Parquet file, compressed or in pieces")
    elif head.startswith(_UTF_16):
        raise Foreign("it is text in UTF-16; OTLP/JSON is UTF-8")
    elif _is_framed(head) and depth < _DEEPEST:
        while length := int.from_bytes(source.read(4), "big"):
            content = source.read(length)
            if len(content) < length:
                complain("a piece that breaks off")
            yield from pieces(Source(io.BytesIO(content).read), complain, depth + 1)
    elif head:
        is_text = not wire.begins_message(head) or _is_text(head)
        yield Piece(source, is_text=is_text, alone=depth == 0)


def _is_framed(head: bytes) -> bool:
    """Whether a file begins with a length of four bytes and something that may be so long."""
    inner = head[4:]
    known = inner.startswith(ZSTD) or wire.begins_message(inner) or inner[:1] in {b"{", b"["}
    return len(inner) > 0 and 0 < int.from_bytes(head[:4], "big") < _LONGEST_PIECE and known


_CONTROL: Final = frozenset(range(32)) - frozenset(b"\t\n\r")


def _is_text(head: bytes) -> bool:
    return head.lstrip()[:1] in {b"{", b"["} and _CONTROL.isdisjoint(head[:256])


def _gunzip(source: Source) -> Callable[[int], bytes]:
    return gzip.GzipFile(fileobj=source, mode="rb").read1  # type: ignore[call-overload,no-any-return]  # all it asks for is `read`


def _unzstd(source: Source) -> Callable[[int], bytes]:
    import pyarrow as pa

    stream = pa.CompressedInputStream(pa.PythonFile(source, mode="r"), "zstd")
    return lambda size: stream.read(min(size, 2**16))


def _ending(read: Callable[[int], Any], complain: Complain) -> Callable[[int], bytes]:
    """The same, which ends where the compressed data cannot be read any further."""
    ended = False

    def guarded(size: int) -> bytes:
        nonlocal ended
        if ended:
            return b""
        try:
            return bytes(read(size))
        except (OSError, EOFError, ValueError, zlib.error) as error:
            ended = True
            complain(f"compressed data that breaks off ({error})")
            return b""

    return guarded

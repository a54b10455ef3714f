"""The body of a request, within bounds: as it is sent, and when it is decompressed."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from starlette.requests import ClientDisconnect, Request

_SECONDS: Final = 60.0
"""In which a body has to be there."""

_MOST_HELD: Final = 2**28
"""Bytes of all bodies that are in memory at the same time."""

_BLOCK: Final = 2**20


class Refused(Exception):
    """A request that is not taken.

    Args:
        status: of the answer.
        problem: what is wrong, and what was expected.
    """

    def __init__(self, status: int, problem: str) -> None:
        super().__init__(problem)
        self.status = status


class Bodies:
    """Reads bodies.

    Args:
        most_body: bytes of one as it is sent.
        most_content: bytes of one when it is decompressed.
    """

    def __init__(self, most_body: int, most_content: int) -> None:
        self._most_body = most_body
        self._most_content = most_content
        self._held = 0

    @asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[bytes]:
        """The body as it was sent, which counts as held for as long as the block runs.

        Raises:
            Refused: if it is too large, too slow, or too much is held already.
        """
        said = request.headers.get("content-length", "0")
        if said.isascii() and said.isdecimal() and len(said) < 20 and int(said) > self._most_body:
            raise self._too_large()
        parts: list[bytes] = []
        size = 0
        try:
            try:
                async with asyncio.timeout(_SECONDS):
                    async for part in request.stream():
                        size += len(part)
                        self._held += len(part)
                        if size > self._most_body:
                            raise self._too_large()
                        if self._held > _MOST_HELD:
                            raise Refused(429, "The server holds as much as it may of what was sent; send this again in a moment")
                        parts.append(part)
            except TimeoutError:
                raise Refused(408, f"The body was not there in {_SECONDS:g} seconds") from None
            except ClientDisconnect:
                raise Refused(400, "The body breaks off") from None
            yield b"".join(parts)
        finally:
            self._held -= size

    def content(self, body: bytes, encoding: str) -> bytes:
        """What a body says, decompressed.

        Args:
            body: as it was sent.
            encoding: its `Content-Encoding`.

        Raises:
            Refused: if the encoding is not known, or the body is not in it, or its content is too large.
        """
        name = encoding.strip().lower()
        if name in {"", "identity"}:
            return body
        decompress = _BY_ENCODING.get(name)
        if decompress is None:
            raise Refused(415, f"The Content-Encoding {name[:80]!r} is not known; expected one of identity, {', '.join(_BY_ENCODING)}")
        try:
            content = decompress(body, self._most_content + 1)
        except (zlib.error, OSError, ValueError, EOFError) as error:
            raise Refused(400, f"The body is no {name} ({str(error)[:200]})") from None
        if len(content) > self._most_content:
            raise Refused(413, f"The body is too large when it is decompressed; expected at most {self._most_content:,} bytes")
        return content

    def _too_large(self) -> Refused:
        return Refused(413, f"The body is too large; expected at most {self._most_body:,} bytes, such as spans in several requests")


def _inflated(window: int) -> Callable[[bytes, int], bytes]:
    def inflate(body: bytes, most: int) -> bytes:
        content = bytearray()
        while body and len(content) < most:
            stream = zlib.decompressobj(window)
            content += stream.decompress(body, most - len(content))
            if not stream.eof and len(content) < most:
                raise EOFError("it breaks off")
            body = stream.unused_data  # gzip may have several members
        return bytes(content)

    return inflate


def _unzstd(body: bytes, most: int) -> bytes:
    import pyarrow as pa

    content = bytearray()
    with pa.CompressedInputStream(pa.BufferReader(body), "zstd") as stream:
        while len(content) < most and (part := stream.read(min(_BLOCK, most - len(content)))):
            content += part
    return bytes(content)


_BY_ENCODING: Final[dict[str, Callable[[bytes, int], bytes]]] = {"gzip": _inflated(31), "deflate": _inflated(15), "zstd": _unzstd}

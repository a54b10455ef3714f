"""A provider's stream with a model call that hears what it says, from its first chunk to its end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from massgen_tracing import guard
from massgen_tracing.trace.replies import Reply
from massgen_tracing.trace.reported import as_mapping


class Heard:
    """A stream that is used as the one that it was made of: iterated, entered, closed, asked for what that one has.

    Args:
        stream: an iterator or an async iterator of chunks.
        began: is called at the first chunk.
        ended: is called once, with what has come and what the stream was left with: None at its end, GeneratorExit where it was left before.
    """

    def __init__(self, stream: Any, began: Callable[[], None], ended: Callable[[Reply, BaseException | None], None]) -> None:
        self._stream = stream
        self._began = began
        self._ended: Callable[[Reply, BaseException | None], None] | None = ended
        self._reply = Reply()
        self._source: Any = None
        self._heard = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self._source is None:
            self._source = iter(self._stream)
        try:
            chunk = next(self._source)
        except BaseException as error:
            self._over(None if isinstance(error, StopIteration) else error)
            raise
        self._hear(chunk)
        return chunk

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        if self._source is None:
            self._source = aiter(self._stream)
        try:
            chunk = await anext(self._source)
        except BaseException as error:
            self._over(None if isinstance(error, StopAsyncIteration) else error)
            raise
        self._hear(chunk)
        return chunk

    def __enter__(self) -> Any:
        if hasattr(self._stream, "__enter__"):
            self._stream = self._stream.__enter__()
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> Any:
        self._over(error or GeneratorExit())
        return self._stream.__exit__(kind, error, traceback) if hasattr(self._stream, "__exit__") else None

    async def __aenter__(self) -> Any:
        if hasattr(self._stream, "__aenter__"):
            self._stream = await self._stream.__aenter__()
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> Any:
        self._over(error or GeneratorExit())
        return await self._stream.__aexit__(kind, error, traceback) if hasattr(self._stream, "__aexit__") else None

    def close(self) -> Any:
        """Close the stream; of an async one whatever its `close` returns."""
        self._over(GeneratorExit())
        return self._stream.close()

    async def aclose(self) -> None:
        """Close an async generator."""
        self._over(GeneratorExit())
        await self._stream.aclose()

    def __del__(self) -> None:
        self._over(GeneratorExit())

    def _hear(self, chunk: object) -> None:
        self._heard = True
        try:
            self._began()
            self._reply.read(as_mapping(chunk))
        except Exception as error:  # noqa: BLE001 - telemetry never breaks the run
            guard.swallow("model_call.chunk", error)

    def _over(self, error: BaseException | None) -> None:
        ended, self._ended = self._ended, None
        if ended is not None:
            try:
                if not self._heard:  # it was read in another way, as by the `text_stream` of Anthropic's, which knows what has come
                    self._reply.read(as_mapping(getattr(self._stream, "current_message_snapshot", None)))
                ended(self._reply, error)
            except Exception as failure:  # noqa: BLE001 - telemetry never breaks the run
                guard.swallow("model_call.end", failure)

# mypy: ignore-errors
# It runs in an environment that has the library.

import asyncio

import anthropic

QUESTION = {"model": "claude-opus-4-5", "max_tokens": 100, "messages": [{"role": "user", "content": "Six times seven?"}]}


async def ask_at_once() -> None:
    client = anthropic.AsyncAnthropic()

    async def streamed() -> None:
        async with client.messages.stream(**QUESTION) as stream:
            async for _ in stream.text_stream:
                pass

    await asyncio.gather(streamed(), streamed())


anthropic.Anthropic().messages.create(**QUESTION)
asyncio.run(ask_at_once())

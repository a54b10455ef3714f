# mypy: ignore-errors
# It runs in an environment that has the library.

import asyncio

import openai


def ask() -> None:
    client = openai.OpenAI()
    client.chat.completions.create(model="gpt-5-mini", messages=[{"role": "user", "content": "Six times seven?"}])


async def ask_at_once() -> None:
    client = openai.AsyncOpenAI()

    async def streamed(number: int) -> None:
        messages = [{"role": "user", "content": f"And {number}?"}]
        async for _ in await client.chat.completions.create(
            model="gpt-5-mini", messages=messages, stream=True, stream_options={"include_usage": True}
        ):
            pass

    await asyncio.gather(streamed(1), streamed(2), streamed(3))
    await client.responses.create(model="gpt-5-mini", input=[{"role": "user", "content": "By the other interface?"}])


ask()
asyncio.run(ask_at_once())

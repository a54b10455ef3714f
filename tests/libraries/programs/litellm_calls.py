# mypy: ignore-errors
# It runs in an environment that has the library.

import asyncio

import litellm

QUESTION = {"model": "openai/gpt-5-mini", "messages": [{"role": "user", "content": "Six times seven?"}]}


async def ask_at_once() -> None:
    await asyncio.gather(litellm.acompletion(**QUESTION), litellm.acompletion(**QUESTION))


litellm.completion(**QUESTION)
asyncio.run(ask_at_once())

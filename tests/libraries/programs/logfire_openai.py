# mypy: ignore-errors
# It runs in an environment that has the library.

import asyncio

import logfire
import openai

logfire.configure(send_to_logfire=False, console=False)
logfire.instrument_openai()


def ask() -> None:
    openai.OpenAI().chat.completions.create(model="gpt-5-mini", messages=[{"role": "user", "content": "Six times seven?"}])


async def ask_at_once() -> None:
    client = openai.AsyncOpenAI()

    async def asked(number: int) -> None:
        await client.chat.completions.create(model="gpt-5-mini", messages=[{"role": "user", "content": f"And {number}?"}])

    await asyncio.gather(asked(1), asked(2), asked(3))
    await client.responses.create(model="gpt-5-mini", input=[{"role": "user", "content": "By the other interface?"}])


with logfire.span("asking"):
    ask()
    asyncio.run(ask_at_once())

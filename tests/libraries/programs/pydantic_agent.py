# mypy: ignore-errors
# It runs in an environment that has the library.

import asyncio

from pydantic_ai import Agent

Agent.instrument_all()
agent = Agent("openai-chat:gpt-5-mini", name="helper")


async def ask_at_once() -> None:
    await asyncio.gather(agent.run("Six times seven?"), agent.run("And eight?"))


asyncio.run(ask_at_once())

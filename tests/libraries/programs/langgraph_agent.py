# mypy: ignore-errors
# It runs in an environment that has the library.

import asyncio

from langchain.agents import create_agent
from langchain_openai import ChatOpenAI

model = ChatOpenAI(model="gpt-5-mini", stream_usage=True)


async def ask_at_once() -> None:
    agent = create_agent(model, [])
    asked = {"messages": [("user", "Six times seven?")]}
    await asyncio.gather(agent.ainvoke(asked), agent.ainvoke(asked))
    async for _ in model.astream("Bit by bit?"):
        pass


model.invoke("Directly?")
for _ in model.stream("Word by word?"):
    pass
asyncio.run(ask_at_once())

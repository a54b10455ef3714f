# mypy: ignore-errors
# It runs in an environment that has the library.

import asyncio

import agents

agents.set_default_openai_api("chat_completions")
agents.set_tracing_disabled(False)
agents.set_trace_processors([])


async def ask_at_once() -> None:
    agent = agents.Agent(name="helper", instructions="Help.", model="gpt-5-mini")
    await asyncio.gather(agents.Runner.run(agent, "Six times seven?"), agents.Runner.run(agent, "And eight?"))


asyncio.run(ask_at_once())

"""A small real coordinator, so that there is something to trace on a machine with nothing else.

Agents work on a question in parallel, each answers (`new_answer`) or votes (`vote`), a new answer restarts the others, and when all
have voted the winner presents: MassGen's protocol, against any OpenAI-compatible endpoint and real MCP servers.

    config      what a run is made of; `config_file` reads it from YAML
    protocol    the workflow tools, the prompts, and what a model's reply means
    board       answers and votes so far; says which moves are allowed
    voting      who wins, and why
    model_openai   one agent's model, through the `openai` package (the only file that imports it)
    tools       one agent's MCP servers, through the `mcp` package (the only file of the client side that imports it)
    seat        an agent at the table: its model, its tool servers, what it has cost
    spending    what model calls have used, and when that is enough
    progress    what a run tells while it goes on
    attempts    tries at a valid move: each refusal is one enforcement
    agent       one round of one agent, as a stream
    rounds      drives the streams, restarts, times out, watches that something happens
    coordinator    one run from the question to the final answer
    finish      the winner's presentation
    scripted    a local OpenAI-compatible endpoint that plays a script; `script` is the script of the dry run
    tool_server    the MCP server that ships: files and a shell inside one directory
"""

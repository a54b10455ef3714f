"""Logfire's interface over a local root: what SDKs send is recorded there, and Logfire's query clients, assistants and a browser ask what it has.

    command    `massgen-tracing serve`
    running    a server on its port
    app        all routes together
    guarding   who may ask, and how much
    ingest     what is sent here, durably into the root
    queries    Logfire's query API over the store
    served     what is served to whom

Each leans on those below it. What is asked of the store is answered by processes of their own, so that no question holds up what is sent.
"""

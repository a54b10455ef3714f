"""Unmodified MassGen, seen from outside: the only room that knows MassGen.

`points` is the table of what is replaced, `patches` replaces it. `coordination` makes sessions and rounds, `model_calls` and
`tool_calls` what agents do in them: `http` and `wire` see what a call sends and gets, `programs` what backends do that are programs of their own,
`subagents` what other MassGens an agent starts. `own_tracing` keeps MassGen's own spans from standing beside ours. `imports` makes recordings of log
directories that were never traced.
"""

"""The files of a run's directory as projections of its recording: pure functions of records, the same live and afterwards.

    values      what a record says, read without trusting it
    encoded     text and values as bytes
    usage       tokens, cost and time, added up exactly
    state       what is kept of a run: counters, and little of each round
    scribe      has the state, and tells what happens
    work, points         model calls and tools; answers, votes and the like
    judged      what the state comes to: who is at what, which votes count, who has won
    fold        records, in any order, into that state; tells what happened as events
    events      an event: how it stands in a line, and when it happened
    status, metrics      the state as `status.json` and as `metrics_summary.json`
    lines       an event as lines of the logs, and of the coordination's timeline
    artifacts   the state as answers, votes, traces, the manifest and the metadata
    journal     a file that grows by lines while the run goes on, and is in order when it has ended
    writer      writes a file whole or not at all, and leaves it alone where nothing has changed
    directory   all files of one run, brought up to date

Whoever folds the same records, in whatever order, has the same state, and the state alone says what stands in the files. So those that were written
live and those that `massgen-tracing logs rebuild` makes of the recording are the same to the byte.
"""

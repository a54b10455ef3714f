"""Files of any OTLP writer -> spans, log records and data points, also while it still writes.

values      attributes, ids, times, numbers, however they are written; names how their keys are spelled
otlp        OTLP/JSON of spans -> records of the vocabulary; encode the way back
signals     any signal -> records
lines       lines of our own writer -> span records, fast
live        one file's lines, kept for the next time
foreign     a file of another program, value by value: sources unwraps it, text and wire read it as nodes, envelopes finds what is in them;
            looks says what it is where it is no OTLP
spans       spans that have ended, each once
recording   what several files say, put together
report      what was read and what was skipped
liveness    whether a file's writer still runs
"""

"""Files of any OTLP/JSON writer -> spans, log records and data points, also while it still writes.

otlp        OTLP/JSON -> records of the vocabulary, strictly; encode the way back
lines       lines of our own writer -> span records, fast
signals     logs and metrics -> records
live        one file's lines, kept for the next time
recording   what several files say, put together
report      what was read and what was skipped
liveness    whether a file's writer still runs
"""

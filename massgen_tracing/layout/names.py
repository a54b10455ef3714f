"""What variables, directories and files are called."""

from __future__ import annotations

import re
from typing import Final

DEFAULT_ROOT: Final = ".massgen"
ROOT_VARIABLE: Final = "MASSGEN_TRACING_ROOT"
"""The environment variable that names the directory of runs and recordings."""

LOGS_DIR: Final = "massgen_logs"
RUN_VARIABLE: Final = "MASSGEN_TRACING_RUN"
"""The environment variable by which a process that belongs to a run is told the attempt's directory: what it records goes there too."""

OUTER_VARIABLE: Final = "MASSGEN_TRACING_OUTER_RUN"
"""The environment variable by which a child process is told the directory of the attempt that it was started in. Its own sessions are runs in that
one; what else it records goes there.

Where it was started without a session, it is told `<root>/traces/<name>`: what begins the names of the recordings of all that belong together.
"""

TOOL_LOG_VARIABLE: Final = "MASSGEN_TRACING_TOOL_LOG"
"""The environment variable that names the file in which the coordinator's tool server logs its calls."""

TURN_PREFIX: Final = "turn_"
ATTEMPT_PREFIX: Final = "attempt_"
TRACES_DIR: Final = "traces"
"""Recordings of work without a session: of a process, and of those that it has started, whose names begin alike."""

TRACE_TIME_FORMAT: Final = "trace_%Y%m%d_%H%M%S_%f"
"""Begins their names: when the process began; its id follows."""

RUN_PREFIX: Final = "log_"
RUN_TIME_FORMAT: Final = "log_%Y%m%d_%H%M%S_%f"
OLD_RUN_TIME_FORMAT: Final = "log_%Y%m%d_%H%M%S"
"""As MassGen's first versions named runs."""

NESTED_FILE: Final = ".nested_runs"
"""In an attempt's directory: the directories of runs that were started in it, one a line, seen from there."""

OUTER_FILE: Final = ".outer_run"
"""In the directory of such a run: the directory of that attempt, seen from there."""

TIMED: Final = re.compile(r"(?:log|trace)_(\d{4}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])_(?:[01]\d|2[0-3])[0-5]\d[0-5]\d(?:_\d{6})?)(?![^_])")
"""The names of runs and of recordings outside of them that tell a time, which is as its digits are."""

RECORDING_STEM: Final = "trace"
RECORDING_SUFFIX: Final = ".otlp.jsonl"
SEALED_SUFFIX: Final = ".parquet"
"""Ends a sealed recording's name, in place of `RECORDING_SUFFIX`."""

SMALL_SUFFIX: Final = ".spans"
"""The same, of one that is too small for a Parquet file, where there are many such."""

SEGMENTS_DIR: Final = ".segments"
"""In a root: the rows of many small sealed recordings together, for questions about many of them; may be deleted at any time."""

AGAIN_SUFFIX: Final = ".again"
"""Among the segments: ends the name of a file that says of a run, by its own name and its time, that it goes on after it was put into one."""

ARRIVALS_DIR: Final = ".arrivals"
"""In a root: what was sent to a server and is on the disk, but not yet in recordings; a file for what was acknowledged together."""

ARRIVAL_SUFFIX: Final = ".arrived"
"""Ends the name of such a file: requests of OTLP, each behind its length in four bytes."""

SORTED_SUFFIX: Final = ".sorted"
"""The same, when recordings have what is in it; it goes when these are on the disk."""

BROKEN_SUFFIX: Final = ".broken"
"""Ends the name of a file of requests, in the same form, that could not be put into recordings; nothing reads it."""

ARRIVALS_LOCK: Final = "lock"
"""Among the arrivals: a file that the server which takes them holds locked."""

SIGNALS_DIR: Final = "signals"
"""In a root: recordings of the logs and metrics that a server was sent."""

STATUS_FILE: Final = "status.json"
MASSGEN_LOG: Final = "massgen.log"
FINAL_DIR: Final = "final"
OUTPUTS_DIR: Final = "agent_outputs"
WORKSPACES_DIR: Final = "workspaces"
ANSWER_FILE: Final = "answer.txt"
INDEX_FILE: Final = ".recordings.json"
"""In a root: what its recordings have, so that a question need not open those that cannot answer it; may be deleted at any time."""

PROBLEMS_FILE: Final = "tracing_problems.jsonl"
"""What the package swallowed, one JSON object a line, for `massgen-tracing doctor`."""

WRITER_PREFIX: Final = ".writer."
"""In a root: begins the names of files that a process holds locked for as long as it vouches for recordings by a `Voucher`."""

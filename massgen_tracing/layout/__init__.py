"""Where each file of a run lies, and what it is called: `names`, `runs` (directories), `recordings`.

Standard library only, so that the writing half (which makes the directories) and the reading half (which finds them) agree by
construction.
"""

# ruff: noqa: F403 - all of it is this package's
from massgen_tracing.layout.names import *
from massgen_tracing.layout.recordings import *
from massgen_tracing.layout.runs import *

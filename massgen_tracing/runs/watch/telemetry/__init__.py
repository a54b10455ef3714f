"""The OpenTelemetry that agents emit themselves, where a command is started to be watched: switched on, taken in, and read for what it used.

switched    the environment and the arguments by which a program emits it, where its user has not switched it on already
receiver    takes what is sent, on an address of this machine
events      what is sent → model calls and tool calls, in the terms of transcripts
"""

from __future__ import annotations

from massgen_tracing.runs.watch.telemetry.receiver import Telemetry
from massgen_tracing.runs.watch.telemetry.switched import switched_on

__all__ = ["Telemetry", "switched_on"]

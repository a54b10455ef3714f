"""The crash-safe local recording of every run: OTLP/JSON lines, a line at a span's start and one at its end."""

from massgen_tracing.sinks.recording.ended import seal_apart
from massgen_tracing.sinks.recording.processor import Recording

__all__ = ["Recording", "seal_apart"]

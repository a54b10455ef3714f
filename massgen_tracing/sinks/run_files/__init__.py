"""The files of a run, written while it goes on: `status.json` above all, by which others watch it."""

from massgen_tracing.sinks.run_files.processor import LiveFiles

__all__ = ["LiveFiles"]

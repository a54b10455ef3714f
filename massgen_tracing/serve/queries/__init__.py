"""Logfire's query API: SQL over HTTP, answered by the store."""

from massgen_tracing.serve.queries.routes import routes

__all__ = ["routes"]

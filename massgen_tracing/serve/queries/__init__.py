"""Logfire's query API: SQL over HTTP, answered by the store."""

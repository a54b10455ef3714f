"""The facade: contexts across every border, typed openers and handles, payloads bounded and scrubbed.

Knows no sink. `massgen_tracing.configure()` tells it where spans go.
"""

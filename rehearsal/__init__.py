"""Real MassGen on a scripted model: what the tests, the benchmark and `make demo-massgen` share. Not part of the installed package."""

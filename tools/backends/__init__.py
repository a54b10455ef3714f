"""The real Collector and the real Jaeger, on this machine and without Docker, with the configuration of `collector/`."""

"""Where spans go: the local recording, an OTLP collector, Logfire. Each is an OpenTelemetry span processor, isolated from the others."""

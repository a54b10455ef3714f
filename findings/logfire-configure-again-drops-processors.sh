#!/bin/sh
# logfire 5.2.0 (opentelemetry-sdk 1.45.2), seen 2026-11-28.
#
# Guess: a span processor that was added to the global provider with `trace.get_tracer_provider().add_span_processor(p)` sees every later span,
#   as it does with OpenTelemetry's own provider.
# Seen: `logfire.configure()` puts a new provider inside its proxy, without the processors that were added to the old one, and says nothing:
#   before 1, after 1 (the second span is missing). Only `additional_span_processors=` of the last call count.
#
# Installs the packages into a temporary folder; exits with 1 when they behave otherwise. PYTHON=python3.12 chooses the interpreter.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
"${PYTHON:-python3}" -m venv "$place/env"
"$place/env/bin/python" -m pip install --quiet --disable-pip-version-check "logfire==5.2.0" "opentelemetry-sdk==1.45.2" "opentelemetry-exporter-otlp-proto-http==1.45.2"
cd "$place"
"$place/env/bin/python" - <<'PROGRAM' | tee seen
import logfire
from opentelemetry import trace
from opentelemetry.sdk.trace import SpanProcessor

class Count(SpanProcessor):
    seen = 0
    def on_end(self, span):
        Count.seen += 1

logfire.configure(send_to_logfire=False, console=False, inspect_arguments=False)
trace.get_tracer_provider().add_span_processor(Count())
with logfire.span("one"):
    pass
before = Count.seen
logfire.configure(send_to_logfire=False, console=False, inspect_arguments=False)
with logfire.span("two"):
    pass
print("before", before, "after", Count.seen)
PROGRAM
grep -qx "before 1 after 1" seen

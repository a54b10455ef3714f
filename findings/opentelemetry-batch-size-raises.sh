#!/bin/sh
# opentelemetry-sdk 1.45.2, seen 2026-11-28.
#
# Guess: an environment variable with a number that is too large is clamped or passed over with a warning, as OTEL_BSP_MAX_EXPORT_BATCH_SIZE=many is
#   ("Unable to parse value ... as integer. Defaulting to 512").
# Seen: OTEL_BSP_MAX_EXPORT_BATCH_SIZE=99999, more than the queue's 2048, has `BatchSpanProcessor(exporter)` raise out of the program's own set-up:
#   "ValueError max_export_batch_size must be less than or equal to max_queue_size."
#
# Installs the package into a temporary folder; exits with 1 when it behaves otherwise. PYTHON=python3.12 chooses the interpreter.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
"${PYTHON:-python3}" -m venv "$place/env"
"$place/env/bin/python" -m pip install --quiet --disable-pip-version-check "opentelemetry-sdk==1.45.2"
cd "$place"
OTEL_BSP_MAX_EXPORT_BATCH_SIZE=99999 "$place/env/bin/python" - <<'PROGRAM' | tee seen
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter

try:
    BatchSpanProcessor(ConsoleSpanExporter())
except ValueError as error:
    print("ValueError", error)
PROGRAM
grep -qx "ValueError max_export_batch_size must be less than or equal to max_queue_size." seen

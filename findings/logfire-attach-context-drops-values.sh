#!/bin/sh
# logfire 5.2.0 (opentelemetry-sdk 1.45.2), seen 2026-11-28.
#
# Guess: `with logfire.attach_context(logfire.get_context())` around a piece of work makes the same span current again and leaves the rest of
#   OpenTelemetry's Context as it is.
# Seen: the Context is replaced by one that is made of the W3C headers alone. Values that were set with `opentelemetry.context.set_value` are gone within
#   the block, and the parent counts as remote: "value None remote True". Logfire itself does so around the record that it writes at the end of a
#   model's stream ("streaming response from … took …"), so a processor that reads the Context of that record finds only the parent's ids.
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
from opentelemetry import context, trace

logfire.configure(send_to_logfire=False, console=False)
with logfire.span("one"):
    context.attach(context.set_value("mine", "kept"))
    with logfire.attach_context(logfire.get_context()):
        print("value", context.get_value("mine"), "remote", trace.get_current_span().get_span_context().is_remote)
PROGRAM
grep -qx "value None remote True" seen

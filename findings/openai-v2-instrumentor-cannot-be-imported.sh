#!/bin/sh
# OpenTelemetry's instrumentor of OpenAI's client, opentelemetry-instrumentation-openai-v2 2.4b0, as pip installs it beside openai 3.57.0, seen on
# 2026-11-29: it cannot be imported.
#
# The good guess: pip installs what a package requires, so that the newest instrumentor works with the newest client that its range allows.
# Seen: it imports httpx, which it does not require and which openai no longer brings (that is httpx2 now): "No module named 'httpx'". With httpx
# installed it imports opentelemetry.util.genai.instruments, which opentelemetry-util-genai 1.3b0, the one that pip takes for its open range, has not.
# Ends with 1 if any of this is no longer so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
install() { "$folder/venv/bin/pip" install --quiet --disable-pip-version-check "$@"; }
tried() { "$folder/venv/bin/python" -c 'import opentelemetry.instrumentation.openai_v2' 2>&1 | tail -1; }
install opentelemetry-instrumentation-openai-v2==2.4b0 openai==3.57.0 opentelemetry-util-genai==1.3b0
bare=$(tried)
install httpx==0.28.1
with=$(tried)
printf '%s\n' "as it is installed: $bare" "with httpx: $with"
[ "$bare" = "ModuleNotFoundError: No module named 'httpx'" ]
[ "$with" = "ModuleNotFoundError: No module named 'opentelemetry.util.genai.instruments'" ]

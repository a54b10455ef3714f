#!/bin/sh
# Logfire 5.4.0, seen on 2026-11-29: its query client needs httpx, which an installation of Logfire does not bring, and which no extra of that name does.
#
# The good guess: `from logfire.query_client import LogfireQueryClient` works where `pip install logfire` was enough to send spans; else `logfire[httpx]`.
# Seen: it is an ImportError. The extra `httpx` brings an instrumentor of httpx, and not httpx itself.
# Ends with 1 if any of this is no longer so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'logfire[httpx]==5.4.0' logfire-sdk==5.4.0
if "$folder/venv/bin/python" -c 'import logfire.query_client' 2>"$folder/said"; then exit 1; fi
grep --quiet 'httpx is required to use the Logfire query clients' "$folder/said"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'httpx<1'
"$folder/venv/bin/python" -c 'import logfire.query_client'
echo "as seen"

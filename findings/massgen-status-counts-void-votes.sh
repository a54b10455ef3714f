#!/bin/sh
# MassGen 0.1.97 with mcp 1.30.0, seen on 2026-11-29: the votes in `status.json` are not those that counted.
#
# The good guess: `results.votes` says how many votes each answer has, one for each agent that voted; the answer with most of them has won.
# Seen: it counts every vote that was ever cast, those too that a new answer made void. An agent that is asked again has two votes or more: here one
# voter has one for agent1.1 and one for agent1.2. In a run of three agents, 3, 1 and 1 votes stood in the file where each answer had one that counted.
# Who wants the votes that counted takes the last one of each agent.
# Ends with 1 if any of this is no longer so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check uv==0.11.6
"$folder/venv/bin/uv" pip install --quiet --python "$folder/venv/bin/python" massgen==0.1.97 mcp==1.30.0  # newer ones lack what it imports
cat >"$folder/count.py" <<'PYTHON'
import json
import sys
from pathlib import Path

from massgen.coordination_tracker import CoordinationTracker

log = Path(sys.argv[1])
tracker = CoordinationTracker()
tracker.initialize_session(["agent_a", "agent_b"])
tracker.add_agent_answer("agent_a", "first")
tracker.add_agent_vote("agent_b", {"agent_id": "agent_a", "reason": "the only one"})
tracker.add_agent_answer("agent_a", "second")  # agent_b's vote is void by that, and it is asked again
tracker.add_agent_vote("agent_b", {"agent_id": "agent_a", "reason": "better still"})
tracker.save_status_file(log)
votes = json.loads((log / "status.json").read_text())["results"]["votes"]
print("votes of one voter:", votes)
sys.exit(0 if sum(votes.values()) == 2 else 1)
PYTHON
mkdir "$folder/log" "$folder/home"
cd "$folder/home"
HOME="$folder/home" "$folder/venv/bin/python" -W ignore "$folder/count.py" "$folder/log" 2>"$folder/errors" || { cat "$folder/errors" >&2; exit 1; }

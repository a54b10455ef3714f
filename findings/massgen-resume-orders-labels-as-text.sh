#!/bin/sh
# MassGen 0.1.97 with mcp 1.30.0, seen on 2026-11-28: a run that is resumed from its log gives an agent's tenth answer before its second.
#
# The good guess: `snapshot_mappings.json` lists the answers in the order in which they were given, so the last one that is restored is the agent's
# latest, which the others are shown and may vote for.
# Seen: they are restored by their labels in the order of text (agent1.1, agent1.10, agent1.11, agent1.2, …) and numbered anew. Of eleven answers the
# ninth comes last and is the agent's latest; the tenth is now agent1.2, so that votes in the log for agent1.2 name another answer.
# Ends with 1 if any of this is no longer so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check uv==0.11.6
"$folder/venv/bin/uv" pip install --quiet --python "$folder/venv/bin/python" massgen==0.1.97 mcp==1.30.0  # newer ones lack what it imports
cat >"$folder/resume.py" <<'PYTHON'
import asyncio
import json
import sys
from pathlib import Path
from types import SimpleNamespace

from massgen.coordination_tracker import CoordinationTracker
from massgen.orchestrator_collaborators.previous_log_restorer import PreviousLogRestorer

log = Path(sys.argv[1])


def tracker() -> CoordinationTracker:
    made = CoordinationTracker()
    made.initialize_session(["agent_a"])
    return made


before = tracker()
for number in range(1, 12):
    when = f"20261128_120000_{number:06d}"
    folder = log / "agent_a" / when
    folder.mkdir(parents=True)
    (folder / "answer.txt").write_text(f"answer {number}")
    before.add_agent_answer("agent_a", f"answer {number}", snapshot_timestamp=when)
before.save_coordination_logs(log)

after = tracker()
orchestrator = SimpleNamespace(coordination_tracker=after, agents={}, agent_states={})
try:
    asyncio.run(PreviousLogRestorer(orchestrator).restore_from_previous_log({"log_path": str(log), "round": 99}))
except AttributeError:  # what comes after the answers asks more of the orchestrator
    pass
print("labels in the log:", list(json.loads((log / "snapshot_mappings.json").read_text())))
found = [(answer.label, answer.content) for answer in after.answers_by_agent["agent_a"]]
print("restored:", found)
sys.exit(0 if found[-1][1] == "answer 9" and found[1] == ("agent1.2", "answer 10") else 1)
PYTHON
mkdir "$folder/log" "$folder/home"
cd "$folder/home"
HOME="$folder/home" "$folder/venv/bin/python" -W ignore "$folder/resume.py" "$folder/log" 2>"$folder/errors" || { cat "$folder/errors" >&2; exit 1; }

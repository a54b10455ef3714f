"""`make demo-massgen`: real MassGen with three agents and an MCP server each, traced from outside, drawn and asked in SQL.

Only the model is scripted: it answers at an address of this machine, and MassGen does not know.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from massgen_tracing.demo import heading, say
from massgen_tracing.views.cli import main as command

from .environments import REPOSITORY, found
from .run import QUESTION, Setup, agents, stage
from .script import Part, Script

QUERIES: Final = ("agent_round_performance", "llm_performance", "tool_calls")
"""Of dashboards/sql."""

PARTS: Final = {"agent_a": Part(tools=2, parallel=True, answers=2, seconds=(0.1, 0.4)), "agent_c": Part(seconds=(0.3, 0.9), detours=("text only",))}


def main() -> int:
    """Run the demo; returns an exit code."""
    environment = found()[0]
    script = Script(agents(3), PARTS, Part(seconds=(0.1, 0.6)), seed=4)
    heading(f"MassGen {environment.version} as it is, three agents, a scripted model behind a real HTTP endpoint, a real MCP server each")
    with stage(environment, script, Setup(library=True)) as here:
        words = here.massgen()
        say("$ massgen-tracing exec -- massgen --automation --config config.yaml \\")
        say(f'      "{QUESTION}"')
        say("MassGen takes ten seconds and more to load …\n")
        done = subprocess.run(
            [sys.executable, "-m", "massgen_tracing.views.cli", "exec", "--", *words], cwd=here.work, env=here.variables(), check=False
        )
        if done.returncode:
            say(f"MassGen ended with exit code {done.returncode}")
            return done.returncode
        root = str(here.work / ".massgen")
        heading("What happened: every span under the round that it belongs to")
        say("$ massgen-tracing trace")
        code = command(["trace", "--root", root])
        for name in QUERIES:
            path = REPOSITORY / "dashboards" / "sql" / f"{name}.sql"
            heading(path.read_text(encoding="utf-8").splitlines()[0].removeprefix("-- "))
            say(f"$ massgen-tracing sql --file {path.relative_to(REPOSITORY)}")
            code = code or command(["sql", "--root", root, "--file", str(path)])
    heading("With your own MassGen")
    say(f"  pip install .    with the pip of its environment, as in {os.path.relpath(environment.path, Path.cwd())} here")
    say('  massgen-tracing exec -- massgen --config your.yaml "…"')
    return code


if __name__ == "__main__":
    sys.exit(main())

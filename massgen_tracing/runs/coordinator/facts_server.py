"""An MCP server that tells what was computed of a run: read only, over stdio.

    python -m massgen_tracing.runs.coordinator.facts_server --facts FILE

FILE is the JSON that `massgen-tracing logs analyze --format json` prints.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from .tool_server import Tool, ToolFailure, serve, until_stdin_ends


class Facts:
    """The three tools.

    Args:
        document: what was computed.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._facts: Mapping[str, Any] = document["facts"]
        self._findings: Sequence[Mapping[str, Any]] = document["findings"]

    async def list_facts(self, arguments: Mapping[str, Any]) -> str:  # noqa: ARG002 - as all tools
        """Name the facts, and the findings with their numbers."""
        found = [f"{number}. {each['code']} ({each['severity']}): {each['what']}" for number, each in enumerate(self._findings, 1)]
        return "\n".join([f"facts: {', '.join(self._facts)}", f"findings: {len(found)}", *found])

    async def read_facts(self, arguments: Mapping[str, Any]) -> str:
        """One of the facts."""
        name = str(arguments.get("name"))
        if name not in self._facts:
            raise ToolFailure(f"There is no fact {name}; there are {', '.join(self._facts)}")
        return json.dumps(self._facts[name], ensure_ascii=False, indent=1)

    async def read_finding(self, arguments: Mapping[str, Any]) -> str:
        """One of the findings, with its evidence."""
        number = arguments.get("number")
        if not isinstance(number, int) or not 1 <= number <= len(self._findings):
            raise ToolFailure(f"There is no finding {number}; there are {len(self._findings)}, from 1")
        return json.dumps(self._findings[number - 1], ensure_ascii=False, indent=1)


TOOLS: Final[Mapping[str, Tool]] = {
    "list_facts": ("Name what was computed of the run: facts by name, findings by number.", {}, (), Facts.list_facts),
    "read_facts": ("Read one of the facts.", {"name": {"type": "string"}}, ("name",), Facts.read_facts),
    "read_finding": ("Read one of the findings, with its evidence.", {"number": {"type": "integer"}}, ("number",), Facts.read_finding),
}
"""By name."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the server; returns its exit code."""
    parser = argparse.ArgumentParser(prog="facts_server", description="An MCP server over stdio: what was computed of a run.")
    parser.add_argument("--facts", type=Path, required=True, help="what `logs analyze --format json` has printed")
    args = parser.parse_args(argv)
    facts = Facts(json.loads(args.facts.read_text(encoding="utf-8")))
    return until_stdin_ends(serve(lambda _meta: facts, TOOLS))


if __name__ == "__main__":
    sys.exit(main())

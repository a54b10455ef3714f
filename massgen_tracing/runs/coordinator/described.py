"""What a run was configured with, as its session says it: for whoever wants to know afterwards what it was that ran."""

from __future__ import annotations

import dataclasses
import os
import platform
import sys
from typing import Any

from massgen_tracing import semconv

from .config import AgentConfig, RunConfig


def described(config: RunConfig) -> dict[str, Any]:
    """Attributes of a session: its configuration without keys and tool servers' environments, the command line, where, and on which Python."""
    described = {"agents": [_agent(agent) for agent in config.agents], "limits": dataclasses.asdict(config.limits)}
    try:
        directory = os.getcwd()
    except OSError:  # it is gone
        directory = None
    return {
        semconv.RUN_CONFIG: described,
        semconv.PROCESS_COMMAND: list(sys.orig_argv),
        semconv.PROCESS_DIRECTORY: directory,
        semconv.PROCESS_RUNTIME_VERSION: platform.python_version(),
    }


def _agent(agent: AgentConfig) -> dict[str, Any]:
    servers = [{"name": server.name, "command": server.command, "args": list(server.args)} for server in agent.tool_servers]
    backend = {"type": agent.provider, "model": agent.model, "base_url": agent.base_url, **dict(agent.options)}
    return {
        "id": agent.id,
        "backend": {**backend, **({"mcp_servers": servers} if servers else {})},
        **({"system_message": agent.system_message} if agent.system_message else {}),
    }

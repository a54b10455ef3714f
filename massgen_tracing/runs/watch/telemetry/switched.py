"""How a program is started so that it emits its own OpenTelemetry, where its user has not switched that on: what is theirs stays as it is."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from massgen_tracing.runs.watch.profiles import Profile, TelemetrySwitch

_OTHERS: Final = re.compile(r"^OTEL_EXPORTER_OTLP(_[A-Z]+)?_ENDPOINT$")


def switched_on(profile: Profile, words: Sequence[str], environment: Mapping[str, str], endpoint: str) -> tuple[list[str], dict[str, str]] | None:
    """The command and its environment, with what sends a program's telemetry to an endpoint; None where it emits none, or sends it elsewhere already.

    Args:
        profile: the program.
        words: the command.
        environment: what it would be started with.
        endpoint: URL, without a path.
    """
    switch = profile.telemetry
    if switch is None or _is_theirs(switch, environment):
        return None
    at = next((at for at, word in enumerate(words) if profile.command is not None and profile.command.search(word)), None)
    if at is None and switch.arguments:
        return None
    made = [argument.replace("{endpoint}", endpoint) for argument in switch.arguments]
    added = {name: value.replace("{endpoint}", endpoint) for name, value in switch.environment.items()}
    place = 0 if at is None else at + 1
    return [*words[:place], *made, *words[place:]], {**environment, **added}


def _is_theirs(switch: TelemetrySwitch, environment: Mapping[str, str]) -> bool:
    """Whether the user has said something of telemetry: by a variable, or in the program's own settings."""
    if any(_OTHERS.match(name) or name in switch.environment for name in environment):
        return True
    home = Path(environment.get("HOME") or Path.home())
    return any(_has(Path(file.replace("~", str(home), 1)), key) for file, key in switch.settings.items())


def _has(path: Path, key: str) -> bool:
    try:
        text = path.read_text(encoding="utf-8")
        document: Any = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except (OSError, ValueError, RecursionError):  # the program will say so itself
        return False
    for part in key.split("."):
        if not isinstance(document, Mapping) or part not in document:
            return False
        document = document[part]
    return True

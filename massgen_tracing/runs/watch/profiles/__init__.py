"""What is known of programs that agents are run with, as data: one YAML file a program, and those that users add.

A file says by which command lines the program is known, which marks its screen and its title show in which states, what it says of its outcome in its
output and in its files, and in which versions that was seen. `Profile` has the keys.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Final

import yaml

from massgen_tracing.errors import ConfigError, one_of
from massgen_tracing.runs.watch.signals import STATES, State

_SUFFIX: Final = ".yaml"


@dataclass(frozen=True, slots=True)
class Mark:
    """What is shown in some states, and in no others.

    Attributes:
        shows: matches it.
        states: those in which it is shown; where nothing else tells them apart, it is the first of them.
        title: whether it is in the title, not on the screen.
        last: whether it counts in the last line only that has something.
    """

    shows: re.Pattern[str]
    states: tuple[State, ...]
    title: bool = False
    last: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """A line, or a JSON document, by which a program says what became of its work.

    Attributes:
        state: what it says.
        line: matches it where it is a line; None where it is JSON.
        where: of JSON, the values that it has, by dotted key: a value as it is, or a pattern.
        quote: of JSON, the keys that are quoted.
    """

    state: State
    line: re.Pattern[str] | None
    where: Mapping[str, Any]
    quote: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TelemetrySwitch:
    """How a program is started so that it emits its own OpenTelemetry.

    Attributes:
        environment: variables; `{endpoint}` in one is the URL where it is to be sent, without a path.
        arguments: the same, behind its name on the command line.
        settings: files in which its user may have switched it on already, each with the dotted key that says so.
    """

    environment: Mapping[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Profile:
    """A program.

    Attributes:
        name: by which it is asked for.
        title: what its makers call it.
        seen: the versions in which what stands here was seen.
        unchecked: what of it could not be checked with the program itself; empty where all was.
        command: matches the command line of its process; None for none.
        exit_proves: whether its exit code 0 is a success.
        needs_outcome: whether it has failed if it ends without having said that it succeeded.
        tree_tells: whether it works if, and only if, its process and those below it do something.
        marks: what it shows.
        outcomes: what it says; the last one counts.
        status_file: where it says what it is doing, with `{pid}` for its process; empty: nowhere.
        transcripts: which reader knows its transcripts; empty: none.
        telemetry: how its own telemetry is switched on; None where it has none.
        quiet, stalled: seconds of silence that are usual; None: as for others.
    """

    name: str
    title: str
    seen: tuple[str, ...] = ()
    unchecked: str = ""
    command: re.Pattern[str] | None = None
    exit_proves: bool = True
    needs_outcome: bool = False
    tree_tells: bool = True
    marks: tuple[Mark, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    status_file: str = ""
    transcripts: str = ""
    telemetry: TelemetrySwitch | None = None
    quiet: float | None = None
    stalled: float | None = None


def names() -> list[str]:
    """The programs that come with the package."""
    return sorted(entry.name.removesuffix(_SUFFIX) for entry in resources.files(__package__).iterdir() if entry.name.endswith(_SUFFIX))


@cache
def load(wanted: str) -> Profile:
    """A profile of the package by its name, or one of the user's by its path.

    Raises:
        ConfigError: if there is none, or it is not as a profile is.
    """
    if wanted in names():
        return parse(wanted, resources.files(__package__).joinpath(f"{wanted}{_SUFFIX}").read_text(encoding="utf-8"))
    path = Path(wanted)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        near = difflib.get_close_matches(wanted, names(), 1)
        raise ConfigError(
            f"There is no profile {wanted} ({error.strerror or error})",
            expected=f"{one_of(names())}, or the path of a YAML file",
            got=wanted,
            hint=f"Perhaps {near[0]} was meant" if near else None,
        ) from None
    return parse(path.stem, text)


def of_command(command: str) -> Profile | None:
    """The program of a command line; None for one that is not known."""
    return next((profile for profile in map(load, names()) if profile.command is not None and profile.command.search(command)), None)


def parse(name: str, text: str) -> Profile:
    """A profile from its YAML.

    Raises:
        ConfigError: where a key is not known, a value is not of its kind, or a pattern is none.
    """
    try:
        said = yaml.safe_load(text)
        if not isinstance(said, Mapping):
            raise TypeError("a mapping of keys")  # noqa: TRY301 - said below with the others
        known = dict(said)
        pattern = known.pop("command", None)
        return Profile(
            name,
            str(known.pop("title", name)),
            seen=tuple(map(str, known.pop("seen", ()))),
            command=None if pattern is None else re.compile(pattern),
            marks=tuple(_mark(**mark) for mark in known.pop("marks", ())),
            outcomes=tuple(_outcome(**outcome) for outcome in known.pop("outcomes", ())),
            telemetry=_telemetry(**known.pop("telemetry")) if "telemetry" in known else None,
            **known,
        )
    except (yaml.YAMLError, re.error, TypeError, ValueError) as error:
        hint = "See the profiles in massgen_tracing/runs/watch/profiles for the form"
        raise ConfigError(f"The profile {name} cannot be used", expected="keys and values as a profile has them", got=str(error), hint=hint) from None


def _mark(shows: str, states: list[str], *, title: bool = False, last: bool = False) -> Mark:
    return Mark(re.compile(shows), tuple(map(_state, states)), title, last)


def _outcome(state: str, line: str | None = None, where: Mapping[str, Any] | None = None, quote: list[str] | None = None) -> Outcome:
    if (line is None) == (where is None):
        raise ValueError("an outcome has either line or where")
    patterns = {key: re.compile(value[1:]) if isinstance(value, str) and value.startswith("~") else value for key, value in (where or {}).items()}
    return Outcome(_state(state), None if line is None else re.compile(line), patterns, tuple(quote or ()))


def _telemetry(
    environment: Mapping[str, object] | None = None, arguments: list[str] | None = None, settings: Mapping[str, str] | None = None
) -> TelemetrySwitch:
    return TelemetrySwitch({name: str(value) for name, value in (environment or {}).items()}, tuple(arguments or ()), dict(settings or {}))


def _state(name: str) -> State:
    found = next((state for state in STATES if state == name), None)
    if found is None:
        raise ValueError(f"{name!r} is no state; {one_of(STATES)}")
    return found

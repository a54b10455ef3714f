"""Every setting of `configure()` that the environment can give: one row each.

An argument wins over its variable, a variable over the default. `massgen-tracing doctor` prints this table with what is in force.
"""

from __future__ import annotations

import math
import os
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

from massgen_tracing import guard, layout
from massgen_tracing.errors import UsageError, compose
from massgen_tracing.thresholds import VARIABLES, Thresholds

PREFIX: Final = "MASSGEN_TRACING_"
"""What the names of this package's own variables begin with."""

DEFAULT_SERVICE: Final = "massgen"
"""Who is running, where nobody says it."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting.

    Attributes:
        name: the argument of `configure()`.
        variable: the environment variable.
        default: what holds without either.
        parse: the variable's text, or the argument, as a value; raises ValueError with what it can be.
        doc: what it does.
        fallback: OpenTelemetry's own variable for it, which counts where ours says nothing, and its text as a value.
    """

    name: str
    variable: str
    default: Any
    parse: Callable[[Any], Any]
    doc: str
    fallback: tuple[str, Callable[[str], Any]] | None = None


def _boolean(value: object) -> bool:
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    if isinstance(value, bool):
        return value
    try:
        return words[str(value).strip().lower()]
    except KeyError:
        raise ValueError("true or false") from None


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    raise ValueError("a text")


def _path(value: object) -> str:
    if isinstance(value, str | os.PathLike) and "\0" not in (path := os.fspath(value)):
        return os.fsdecode(path)
    raise ValueError("a path")


def compiled(pattern: str) -> re.Pattern[str]:
    """A regular expression of the user's; what Python warns of in it is no error, whatever warnings are turned into.

    Raises:
        re.error: if it is none.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return re.compile(pattern)


def _patterns(value: object) -> tuple[str, ...]:
    """Regular expressions: a list of them, or a text with one a line, as a variable has them."""
    given = value.splitlines() if isinstance(value, str) else value
    if isinstance(given, Sequence) and all(isinstance(each, str) for each in given):
        try:
            return tuple(compiled(each.strip()).pattern for each in given if each.strip())
        except re.error as error:
            raise ValueError(f"regular expressions, in the variable one a line ({error})") from None
    raise ValueError("a list of regular expressions, in the variable one a line")


def _not_disabled(text: str) -> bool:
    return text.strip().lower() != "true"  # OpenTelemetry takes everything else for false


SETTINGS: Final = (
    Setting("enabled", "MASSGEN_TRACING_ENABLED", True, _boolean, "trace at all; off, every call does nothing (so does OTEL_SDK_DISABLED=true)",
            ("OTEL_SDK_DISABLED", _not_disabled)),
    Setting("service_name", "OTEL_SERVICE_NAME", DEFAULT_SERVICE, _text, "who is running: `service.name` of every span"),
    Setting("record", "MASSGEN_TRACING_RECORD", True, _boolean, "write the local recording"),
    Setting("root", layout.ROOT_VARIABLE, layout.DEFAULT_ROOT, _path, "directory of runs and recordings"),
    Setting("run_files", "MASSGEN_TRACING_RUN_FILES", True, _boolean,
            "beside the recording of a run, keep its status and its other files up to date (`status.json`, answers, metrics, logs)"),
    Setting("seal", "MASSGEN_TRACING_SEAL", False, _boolean, "at the end, have a process of its own seal the recordings into Parquet"),
    Setting("logfire", "MASSGEN_TRACING_LOGFIRE", False, _boolean, "also export to Logfire (token from LOGFIRE_TOKEN or `logfire auth`)"),
    Setting("otlp_endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT", None, _text, "also export to an OTLP collector, such as http://localhost:4318"),
    Setting("otlp_pending", "MASSGEN_TRACING_OTLP_PENDING", False, _boolean, "the collector gets starts of spans too, as Logfire's pending spans"),
    Setting("instrument", "MASSGEN_TRACING_INSTRUMENT", False, _boolean,
            "have the calls of OpenAI, Anthropic, Google GenAI, LiteLLM, LangChain, MCP and httpx traced, by the instrumentors that are installed"),
    Setting("strict", "MASSGEN_TRACING_STRICT", False, _boolean, "raise where the facade is called wrongly, instead of a counted warning"),
    Setting("full_content", "MASSGEN_TRACING_FULL_CONTENT", False, _boolean,
            "record messages, tool arguments and results in full, not as previews"),
    Setting("scrub_patterns", "MASSGEN_TRACING_SCRUB_PATTERNS", (), _patterns,
            "regular expressions of further secrets, in the variable one a line: what matches is scrubbed, and the value of a key that has a match"),
    Setting("price_list", "MASSGEN_TRACING_PRICE_LIST", None, _path, "file with newer prices than the package's: genai-prices' `data.json`"),
)  # fmt: skip


def as_text(value: bool | str | os.PathLike[str] | Sequence[str]) -> str:
    """A setting's value as its variable has it."""
    if isinstance(value, bool):
        return str(value).lower()
    return os.fspath(value) if isinstance(value, str | os.PathLike) else "\n".join(value)


def checked(given: Mapping[str, Any]) -> dict[str, Any]:
    """The caller's arguments as what they stand for; one that stands for nothing that its setting can be is not given, which is said.

    Args:
        given: the caller's arguments; None is "not given".

    Raises:
        UsageError: instead, in strict mode.
    """
    values = dict(given)
    for setting in sorted(SETTINGS, key=lambda setting: setting.name != "strict"):  # which says how to say it
        if values.get(setting.name) is not None:
            try:
                values[setting.name] = setting.parse(values[setting.name])
            except Exception as error:  # noqa: BLE001 - a stranger's object may raise anything
                guard.passing(error)
                values[setting.name], got = None, values[setting.name]
                expected = str(error) if type(error) is ValueError else None
                misuse(values.get("strict"), f"configure.{setting.name}", f"configure() was called with a wrong {setting.name}", expected, got)
    return values


def misuse(strict: object, kind: str, problem: str, expected: str | None = None, got: object = None) -> None:
    """`configure()` is called in a way that cannot be right: an error in strict mode, else a counted warning.

    Args:
        strict: the caller's argument.
        kind: short stable name.
        problem: what is wrong.
        expected: what would have been right.
        got: what was found; its type is shown, for it may be a secret.

    Raises:
        UsageError: in strict mode.
    """
    shown = None if got is None else type(got).__name__
    hint = "It counts as not given"
    if resolve({"strict": strict})["strict"]:
        raise UsageError(problem, expected=expected, got=shown, hint=hint)
    guard.report(f"usage.{kind}", compose(problem, expected, shown, hint))


def resolve(given: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The value of every setting. A variable that holds what its setting cannot be is said once and passed over.

    Args:
        given: the caller's arguments; None is "not given".
        environ: the environment; None: this process's.
    """
    environ = os.environ if environ is None else environ
    values = {}
    for setting in SETTINGS:
        value = given.get(setting.name)
        text = environ.get(setting.variable, "")
        if value is None and text:
            try:
                value = setting.parse(text)
            except ValueError as error:
                problem = f"The environment variable {setting.variable} is wrong"
                guard.report(f"settings.{setting.name}", compose(problem, str(error), text, f"The default is used, {setting.default!r}"))
        if value is None and setting.fallback is not None and (text := environ.get(setting.fallback[0], "")):
            value = setting.fallback[1](text)
        values[setting.name] = setting.default if value is None else value
    return values


def thresholds(environ: Mapping[str, str] | None = None) -> Thresholds:
    """From where on something is worth a finding, as the environment says; a variable that holds no number is said once and passed over.

    Args:
        environ: the environment; None: this process's.
    """
    environ = os.environ if environ is None else environ
    given: dict[str, Any] = {}
    for each in fields(Thresholds):
        if text := environ.get(VARIABLES[each.name], ""):
            whole = isinstance(each.default, int)
            number = _number(text, int if whole else float)
            if number is None:
                problem, expected = (
                    f"The environment variable {VARIABLES[each.name]} is wrong",
                    "a whole number from 0" if whole else "a number from 0",
                )
                guard.report(f"settings.{each.name}", compose(problem, expected, text, f"The default is used, {each.default!r}"))
            else:
                given[each.name] = number
    return Thresholds(**given)


def _number(text: str, kind: Callable[[str], float]) -> float | None:
    try:
        number = kind(text)
    except ValueError:
        return None
    return number if 0 <= number < math.inf else None


def unknown(environ: Mapping[str, str]) -> list[str]:
    """The variables that look like settings of this package and are none."""
    own = {layout.RUN_VARIABLE, layout.OUTER_VARIABLE, layout.TOOL_LOG_VARIABLE, *VARIABLES.values()}
    known = {setting.variable for setting in SETTINGS} | own
    return sorted(name for name in environ if name.startswith(PREFIX) and name not in known)

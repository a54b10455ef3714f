"""Every setting of `configure()` that the environment can give: one row each.

An argument wins over its variable, a variable over the default. `massgen-tracing doctor` prints this table with what is in force.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from massgen_tracing import guard
from massgen_tracing.errors import compose
from massgen_tracing.layout import DEFAULT_ROOT


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting.

    Attributes:
        name: the argument of `configure()`.
        variable: the environment variable.
        default: what holds without either.
        parse: the variable's text as a value; raises ValueError.
        doc: what it does.
    """

    name: str
    variable: str
    default: Any
    parse: Callable[[str], Any]
    doc: str


def _boolean(text: str) -> bool:
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    try:
        return words[text.strip().lower()]
    except KeyError:
        raise ValueError("true or false") from None


def _text(text: str) -> str:
    return text


SETTINGS: Final = (
    Setting("enabled", "MASSGEN_TRACING_ENABLED", True, _boolean, "trace at all; off, every call does nothing"),
    Setting("service_name", "OTEL_SERVICE_NAME", "massgen", _text, "who is running: `service.name` of every span"),
    Setting("record", "MASSGEN_TRACING_RECORD", True, _boolean, "write the local recording"),
    Setting("root", "MASSGEN_TRACING_ROOT", DEFAULT_ROOT, _text, "directory of runs and recordings"),
    Setting("seal", "MASSGEN_TRACING_SEAL", False, _boolean, "at the end, have a process of its own seal the recordings into Parquet"),
    Setting("logfire", "MASSGEN_TRACING_LOGFIRE", False, _boolean, "also export to Logfire (token from LOGFIRE_TOKEN or `logfire auth`)"),
    Setting("otlp_endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT", None, _text, "also export to an OTLP collector, such as http://localhost:4318"),
    Setting("strict", "MASSGEN_TRACING_STRICT", False, _boolean, "raise where the facade is called wrongly, instead of a counted warning"),
    Setting("full_content", "MASSGEN_TRACING_FULL_CONTENT", False, _boolean,
            "record messages, tool arguments and results in full, not as previews"),
    Setting("price_list", "MASSGEN_TRACING_PRICE_LIST", None, _text, "file with newer prices than the package's: genai-prices' `data.json`"),
)  # fmt: skip


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
        values[setting.name] = setting.default if value is None else value
    return values

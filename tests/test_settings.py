"""Settings: an argument, else its variable, else the default."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from massgen_tracing import guard, settings
from massgen_tracing.thresholds import Thresholds

GIVEN: dict[str, Any] = {
    "enabled": (False, "true", True),
    "service_name": ("argument", "variable", "variable"),
    "record": (False, "yes", True),
    "root": ("argument", "variable", "variable"),
    "run_files": (False, "off", False),
    "seal": (False, "on", True),
    "logfire": (False, "1", True),
    "otlp_endpoint": ("http://argument", "http://variable", "http://variable"),
    "otlp_pending": (False, "1", True),
    "instrument": (False, "true", True),
    "strict": (False, "on", True),
    "full_content": (False, "TRUE", True),
    "price_list": ("argument", "variable", "variable"),
    "scrub_patterns": (("argument",), "[a]\n\n b+ ", ("[a]", "b+")),
}
"""For each setting an argument, a variable's text and what that means."""


def test_every_setting_is_covered_here() -> None:
    """A new setting needs its row in these tests."""
    assert set(GIVEN) == {setting.name for setting in settings.SETTINGS}
    assert len({setting.variable for setting in settings.SETTINGS}) == len(settings.SETTINGS)


@pytest.mark.parametrize("setting", settings.SETTINGS, ids=lambda setting: setting.name)
def test_an_argument_wins_over_the_variable_and_that_over_the_default(setting: settings.Setting) -> None:
    """Also an argument that is False or empty; None means that none was given."""
    argument, text, meant = GIVEN[setting.name]
    variable = {setting.variable: text}
    assert settings.resolve({setting.name: argument}, variable)[setting.name] == argument
    assert settings.resolve({setting.name: None}, variable)[setting.name] == meant
    assert settings.resolve({}, {})[setting.name] == setting.default
    assert settings.resolve({}, {setting.variable: ""})[setting.name] == setting.default


def test_this_processs_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an environment of the caller's own, the process's is read."""
    monkeypatch.setenv("MASSGEN_TRACING_ROOT", "/somewhere")
    assert settings.resolve({})["root"] == "/somewhere"


@pytest.mark.parametrize("name", ["enabled", "record", "seal", "logfire", "otlp_pending", "instrument", "strict", "full_content"])
def test_a_variable_that_is_wrong_is_said_and_passed_over(name: str, swallowed: list[str], caplog: pytest.LogCaptureFixture) -> None:
    """One line names the variable, what it holds, what it may hold and what holds instead."""
    (setting,) = [setting for setting in settings.SETTINGS if setting.name == name]
    for _ in range(2):
        assert settings.resolve({}, {setting.variable: "perhaps"})[name] == setting.default
    (record,) = caplog.records
    for part in (setting.variable, "'perhaps'", "true or false", repr(setting.default)):
        assert part in record.getMessage()
    assert swallowed == [f"settings.{name}"] * 2
    swallowed.clear()


def test_a_wrong_variable_is_not_looked_at_where_an_argument_is_given() -> None:
    """What is not used is not complained about."""
    assert settings.resolve({"record": False}, {"MASSGEN_TRACING_RECORD": "perhaps"})["record"] is False
    assert guard.problems() == []


@given(st.text())
def test_no_text_is_an_error(swallowed: list[str], text: str) -> None:
    """Any text in any variable gives a value for every setting."""
    values = settings.resolve({}, {setting.variable: text for setting in settings.SETTINGS})
    assert set(values) == set(GIVEN)
    assert all(type(values[name]) is bool for name in ("enabled", "record", "logfire", "otlp_pending", "strict", "full_content"))
    swallowed.clear()


@pytest.mark.parametrize(("text", "value"), [(" True ", True), ("0", False), ("off", False), ("No", False), ("false", False)])
def test_the_words_for_yes_and_no(text: str, value: bool) -> None:
    """Upper case and white space do not matter."""
    assert settings.resolve({}, {"MASSGEN_TRACING_STRICT": text})["strict"] is value


def test_what_python_warns_of_in_a_pattern_is_no_error() -> None:
    """Also where warnings are errors, as in these tests: the pattern is taken as it is."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert settings.resolve({}, {"MASSGEN_TRACING_SCRUB_PATTERNS": "[[a]"})["scrub_patterns"] == ("[[a]",)


def test_thresholds_of_findings_are_settings_too(swallowed: list[str]) -> None:
    """Each has a variable of its own, which is known; what is no number is said once, and the default holds."""
    given = {"MASSGEN_TRACING_STALL_SECONDS": "2.5", "MASSGEN_TRACING_REPEATED_CALLS": "4", "MASSGEN_TRACING_STORM_CALLS": "2.5"}
    found = settings.thresholds(given)
    assert (found.stall_seconds, found.repeated_calls, found.storm_calls) == (2.5, 4, Thresholds().storm_calls)
    assert settings.unknown(given) == []
    assert swallowed == ["settings.storm_calls"]
    swallowed.clear()

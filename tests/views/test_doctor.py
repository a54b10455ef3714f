"""`massgen-tracing doctor`: what it finds, what it says to do, and that nothing found makes it fail itself."""

from __future__ import annotations

import json
import os
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import massgen_tracing as mt
from massgen_tracing import guard, settings
from massgen_tracing.layout import PROBLEMS_FILE
from massgen_tracing.views.cli import doctor, main
from tests.delivery.backend import Backend, Reply, always, taking
from tests.delivery.recordings import record


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither this machine's settings nor its Logfire token are looked at."""
    for setting in settings.SETTINGS:
        monkeypatch.delenv(setting.variable, raising=False)
    for name in ("LOGFIRE_TOKEN", "LOGFIRE_CREDENTIALS_DIR", "OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "LOGFIRE_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def server() -> Iterator[Backend]:
    """A backend on this machine."""
    with taking() as backend:
        yield backend


def found(findings: tuple[doctor.Finding, ...], name: str) -> doctor.Finding:
    """The one finding of that name."""
    (finding,) = (finding for finding in findings if finding.name == name)
    return finding


def problem(kind: str, **fields: Any) -> str:
    """One line of the problems file."""
    known = {
        "pid": 1,
        "version": "0.1.0",
        "kind": kind,
        "message": f"{kind} happened.",
        "detail": "",
        "count": 1,
        "lost": 0,
        "first": 1e9,
        "last": 2e9,
    }
    return json.dumps(known | fields) + "\n"


def test_a_healthy_place_has_nothing_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    """Everything installed, nothing set: the exit code is 0 and the last line says so."""
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert said.endswith("Everything works.\n")
    assert "!" not in said


def test_every_setting_is_told_with_its_value_and_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line a setting: from the command line, from its variable, or the default."""
    monkeypatch.setenv("OTEL_SERVICE_NAME", "crew")
    report = doctor.examine("here")
    assert [finding.name for finding in report.settings] == [setting.name for setting in settings.SETTINGS]
    assert found(report.settings, "root") == doctor.Finding("root", "here", "--root")
    assert found(report.settings, "service_name") == doctor.Finding("service_name", "crew", "OTEL_SERVICE_NAME")
    assert found(report.settings, "record") == doctor.Finding("record", "on", "default")


def test_the_value_in_force_is_the_one_that_configure_uses(swallowed: list[str]) -> None:
    """For any environment, also a wrong one, the doctor and `settings.resolve` agree."""
    for text in ("", "1", "off", "perhaps", "0x"):
        environ = {setting.variable: text for setting in settings.SETTINGS}
        assert doctor._settings({"root": None}, environ)[0] == settings.resolve({}, environ)
    assert set(swallowed) == {"settings." + setting.name for setting in settings.SETTINGS if setting.parse is settings._boolean}
    swallowed.clear()


def test_a_variable_that_is_wrong_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A variable that its setting passes over needs doing something about."""
    monkeypatch.setenv("MASSGEN_TRACING_STRICT", "perhaps")
    assert main(["doctor"]) == 1
    said = capsys.readouterr().out
    assert "→ MASSGEN_TRACING_STRICT is 'perhaps' and is passed over; set it to true or false, or unset it." in said
    assert said.endswith("1 thing to look at, each marked with !\n")


def found_without(package: str, monkeypatch: pytest.MonkeyPatch) -> doctor.Finding:
    """What is said of a package that is not installed."""
    version = metadata.version

    def without(asked: str) -> str:
        if asked == package:
            raise metadata.PackageNotFoundError(package)
        return version(asked)

    monkeypatch.setattr(metadata, "version", without)
    return found(doctor.examine().versions, package)


def test_a_missing_package_is_named_with_its_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that is not there says what it is needed for."""
    finding = found_without("datafusion", monkeypatch)
    assert finding == doctor.Finding("datafusion", "not installed", hint="Needed for SQL: pip install datafusion")


def test_what_only_the_coordinator_needs_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says how to install it, and is nothing that needs doing."""
    finding = found_without("mcp", monkeypatch)
    assert finding.value == 'not installed; for `massgen-tracing run`: pip install "massgen_tracing[coordinator]"'
    assert finding.hint is None


def test_a_root_is_judged_without_being_made(tmp_path: Path) -> None:
    """A root that does not exist yet is fine where it can be made; looking at it leaves nothing behind."""
    new, old, file = tmp_path / "new" / "root", tmp_path / "old", tmp_path / "file"
    old.mkdir()
    file.touch()
    assert found(doctor.examine(str(new)).places, "root") == doctor.Finding("root", f"{new}, made by the first run")
    assert found(doctor.examine(str(old)).places, "root") == doctor.Finding("root", f"{old}, writable")
    assert found(doctor.examine(str(file)).places, "root").hint is not None
    assert not new.parent.exists()
    assert list(old.iterdir()) == []


def test_a_root_that_cannot_be_written_needs_doing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the reason is (permissions, a read-only disk), it is told."""

    def refuse(**_options: object) -> object:
        raise OSError(30, os.strerror(30))

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    assert "not writable (Read-only file system)" in found(doctor.examine(str(tmp_path)).places, "root").value
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert found(doctor.examine(str(tmp_path / "new")).places, "root").hint is not None


def test_little_disk_needs_doing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is nearly full is told before it costs a recording."""

    class Usage(NamedTuple):
        total: int
        used: int
        free: int

    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 10**12, 10**6))
    assert found(doctor.examine().places, "disk").hint is not None


def test_logfire_needs_a_token_only_where_it_is_on(tmp_path: Path, server: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    """Off, the way to switch it on is told; on, a missing token needs doing; the token itself is never shown."""
    assert found(doctor.examine().places, "logfire").hint is None
    monkeypatch.setenv("MASSGEN_TRACING_LOGFIRE", "true")
    assert "logfire auth" in (found(doctor.examine().places, "logfire").hint or "")
    (tmp_path / ".logfire").mkdir()
    (tmp_path / ".logfire" / "logfire_credentials.json").write_text(json.dumps({"token": "pylf_v1_secret", "logfire_api_url": server.url}))
    kept = Path(".logfire", "logfire_credentials.json")
    assert found(doctor.examine().places, "logfire") == doctor.Finding("logfire", f"token from {kept}; takes spans")
    monkeypatch.delenv("MASSGEN_TRACING_LOGFIRE")
    monkeypatch.setenv("LOGFIRE_TOKEN", "pylf_v1_secret")
    assert found(doctor.examine().places, "logfire") == doctor.Finding("logfire", "token from LOGFIRE_TOKEN")


def test_a_collector_that_takes_spans_is_fine(server: Backend) -> None:
    """It is asked, with a request that has no spans."""
    for endpoint in (server.url, f"{server.url}/v1/traces"):
        assert doctor._collector(endpoint, {}) == doctor.Finding("otlp", f"{server.url} takes spans")


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:{port}", "http://127.0.0.1:99999", "http://", "http://[half", f"http://{'x' * 64}.test"])
def test_a_collector_that_does_not_answer_needs_doing(endpoint: str) -> None:
    """Nobody there, or an endpoint that cannot be one."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed = server.getsockname()[1]
    assert doctor._collector(endpoint.format(port=closed), {}).hint is not None


@pytest.mark.parametrize("status", [302, 308, 401, 404, 503])
def test_a_collector_that_answers_and_takes_nothing_needs_doing(server: Backend, status: int) -> None:
    """A redirect is not reachable; each has its own next step."""
    server.empty = Reply(status, {"Location": "http://elsewhere/"})
    finding = doctor._collector(server.url, {})
    assert "takes nothing" in finding.value
    assert f"it answers {status}" in finding.value
    assert finding.hint is not None
    assert ("to http://elsewhere/" in finding.value) == (status < 400)


def test_a_silent_network_does_not_hold_up_the_doctor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also a name server that never answers holds nobody up."""
    never = threading.Event()

    def lookup(*_arguments: object, **_named: object) -> None:
        never.wait()
        raise OSError

    monkeypatch.setattr(doctor, "ANSWER_TIMEOUT", 0.05)
    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    assert "does not answer (no answer in time)" in doctor._collector("http://collector:4318", {}).value
    never.set()


def test_a_logfire_that_is_on_is_asked(server: Backend) -> None:
    """A token that it refuses needs doing."""
    environ = {"LOGFIRE_TOKEN": "t", "LOGFIRE_BASE_URL": server.url}
    assert doctor._logfire(needed=True, environ=environ) == doctor.Finding("logfire", "token from LOGFIRE_TOKEN; takes spans")
    server.empty = Reply(401)
    assert "it answers 401" in doctor._logfire(needed=True, environ=environ).value
    assert doctor._logfire(needed=True, environ=environ).hint is not None


def test_what_is_owed_and_refused_is_told_with_the_next_step(tmp_path: Path, server: Backend, capsys: pytest.CaptureFixture[str]) -> None:
    """How many spans to whom and why; a push settles it."""
    root = tmp_path / ".massgen"
    record(root, calls=3)
    server.script = always(Reply(401, {"Content-Type": "text/plain"}, b"who?"))
    assert main(["push", "--root", str(root), "--to", server.url]) == 2
    assert main(["doctor", "--root", str(root)]) == 1
    said = capsys.readouterr().out
    assert f"5 spans of 1 recording to {server.url} (it answers 401: who?)" in said
    assert f"→ Send them: massgen-tracing push --root {root}" in said
    server.script = always(Reply())
    assert main(["push", "--root", str(root)]) == 0
    assert main(["doctor", "--root", str(root)]) == 0
    record(root, calls=1)
    server.script = always(Reply(400))
    assert main(["push", "--root", str(root), "--to", server.url]) == 2
    capsys.readouterr()
    assert main(["doctor", "--root", str(root)]) == 1
    assert f"3 spans for good by {server.url}" in capsys.readouterr().out


def test_a_password_in_an_endpoint_is_not_shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither in the settings nor where the collector is looked for."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://user:hunter2@127.0.0.1:1")
    for arguments in (["doctor"], ["doctor", "--json"], ["doctor", "--format", "json"]):
        assert main(arguments) == 1
        said = capsys.readouterr().out
        assert "…@127.0.0.1:1" in said
        assert "hunter2" not in said


def test_what_a_process_swallowed_is_told(tmp_path: Path, swallowed: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """From the guard, over `shutdown`, to the doctor; several configurations in one process count once."""
    for _ in range(2):
        mt.configure(root=tmp_path)
        guard.report("test.kind", "Something was odd. Look there.", lost=2)
        mt.shutdown()
    swallowed.clear()
    assert main(["doctor", "--root", str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert "! test.kind: 2 times, last 20" in said
    assert ", 4 records lost\n    Something was odd. Look there.\n" in said


def test_problems_are_added_up_by_kind_newest_first(tmp_path: Path) -> None:
    """Over processes; the message is the latest one's."""
    path = tmp_path / PROBLEMS_FILE
    path.write_text(
        problem("a", pid=1, count=1, last=10.0)
        + problem("a", pid=1, count=5, lost=1, last=11.0)
        + problem("b", pid=1, count=1, last=30.0)
        + problem("a", pid=2, count=2, lost=3, last=20.0, message="newest")
    )
    assert doctor.read_problems(path) == (
        (doctor.Swallowed("b", 1, 0, 30.0, "b happened."), doctor.Swallowed("a", 7, 4, 20.0, "newest")),
        0,
    )


def test_lines_that_are_no_problems_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Torn, strange and hostile lines cost themselves only, and steer no terminal."""
    path = tmp_path / PROBLEMS_FILE
    strange = ['{"pid": 1, "ki', "[]", "7", "null", '{"kind": "x"}', '{"pid": [], "kind": "x", "first": 0}', "\udcff", "[" * 100_000]
    content = problem("odd", count="many", lost=-1, last=float("nan"), message="\x1b[2Jclear") + "\n".join(strange)
    path.write_text(content, errors="surrogateescape")
    assert doctor.read_problems(path) == ((doctor.Swallowed("odd", 0, 0, 0.0, "\x1b[2Jclear"),), len(strange))
    assert main(["doctor", "--root", str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert "! odd: 0 times, last at an unknown time\n    �[2Jclear" in said
    assert f"{len(strange)} lines of {path} could not be read." in said


def test_of_a_very_long_file_the_end_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line in which the reading begins is no torn one."""
    monkeypatch.setattr(doctor, "_READ_AT_MOST", 300)
    path = tmp_path / PROBLEMS_FILE
    path.write_text("".join(problem(f"kind {number}") for number in range(50)))
    kinds, unreadable = doctor.read_problems(path)
    assert ([kind.kind for kind in kinds], unreadable) == (["kind 49"], 0)


def test_many_kinds_say_how_many_are_not_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A bounded list says so, and where the rest is."""
    (tmp_path / PROBLEMS_FILE).write_text("".join(problem(f"kind {number}") for number in range(23)))
    assert main(["doctor", "--root", str(tmp_path)]) == 1
    assert "and 3 more kinds; see all with --json" in capsys.readouterr().out


def test_json_holds_what_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same report, for programs."""
    (tmp_path / PROBLEMS_FILE).write_text(problem("a"))
    assert main(["doctor", "--root", str(tmp_path), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["healthy"] is False
    assert report["problems"] == [{"kind": "a", "count": 1, "lost": 0, "last": 2e9, "message": "a happened."}]
    assert {finding["name"] for finding in report["places"]} == {"root", "disk", "logfire", "otlp"}


# --- what OpenTelemetry's own variables come to -------------------------------------------------------------------------------------


def test_opentelemetrys_switch_is_in_force() -> None:
    """`OTEL_SDK_DISABLED=true` switches off, and is named as the source; this package's own variable comes before it."""
    enabled = found(doctor.examine(environ={"OTEL_SDK_DISABLED": "true"}).settings, "enabled")
    assert (enabled.value, enabled.source) == ("off", "OTEL_SDK_DISABLED")
    both = {"OTEL_SDK_DISABLED": "true", "MASSGEN_TRACING_ENABLED": "yes"}
    enabled = found(doctor.examine(environ=both).settings, "enabled")
    assert (enabled.value, enabled.source) == ("on", "MASSGEN_TRACING_ENABLED")


def test_opentelemetrys_sampling_is_not_honoured_and_said() -> None:
    """It needs doing something about it only with Logfire, whose SDK does honour it."""
    environ = {"OTEL_TRACES_SAMPLER": "traceidratio"}
    sampling = found(doctor.examine(environ=environ).places, "sampling")
    assert "traceidratio" in sampling.value
    assert "not honoured" in sampling.value
    assert sampling.hint is None
    hint = found(doctor.examine(environ={**environ, "MASSGEN_TRACING_LOGFIRE": "true"}).places, "sampling").hint
    assert hint is not None
    assert "Unset it" in hint
    assert not [finding for finding in doctor.examine(environ={"OTEL_TRACES_SAMPLER": "parentbased_always_on"}).places if finding.name == "sampling"]


def test_a_variable_that_is_no_setting_is_named() -> None:
    """Those of this package only; what it sets itself is none of them."""
    environ = {"MASSGEN_TRACING_RECORDS": "1", "MASSGEN_TRACING_RUN": "x", "MASSGEN_TRACING_ROOT": "y", "MASSGEN_OTHER": "z"}
    (finding,) = [finding for finding in doctor.examine(environ=environ).places if finding.name == "variables"]
    assert finding.value.startswith("MASSGEN_TRACING_RECORDS ")
    assert finding.hint is not None


def test_a_working_directory_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The report is whole, and says what to name."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    report = doctor.examine(environ={})
    monkeypatch.chdir(tmp_path)
    hint = found(report.places, "root").hint
    assert hint is not None
    assert "absolute" in hint
    assert list(doctor.lines(report))

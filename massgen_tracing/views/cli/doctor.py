"""`massgen-tracing doctor`: what is installed and set, what works here, what was swallowed, and what to do about it."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import shlex
import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from massgen_tracing import layout, libraries, settings
from massgen_tracing._version import __version__
from massgen_tracing.errors import MassGenTracingError
from massgen_tracing.views import text

if TYPE_CHECKING:
    from massgen_tracing.delivery.answers import Answer
    from massgen_tracing.delivery.backend import Backend

PACKAGES: Final = {
    "opentelemetry-api": "tracing",
    "opentelemetry-sdk": "tracing",
    "opentelemetry-exporter-otlp": "export to a collector",
    "logfire": "export to Logfire",
    "datafusion": "SQL",
    "pyarrow": "SQL",
    "sqlglot": "SQL",
}
"""What the package stands on, and what does not work without it."""

ANSWER_TIMEOUT: Final = 2.0
"""Seconds that a backend has to answer, the look-up of its name included."""

OF_COORDINATOR: Final = ("openai", "mcp", "starlette", "uvicorn")
"""What only `massgen-tracing run` needs."""

LITTLE_DISK: Final = 200 * 1024**2
_READ_AT_MOST: Final = 4 * 1024**2
_SHOWN_PROBLEMS: Final = 20


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report.

    Attributes:
        name: what was looked at.
        value: what was found.
        source: where the value comes from, for a setting.
        hint: what to do; None where nothing needs doing.
    """

    name: str
    value: str
    source: str = ""
    hint: str | None = None


@dataclass(slots=True)
class Swallowed:
    """One kind of problem that runs under this root went on without, over all of their processes.

    Attributes:
        kind: its short name; problems of one kind that are about different things, as wrong names are, are several.
        count: how often it happened.
        lost: how many records were lost to it.
        last: Unix time in seconds of the latest.
        message: the latest, with what to do.
    """

    kind: str
    count: int = 0
    lost: int = 0
    last: float = 0.0
    message: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that the doctor looked at.

    Attributes:
        versions, settings, places: line by line.
        libraries: those whose calls `massgen-tracing exec` has traced, by whom.
        problems: what was swallowed, newest first.
        problems_file: where that stands.
        unreadable: how many of that file's lines are torn.
    """

    versions: tuple[Finding, ...]
    settings: tuple[Finding, ...]
    places: tuple[Finding, ...]
    libraries: tuple[Finding, ...]
    problems: tuple[Swallowed, ...]
    problems_file: str
    unreadable: int

    @property
    def to_do(self) -> int:
        """How many things need doing."""
        return sum(finding.hint is not None for finding in (*self.versions, *self.settings, *self.places)) + len(self.problems)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--root", metavar="PATH", help=f"where the runs are recorded (default: MASSGEN_TRACING_ROOT, else {layout.DEFAULT_ROOT})")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="how the report is printed (default: %(default)s)")
    parser.add_argument("--json", action="store_const", const="json", dest="format", help="the same as --format json")


def run(args: argparse.Namespace) -> int:
    """Look, and tell; 1 when something needs doing."""
    report = examine(args.root)
    if args.format == "json":
        print(json.dumps({"healthy": report.to_do == 0, **asdict(report)}, ensure_ascii=False, indent=1))
    else:
        print("\n".join(lines(report)))
    return 1 if report.to_do else 0


def examine(root: str | None = None, environ: Mapping[str, str] | None = None) -> Report:
    """Look at everything.

    Args:
        root: where the runs are recorded; None: what the environment or the default says.
        environ: the environment; None: this process's.
    """
    environ = os.environ if environ is None else environ
    values, setting_findings = _settings({"root": root}, environ)
    place = Path(values["root"])
    problems, unreadable = read_problems(place / layout.PROBLEMS_FILE)
    return Report(
        versions=(
            Finding("massgen_tracing", __version__),
            Finding("python", platform.python_version()),
            *map(_version, (*PACKAGES, *OF_COORDINATOR)),
        ),
        settings=setting_findings,
        places=(
            _root(place),
            _disk(place),
            _logfire(needed=values["logfire"], environ=environ),
            _collector(values["otlp_endpoint"], environ),
            *_debts(place),
            *_unsorted(place),
            *_sampling(values, environ),
            *(Finding("variables", f"{name} is no setting", hint="Correct its name, or unset it.") for name in settings.unknown(environ)),
        ),
        libraries=tuple(Finding(each.module, f"{each.version}, {each.how}") for each in libraries.installed()),
        problems=problems,
        problems_file=str(place / layout.PROBLEMS_FILE),
        unreadable=unreadable,
    )


def lines(report: Report) -> Iterator[str]:
    """The report for people."""
    parts = {"Versions": report.versions, "Settings": report.settings, "Here": report.places, "Traced under exec": report.libraries}
    for title, findings in parts.items():
        if not findings:
            continue
        yield title
        yield from _table(findings)
        yield ""
    if report.problems:
        yield f"Swallowed, so that runs could go on ({report.problems_file})"
        for problem in report.problems[:_SHOWN_PROBLEMS]:
            when = text.moment(datetime.fromtimestamp(problem.last).astimezone()) if problem.last else "at an unknown time"
            lost = f", {text.count(problem.lost, 'record')} lost" if problem.lost else ""
            yield f"  ! {problem.kind}: {text.count(problem.count, 'time')}, last {when}{lost}"
            yield f"    {text.clean(problem.message)}"
        if len(report.problems) > _SHOWN_PROBLEMS:
            yield f"    and {len(report.problems) - _SHOWN_PROBLEMS} more kinds; see all with --json"
        yield "    → Delete that file when they are dealt with."
    else:
        yield "Nothing was swallowed."
    if report.unreadable:
        yield f"  {text.count(report.unreadable, 'line')} of {report.problems_file} could not be read."
    yield ""
    yield "Everything works." if not report.to_do else f"{text.count(report.to_do, 'thing')} to look at, each marked with !"


def _table(findings: tuple[Finding, ...]) -> Iterator[str]:
    name = max(len(finding.name) for finding in findings)
    value = max((len(finding.value) for finding in findings if finding.source), default=0)
    for finding in findings:
        shown = finding.value.ljust(value) if finding.source else finding.value
        yield f"  {'!' if finding.hint else ' '} {finding.name.ljust(name)}  {shown}  {finding.source}".rstrip()
        if finding.hint:
            yield f"    → {finding.hint}"


def _version(package: str) -> Finding:
    try:
        return Finding(package, metadata.version(package))
    except metadata.PackageNotFoundError:
        if package in OF_COORDINATOR:
            return Finding(package, 'not installed; for `massgen-tracing run`: pip install "massgen_tracing[coordinator]"')
        return Finding(package, "not installed", hint=f"Needed for {PACKAGES[package]}: pip install {package}")


# --- settings ----------------------------------------------------------------------------------------------------------------------


def _settings(given: Mapping[str, Any], environ: Mapping[str, str]) -> tuple[dict[str, Any], tuple[Finding, ...]]:
    """Every setting's value in force, and where it is from; precedence as in `settings.resolve`, which does not tell the source."""
    values: dict[str, Any] = {}
    findings = []
    for setting in settings.SETTINGS:
        value, source, hint = setting.default, "default", None
        written = environ.get(setting.variable, "")
        if given.get(setting.name) is not None:
            value, source = given[setting.name], f"--{setting.name}"
        elif written:
            try:
                value, source = setting.parse(written), setting.variable
            except ValueError as error:
                hint = f"{setting.variable} is {text.shorten(written, 40)!r} and is passed over; set it to {error}, or unset it."
        if source == "default" and setting.fallback is not None and environ.get(setting.fallback[0]):
            source, parse = setting.fallback
            value = parse(environ[source])
        values[setting.name] = value
        findings.append(Finding(setting.name, _shown(value), source, hint))
    return values, tuple(findings)


def _shown(value: object) -> str:
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "on" if value else "off"
    written = str(value)
    if "@" in written and "://" in written:
        with contextlib.suppress(ValueError):
            url = urlsplit(written)
            written = url._replace(netloc=f"…@{url.netloc.rpartition('@')[2]}").geturl() if "@" in url.netloc else written
    return text.clean(written)


# --- places ------------------------------------------------------------------------------------------------------------------------


def _nearest(path: Path) -> Path:
    """The path, or the nearest directory above it that exists."""
    return next((place for place in (path, *path.parents) if place.exists()), path)


def _root(root: Path) -> Finding:
    name = "root"
    try:
        place = root.absolute()
    except OSError:
        return Finding(name, f"{root}, in a working directory that is gone", hint="Name an absolute one: --root, or MASSGEN_TRACING_ROOT.")
    if place.exists() and not place.is_dir():
        return Finding(name, f"{place} is no directory", hint="Name another one: --root, or MASSGEN_TRACING_ROOT.")
    nearest = _nearest(place)
    try:
        if nearest == place:
            with tempfile.TemporaryFile(dir=place):
                return Finding(name, f"{place}, writable")
        if not os.access(nearest, os.W_OK | os.X_OK):
            raise PermissionError(None, "no permission to write", str(nearest))
    except OSError as error:
        reason = f"{nearest} is not writable ({error.strerror or error})"
        return Finding(name, reason, hint="Make it writable, or name another root: --root, or MASSGEN_TRACING_ROOT.")
    return Finding(name, f"{place}, made by the first run")


def _disk(root: Path) -> Finding:
    try:
        free = shutil.disk_usage(_nearest(root.absolute())).free
    except OSError as error:
        return Finding("disk", f"unknown ({error.strerror or error})")
    hint = "A full disk loses spans: make room, or name a root elsewhere." if free < LITTLE_DISK else None
    return Finding("disk", f"{free / 1024**3:,.1f} GiB free", hint=hint)


def _unsorted(root: Path) -> Iterator[Finding]:
    """What was sent to a server here and could not be put into recordings."""
    for path in sorted((root / layout.ARRIVALS_DIR).glob(f"*{layout.BROKEN_SUFFIX}")):
        hint = "Report this with the file, if what it holds is no secret; delete it when it is not needed."
        yield Finding("serve", f"{path} has requests that could not be sorted", hint=hint)


def _logfire(*, needed: bool, environ: Mapping[str, str]) -> Finding:
    credentials = Path(environ.get("LOGFIRE_CREDENTIALS_DIR") or ".logfire") / "logfire_credentials.json"
    mend = "Run `logfire auth` and then `logfire projects use`, or set LOGFIRE_TOKEN."
    if environ.get("LOGFIRE_TOKEN"):
        found = "token from LOGFIRE_TOKEN"
    elif os.path.isfile(credentials):  # a pathlib.Path raises where it may not look
        found = f"token from {credentials}"
    elif needed:
        return Finding("logfire", "no token, so nothing can be sent to it", hint=mend)
    else:
        return Finding("logfire", f"off, no token. {mend}")
    if not needed:
        return Finding("logfire", found)
    from massgen_tracing.delivery import backend

    try:
        state, hint = _asked(backend.logfire(environ))
    except MassGenTracingError as error:
        state, hint = str(error), mend
    return Finding("logfire", f"{found}; {state}", hint=hint)


def _sampling(values: Mapping[str, Any], environ: Mapping[str, str]) -> Iterator[Finding]:
    """What becomes of OpenTelemetry's own sampling, where it is asked for."""
    sampler = environ.get("OTEL_TRACES_SAMPLER", "")
    if sampler and not sampler.endswith("always_on"):
        hint = "Logfire's SDK honours it: what it leaves out is not recorded either. Unset it to record everything." if values["logfire"] else None
        yield Finding("sampling", f"none; OTEL_TRACES_SAMPLER ({text.shorten(sampler, 40)}) is not honoured", hint=hint)


def _collector(endpoint: str | None, environ: Mapping[str, str]) -> Finding:
    name = "otlp"
    traces = environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    if not endpoint and not traces:
        return Finding(name, "off, no endpoint")
    try:
        from massgen_tracing.delivery import backend

        problems: list[str] = []
        to = backend.otlp(traces or endpoint or "", environ, whole=bool(traces), say=problems.append)
        state, hint = _asked(to)
    except (ImportError, MassGenTracingError) as error:
        return Finding(name, f"{_shown(traces or endpoint)}: {error}", hint="Correct OTEL_EXPORTER_OTLP_ENDPOINT.")
    if problems:
        return Finding(name, f"{to.place} {state}", hint=" ".join([*problems, hint or ""]).strip())
    return Finding(name, f"{to.place} {state}", hint=hint)


def _asked(to: Backend) -> tuple[str, str | None]:
    """Whether a backend takes spans, by a request that has none, and what to do where it does not."""
    from massgen_tracing.delivery.answers import Blocked, Later
    from massgen_tracing.delivery.senders import open_sender

    answer: list[Answer] = [Later("no answer in time", reached=False)]
    sender = open_sender(to)

    def ask() -> None:
        answer[0] = sender.send(b"", ANSWER_TIMEOUT)

    # On a thread, because the look-up of a name knows no timeout.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(ANSWER_TIMEOUT)
    match answer[0]:
        case Blocked(why, hint):
            return f"takes nothing: {why}", f"{hint}."
        case Later(why, reached=True):
            return f"takes nothing just now: {why}", "Wait, and look again; what it does not take is sent later."
        case Later(why):
            return f"does not answer ({why})", "Start it, or correct its URL; what it does not take is sent later, by `massgen-tracing push`."
    return "takes spans", None


def _debts(root: Path) -> Iterator[Finding]:
    """What backends have not taken of the recordings under a root, what they have refused, and what came too late."""
    try:
        from massgen_tracing.delivery import leftovers, push

        debts = push.debts(*([root] if root.exists() else []), *leftovers.directories())
    except (ImportError, MassGenTracingError, OSError):
        return
    for debt in debts:
        why = f" ({text.clean(debt.why)})" if debt.why else ""
        if debt.spans:
            found = f"{text.count(debt.spans, 'span')} of {text.count(len(debt.paths), 'recording')} to {debt.entry.url}{why}"
            command = f"massgen-tracing push --root {shlex.quote(str(root))}"
            given_up = f". It takes others, but not {debt.aside:,} of these; to give up what it never takes: {command} --forget" if debt.aside else ""
            yield Finding("owed", found, hint=f"Send them: {command}{given_up}")
        if debt.refused:
            hint = "They are in the recordings. Correct what it objects to; deleting the ledgers there, .*.delivery, has all sent again."
            yield Finding("refused", f"{text.count(debt.refused, 'span')} for good by {debt.entry.url}{why}", hint=hint)
        if debt.late:
            yield Finding("late", f"{text.clause(debt.late, 'span', 'stays', 'stay')} local, for {debt.entry.url} drops what is older than 24 hours")


# --- swallowed problems ------------------------------------------------------------------------------------------------------------


def read_problems(path: Path) -> tuple[tuple[Swallowed, ...], int]:
    """The kinds of problems in a file, newest first, and how many lines could not be read; a missing file has none.

    Of a very long file only the end is read.
    """
    try:
        with path.open("rb") as file:
            skipped = max(file.seek(0, os.SEEK_END) - _READ_AT_MOST, 0)
            file.seek(skipped)
            content = file.read().split(b"\n")
    except OSError:
        return (), 0
    # A process that was configured several times has written its counts several times, each time those from its beginning.
    latest: dict[tuple[object, ...], Mapping[str, Any]] = {}
    unreadable = 0
    for line in content[1 if skipped else 0 :]:
        if not line.strip():
            continue
        try:
            problem = json.loads(line)
            latest[problem["pid"], problem["kind"], problem.get("about", ""), problem["first"]] = problem
        except (ValueError, TypeError, KeyError, RecursionError):
            unreadable += 1
    kinds: dict[tuple[str, str], Swallowed] = {}
    for problem in latest.values():
        kind = str(problem["kind"])
        known = kinds.setdefault((kind, str(problem.get("about", ""))), Swallowed(kind))
        last = _number(problem.get("last"))
        if last >= known.last:
            known.last, known.message = last, str(problem.get("message", ""))
        known.count += int(_number(problem.get("count")))
        known.lost += int(_number(problem.get("lost")))
    return tuple(sorted(kinds.values(), key=lambda known: known.last, reverse=True)), unreadable


def _number(value: object) -> float:
    """A time or a count; 0 for what is none, or cannot be one."""
    return float(value) if isinstance(value, int | float) and 0 <= value < 1e11 else 0.0

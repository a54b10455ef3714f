"""Where spans go, and how: what the variables of OpenTelemetry and of Logfire say.

The names are those of OpenTelemetry's own exporters, `OTEL_EXPORTER_OTLP_…`; those with `TRACES_` in them win.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from massgen_tracing import guard
from massgen_tracing.errors import ConfigError, compose, one_of
from massgen_tracing.ledger import Entry

OTLP: Final = "otlp"
LOGFIRE: Final = "logfire"
HTTP: Final = "http/protobuf"
HTTP_JSON: Final = "http/json"
GRPC: Final = "grpc"
LOGFIRE_SECONDS: Final = 86_400.0
"""Logfire drops a span that began longer ago, and answers 200 (pydantic/logfire#2242)."""

_MEND: Final = "Check the token, or the headers in OTEL_EXPORTER_OTLP_HEADERS"
_LOGFIRE_MEND: Final = "Set LOGFIRE_TOKEN, or run `logfire auth` and then `logfire projects use`"
_PREFIX: Final = "OTEL_EXPORTER_OTLP_"
_TRACES_PATH: Final = "/v1/traces"
_SECONDS: Final = 10.0
_SECRET: Final = 6
"""Characters that a secret has at least."""

_MOST_SECONDS: Final = 3600.0
_CREDENTIALS: Final = ("HEADERS", "CLIENT_CERTIFICATE", "CLIENT_KEY")
_COMPRESSIONS: Final = ("none", "gzip", "deflate")
_TOKEN_REGION: Final = re.compile(r"pylf_v\d+_([a-z]+)_")
_LOGFIRE_URL: Final = "https://logfire-{}.pydantic.dev"


@dataclass(frozen=True, slots=True)
class Backend:
    """One place that takes spans.

    Attributes:
        kind: `otlp` or `logfire`.
        place: its address for people and ledgers: without credentials, and without the path of traces.
        url: where requests go.
        protocol: `http/protobuf`, `http/json` or `grpc`.
        headers: of each request, names in lower case.
        compression: `none`, `gzip` or `deflate`.
        seconds: how long a request may take.
        certificate, client_certificate, client_key: files; empty for those of the system, and none.
        insecure: without TLS; only gRPC needs to be told.
        within: seconds for which it takes a span after its start; 0 for no limit.
    """

    kind: str
    place: str
    url: str
    protocol: str = HTTP
    headers: Mapping[str, str] = field(default_factory=dict)
    compression: str = "none"
    seconds: float = _SECONDS
    certificate: str = ""
    client_certificate: str = ""
    client_key: str = ""
    insecure: bool = False
    within: float = 0.0

    @property
    def name(self) -> str:
        """What its ledgers are called by."""
        return name(self.kind, self.place)

    @property
    def mend(self) -> str:
        """What to do where it does not know who asks."""
        return f"The token is refused: {_LOGFIRE_MEND[0].lower()}{_LOGFIRE_MEND[1:]}" if self.kind == LOGFIRE else _MEND

    @property
    def secrets(self) -> tuple[str, ...]:
        """What is in its headers, as far as it may be secret: a backend that repeats it is not quoted with it."""
        found = {part for value in self.headers.values() for part in (value, value.rpartition(" ")[2])}
        return tuple(sorted((part for part in found if len(part) >= _SECRET), key=len, reverse=True))

    def entry(self, *, only: str = "", pending: bool = False) -> Entry:
        """The beginning of a ledger."""
        return Entry(self.place, self.kind, self.protocol, only=only, pending=pending, within=self.within)


def name(kind: str, place: str) -> str:
    """What the ledgers of a backend are called by."""
    host = re.sub(r"[^A-Za-z0-9.-]+", "-", urlsplit(place).netloc or place)[:40].strip("-.")
    return f"{host}-{hashlib.sha256(f'{kind} {place}'.encode()).hexdigest()[:8]}"


def otlp(endpoint: str, environ: Mapping[str, str], *, whole: bool = False, say: Callable[[str], None] | None = None) -> Backend:
    """A collector.

    Args:
        endpoint: its base URL, such as `http://localhost:4318`.
        environ: the environment.
        whole: whether it is the URL of traces itself, to which no path is added.
        say: is told what of the variables is passed over.

    Raises:
        ConfigError: if it is no URL.
    """
    of = _Variables(environ, say or (lambda _: None))
    protocol = of.one_of("PROTOCOL", (HTTP, HTTP_JSON, GRPC), HTTP)
    try:
        url = urlsplit(endpoint.strip())
        port = url.port
    except ValueError as error:
        raise ConfigError(f"The collector's URL is none ({error})", expected="one such as http://localhost:4318") from None
    if protocol == GRPC:
        host = url.netloc.rpartition("@")[2] or endpoint.strip()
        scheme = url.scheme if url.netloc else ""
        insecure = scheme == "http" if scheme in {"http", "https"} or not of.text("INSECURE") else of.text("INSECURE").lower() == "true"
        target = place = f"{scheme}://{host}" if scheme else host
    else:
        if url.scheme not in {"http", "https"} or not url.hostname:
            raise ConfigError("The collector's URL is none", expected="one such as http://localhost:4318", got=_without_credentials(endpoint))
        netloc = url.hostname if ":" not in url.hostname else f"[{url.hostname}]"
        netloc += f":{port}" if port else ""
        path = url.path.rstrip("/")
        base = path.removesuffix(_TRACES_PATH)
        wanted = path if whole else base + _TRACES_PATH
        target = url._replace(netloc=netloc, path=wanted or "/", fragment="").geturl()
        place, insecure = url._replace(netloc=netloc, path=path if whole else base, query="", fragment="").geturl(), url.scheme == "http"
        if whole:
            place = place.removesuffix(_TRACES_PATH)
    headers = of.headers()
    if url.username and protocol != GRPC:
        from urllib3.util import make_headers

        headers = {**make_headers(basic_auth=f"{unquote(url.username)}:{unquote(url.password or '')}"), **headers}
    return Backend(
        OTLP,
        place,
        target,
        protocol,
        headers,
        of.one_of("COMPRESSION", _COMPRESSIONS, "none"),
        of.seconds("TIMEOUT"),
        of.text("CERTIFICATE"),
        of.text("CLIENT_CERTIFICATE"),
        of.text("CLIENT_KEY"),
        insecure,
    )


def logfire(environ: Mapping[str, str]) -> Backend:
    """Logfire, with the token that its SDK would take.

    Raises:
        ConfigError: if there is none.
    """
    token, base = environ.get("LOGFIRE_TOKEN", "").partition(",")[0].strip(), environ.get("LOGFIRE_BASE_URL", "")
    if not token:
        token, from_file = _credentials(environ)
        base = base or from_file
    if not token:
        raise ConfigError("Logfire has no write token", hint=_LOGFIRE_MEND)
    region = _TOKEN_REGION.match(token)
    base = (base or _LOGFIRE_URL.format(region[1] if region else "us")).rstrip("/")
    return Backend(LOGFIRE, LOGFIRE, base + _TRACES_PATH, headers={"authorization": token}, compression="gzip", within=LOGFIRE_SECONDS)


def of_entry(entry: Entry, environ: Mapping[str, str]) -> Backend:
    """The backend of a ledger, with the credentials that the environment has for it.

    Whoever can write to a recording's directory can name any URL: headers and client certificates go to the endpoint that stands beside them in the
    environment, and nowhere else. Where they are held back, that is said.

    Raises:
        ConfigError: if it cannot be reached without some.
    """
    if entry.kind == LOGFIRE:
        return logfire(environ)
    configured = environ.get(f"{_PREFIX}TRACES_ENDPOINT"), environ.get(f"{_PREFIX}ENDPOINT")
    own = {**environ, f"{_PREFIX}TRACES_PROTOCOL": entry.protocol}
    for number, endpoint in enumerate(configured):
        if endpoint:
            try:
                backend = otlp(endpoint, own, whole=number == 0)
            except ConfigError:
                continue
            if backend.place == entry.url:
                return backend
    withheld = [own.pop(f"{_PREFIX}{of}{name}", "").strip() for name in _CREDENTIALS for of in ("TRACES_", "")]
    if any(withheld):
        problem = f"{entry.url} is not the endpoint that OTEL_EXPORTER_OTLP_* names, and is sent none of its headers and client certificates."
        guard.report("otlp.credentials", f"{problem} If they are meant for it: `massgen-tracing push --to {entry.url}`.")
    return otlp(entry.url, own)


class _Variables:
    """OpenTelemetry's variables for an exporter of spans; `say` is told of those that are passed over."""

    def __init__(self, environ: Mapping[str, str], say: Callable[[str], None]) -> None:
        self._environ = environ
        self._say = say

    def text(self, name: str) -> str:
        return self._environ.get(f"{_PREFIX}TRACES_{name}", "").strip() or self._environ.get(f"{_PREFIX}{name}", "").strip()

    def one_of(self, name: str, values: tuple[str, ...], default: str) -> str:
        text = self.text(name).lower()
        if text and text not in values:
            self._pass_over(name, one_of(values), text)
        return text if text in values else default

    def seconds(self, name: str) -> float:
        text = self.text(name)
        try:
            number = float(text) if text else _SECONDS
        except ValueError:
            number = math.nan
        if 0 < number <= _MOST_SECONDS:
            return number
        self._pass_over(name, f"seconds, at most {_MOST_SECONDS:.0f}", text)
        return _SECONDS

    def headers(self) -> dict[str, str]:
        found = {}
        for pair in filter(None, map(str.strip, self.text("HEADERS").split(","))):
            name, separator, value = pair.partition("=")
            name, value = unquote(name).strip().lower(), unquote(value).strip()
            if separator and re.fullmatch(r"[a-z0-9!#$%&'*+.^_`|~-]+", name) and value.isprintable() and value.isascii():
                found[name] = value
            else:
                self._pass_over("HEADERS", "name=value pairs with commas between them", None)
        return found

    def _pass_over(self, name: str, expected: str, got: str | None) -> None:
        self._say(compose(f"{_PREFIX}{name} is wrong", expected, got))


def _credentials(environ: Mapping[str, str]) -> tuple[str, str]:
    """The token and the base URL that `logfire projects use` has left."""
    path = Path(environ.get("LOGFIRE_CREDENTIALS_DIR") or ".logfire") / "logfire_credentials.json"
    try:
        found = json.loads(path.read_bytes())
        return str(found["token"]), str(found.get("logfire_api_url", ""))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return "", ""


def _without_credentials(url: str) -> str:
    return re.sub(r"//[^/@]*@", "//…@", url)

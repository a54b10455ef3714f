"""What a backend's answer means for the spans that it was sent."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from massgen_tracing.trace.scrub import MARK, scrub

if TYPE_CHECKING:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

_PASSING: Final = frozenset({408, 425, 429, 502, 503, 504})
_NO_RECEIVER: Final = frozenset({404, 405, 501})
"""What a server answers that takes nothing at this path, or nothing by POST at all."""

_LONGEST: Final = 200
"""Characters of what a backend says that are passed on."""


@dataclass(frozen=True, slots=True)
class Taken:
    """They are at the backend, but for so many that it has rejected; *why* says what it said of these."""

    rejected: int = 0
    why: str = ""


@dataclass(frozen=True, slots=True)
class TooLarge:
    """Fewer at once may be taken."""

    why: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Something in the request is not acceptable, and never will be."""

    why: str


@dataclass(frozen=True, slots=True)
class Later:
    """Not now.

    Attributes:
        why: what happened.
        seconds: when to try again, where the backend says so.
        reached: whether it was the backend that said it.
        passing: whether it passes, whatever is in the request: too many of them, or a server behind it that is down for a while.
    """

    why: str
    seconds: float | None = None
    reached: bool = True
    passing: bool = False

    @property
    def doubtful(self) -> bool:
        """Whether it may be these spans that it fails on."""
        return self.reached and not self.passing and self.seconds is None


@dataclass(frozen=True, slots=True)
class Blocked:
    """Nothing is taken until somebody does *hint*: wrong address, wrong credentials. It is not about the spans."""

    why: str
    hint: str


Answer = Taken | TooLarge | Refused | Later | Blocked


def unaccepted(why: str) -> Blocked:
    """The meaning of a certificate that is not accepted, or that is not for this host."""
    return Blocked(f"its certificate is not accepted ({why})", "Check OTEL_EXPORTER_OTLP_CERTIFICATE, and the host in the URL")


def unnamed(why: str) -> Later:
    """The meaning of TLS that breaks off where this side has no certificate of its own."""
    return Later(f"{why}; it may ask for a client certificate: OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and _CLIENT_KEY", reached=False)


def judge_http(
    status: int,
    *,
    location: str = "",
    retry_after: str = "",
    content_type: str = "",
    body: bytes = b"",
    secrets: Collection[str] = (),
    mend: str = "",
) -> Answer:
    """The meaning of an answer over HTTP.

    Args:
        status: the status code.
        location: the header of that name; empty where there is none, as the next two.
        retry_after: the same.
        content_type: the same.
        body: the body, or its beginning.
        secrets: what must not be repeated of it.
        mend: what to do where it does not know who asks.
    """
    if 200 <= status < 300:
        if content_type.startswith("text/html"):
            return Blocked(f"it answers {status} with a web page, as no receiver of spans does", "Correct the URL")
        return _taken(content_type, body, secrets)
    said = _said(status, content_type, body, secrets)
    if 300 <= status < 400:
        where = f" to {short(location, secrets)}" if location else ""
        return Blocked(f"it answers {status}, a redirect{where}, and takes nothing", "Name the URL that takes spans itself")
    if status == 413:
        return TooLarge(said)
    if status in {400, 422}:
        return Refused(said)
    if status in _NO_RECEIVER:
        return Blocked(said, "Is that a collector? Correct the URL")
    if status in _PASSING or status >= 500:
        return Later(said, _seconds(retry_after), passing=status in _PASSING)
    if status in {401, 403, 407}:
        return Blocked(said, mend)
    return Blocked(said, "Correct the URL")


def _taken(content_type: str, body: bytes, secrets: Collection[str]) -> Taken:
    if not body:
        return Taken()
    from google.protobuf import json_format
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    answer = ExportTraceServiceResponse()
    try:
        if content_type.startswith("application/json"):
            json_format.Parse(body, answer, ignore_unknown_fields=True)
        elif content_type.startswith("application/x-protobuf"):
            answer.ParseFromString(body)
    except (DecodeError, json_format.ParseError, UnicodeDecodeError, RecursionError):  # the status has said it
        return Taken()
    return partial(answer, secrets)


def partial(answer: ExportTraceServiceResponse, secrets: Collection[str] = ()) -> Taken:
    """The meaning of OTLP's own answer, of which *secrets* must not be repeated."""
    return Taken(max(0, answer.partial_success.rejected_spans), short(answer.partial_success.error_message, secrets))


def _said(status: int, content_type: str, body: bytes, secrets: Collection[str]) -> str:
    """Status and what the body says, as far as it is text."""
    text = ""
    if content_type.startswith("application/x-protobuf"):
        from google.protobuf.message import DecodeError
        from google.rpc.status_pb2 import Status

        try:
            text = Status.FromString(body).message
        except DecodeError:
            text = ""
    elif not content_type.startswith("text/html"):
        text = body.decode("utf-8", "replace")
    return f"it answers {status}" + (f": {short(text, secrets)}" if text.strip() else "")


def short(text: str, secrets: Collection[str] = ()) -> str:
    """The beginning of what a backend says, in one line, without the secrets in it: these, and what looks like one."""
    for secret in secrets:
        text = text.replace(secret, MARK)
    return "".join(each if each.isprintable() else " " for each in " ".join(scrub(text).split()))[:_LONGEST]


def _seconds(retry_after: str) -> float | None:
    """What a Retry-After header says, in seconds from now; None where it says nothing."""
    if retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time())
    except (ValueError, TypeError, IndexError, OverflowError):
        return None

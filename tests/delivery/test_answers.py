"""What a backend's answer means."""

from __future__ import annotations

import base64
import os

import grpc
import pytest
from google.rpc.status_pb2 import Status
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse

from massgen_tracing.delivery import over_grpc, over_http
from massgen_tracing.delivery.answers import Blocked, Later, Refused, Taken, TooLarge, judge_http
from massgen_tracing.delivery.backend import otlp
from massgen_tracing.delivery.tally import pause
from tests.delivery.backend import taking

PROTOBUF = "application/x-protobuf"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *((status, Taken) for status in (200, 202, 204)),
        *((status, Blocked) for status in (300, 301, 302, 303, 307, 308, 401, 403, 404, 405, 407, 415, 501)),
        *((status, Refused) for status in (400, 422)),
        *((status, Later) for status in (408, 425, 429, 500, 502, 503, 504)),
        (413, TooLarge),
    ],
)
def test_statuses(status: int, kind: type) -> None:
    """Only 2xx is success; what passes is told from what does not, and from what is not about the spans."""
    assert type(judge_http(status)) is kind


def test_partial_success_in_both_forms() -> None:
    """In protobuf and in JSON."""
    answer = ExportTraceServiceResponse()
    answer.partial_success.rejected_spans = 3
    answer.partial_success.error_message = "no\nroom"
    assert judge_http(200, content_type=PROTOBUF, body=answer.SerializeToString()) == Taken(3, "no room")
    body = b'{"partialSuccess":{"rejectedSpans":"3","errorMessage":"no room"}}'
    assert judge_http(200, content_type="application/json; charset=utf-8", body=body) == Taken(3, "no room")


def test_what_is_said_of_a_refusal_is_passed_on() -> None:
    """As text, or in the form that OTLP has for it; in one line, and not a page of it."""
    assert judge_http(400, content_type=PROTOBUF, body=Status(message="bad\nid").SerializeToString()) == Refused("it answers 400: bad id")
    assert judge_http(400, content_type="text/plain", body=b"bad \x1b[31mid") == Refused("it answers 400: bad  [31mid")
    assert judge_http(400, content_type="text/html", body=b"<html>") == Refused("it answers 400")
    assert len(judge_http(400, content_type="text/plain", body=b"x" * 10_000).why) < 300


def test_what_a_backend_repeats_of_a_secret_is_not_passed_on() -> None:
    """What looks like a secret, and what was in the request's headers, whatever it looks like."""
    key = "sk-abcdefghij1234567890abcdef"
    backend = otlp("http://localhost:4318", {"OTEL_EXPORTER_OTLP_HEADERS": "x-key=letmeinplease,authorization=Basic%20open sesame"})
    partly = ExportTraceServiceResponse()
    partly.partial_success.rejected_spans = 1
    partly.partial_success.error_message = f"no {key}, no letmeinplease"
    said = [
        judge_http(401, content_type="text/plain", body=f"{'x' * 180} {key} letmeinplease, sesame".encode(), secrets=backend.secrets),
        judge_http(400, content_type=PROTOBUF, body=Status(message=f"no {key}, no letmeinplease").SerializeToString(), secrets=backend.secrets),
        judge_http(307, location=f"http://u:{key}@letmeinplease/", secrets=backend.secrets),
        judge_http(200, content_type=PROTOBUF, body=partly.SerializeToString(), secrets=backend.secrets),
        over_grpc._judge(_Error(f"no {key}, no letmeinplease"), backend.secrets),
    ]
    for each in said:
        assert "sk-a" not in each.why
        assert "letmein" not in each.why
        assert "sesame" not in each.why
        assert "[scrubbed]" in each.why


@pytest.mark.parametrize("wish", ["99999999999", "9" * 400, "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_a_wish_is_bounded(wish: str) -> None:
    """However long a backend wishes not to be asked, it is asked again; and whatever it wishes is an answer's length of time."""
    answer = judge_http(503, retry_after=wish)
    assert isinstance(answer, Later)
    assert pause(answer, 1) == 300
    assert 0 < pause(Later("down"), 5000) <= 72


@pytest.mark.parametrize(
    ("name", "proxy"), [("http_proxy", "http://us%40er:pass@{}"), ("http_proxy", "us%40er:pass@{}"), ("all_proxy", "http://us%40er:pass@{}")]
)
def test_the_proxy_of_the_environment_is_used(name: str, proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the credentials in its URL, as `requests` has it."""
    for each in [each for each in os.environ if each.lower().endswith("_proxy")]:
        monkeypatch.delenv(each)
    with taking() as server:
        monkeypatch.setenv(name, proxy.format(server.url.removeprefix("http://")))
        request = ExportTraceServiceRequest()
        request.resource_spans.add().scope_spans.add().spans.add(name="x")
        sender = over_http.HttpSender(otlp("http://collector.example:4318", {}))
        assert sender.send(request.SerializeToString(), 20) == Taken()
        sender.close()
        ((path, headers),) = server.requests
    assert path == "http://collector.example:4318/v1/traces"
    assert headers["proxy-authorization"] == "Basic " + base64.b64encode(b"us@er:pass").decode()


def test_a_proxy_for_all_that_speaks_no_http_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many programs do."""
    for each in [each for each in os.environ if each.lower().endswith("_proxy")]:
        monkeypatch.delenv(each)
    monkeypatch.setenv("all_proxy", "socks5://127.0.0.1:1")
    assert over_http._proxy("http://collector.example:4318") == ""


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_authorities_of_the_environment_are_trusted(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenTelemetry's own variable wins."""
    for each in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(each, raising=False)
    monkeypatch.setenv(name, "/etc/corporate.pem")
    assert over_http._pool(otlp("https://c.example", {})).connection_pool_kw["ca_certs"] == "/etc/corporate.pem"
    own = otlp("https://c.example", {"OTEL_EXPORTER_OTLP_CERTIFICATE": "/etc/own.pem"})
    assert over_http._pool(own).connection_pool_kw["ca_certs"] == "/etc/own.pem"


class _Error(grpc.RpcError):  # type: ignore[misc]
    def __init__(self, details: str) -> None:
        self.details = lambda: details

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.UNAUTHENTICATED


@given(
    st.integers(100, 599), st.text(max_size=40), st.text(max_size=40), st.sampled_from(["", PROTOBUF, "application/json", "text/plain"]), st.binary()
)
def test_any_answer_is_judged(status: int, location: str, retry_after: str, content_type: str, body: bytes) -> None:
    """Whatever a server sends."""
    answer = judge_http(status, location=location, retry_after=retry_after, content_type=content_type, body=body)
    assert isinstance(answer, Taken) == (200 <= status < 300)

"""OTLP over TLS, with certificates made here: HTTP and gRPC; what is wrong with a certificate is said in one line."""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import add_TraceServiceServicer_to_server

import massgen_tracing as mt
from massgen_tracing.views.cli import main
from tests.delivery.backend import Backend, taking
from tests.delivery.recordings import record
from tests.delivery.test_grpc import Server


@dataclass(frozen=True)
class Files:
    """A certificate authority with a server's and a client's certificate, and another authority."""

    authority: Path
    other: Path
    server: Path
    client: Path

    @staticmethod
    def key(certificate: Path) -> Path:
        """Where the key of a certificate is."""
        return certificate.with_suffix(".key")


def _issue(
    name: str, place: Path, issuer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None = None, *alternative: x509.GeneralName
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """A certificate with its key, in files too; without an issuer an authority's."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key((issuer[1] if issuer else key).public_key()), critical=False)
        .add_extension(x509.KeyUsage(True, False, False, False, False, issuer is None, issuer is None, False, False), critical=True)
    )
    if alternative:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternative), critical=False)
    made = builder.sign(issuer[1] if issuer else key, hashes.SHA256())
    place.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    written = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    Files.key(place).write_bytes(written)
    return made, key


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """All of them; the server's is for `localhost` only, not for its address."""
    place = tmp_path_factory.mktemp("certificates")
    found = Files(*(place / f"{name}.pem" for name in ("authority", "other", "server", "client")))
    authority = _issue("an authority", found.authority)
    _issue("another", found.other)
    _issue("server", found.server, authority, x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("192.0.2.1")))
    _issue("client", found.client, authority)
    return found


@dataclass(frozen=True)
class Secure:
    """A server over TLS, which asks for a client's certificate; its port, and how many spans it has taken."""

    port: int
    server: Backend | Server

    @property
    def taken(self) -> int:
        """How many spans."""
        return len(self.server.taken)


@pytest.fixture(params=["http/protobuf", "grpc"])
def secure(request: pytest.FixtureRequest, files: Files, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Secure]:
    """One for each protocol, which the environment asks for; nobody waits for another attempt."""
    for name in [name for name in os.environ if name.startswith(("OTEL_", "LOGFIRE_", "SSL_"))] + ["https_proxy", "HTTPS_PROXY"]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", request.param)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    if request.param == "grpc":
        grpc_server, servicer = grpc.server(ThreadPoolExecutor(2)), Server()
        add_TraceServiceServicer_to_server(servicer, grpc_server)
        pair = files.key(files.server).read_bytes(), files.server.read_bytes()
        credentials = grpc.ssl_server_credentials([pair], files.authority.read_bytes(), require_client_auth=True)
        port = grpc_server.add_secure_port("127.0.0.1:0", credentials)
        grpc_server.start()
        yield Secure(port, servicer)
        grpc_server.stop(None).wait()
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.server, files.key(files.server))
    context.load_verify_locations(files.authority)
    context.verify_mode = ssl.CERT_REQUIRED
    with taking() as backend:
        backend.handle_error = lambda *_: None  # type: ignore[method-assign]  # a handshake that the client breaks off
        backend.socket = context.wrap_socket(backend.socket, server_side=True, do_handshake_on_connect=False)
        yield Secure(backend.server_address[1], backend)


def trust(monkeypatch: pytest.MonkeyPatch, **named: Path) -> None:
    """Have the environment name these files."""
    for name, path in named.items():
        monkeypatch.setenv(f"OTEL_EXPORTER_OTLP_{name.upper()}", str(path))


def test_spans_arrive_by_certificates_of_ones_own(tmp_path: Path, secure: Secure, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """A private authority, and a client that says who it is; by a push as during a run."""
    trust(monkeypatch, certificate=files.authority, client_certificate=files.client, client_key=files.key(files.client))
    record(tmp_path, calls=1)
    assert main(["push", "--root", str(tmp_path), "--to", f"https://localhost:{secure.port}"]) == 0
    assert secure.taken == 3
    with mt.configure(root=tmp_path, otlp_endpoint=f"https://localhost:{secure.port}", enabled=True).session("q"):
        pass
    assert mt.shutdown(timeout=600)
    assert secure.taken == 4


@pytest.mark.parametrize(
    ("trusted", "host", "client", "said"),
    [
        ("other", "localhost", True, "certificate is not accepted"),
        ("authority", "127.0.0.1", True, "certificate is not accepted"),
        ("authority", "localhost", False, "may ask for a client certificate"),
    ],
    ids=["another authority", "another name", "no client certificate"],
)
def test_what_is_wrong_with_a_certificate_is_one_line(
    tmp_path: Path,
    secure: Secure,
    files: Files,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    trusted: str,
    host: str,
    client: bool,
    said: str,
) -> None:
    """Nothing is sent, everything is owed; `doctor` says the same."""
    trust(monkeypatch, certificate=getattr(files, trusted))
    if client:
        trust(monkeypatch, client_certificate=files.client, client_key=files.key(files.client))
    record(tmp_path, calls=1)
    url = f"https://{host}:{secure.port}"
    assert main(["push", "--root", str(tmp_path), "--to", url]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"3 spans stay owed to {url}" in line
    assert said in line
    assert secure.taken == 0
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
    assert main(["doctor", "--root", str(tmp_path)]) == 1
    (line,) = [line for line in capsys.readouterr().out.splitlines() if " otlp " in line and url in line and "http" in line.split()[2]]
    assert said in line


def test_a_certificate_that_is_not_there_is_one_line(
    tmp_path: Path, secure: Secure, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the file that was looked for."""
    trust(monkeypatch, certificate=tmp_path / "gone.pem")
    record(tmp_path, calls=1)
    assert main(["push", "--root", str(tmp_path), "--to", f"https://localhost:{secure.port}"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "gone.pem" in line

"""Requests over HTTP: one at a time, each within its time, whatever the server does; redirects are not followed."""

from __future__ import annotations

import gzip
import http.client
import io
import os
import socket
import ssl
import time
import urllib.request
import zlib
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util import make_headers

from massgen_tracing._version import __version__
from massgen_tracing.delivery.answers import Answer, Later, Taken, judge_http, short, unaccepted, unnamed
from massgen_tracing.delivery.backend import Backend
from massgen_tracing.delivery.encode import form

_CONNECT_SECONDS: Final = 5.0
_AUTHORITIES: Final = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
_MOST_READ: Final = 2**16
"""Bytes of an answer."""


class HttpSender:
    """Sends to one backend.

    Args:
        backend: where to.

    Raises:
        OSError, ValueError: if the URL or a certificate cannot be used.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._headers = {"user-agent": f"massgen-tracing/{__version__}", "content-type": form(backend.protocol).content_type, **backend.headers}
        if backend.compression != "none":
            self._headers["content-encoding"] = backend.compression
        _check_files(backend)
        self._pool = _pool(backend)

    def send(self, body: bytes, seconds: float) -> Answer:
        """Send a request, within so many seconds in all, and judge the answer. Raises nothing of the network."""
        if self._backend.compression == "gzip":
            body = gzip.compress(body, 1)
        elif self._backend.compression == "deflate":
            body = zlib.compress(body, 1)
        timeout = urllib3.Timeout(connect=min(_CONNECT_SECONDS, seconds), read=seconds)
        try:
            response = self._pool.request(
                "POST", self._backend.url, body=body, headers=self._headers, timeout=timeout, preload_content=False, redirect=False, retries=False
            )
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            return self._judge(error)
        try:
            content = response.read(_MOST_READ)
            whole = len(content) < _MOST_READ
        except (urllib3.exceptions.HTTPError, OSError, ValueError):  # the status had come, and says whether they were taken
            content, whole = b"", False
        headers = response.headers
        response.release_conn() if whole else response.close()
        kind = headers.get("content-type", "")
        if not whole and 200 <= response.status < 300 and not kind.startswith("text/html"):
            return Taken()
        return judge_http(
            response.status,
            location=headers.get("location", ""),
            retry_after=headers.get("retry-after", ""),
            content_type=kind,
            body=content,
            secrets=self._backend.secrets,
            mend=self._backend.mend,
        )

    def _judge(self, error: Exception) -> Answer:
        chain = _chain(error)
        for each in chain:
            if isinstance(each, ssl.SSLCertVerificationError):
                return unaccepted(short(each.verify_message or str(each)))
        why = short(_reason(chain), self._backend.secrets)
        if any(isinstance(each, ssl.SSLError) for each in chain) and not self._backend.client_certificate:
            return unnamed(why)
        return Later(why, reached=False)

    def close(self) -> None:
        """Close the connection."""
        # One by one: `clear` leaves that to finalizers, which do nothing any more once those of the interpreter's exit have run.
        for pool in map(self._pool.pools.get, self._pool.pools.keys()):
            if pool is not None:
                pool.close()
        self._pool.clear()


def _check_files(backend: Backend) -> None:
    """Read the files of certificates that a backend names.

    Raises:
        ValueError: if one is none.
    """
    try:
        path = backend.certificate
        if path:
            is_directory = os.path.isdir(path)
            ssl.create_default_context(cafile=None if is_directory else path, capath=path if is_directory else None)
        path = backend.client_certificate
        if path:
            ssl.create_default_context().load_cert_chain(path, backend.client_key or None)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or error}") from error


def _pool(backend: Backend) -> urllib3.PoolManager:
    files = {"ca_certs": backend.certificate or _authorities(), "cert_file": backend.client_certificate, "key_file": backend.client_key}
    options: dict[str, Any] = {"maxsize": 1, **{name: file for name, file in files.items() if file}}
    if os.path.isdir(options.get("ca_certs", "")):
        options["ca_cert_dir"] = options.pop("ca_certs")
    proxy = _proxy(backend.url)
    pool = urllib3.ProxyManager(proxy, proxy_headers=_credentials(proxy), **options) if proxy else urllib3.PoolManager(**options)
    pool.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}
    return pool


def _proxy(to: str) -> str:
    """The proxy that the environment names for a URL; empty for none."""
    url = urlsplit(to)
    if urllib.request.proxy_bypass(url.netloc):
        return ""
    proxies = urllib.request.getproxies()
    for_all = proxies.get("all", "")
    proxy = proxies.get(url.scheme) or ("" if for_all.lower().startswith("socks") else for_all)
    return proxy if not proxy or "://" in proxy else f"http://{proxy}"


def _credentials(proxy: str) -> dict[str, str]:
    """The header for the name and the password in a proxy's URL."""
    url = urlsplit(proxy)
    return make_headers(proxy_basic_auth=f"{unquote(url.username)}:{unquote(url.password or '')}") if url.username else {}


def _authorities() -> str | None:
    """The certificate authorities: where the environment says, as `requests` reads it; or those of Python's packages; None: the system's."""
    for name in _AUTHORITIES:
        if os.environ.get(name):
            return os.environ[name]
    try:
        import certifi
    except ImportError:
        return None
    return certifi.where()


def _chain(error: Exception) -> list[BaseException]:
    """An error with those behind it."""
    chain: list[BaseException] = [error]
    while (inner := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(inner)
    return chain


def _reason(chain: list[BaseException]) -> str:
    """An error of the network, with those behind it, in a few words."""
    for each in chain:
        if isinstance(each, OSError) and each.errno and each.strerror:
            return each.strerror.lower()
        if isinstance(each, http.client.RemoteDisconnected):
            return "it closes the connection without an answer"
    if any(isinstance(each, urllib3.exceptions.TimeoutError | TimeoutError) for each in chain):
        return "no answer in time"
    return str(chain[0]).strip() or type(chain[0]).__name__


class _InTime(io.RawIOBase):
    """What a socket receives, as long as there is time: its own timeout begins anew with every byte."""

    def __init__(self, received: Any, connection: socket.socket) -> None:
        self._received = received
        self._connection = connection
        timeout = connection.gettimeout()
        self._deadline = None if timeout is None else time.monotonic() + timeout

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._deadline is not None:
            self._connection.settimeout(max(0.001, self._deadline - time.monotonic()))
        return self._received.readinto(buffer)  # type: ignore[no-any-return]

    def close(self) -> None:
        self._received.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp.close()
        self.fp = io.BufferedReader(_InTime(sock.makefile("rb", buffering=0), sock))


class _Http(HTTPConnection):
    response_class = _Response


class _Https(HTTPSConnection):
    response_class = _Response


class _HttpPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Http


class _HttpsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _Https

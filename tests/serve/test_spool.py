"""The disk, before an answer: what cannot be written is refused, one server has a root, and the sorter that dies is started again."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from massgen_tracing import layout
from massgen_tracing.errors import ConfigError
from massgen_tracing.serve.ingest import spool
from massgen_tracing.serve.ingest.bodies import Refused
from massgen_tracing.serve.ingest.requests import SIGNALS, from_protobuf
from massgen_tracing.serve.ingest.spool import Spool
from massgen_tracing.store.roots import catalogue, reader
from tests.serve.client import protobuf, spans
from tests.store import otlp


def request(number: int) -> bytes:
    return from_protobuf(SIGNALS["traces"], protobuf(spans(otlp.span(number, f"s{number}")))).content


def names(root: Path) -> list[str]:
    return sorted(span.name for span in reader.read(catalogue.files(root)).spans)


def test_a_full_disk_is_said_and_gets_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Senders are told to come again; nothing half written is left; when there is room, all goes on."""
    monkeypatch.setattr(Spool, "_start_sorter", lambda _: None)
    monkeypatch.setattr(Spool, "_wake_sorter", lambda _: None)
    with Spool(tmp_path) as made:
        made.add(request(1)).result()
        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", full)
            with pytest.raises(Refused, match="No space") as raised:
                made.add(request(2)).result()
        assert raised.value.status == 503
        with monkeypatch.context() as patched:
            patched.setattr(spool, "_MOST_WAITING", 1)
            with pytest.raises(Refused, match="not yet sorted") as raised:
                made.add(request(2)).result()
        assert raised.value.status == 429
        made.add(request(3)).result()
    assert names(tmp_path) == ["s1", "s3"]
    assert not list((tmp_path / layout.ARRIVALS_DIR).glob("*.part"))


def full(_descriptor: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_what_waits_together_is_one_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests that come while the disk is busy share the next sync."""
    import threading

    monkeypatch.setattr(Spool, "_start_sorter", lambda _: None)
    monkeypatch.setattr(Spool, "_wake_sorter", lambda _: None)
    begun, free, synced = threading.Event(), threading.Event(), []
    fsync = os.fsync

    def slow(descriptor: int) -> None:
        begun.set()
        free.wait()
        synced.append(descriptor)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", slow)
    with Spool(tmp_path) as made:
        first = made.add(request(1))
        begun.wait()
        others = [made.add(request(number)) for number in range(2, 8)]
        free.set()
        for done in (first, *others):
            done.result()
        assert len(list((tmp_path / layout.ARRIVALS_DIR).glob(f"*{layout.ARRIVAL_SUFFIX}"))) == 2
        assert len(synced) == 4  # the file and its directory, twice
    assert len(names(tmp_path)) == 7


def test_one_server_has_a_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one says so; and one that cannot write there says that."""
    monkeypatch.setattr(Spool, "_start_sorter", lambda _: None)
    monkeypatch.setattr(spool, "_LOCK_SECONDS", 0.0)
    with Spool(tmp_path), pytest.raises(ConfigError, match="Another server"), Spool(tmp_path):
        pass
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot write"), Spool(tmp_path / "file"):
        pass


def test_a_sorter_that_was_killed_is_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By what comes next; nothing waits for it meanwhile."""
    monkeypatch.setattr(spool, "_RESTART_SECONDS", 0.0)
    with Spool(tmp_path) as made:
        first = made._sorter
        assert first is not None
        first.kill()
        first.wait()
        made.add(request(1)).result()
        assert names(tmp_path) == ["s1"]
        made.add(request(2)).result()
        assert made._sorter is not first
    assert names(tmp_path) == ["s1", "s2"]
    assert not list((tmp_path / layout.ARRIVALS_DIR).glob(f"*{layout.ARRIVAL_SUFFIX}"))

"""What a backend has taken of a recording: one small file beside it for each backend.

The recording is the queue; its ledgers say how far each backend is through it. A recording that still owes spans to a backend is neither sealed nor
forgotten. A ledger has two slots, written in turn, each with a checksum: whenever its writer dies, one of them is whole. Where neither is, nothing
counts as taken, and everything is sent again.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Final, Self

from massgen_tracing import layout

try:
    import fcntl
except ImportError:  # Windows knows no such locks; two processes that send at once may then both send
    fcntl = None  # type: ignore[assignment]

SUFFIX: Final = ".delivery"
THROUGH: Final = 2**63 - 1
"""The position behind all of a sealed file."""

_KEY: Final = 24
_SLOT: Final = 2048
_ASIDE: Final = ".aside"
"""Ends the name of the file beside a ledger that has the spans that were set aside."""

_LONGEST: Final = 400
"""Characters of a text in a ledger, as JSON."""

_LANDMARK: Final = 64
"""Bytes of the recording before the position that have to be there again."""


@dataclass(frozen=True, slots=True)
class Entry:
    """How far a backend is through a recording.

    Attributes:
        url: where it is, without credentials.
        kind: `otlp` or `logfire`.
        protocol: `http/protobuf`, `http/json` or `grpc`.
        only: the `service.instance.id` of the spans that are meant for it; empty for all.
        pending: whether the starts of spans are sent too.
        within: seconds after which it does not take a span any more; 0 for no limit.
        inode: of the live file; 0 for a sealed one.
        position: bytes of the live file, or spans of the sealed one, that are dealt with.
        landmark: checksum of what stands in the live file before that position.
        sent: spans that it has taken.
        refused: spans that it will not take; they stay in the recording.
        late: spans that were not sent because it would not keep them any more.
        why: what it said of the last refusal, or why it takes nothing.
        number: counts the entries.
    """

    url: str
    kind: str = "otlp"
    protocol: str = "http/protobuf"
    only: str = ""
    pending: bool = False
    within: float = 0.0
    inode: int = 0
    position: int = 0
    landmark: int = 0
    sent: int = 0
    refused: int = 0
    late: int = 0
    why: str = ""
    number: int = 0

    def encode(self) -> bytes:
        """The entry as a slot."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        values = {name: _cut(value) if isinstance(value, str) else value for name, value in values.items()}
        content = json.dumps(values).encode()
        return (b"%08x %b" % (zlib.crc32(content), content)).ljust(_SLOT - 1) + b"\n"

    @classmethod
    def decode(cls, slot: bytes) -> Self | None:
        """What a slot says; None where it is damaged."""
        checksum, _, content = slot.rstrip().partition(b" ")
        try:
            if int(checksum, 16) != zlib.crc32(content):
                return None
            values = json.loads(content)
            return cls(**{each.name: values[each.name] for each in fields(cls)})
        except (ValueError, KeyError, TypeError):
            return None


def _cut(text: str) -> str:
    while len(json.dumps(text)) > _LONGEST:
        text = text[: min(_LONGEST, len(text) * 3 // 4)]
    return text


class Busy(Exception):
    """Another process, or thread, is sending this recording to this backend."""


_open: Final[set[int]] = set()
"""Descriptors of ledgers, which a forked child has to close: with them it would hold its parent's locks."""


class Ledger:
    """A ledger that is held: nobody else sends this recording to this backend meanwhile.

    Args:
        path: the file; made where there is none.

    Raises:
        Busy: if somebody else holds it.
        OSError: if it cannot be made, or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644)
        _open.add(self._descriptor)
        try:
            if fcntl is not None:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise Busy(str(path)) from None
        except OSError as error:  # no locks on this file system
            if error.errno is None:  # a signal handler's of the program
                raise
        self._entry = _latest(os.pread(self._descriptor, 2 * _SLOT, 0))

    @property
    def entry(self) -> Entry | None:
        """The latest entry; None where there is none, or none that is whole."""
        return self._entry

    def write(self, entry: Entry) -> None:
        """Put down how far the backend is.

        Raises:
            OSError: if that cannot be written.
        """
        number = 1 if self._entry is None else self._entry.number + 1
        self._entry = replace(entry, number=number)
        slot = self._entry.encode()
        if number == 1:  # both, so that the file has its size and later ones need no room on the disk
            slot += slot
        if os.pwrite(self._descriptor, slot, 0 if number == 1 else number % 2 * _SLOT) < len(slot):
            raise _full()

    def close(self) -> None:
        """Let go of it."""
        if self._descriptor in _open:
            _open.discard(self._descriptor)
            os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _full() -> OSError:
    """What a short write means."""
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _after_fork() -> None:
    for descriptor in list(_open):
        os.close(descriptor)
    _open.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _latest(content: bytes) -> Entry | None:
    found = [entry for at in (0, _SLOT) if (entry := Entry.decode(content[at : at + _SLOT])) is not None]
    return max(found, key=lambda entry: entry.number, default=None)


def path_for(recording: Path, name: str) -> Path:
    """Where the ledger of a recording for a backend lies.

    A live file's has the name that its sealed form will have, so that it goes on to hold.

    Args:
        recording: live or sealed.
        name: the backend's.
    """
    return recording.with_name(f".{_part(recording).name}.{name}{SUFFIX}")


def _part(recording: Path) -> Path:
    return recording.with_suffix(layout.SEALED_SUFFIX) if layout.is_sealed(recording) else layout.next_sealed(recording)


def entries(recording: Path) -> Iterator[Entry]:
    """What the ledgers of a recording say, live or sealed; damaged ones say nothing."""
    for _, entry in _with_paths(recording):
        yield entry


def _with_paths(recording: Path) -> Iterator[tuple[Path, Entry]]:
    begin = f".{_part(recording).name}."
    try:
        names = [name for name in os.listdir(recording.parent) if name.startswith(begin) and name.endswith(SUFFIX)]
    except OSError:
        return
    for name in sorted(names):
        path = recording.parent / name
        entry = read(path)
        if entry is not None:
            yield path, entry


def read(path: Path) -> Entry | None:
    """What a ledger says, held or not; None where it is not there, or damaged."""
    try:
        return _latest(path.read_bytes()[: 2 * _SLOT])
    except OSError:
        return None


def unfinished(recording: Path) -> Iterator[Entry]:
    """The ledgers of a recording by which its backend has not been through all of it."""
    for path, entry in _with_paths(recording):
        if layout.is_sealed(recording):
            behind = entry.inode == 0 and entry.position != THROUGH  # one of the live file was finished when that was sealed
        else:
            try:
                status = os.stat(recording)
            except OSError:
                return
            behind = entry.position < status.st_size or entry.inode != status.st_ino
        if behind or path.with_suffix(_ASIDE).exists():
            yield entry


def owes(live: Path) -> Iterator[Entry]:
    """Those of a live recording by which its backend may still take the rest."""
    for entry in unfinished(live):
        try:
            written = os.stat(live).st_mtime
        except OSError:
            return
        if not entry.within or written + entry.within > time.time():
            yield entry


def note_taken(recording: Path, name: str, keys: bytes) -> None:
    """Put down single spans that somebody else has sent and the backend has taken.

    Args:
        recording: live or sealed.
        name: the backend's.
        keys: trace and span ids, 24 bytes each.

    Raises:
        OSError: if that cannot be written.
    """
    descriptor = os.open(_taken_path(recording, name), os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0), 0o644)
    try:
        size = os.fstat(descriptor).st_size
        if os.write(descriptor, keys) < len(keys):
            os.truncate(descriptor, size)  # so that what is added later stands where a key does
            raise _full()
    finally:
        os.close(descriptor)


def taken(recording: Path, name: str) -> frozenset[bytes]:
    """The keys that `note_taken` has put down."""
    try:
        content = _taken_path(recording, name).read_bytes()
    except OSError:
        return frozenset()
    return frozenset(content[at : at + _KEY] for at in range(0, len(content) - _KEY + 1, _KEY))


def forget_taken(recording: Path, name: str) -> None:
    """Remove them, when the ledger itself says that the backend is through."""
    with contextlib.suppress(OSError):
        _taken_path(recording, name).unlink()


def _taken_path(recording: Path, name: str) -> Path:
    return path_for(recording, name).with_suffix(".taken")


def aside(recording: Path, name: str) -> dict[bytes, int]:
    """The keys of spans that a backend has not taken where it took others, and that do not hold these up; with how often each was tried."""
    try:
        content = _aside_path(recording, name).read_bytes()
    except OSError:
        return {}
    return {content[at : at + _KEY]: content[at + _KEY] for at in range(0, len(content) - _KEY, _KEY + 1)}


def set_aside(recording: Path, name: str, tries: Mapping[bytes, int]) -> None:
    """Put down what `aside` returns.

    Raises:
        OSError: if that cannot be written.
    """
    path = _aside_path(recording, name)
    if not tries:
        path.unlink(missing_ok=True)
        return
    new = path.with_suffix(f"{_ASIDE}.new")
    new.write_bytes(b"".join(key + bytes((min(count, 255),)) for key, count in tries.items()))
    new.replace(path)


def _aside_path(recording: Path, name: str) -> Path:
    return path_for(recording, name).with_suffix(_ASIDE)


def landmark(descriptor: int, position: int) -> int:
    """A checksum of what stands before a position of a file."""
    begin = max(0, position - _LANDMARK)
    return zlib.crc32(os.pread(descriptor, position - begin, begin))

"""Where in a document its spans, log records and metrics are, and whose: in whatever envelope a program has put them.

OTLP has them in lists of resources and scopes (`resourceSpans`, `scopeSpans`, `spans`). Other programs put another object around these (`batches`,
`{"trace": …}`, `{"result": …}`), or an array, or leave out the outer ones. One rule reads all of them: whatever object they are in, lists of spans,
log records and metrics belong to the resource and the scope that are nearest above them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from massgen_tracing.store.reading import names, nodes
from massgen_tracing.store.reading.values import Complain

Signal = Literal["spans", "logs", "metrics"]

_SCOPES: Final = frozenset({"scope", "instrumentationlibrary", "instrumentationscope"})
_OF_SCOPES: Final = frozenset(
    f"{before}{signal}" for before in ("scope", "instrumentationlibrary", "instrumentationscope") for signal in ("spans", "logs", "metrics")
)
_OF_RESOURCES: Final = frozenset({"resourcespans", "resourcelogs", "resourcemetrics", "batches"})
_VALUES: Final[dict[str, Signal]] = {"spans": "spans", "logrecords": "logs", "logs": "logs", "metrics": "metrics"}
_ITSELF: Final = frozenset({"traceid", "spanid", "parentspanid", "starttimeunixnano", "name", "kind", "tracestate"})
"""Keys that an object which is a span itself begins with."""

_DEEPEST: Final = 12
_HELD: Final = 4096
"""So many values wait for a resource or a scope that comes after them in the text."""

_KEYS: Final = 64


@dataclass(slots=True)
class Group:
    """Values of one signal that come from one resource and scope, as they are in the document; None for what it does not say."""

    signal: Signal
    values: list[Any]
    resource: Any = None
    scope: Any = None


class Envelopes:
    """Looks into documents.

    Args:
        complain: told of what cannot be read.

    Attributes:
        keys: of documents, the keys that were found first, for whoever has to say what a file is that has nothing.
        known: how many places were found that belong to an envelope.
    """

    def __init__(self, complain: Complain) -> None:
        self._complain = complain
        self.keys: set[str] = set()
        self.known = 0

    def groups(self, document: Any, resource: Any = None, scope: Any = None, depth: int = 0) -> Iterator[Group]:
        """Everything that a value or node has.

        Raises:
            Broken: if its text is.
        """
        if depth > _DEEPEST:
            nodes.whole(document)
        elif nodes.is_array(document):
            for item in nodes.items(document):
                before = self.known
                yield from self.groups(item, resource, scope, depth + 1)
                if self.known == before:
                    self._complain("an item of a list that has nothing of OTLP")
        elif nodes.is_object(document):
            if nodes.is_open(document) and names.plain(document.first_key()) in _ITSELF:
                document = document.whole()
            if document is None:  # and said to be unreadable
                return
            if isinstance(document, dict) and {"traceid", "spanid"} <= set(map(names.plain, document)):
                self._learn(document)
                self.known += 1
                yield Group("spans", [document], resource, scope)
            elif isinstance(document, dict):
                self._learn(document)
                yield from self._members(sorted(document.items(), key=_homes_first), resource, scope, depth)
            else:
                yield from self._members(document.members(), resource, scope, depth)

    def _members(self, members: Any, resource: Any, scope: Any, depth: int) -> Iterator[Group]:
        """Those of an object. Where a list comes before what it belongs to, it waits for that."""
        waiting: dict[str, list[Group]] = {"resource": [], "scope": []}
        homes = {"resource": resource, "scope": scope}
        late: set[str] = set()
        try:
            for key, value in members:
                name = names.plain(key)
                if len(self.keys) < _KEYS:
                    self.keys.add(key)
                home = "resource" if name == "resource" else "scope" if name in _SCOPES else None
                if home is not None:
                    self.known += 1
                    homes[home] = found = nodes.whole(value)
                    if home in late:
                        self._complain(f"a {home} that comes after so many of its values that they were read without it")
                    for group in waiting[home]:
                        setattr(group, home, found)
                    yield from waiting.pop(home)
                    waiting[home] = []
                    continue
                signal = _VALUES.get(name)
                self.known += signal is not None or name in _OF_SCOPES or name in _OF_RESOURCES
                if signal is not None and nodes.is_array(value):
                    above, groups = "scope", self._values(signal, value, **homes)
                else:
                    above, groups = "resource" if name in _OF_SCOPES else "", self.groups(value, **homes, depth=depth + 1)
                for group in groups:
                    if not above or homes[above] is not None or above in late:
                        yield group
                        continue
                    waiting[above].append(group)
                    if sum(len(each.values) for each in waiting[above]) > _HELD:
                        late.add(above)
                        yield from waiting.pop(above)
                        waiting[above] = []
        except nodes.Broken:
            yield from itertools.chain(*waiting.values())
            raise
        yield from itertools.chain(*waiting.values())

    def _values(self, signal: Signal, array: Any, resource: Any, scope: Any) -> Iterator[Group]:
        for batch in nodes.batches(array):
            if batch and isinstance(batch[0], dict):
                self._learn(batch[0])
            yield Group(signal, batch, resource, scope)

    def _learn(self, document: dict[str, Any]) -> None:
        if len(self.keys) < _KEYS:
            self.keys.update(document)


def _homes_first(member: tuple[str, Any]) -> bool:
    name = names.plain(member[0])
    return name != "resource" and name not in _SCOPES

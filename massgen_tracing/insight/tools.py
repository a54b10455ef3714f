"""Tool calls with what they were called with and what they gave, whichever of the layers that report them says it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from massgen_tracing import conventions, semconv
from massgen_tracing.insight import words
from massgen_tracing.insight.calls import Key, Tree, tool_calls
from massgen_tracing.model import SpanRecord
from massgen_tracing.projection import values

_ARGUMENTS = (semconv.GEN_AI_TOOL_ARGUMENTS, "tool_arguments", "input.value", "tool.parameters", "ai.toolCall.args")
_RESULT = (semconv.GEN_AI_TOOL_RESULT, "tool_response", "output.value", "ai.toolCall.result")
_COMMANDS = ("command", "cmd", "code", "query", "path", "url", "prompt")
"""Arguments that say in one word what a call does, the most telling first."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One tool call.

    Attributes:
        span: of the outermost layer that reports it.
        tool: its name.
        arguments: as JSON text with sorted keys, so that equal ones are equal texts; None where they are not recorded, or not all of them.
        result: as it is recorded, None where it is not; it may be cut.
        chars: characters of the whole result; None where it is not recorded.
        failed: whether it says that it failed.
    """

    span: SpanRecord
    tool: str
    arguments: str | None
    result: str | None
    chars: int | None
    failed: bool

    @property
    def command(self) -> str:
        """What it does in a few words: its tool, and the argument that tells most."""
        given = values.decoded(self.arguments)
        told = next((given[key] for key in _COMMANDS if isinstance(given.get(key), str)), None) if isinstance(given, dict) else None
        return f"{self.tool}: {told}" if told else f"{self.tool} {self.arguments}" if self.arguments not in {None, "{}", ""} else self.tool

    @property
    def seconds(self) -> float:
        """How long it took; 0 while it has not ended."""
        return self.span.seconds or 0.0


def calls_of(tree: Tree) -> list[ToolCall]:
    """The tool calls, each once, by their starts."""
    outer = tool_calls(tree)
    keys = {span.key for span in outer}
    below: dict[Key, list[SpanRecord]] = {}
    for key, kind in tree.kinds.items():
        if kind == "tool" and key not in keys:
            span = tree.spans[key]
            around = next((above.key for above in tree.above(span) if above.key in keys), None)
            if around is not None:
                below.setdefault(around, []).append(span)
    return sorted((_call(span, below.get(span.key, ())) for span in outer), key=lambda call: call.span.start_ns)


def _call(span: SpanRecord, inner: Sequence[SpanRecord]) -> ToolCall:
    layers = (span, *inner)
    arguments = next(_said(layers, _ARGUMENTS), None)
    result = next(_said(layers, _RESULT), None)
    told = None if result is None else result if isinstance(result, str) else json.dumps(result, ensure_ascii=False, default=str)
    return ToolCall(
        span,
        conventions.text_of(span.attributes, conventions.TOOL) or span.name.rpartition(".")[2].removeprefix(semconv.TOOL_PREFIX) or words.name(span),
        None if arguments is None else _canonical(arguments),
        told,
        None if told is None else max(len(told), sum(values.cuts(told))),
        any(layer.status_code == 2 for layer in layers),
    )


def _said(layers: Iterable[SpanRecord], keys: Sequence[str]) -> Iterator[object]:
    return (said for layer in layers for key in keys if (said := layer.attributes.get(key)) is not None)


def _canonical(arguments: object) -> str | None:
    """The same text for the same arguments; None where they were cut, so that nobody knows whether they are the same."""
    given = values.decoded(arguments)
    try:
        said = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False, sort_keys=True, default=str)
    except (TypeError, ValueError, RecursionError):
        return None
    return None if "[cut, " in said and values.cuts(said) else said

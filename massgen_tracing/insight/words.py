"""What a span says of itself, in the words nearest to what happened."""

from __future__ import annotations

from typing import Final

from massgen_tracing import semconv
from massgen_tracing.model import Attributes, SpanRecord
from massgen_tracing.projection.values import text

CALLED_BY: Final = (semconv.LOGFIRE_MSG_TEMPLATE, semconv.LOGFIRE_MSG)
"""The attributes that `called` asks for."""


def name(span: SpanRecord) -> str:
    """What a span is called."""
    return called(span.name, span.attributes)


def called(name: str, attributes: Attributes) -> str:
    """A span's message where it is made of a template (Logfire's spans and records, ours), which says more when it is filled; its name otherwise."""
    message = attributes.get(semconv.LOGFIRE_MSG) if semconv.LOGFIRE_MSG_TEMPLATE in attributes else None
    return message if message and isinstance(message, str) else name or "(unnamed)"


def counted(many: int, noun: str) -> str:
    """A number and its noun: `1 call`, `2 calls`."""
    return f"{many:,} {noun}" + ("" if many == 1 else "s")


def agent(span: SpanRecord) -> str:
    """Whose it is; empty where it does not say."""
    found = span.attributes.get(semconv.AGENT_ID)
    return found if isinstance(found, str) else ""


def chosen(attributes: Attributes) -> str:
    """Which answer was voted for, by its label, or by its agent where no label is recorded; empty where neither is."""
    return text(attributes.get(semconv.VOTED_FOR_LABEL)) or text(attributes.get(semconv.VOTED_FOR))


def about(attributes: Attributes) -> str:
    """The answer that a round came to, or that an event in it is about: the one it gave, or the one it voted for where it ended in a vote.

    A round may have given an answer and have voted afterwards, or the other way round: its outcome says which of them holds.
    """
    given = text(attributes.get(semconv.ANSWER_LABEL_KEY))
    return chosen(attributes) or given if attributes.get(semconv.OUTCOME) == "vote" else given or chosen(attributes)


def has_failed(span: SpanRecord) -> bool:
    """Whether it ended in an error, or its process was gone before its end."""
    return span.status_code == 2 or span.state == "interrupted"


def error(span: SpanRecord) -> str:
    """Why it failed; empty where it has not."""
    stated = span.attributes.get(semconv.ERROR_MESSAGE)
    if isinstance(stated, str):
        return stated
    for event in span.events:
        if event.name == semconv.EXCEPTION_EVENT:
            return f"{event.attributes.get(semconv.EXCEPTION_TYPE, '')}: {event.attributes.get(semconv.EXCEPTION_MESSAGE, '')}"
    kind = span.attributes.get(semconv.ERROR_TYPE)
    return (span.status_message or (kind if isinstance(kind, str) else "error")) if span.status_code == 2 else ""

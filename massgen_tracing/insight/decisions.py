"""How a coordination came to its end: who was shown what, answered what, and voted for whom."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from massgen_tracing import semconv
from massgen_tracing.insight import words
from massgen_tracing.insight.parts import Parts
from massgen_tracing.model import SpanRecord
from massgen_tracing.projection.values import counts, text, texts

_INJECTED: Final = re.compile("inject|update", re.IGNORECASE)
"""Types of events by which MassGen shows an agent answers in the middle of its round."""

_WORD: Final = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that counted; *text* is empty where it is not recorded."""

    label: str
    agent_id: str
    text: str
    span: SpanRecord
    round: SpanRecord | None


@dataclass(frozen=True, slots=True)
class Vote:
    """A vote; *stands* says whether it counted at the end: its agent was not asked again."""

    voter: str
    target: str
    label: str
    reason: str
    span: SpanRecord
    round: SpanRecord | None
    stands: bool


@dataclass(frozen=True, slots=True)
class Coordination:
    """One session: one question, one attempt.

    Attributes:
        session: its span.
        agents: who took part, by name.
        rounds: the agents' rounds in it, presentations too, by starts.
        answers, votes: in their order.
        shown: the labels of the answers that each round was shown, by the round's span id; a round is missing where that is not known.
        winner, winner_label: empty for none.
        final: who gave the final answer, as events say.
    """

    session: SpanRecord
    agents: tuple[str, ...]
    rounds: tuple[SpanRecord, ...]
    answers: tuple[Answer, ...]
    votes: tuple[Vote, ...]
    shown: Mapping[str, tuple[str, ...]]
    winner: str
    winner_label: str
    final: tuple[SpanRecord, ...]
    stated: Mapping[str, int] = field(default_factory=dict)

    @property
    def standing(self) -> tuple[Vote, ...]:
        """The votes that counted at the end."""
        return tuple(vote for vote in self.votes if vote.stands)

    def tally(self) -> dict[str, int]:
        """The votes that counted, by label; as the session says where no vote is recorded: MassGen's own count has those too that did not stand."""
        cast = [vote.label or self._label(vote) for vote in self.standing]
        return {label: cast.count(label) for label in sorted(set(cast))} or {label: number for label, number in sorted(self.stated.items()) if number}

    def _label(self, vote: Vote) -> str:
        """What a vote that names an agent only counts for: where others name an answer of that agent, for the latest that they name."""
        named = {other.label for other in self.standing if other.target == vote.target and other.label}
        return next((answer.label for answer in reversed(self.answers) if answer.label in named), vote.target)

    @property
    def votes_for_winner(self) -> int:
        """How many of the votes in `tally` are for the winner: for its answer, or for itself where they do not say for which."""
        won = {self.winner_label, self.winner}
        return sum(number for label, number in self.tally().items() if label in won)

    def answer(self, label: str) -> Answer | None:
        """The answer of that label."""
        return next((answer for answer in self.answers if answer.label == label), None)


def coordinations(parts: Parts) -> list[Coordination]:
    """The sessions of a run that are in no other, by their starts, each without what is in a session below it."""
    rounds: dict[tuple[str, str], list[SpanRecord]] = {session.key: [] for session in parts.sessions}
    for span in parts.rounds:
        if (session := parts.session_of(span)) is not None and session.key in rounds:
            rounds[session.key].append(span)
    return [_coordination(parts, session, rounds[session.key]) for session in parts.sessions]


def _coordination(parts: Parts, session: SpanRecord, rounds: Sequence[SpanRecord]) -> Coordination:
    about = session.attributes
    agents = {words.agent(span) for span in rounds} | set(texts(about.get(semconv.AGENT_IDS)))
    own = {span.key for span in rounds}
    latest = {words.agent(span): span.key for span in rounds if not is_afterwards(span)}

    def of(kind: str) -> Iterator[tuple[SpanRecord, SpanRecord | None]]:
        for span in parts.points[kind]:
            rnd = parts.tree.round_of(span)
            if rnd.key in own if rnd is not None else parts.session_of(span) is session:
                yield span, rnd

    answers = [
        Answer(
            text(span.attributes.get(semconv.ANSWER_LABEL_KEY)) or span.name.partition(": ")[2],
            words.agent(span) or parts.agent_of(span),
            text(span.attributes.get(semconv.ANSWER_TEXT)) or text(span.attributes.get(semconv.ANSWER_PREVIEW)),
            span,
            rnd,
        )
        for span, rnd in of("answer")
    ]
    votes = []
    for span, rnd in of("vote"):
        voter = words.agent(span) or parts.agent_of(span)
        target, label = text(span.attributes.get(semconv.VOTED_FOR)), text(span.attributes.get(semconv.VOTED_FOR_LABEL))
        if not target:
            target = next((answer.agent_id for answer in answers if answer.label == label), "")
        votes.append(
            Vote(voter, target, label, text(span.attributes.get(semconv.VOTE_REASON)), span, rnd, rnd is None or latest.get(voter) == rnd.key)
        )
    return Coordination(
        session,
        tuple(sorted(agents - {""})),
        tuple(rounds),
        tuple(answers),
        tuple(votes),
        _shown(parts, rounds),
        text(about.get(semconv.WINNER)),
        text(about.get(semconv.WINNER_LABEL)),
        tuple(span for span, _ in of("final")),
        counts(about.get(semconv.VOTES)),
    )


def _shown(parts: Parts, rounds: Sequence[SpanRecord]) -> dict[str, tuple[str, ...]]:
    """The labels that each round was shown, where they are recorded at all, and where no further answers came in its middle."""
    told = {span.span_id: tuple(texts(span.attributes.get(semconv.CONTEXT_LABELS))) for span in rounds}
    if not any(told.values()):
        return {}
    later = {
        rnd.span_id
        for kind, spans in parts.points.items()
        if _INJECTED.search(kind)
        for span in spans
        if (rnd := parts.tree.round_of(span)) is not None
    }
    return {span_id: labels for span_id, labels in told.items() if span_id not in later}


def is_afterwards(span: SpanRecord) -> bool:
    """Whether a round presents the final answer, or judges it: nobody votes in it any more."""
    return text(span.attributes.get(semconv.ROUND_TYPE)) in {"presentation", "post_evaluation"} or span.name.endswith(".presentation")


def words_of(said: str) -> list[str]:
    """The words of a text, in small letters."""
    return _WORD.findall(said.casefold())

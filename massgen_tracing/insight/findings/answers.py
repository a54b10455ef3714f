"""Findings about what agents answered, and about how they chose among the answers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

from massgen_tracing.insight import words
from massgen_tracing.insight.decisions import Answer, Coordination, words_of
from massgen_tracing.insight.findings.finding import Cost, Finding, at, cost_of_rounds, finding, where
from massgen_tracing.insight.parts import Parts
from massgen_tracing.model import SpanRecord
from massgen_tracing.thresholds import Thresholds

_SHORT: Final = 3
"""Letters of a word that may say something; shorter ones mostly hold sentences together."""

_STEM: Final = 5
"""Letters by which words are told apart: `compact` and `compaction` are the same."""

_EMPTY: Final = frozenset({
    "all", "and", "any", "are", "but", "can", "did", "few", "for", "had", "has", "her", "him", "his", "how", "its", "may", "nor", "not", "off", "one",
    "our", "out", "own", "she", "the", "too", "two", "use", "was", "way", "who", "why", "yes", "yet", "you",
    "about", "after", "agent", "answer", "because", "been", "before", "being", "could", "each", "from", "have", "into", "more", "most", "only",
    "other", "question", "should", "some", "such", "than", "that", "their", "them", "then", "there", "these", "they", "this", "those", "were",
    "what", "when", "where", "which", "will", "with", "would",
})  # fmt: skip


def telling(said: str) -> set[str]:
    """The words of a text that say something, by their beginnings."""
    return {word[:_STEM] for word in words_of(said) if (len(word) >= _SHORT or word.isdigit()) and word not in _EMPTY}


def isolated(parts: Parts, known: Sequence[Coordination], limits: Thresholds) -> Iterator[Finding]:
    """`isolated_work`: an answer that shares nothing with the answers that its agent was shown."""
    for coordination in known:
        for answer in coordination.answers:
            if answer.round is None or len(words_of(answer.text)) < limits.judged_words:
                continue
            labels = coordination.shown.get(answer.round.span_id, ())
            shown = [other for label in labels if (other := coordination.answer(label)) is not None and other.agent_id != answer.agent_id]
            own, others = telling(answer.text), [telling(other.text) for other in shown if other.text]
            if not own or not any(others) or _names_any(answer.text, shown):
                continue
            shared = own & set().union(*others)
            if not shared or len(shared) + 1 <= limits.isolated_share * len(own):
                told = f"{answer.label} shares {len(shared)} of {len(own)} telling words with what {answer.agent_id} was shown"
                evidence = [at(parts, answer.span, f"{told}: {', '.join(sorted(other.label for other in shown))}")]
                what = f"{answer.label} takes nothing from the answers that {answer.agent_id} was shown"
                yield finding("isolated_work", what, evidence, cost_of_rounds(parts, [answer.round]))


def _names_any(said: str, shown: Sequence[Answer]) -> bool:
    """Whether a text names one of the answers, or who gave it; names of a letter or two stand in many texts."""
    names = {name for other in shown for name in (other.label, other.agent_id) if len(name) >= _SHORT}
    return any(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", said) for name in names)


def near_duplicates(parts: Parts, known: Sequence[Coordination], limits: Thresholds) -> Iterator[Finding]:
    """`near_duplicate_answer`: an answer that is almost the text of one that another agent had given."""
    for coordination in known:
        standing: dict[str, tuple[Answer, Counter[tuple[str, str]]]] = {}
        for answer in coordination.answers:
            said = words_of(answer.text)
            pairs = Counter(pairwise(said))
            if len(said) >= limits.judged_words:
                for other, theirs in standing.values():
                    share = _share(pairs, theirs)
                    if other.agent_id != answer.agent_id and share >= limits.same_share:
                        evidence = [
                            at(parts, answer.span, f"{answer.label} has {share:.0%} of its pairs of words in common with {other.label}"),
                            at(parts, other.span, f"{other.label} was given before"),
                        ]
                        cost = cost_of_rounds(parts, [answer.round] if answer.round is not None else [])
                        yield finding("near_duplicate_answer", f"{answer.label} is almost the text of {other.label}", evidence, cost)
                        break
                standing[answer.agent_id] = (answer, pairs)


def _share(one: Counter[tuple[str, str]], other: Counter[tuple[str, str]]) -> float:
    """How much two bags have in common, from 0 to 1."""
    both = one.total() + other.total()
    return 2 * (one & other).total() / both if both else 0.0


def votes(parts: Parts, known: Sequence[Coordination], limits: Thresholds) -> Iterator[Finding]:
    """`vote_split`, `self_vote`, `vote_ignored` and `vote_against_shown`."""
    for coordination in known:
        yield from _split(parts, coordination, limits)
        own = [vote for vote in coordination.votes if vote.voter and vote.voter == vote.target]
        if len(coordination.agents) > 1:
            for agent in dict.fromkeys(vote.voter for vote in own):
                cast = [vote for vote in own if vote.voter == agent]
                evidence = [
                    at(parts, vote.span, f"{agent} voted for its own {vote.label or 'answer'}" + ("" if vote.stands else "; the vote did not stand"))
                    for vote in cast
                ]
                yield finding("self_vote", f"{agent} voted for itself", evidence)
        yield from _not_shown(parts, coordination)
    ignored: dict[str, list[SpanRecord]] = {}
    for span in parts.points["vote_ignored"]:
        ignored.setdefault(parts.agent_of(span), []).append(span)
    for agent, spans in ignored.items():
        evidence = [
            at(parts, span, f"{where(agent, parts.number_of(span))}: its vote for {_target(span)} did not count: there was a new answer by then")
            for span in spans
        ]
        rounds = {rnd.key: rnd for span in spans if (rnd := parts.tree.round_of(span)) is not None}
        yield finding(
            "vote_ignored", f"{words.counted(len(spans), 'vote')} of {agent} did not count", evidence, cost_of_rounds(parts, rounds.values())
        )


def _target(span: SpanRecord) -> str:
    return words.chosen(span.attributes) or "an answer that is not recorded"


def _split(parts: Parts, coordination: Coordination, limits: Thresholds) -> Iterator[Finding]:
    tally = coordination.tally()
    cast = sum(tally.values())
    most = max(tally.values(), default=0)
    if cast < 2 or most > limits.agreed_share * cast:
        return
    told = ", ".join(f"{label} {number}" for label, number in tally.items())
    evidence = [at(parts, coordination.session, f"votes that counted: {told}")]
    evidence += [at(parts, vote.span, f"{vote.voter} voted for {vote.label or vote.target}") for vote in coordination.standing]
    yield finding("vote_split", f"No answer had a majority of the {cast} votes", evidence, Cost())


def _not_shown(parts: Parts, coordination: Coordination) -> Iterator[Finding]:
    seen: dict[str, set[str]] = {}
    rounds = {span.span_id: span for span in coordination.rounds}
    for span_id, labels in coordination.shown.items():
        seen.setdefault(words.agent(rounds[span_id]), set()).update(labels)
    for vote in coordination.votes:
        if vote.round is None or vote.round.span_id not in coordination.shown or not (vote.label or vote.target):
            continue
        known = seen.get(vote.voter, set())
        authors = {answer.agent_id for label in known if (answer := coordination.answer(label)) is not None}
        if vote.label not in known if vote.label else vote.target not in authors:
            shown = ", ".join(coordination.shown[vote.round.span_id]) or "no answer"
            chosen = vote.label or vote.target
            said = f"{where(vote.voter, parts.number_of(vote.round))}: voted for {chosen}, and was shown {shown}"
            what = f"{vote.voter} voted for {chosen}, which it had not been shown"
            yield finding("vote_against_shown", what, [at(parts, vote.span, said)], Cost())

"""What providers say of a model call in their answers: tokens by any of their names, as this package counts them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeVar

from massgen_tracing import guard
from massgen_tracing.trace.usage import Unfit, Usage, amount, count

_Number = TypeVar("_Number", int, float)

_INPUT: Final = ("prompt_tokens", "input_tokens", "input", "inputTokens", "gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens",
                 "prompt_eval_count")  # fmt: skip
_OUTPUT: Final = ("completion_tokens", "output_tokens", "output", "outputTokens", "gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens",
                  "eval_count")  # fmt: skip
_REASONING: Final = ("reasoning", "reasoning_tokens", "gen_ai.usage.reasoning.output_tokens")
_CACHED: Final = ("cached_input_tokens", "cached_input", "cache_read_tokens", "prompt_cache_hit_tokens", "gen_ai.usage.cache_read.input_tokens")
_COST: Final = ("cost", "operation.cost")
_INPUT_DETAILS: Final = ("prompt_tokens_details", "input_tokens_details", "input_token_details")
_OUTPUT_DETAILS: Final = ("completion_tokens_details", "output_tokens_details", "output_token_details")

_WRITTEN_WITHIN: Final = ("cache_write_tokens", "cache_creation_tokens")
_WRITTEN: Final = ("cache_write_tokens", "gen_ai.usage.cache_creation.input_tokens")
_TIER: Final = ("service_tier", "serviceTier", "traffic_type", "trafficType")
_TOTAL: Final = ("total_tokens", "totalTokens")

_SENT_BY_KIND: Final = ("prompt_tokens_details", "promptTokensDetails")
_MADE_BY_KIND: Final = ("candidates_tokens_details", "candidatesTokensDetails")
"""Gemini's lists of what kinds its tokens are of; the first is a mapping where others give it."""

_READ_APART: Final = ("cache_read_input_tokens", "cacheReadInputTokens")
_WRITTEN_APART: Final = ("cache_creation_input_tokens", "cacheWriteInputTokens")

_PROMPT: Final = ("prompt_token_count", "promptTokenCount")
_TOOL_PROMPT: Final = ("tool_use_prompt_token_count", "toolUsePromptTokenCount")
_CANDIDATES: Final = ("candidates_token_count", "candidatesTokenCount", "response_token_count", "responseTokenCount")
_THOUGHTS: Final = ("thoughts_token_count", "thoughtsTokenCount")
_CACHED_CONTENT: Final = ("cached_content_token_count", "cachedContentTokenCount")

_HOLDERS: Final = ("usage", "usage_metadata", "usageMetadata")
_MODEL: Final = ("model", "model_version", "modelVersion")
_ID: Final = ("id", "response_id", "responseId")
_HELD: Final = ("response", "message")
"""What an event of a stream holds the answer under."""

_ASKED_FOR: Final = (
    *_INPUT, *_OUTPUT, *_REASONING, *_CACHED, *_COST, *_INPUT_DETAILS, *_OUTPUT_DETAILS, *_READ_APART, *_WRITTEN_APART,
    *_PROMPT, *_TOOL_PROMPT, *_CANDIDATES, *_THOUGHTS, *_CACHED_CONTENT, *_HOLDERS, *_MODEL, *_ID, *_HELD, *_TIER,
)  # fmt: skip


class Reported(NamedTuple):
    """What a provider says of a call in its answer.

    Attributes:
        usage: its usage, by the provider's own names; empty where it says nothing.
        model: the model that answered.
        id: the answer's id.
    """

    usage: Mapping[str, Any]
    model: Any = None
    id: Any = None


def reported(answer: object) -> Reported:
    """What an answer's object or dict, an event of its stream, or a usage alone says.

    Args:
        answer: of OpenAI (chat completions and responses), Anthropic, Gemini, Bedrock or Ollama, or of a library in whose form; a `Usage`; a mapping
            with OpenTelemetry's attributes.
    """
    whole = as_mapping(answer)
    for name in _HELD:
        inner = as_mapping(whole.get(name))
        if _first(inner, _HOLDERS) is not None:
            whole = {**inner, **{holder: whole[holder] for holder in _HOLDERS if whole.get(holder) is not None}}
            break
    usage = as_mapping(_first(whole, _HOLDERS))
    if usage:
        tier = _first(whole, _TIER)  # OpenAI says it beside the usage, Anthropic and Gemini within
        return Reported(_said(usage if tier is None else {"service_tier": tier, **usage}), _first(whole, _MODEL), _first(whole, _ID))
    return Reported(_said(whole) if usage_of(whole) != Usage() else {})


def usage_of(raw: Mapping[str, Any]) -> Usage:
    """A provider's usage as this package counts: cached tokens are part of the input, reasoning is part of the output.

    OpenAI includes cached tokens in the input, as do OpenTelemetry's attributes and most libraries. Anthropic and Bedrock report those that were read
    from the cache and those that were written to it beside the input: they are added. Gemini reports the prompts of tools beside the prompt and
    thoughts beside the candidates: they are added to the input and to the output. So is the reasoning of a provider (xAI) whose total shows that it
    counts it beside the output.
    """
    numbers = _Numbers(raw)
    cost = numbers.read(amount, _COST)
    read, written = numbers(_READ_APART), numbers(_WRITTEN_APART)
    if read is not None or written is not None:
        fresh = numbers(_INPUT)
        sent = None if fresh is None else fresh + (read or 0) + (written or 0)
        return Usage(sent, numbers(_OUTPUT), numbers.within(_OUTPUT_DETAILS)(("thinking_tokens",)), read, cost)
    prompt, candidates = numbers(_PROMPT), numbers(_CANDIDATES)
    if prompt is not None or candidates is not None:
        thoughts = numbers(_THOUGHTS)
        return Usage(_sum(prompt, numbers(_TOOL_PROMPT)), _sum(candidates, thoughts), thoughts, numbers(_CACHED_CONTENT), cost)
    reasoning = numbers.within(_OUTPUT_DETAILS)(("reasoning_tokens", "reasoning"))
    cached = numbers.within(_INPUT_DETAILS)(("cached_tokens", "cache_read"))
    reasoning = numbers(_REASONING) if reasoning is None else reasoning
    sent, received, total = numbers(_INPUT), numbers(_OUTPUT), numbers(_TOTAL)
    if reasoning and None not in {sent, received, total} and total == _sum(_sum(sent, received), reasoning):
        received = _sum(received, reasoning)
    return Usage(
        sent,
        received,
        reasoning,
        numbers(_CACHED) if cached is None else cached,
        cost,
    )


def priced_apart(raw: Mapping[str, Any]) -> dict[str, Any]:
    """What of a provider's usage has a price of its own, as `massgen_tracing.prices.estimate` names it.

    Tokens that were written to a cache, and how long it keeps them; tokens of sound; and the tier of the service.
    """
    numbers = _Numbers(raw)
    details, made = numbers.within(_INPUT_DETAILS), numbers.within(_OUTPUT_DETAILS)
    kept = numbers.within(("cache_creation",))
    written = numbers(_WRITTEN_APART)
    written = details(_WRITTEN_WITHIN) if written is None else written
    found = {
        "cache_write_tokens": numbers(_WRITTEN) if written is None else written,
        "cache_write_5m_tokens": kept(("ephemeral_5m_input_tokens",)),
        "cache_write_1h_tokens": kept(("ephemeral_1h_input_tokens",)),
        "input_audio_tokens": _sound(_first(raw, _SENT_BY_KIND)) or details(("audio_tokens",)),
        "output_audio_tokens": _sound(_first(raw, _MADE_BY_KIND)) or made(("audio_tokens",)),
        "service_tier": _first(raw, _TIER),
    }
    return {name: value for name, value in found.items() if value}


def _sound(by_kind: object) -> int | None:
    """The tokens of sound in one of Gemini's lists; None for what is no such list."""
    if not isinstance(by_kind, list):
        return None
    entries = [as_mapping(entry) for entry in by_kind]
    return sum(_Numbers(entry)(("token_count", "tokenCount")) or 0 for entry in entries if str(entry.get("modality")).upper().endswith("AUDIO"))


def as_mapping(value: object) -> Mapping[str, Any]:
    """What an answer, as an object or a dict, holds by name; empty for what holds nothing, or cannot be read."""
    try:
        return _held(value)
    except Exception as error:  # noqa: BLE001 - a stranger's object may raise anything
        guard.passing(error)
        return {}


def _held(value: object) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return value
    if value is None or isinstance(value, type | str | bytes | int | float):
        return {}
    if isinstance(value, Usage):
        return value._asdict()
    dump = getattr(value, "model_dump", None)  # pydantic, which the providers' clients use
    if callable(dump):
        dumped = dump(exclude_none=True)
        return dumped if isinstance(dumped, Mapping) else {}
    if hasattr(value, "__dict__"):
        return dict(vars(value))
    return {name: getattr(value, name) for name in _ASKED_FOR if hasattr(value, name)}


class _Numbers:
    """The numbers of a mapping, each by any of several names; what is none is passed over."""

    __slots__ = ("_raw",)

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self._raw = raw

    def __call__(self, names: tuple[str, ...]) -> int | None:
        return self.read(count, names)

    def within(self, names: tuple[str, ...]) -> _Numbers:
        """The numbers of a mapping within it."""
        return _Numbers(as_mapping(_first(self._raw, names)))

    def read(self, read: Callable[[object], _Number], names: tuple[str, ...]) -> _Number | None:
        for name in names:
            value = self._raw.get(name)
            if value is not None:
                try:
                    return read(value)
                except Unfit:
                    continue
        return None


def _said(usage: Mapping[str, Any]) -> dict[str, Any]:
    return {str(name): value for name, value in usage.items() if value is not None}


def _first(raw: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((value for name in names if (value := raw.get(name)) is not None), None)


def _sum(first: int | None, second: int | None) -> int | None:
    return second if first is None else first if second is None else first + second

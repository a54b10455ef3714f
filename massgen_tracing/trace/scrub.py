"""Secrets out of text, once, before any sink sees it.

Each rule names cheap needles that must occur before its pattern is tried, because a pattern over every attribute would cost more than the
span. The rules look for the shape of a secret, not for words like "session" or "auth": ordinary text and `massgen.*` keys pass.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

MARK: Final = "[scrubbed]"
"""Stands where a secret stood. It does not say what matched, for that would tell what to look for elsewhere."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One shape of secret.

    Attributes:
        needles: lower-case texts, one of which occurs wherever the pattern can match.
        pattern: what is replaced; a group named `keep` in front stays.
    """

    needles: tuple[str, ...]
    pattern: re.Pattern[str]


_WORD = r"[A-Za-z0-9_\-]"

RULES: Final[tuple[Rule, ...]] = (
    Rule(("-----begin",), re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----(?:.*?-----END [A-Z0-9 ]*PRIVATE KEY-----|.*)", re.DOTALL)),
    Rule(("bearer ", "basic "), re.compile(r"(?i)(?P<keep>\b(?:bearer|basic)\s+)[A-Za-z0-9._~+/\-]{12,}=*")),
    Rule(("://",), re.compile(r"(?P<keep>\b[a-zA-Z][a-zA-Z0-9+.\-]*://[^\s/:@\"']*:)[^\s/@\"']+(?=@)")),
    Rule(("eyj",), re.compile(r"\beyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]*")),
    Rule(("sk-", "xai-", "pk-lf-"), re.compile(rf"\b(?:sk|xai|pk-lf)-{_WORD}{{16,}}")),
    Rule(("gsk_", "hf_", "pylf_", "ghp_", "gho_", "ghs_", "ghu_", "github_pat_", "glpat-"),
         re.compile(rf"\b(?:gsk_|hf_|pylf_v\d+_|gh[pous]_|github_pat_|glpat-){_WORD}{{16,}}")),
    Rule(("xox",), re.compile(r"\bxox[abeoprs]-[A-Za-z0-9\-]{10,}")),
    Rule(("aiza",), re.compile(r"\bAIza[A-Za-z0-9_\-]{30,}")),
    Rule(("akia", "asia"), re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b")),
    # name=value and "name": "value", where the name says that the value is a secret
    Rule(("passw", "pwd", "secret", "api_key", "apikey", "api-key", "_token", "-token", "private_key", "authorization"),
         re.compile(
             r"""(?ix)(?P<keep>
                 (?:\b|_|-)(?:passw(?:or)?d|pwd|(?:client[_-]?)?secret(?:[_-]?(?:access[_-]?)?key)?|api[_-]?key|private[_-]?key|authorization
                     |(?:access|auth|refresh|id|session|bearer|api|read|write)[_-]token)
                 \\?["']?\s*[=:]\s*)
                 (?: (?P<quote>\\?")(?:[^"\\]|\\[^"])+\\?" | (?P<single>')[^']+'
                     | (?!\[scrubbed\]|null\b|none\b|true\b|false\b)[^\s,;&"'{}\[\]()<>\\]{3,} )""")),
)  # fmt: skip

_SECRET_KEY = re.compile(
    r"(?i)(?:^|[._\-])(?:passw(?:or)?d|pwd|(?:client[_-]?)?secret|api[_-]?key|apikey|private[_-]?key|authorization|cookie|set-cookie|credentials?"
    r"|(?:access|auth|refresh|id|session|bearer|api|read|write)[_-]token)$"
)

_key_is_secret: dict[str, bool] = {}
_MAX_KEYS: Final = 4096


def is_secret_key(key: str) -> bool:
    """Whether a value under this key is a secret whatever it looks like (`password`, `db.api_key`, …)."""
    known = _key_is_secret.get(key)
    if known is None:
        if len(_key_is_secret) >= _MAX_KEYS:
            _key_is_secret.clear()
        known = _key_is_secret[key] = _SECRET_KEY.search(key) is not None
    return known


def scrub(text: str) -> str:
    """*text* with every secret replaced by `MARK`; the same object when there is none."""
    lowered = text.lower()
    for rule in RULES:
        if any(needle in lowered for needle in rule.needles):
            text = rule.pattern.sub(_replace, text)
    return text


def _replace(match: re.Match[str]) -> str:
    groups = match.groupdict(default="")
    quote = groups.get("quote", "") or groups.get("single", "")  # what was JSON stays JSON
    return f"{groups.get('keep', '')}{quote}{MARK}{quote}"

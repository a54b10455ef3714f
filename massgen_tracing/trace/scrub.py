"""Secrets out of text, once, before any sink sees it.

Each rule names a character and cheap needles that must occur before its pattern is tried, because a pattern over every attribute would cost
more than the span. The rules look for the shape of a secret, not for words like "session" or "auth": ordinary text and `massgen.*` keys pass.
No pattern looks back over what it has passed: the time is linear in the text, whatever the text is.
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
        sign: a character or two that occur wherever the pattern can match.
        needles: lower-case texts, one of which occurs wherever the pattern can match.
        pattern: what is replaced; a group named `keep` in front stays, a group named `quote` is put around the mark.
    """

    sign: str
    needles: tuple[str, ...]
    pattern: re.Pattern[str]


_A_DIGIT = r"(?=[A-Za-z0-9_\-]{0,60}[0-9])"
"""Keys have digits; hyphenated words have none."""

_OWNERS = (
    r"access|auth|refresh|id|session|bearer|api|read|write|github|gitlab|gh|hf|hugging[_-]?face|slack|discord|telegram|bot|app|user|oauth|jwt|csrf|xsrf"
    r"|logfire|npm|pypi|vault|deploy|service|security|personal[_-]?access|secret|private"
)
"""Whose `…_token` is a secret; tokens in the sense of language models have other owners (`max_tokens`, `input_tokens`, `pad_token`)."""

_NAMES = (
    r"passw(?:or)?d|passphrase|pwd"
    r"|secret(?:[_-]?(?:access[_-]?)?key)?"
    r"|(?:api|access|account|private|signing|encryption|subscription|shared[_-]?access)[_-]?key"
    r"|authorization|x-auth-token"
    rf"|(?:{_OWNERS})[_-]?token"
)
"""Names whose value is a secret, without what may stand in front of them (`db_`, `client-`, `openai.`)."""

_ORDINARY = (
    r"(?!(?:(?:bearer|basic)\s+)?\[scrubbed\]|(?:null|none|true|false|undefined|str|string|bytes|int|bool|any|optional|required|missing|invalid|wrong|unset|empty)\b"
    r"|os\.|env\b|self\.|getenv|process\.env|getpass)"
)
"""What stands behind such a name in source code and in messages about it."""

_VALUE = (
    r'(?: (?P<quote>\\")(?:[^"\\]|\\\\\\"|\\[^"])++(?:\\"|\\?\Z)'
    r'  | (?P<double>")(?:[^"\\]|\\.)++(?:"|\\?\Z)'
    r"  | (?P<single>')(?:[^'\\\n]|\\.)++(?:'|\\?\Z|(?=\n))"
    rf"  | {_ORDINARY}(?:(?:bearer|basic|token|digest|negotiate|apikey)\s+)?[^\s,;&\"'{{}}\[\]()<>\\]{{3,}} )"
)

RULES: Final[tuple[Rule, ...]] = (
    Rule("-", ("-----begin",),
         re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
                    r"(?:.*?-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|.*)", re.DOTALL)),
    Rule("b", ("bearer", "basic"),
         re.compile(r"(?P<keep>\b(?i:bearer|basic)\s{1,8})(?=[A-Za-z._~+/\-]*+[0-9=]|[A-Za-z0-9._~+/\-]*?[a-z][A-Z])[A-Za-z0-9._~+/\-]{8,}=*")),
    Rule("@", ("://",), re.compile(r"""(?P<keep>://[^\s/:@"'?#]*:)[^\s/"'?#<>]+(?=@)""")),
    Rule("e", ("eyj",), re.compile(r"(?<![A-Za-z0-9_\-])eyJ[A-Za-z0-9_\-]{8,}+\.[A-Za-z0-9_\-]{8,}+(?:\.[A-Za-z0-9_\-]*)?")),
    Rule("-", ("sk-", "xai-", "pk-lf-", "glpat-", "nvapi-", "pplx-", "tvly-", "gocspx-", "pypi-"),
         re.compile(rf"\b(?:c?sk|xai|pk-lf|glpat|nvapi|pplx|tvly|GOCSPX|pypi)-{_A_DIGIT}[A-Za-z0-9_\-]{{16,}}")),
    Rule("_", ("gsk_", "hf_", "ghp_", "gho_", "ghs_", "ghu_", "ghr_", "npm_", "e2b_", "r8_", "dop_v1_"),
         re.compile(rf"\b(?:gsk|hf|gh[pousr]|npm|e2b|r8|dop_v1)_{_A_DIGIT}[A-Za-z0-9]{{16,}}")),
    Rule("_", ("pylf_", "github_pat_", "sk_", "rk_", "pk_", "whsec_"),
         re.compile(rf"\b(?:pylf_v\d+|github_pat|[srp]k_(?:live|test)|whsec)_{_A_DIGIT}[A-Za-z0-9_\-]{{16,}}")),
    Rule("x", ("xox",), re.compile(r"\bxox[abeoprs]-[A-Za-z0-9\-]{10,}")),
    Rule("a", ("aiza", "ya29."), re.compile(r"\b(?:AIza[A-Za-z0-9_\-]{30,}|ya29\.[A-Za-z0-9_\-]{20,})")),
    Rule("a", ("akia", "asia"), re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b")),
    # name=value and "name": "value", where the name says that the value is a secret
    *(
        Rule(sign, ("passw", "passphrase", "pwd", "secret", "key", "token", "authorization"),
             re.compile(rf"(?isx)(?P<keep>(?:{_NAMES})(?P<named>\\?[\"']?)\s{{0,20}}{sign}\s{{0,20}}){_VALUE}"))
        for sign in (":", "=")
    ),
    *(
        Rule(sign, ("token", "_key", "_pass", "cookie"),
             re.compile(
                 rf"""(?x)(?P<keep>
                     (?:\b[A-Z0-9_]{{2,64}}_(?:TOKEN|KEY|PASS) | \b(?i:token))(?P<named>\\?["']?)\s{{0,20}}{sign}\s{{0,20}}(?P<quoted>\\?["']?) )
                     (?=[A-Za-z0-9_\-.+/]{{0,60}}[0-9])[A-Za-z0-9_\-.+/=]{{16,}}
                 | (?P<header>\b(?i:(?:set-)?cookie)["']?\s{{0,20}}{sign}\s{{0,20}}["']?[A-Za-z0-9_.\-]{{1,80}}=)[^\s"'\r\n][^"'\r\n]*"""))
        for sign in (":", "=")
    ),
    Rule("-", ("--",),
         re.compile(rf"(?i)(?P<keep>--(?:[a-z0-9]{{1,20}}[_-])?(?:{_NAMES}|token)\s{{1,8}})(?![\[\-])[^\s\"'<>]{{3,}}")),
)  # fmt: skip

_SECRET_KEY = re.compile(rf"(?:^|[._-])(?:{_NAMES}|(?:proxy-)?authorization|(?:set-)?cookie|credentials?|connection[_-]?string|dsn)$")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

_key_is_secret: dict[str, bool] = {}
_MAX_KEYS: Final = 4096
_SHORT: Final = 128


def is_secret_key(key: str) -> bool:
    """Whether a value under this key is a secret whatever it looks like (`password`, `db.api_key`, `clientSecret`, `GITHUB_TOKEN`, …)."""
    known = _key_is_secret.get(key)
    if known is None:
        known = _looks_secret(key[-_SHORT:])
        if len(key) <= _SHORT:
            if len(_key_is_secret) >= _MAX_KEYS:
                _key_is_secret.clear()
            _key_is_secret[key] = known
    return known


def _looks_secret(key: str) -> bool:
    if key.isupper() and key.endswith("_TOKEN"):
        return True
    return _SECRET_KEY.search(_CAMEL.sub("_", key).lower()) is not None


def scrub(text: str) -> str:
    """*text* with every secret replaced by `MARK`; the same object when there is none."""
    lowered = text.lower()
    for rule in RULES:
        if rule.sign in lowered:
            for needle in rule.needles:
                if needle in lowered:
                    text = rule.pattern.sub(_replace, text)
                    break
    return text


def _replace(match: re.Match[str]) -> str:
    groups = match.groupdict(default="")
    quote = groups.get("quote", "") or groups.get("double", "") or groups.get("single", "")  # what was JSON stays JSON
    if not quote and not groups.get("quoted"):
        quote = groups.get("named", "")  # a bare number behind a quoted name
    return f"{groups.get('keep', '')}{groups.get('header', '')}{quote}{MARK}{quote}"

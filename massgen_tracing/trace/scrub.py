"""Secrets out of text, once, before any sink sees it.

Each rule names texts that its pattern begins with, and the pattern is tried only there, because a pattern over every attribute would cost more
than the span. Most texts have none of them, which is found out first. The rules look for the shape of a secret, not for words like "session" or
"auth": ordinary text and `massgen.*` keys pass. No pattern looks back over what it has passed: the time is linear in the text, whatever the text is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from massgen_tracing import semconv
from massgen_tracing.settings import compiled
from massgen_tracing.trace.remembered import Remembered

MARK: Final[str] = semconv.SCRUBBED
"""Stands where a secret stood. It does not say what matched, for that would tell what to look for elsewhere."""

_own: tuple[re.Pattern[str], ...] = ()
"""What the user says is secret too."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One shape of secret.

    Attributes:
        sign: characters one of which occurs wherever the pattern can match; without any, the needles are looked for in every text.
        needles: texts with one of which the pattern begins; those in lower case stand for any case. It is tried only where one stands: a search at
            every character of a long prompt would hold up the run.
        pattern: what is replaced; a group named `keep` in front stays, a group named `quote` is put around the mark.
        before: what must stand in front of it, where the pattern alone does not say enough; its group `own` is part of the secret.
        reach: characters in front that are looked at for *before*.
        is_key: whether what it matches has at least `_RUN` characters of `_OF_KEYS` in a row, which most texts have nowhere.
    """

    sign: str
    needles: tuple[str, ...]
    pattern: re.Pattern[str]
    before: re.Pattern[str] | None = None
    reach: int = 32
    is_key: bool = False


_RUN: Final = b"." * 15
_OF_KEYS: Final = bytes(ord(".") if (chr(byte).isalnum() and byte < 128) or chr(byte) in "_-+/%=." else 0 for byte in range(256))
"""Turns characters that keys are made of into dots: a run of them is found without looking at each."""

_AFTER_ESCAPE = r"(?<=\\[nrtbf])|(?<=\\u[0-9a-fA-F]{4})"
"""In JSON text and in a `repr`, the letter in front of a secret may be part of a line's end, or of a tab."""

_START = rf"(?:\b|{_AFTER_ESCAPE})"

_A_DIGIT = r"(?=[A-Za-z0-9_\-]{0,60}[0-9])"
"""Keys have digits; hyphenated words have none."""

_OWNERS = (
    r"access|auth|refresh|id|session|bearer|api|read|write|github|gitlab|gh|hf|hugging[_-]?face|slack|discord|telegram|bot|app|user|oauth|jwt|csrf|xsrf"
    r"|logfire|npm|pypi|vault|deploy|service|security|personal[_-]?access|secret|private|subscription"
)
"""Whose `…_token` is a secret; tokens in the sense of language models have other owners (`max_tokens`, `input_tokens`, `pad_token`)."""

_KEY_OWNERS = r"api|access|account|private|signing|encryption|subscription|shared[_-]?access|client[_-]?secret|secret(?:[_-]?access)?"

_NAMED: Final[dict[str, str]] = {
    **dict.fromkeys(("password", "passwd", "passphrase", "passcode", "pwd", "secret", "authorization"), ""),
    "key": rf"(?:{_KEY_OWNERS})[_-]?",
    "token": rf"(?:x-auth-|(?:{_OWNERS})[_-]?)",
}
"""The last words of names whose value is a secret, and what must stand right before them; further words may (`db_`, `client-`, `openai.`)."""

_NAMES = "|".join(f"{owner}{word}" for word, owner in _NAMED.items())

_IS = r"(?:(?P<escaped>\\[\"'])|(?P<plain>[\"']))?\s{0,20}(?:=>|:=|[:=])\s{0,20}"
_LONG_WITH_DIGIT = r"(?=[A-Za-z0-9_\-.+/]{0,60}[0-9])[A-Za-z0-9_\-.+/=]{16,}"

_ORDINARY = (
    r"(?!(?:(?:bearer|basic)\s+)?\[scrubbed\]|(?:null|none|true|false|undefined|str|string|bytes|int|bool|any|optional|required|missing|invalid|wrong|unset|empty|your|x{3,})\b"
    r"|os\.|env\b|self\.|getenv|process\.env|getpass|\*{3,}|(?:bearer|basic|token|digest|apikey)\s{1,8}[<{$*]"
    r"|[+?][^\s}]{0,60}\}|(?<=\s)[a-z_][a-z0-9_.]{2,60}\(|(?:[a-z_][a-z0-9_]{0,40}\.){1,5}[a-z0-9_]{0,40}(?:passw(?:or)?d|secret|key|token)\b)"
)
"""What stands behind such a name in source code, in shells' `${NAME:+set}`, in documentation and in messages about it."""

# Where the name is not in quotes of its own, a quote behind it may be the end of a text: `say "password:", then`.
_QUOTED = (
    r'(?P<quote>\\")(?(escaped)|(?!\s{0,40}\\?[),;\]}]|(?<=[:=]\\")\s))(?:[^"\\]|\\\\\\"|\\[^"])++(?:\\"|\\?\Z)'
    r'  | (?P<double>")(?(plain)|(?!\s{0,40}[),;\]}]|(?<=[:=]")\s))(?:[^"\\]|\\.)++(?:"|\\?\Z)'
    r"  | (?P<single>')(?(plain)|(?!\s{0,40}[),;\]}]|(?<=[:=]')\s))(?:[^'\\\n]|\\.)++(?:'|\\?\Z|(?=\n))"
)
_VALUE = (
    rf"(?: {_QUOTED}"
    rf"  | {_ORDINARY}(?:(?:bearer|basic|token|digest|negotiate|apikey)\s+)?[^\s,;&\"'{{}}\[\]()<>\\]{{3,}} )"
)
_IN_QUOTES = r"(?:(?P<escaped>\\[\"'])|(?P<plain>[\"']))"
_FLAG = rf"--(?=[a-z0-9])(?:[a-z0-9]{{1,20}}[_-])?(?:{_NAMES}|token)"
"""An option that a secret stands behind."""

_NAMES_IT = rf"(?:name|key|header|field|variable)\\?[\"']?\s{{0,20}}[:=]\s{{0,20}}\\?[\"']?[\w.-]{{0,60}}?(?:{_NAMES})\\?[\"']?"
"""Says in one field that the field beside it, its value, is a secret."""

_TO_TAG = r"(?:[^<\"\\]|\\(?!\"\s{0,20}[},\]:])|\"(?!\s{0,20}[},\]:]))"
"""What stands between tags, as far as it is in one text: not beyond the quote at which a text of JSON ends."""

_VALUE_OF = ('value"', "value'", "value\\", "value:", "value=")
_key = partial(Rule, is_key=True)

RULES: Final[tuple[Rule, ...]] = (
    Rule("-", ("-----BEGIN ",),
         re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
                    r"(?:.*?-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|.*)", re.DOTALL)),
    Rule("", ("bearer", "basic"),
         re.compile(r"(?P<keep>" + _START + r"(?i:bearer|basic)\s{1,8})"
                    r"(?=[A-Za-z._~+/\-]*+[0-9=]|[A-Za-z0-9._~+/\-]*?[a-z][A-Z])[A-Za-z0-9._~+/\-]{8,}=*")),
    Rule(":", ("://",), re.compile(r"""(?P<keep>://[^\s/:@"'?#]*:)[^\s/"'?#<>]+(?=@)""")),
    _key(".", ("eyJ",), re.compile(rf"(?:(?<![A-Za-z0-9_\-])|{_AFTER_ESCAPE})"
                                     r"eyJ[A-Za-z0-9_\-]{8,}+\.[A-Za-z0-9_\-]{8,}+(?:\.[A-Za-z0-9_\-]*)?")),
    _key("-", ("sk-", "csk-", "xai-", "pk-lf-", "glpat-", "nvapi-", "pplx-", "tvly-", "GOCSPX-", "pypi-", "xapp-", "bedrock-api-key-"),
         re.compile(rf"{_START}(?:c?sk|xai|pk-lf|glpat|nvapi|pplx|tvly|GOCSPX|pypi|xapp|bedrock-api-key)-{_A_DIGIT}[A-Za-z0-9_\-]{{16,}}")),
    _key("-", ("fc-",), re.compile(_START + r"fc-[0-9a-f]{32}\b")),
    _key("", ("dapi",), re.compile(_START + r"dapi[0-9a-f]{32}(?:-[0-9])?\b")),
    _key("_", ("gsk_", "hf_", "ghp_", "gho_", "ghs_", "ghu_", "ghr_", "npm_", "e2b_", "r8_", "dop_v1_", "fw_", "sk_", "dtn_", "ntn_", "vck_"),
         re.compile(rf"{_START}(?:gsk|hf|gh[pousr]|npm|e2b|r8|dop_v1|fw|sk|dtn|ntn|vck)_{_A_DIGIT}[A-Za-z0-9]{{16,}}")),
    _key("_", ("pylf_v", "github_pat_", "sk_live_", "sk_test_", "rk_live_", "rk_test_", "pk_live_", "pk_test_", "bb_live_", "whsec_", "tgp_v",
               "lsv2_", "jina_", "pcsk_", "lin_api_", "figd_", "sb_secret_", "sbp_"),
         re.compile(_START + r"(?:pylf_v\d+|github_pat|[srp]k_(?:live|test)|bb_live|whsec|tgp_v\d+|lsv2_[ps][tk]|jina|pcsk|lin_api|figd|sb_secret"
                    r"|sbp)"
                    rf"_{_A_DIGIT}[A-Za-z0-9_\-]{{16,}}")),
    _key("-", ("xox",), re.compile(_START + r"xox[abeoprs](?:\.xox[bp])?-[A-Za-z0-9\-]{10,}")),
    _key("", ("AIza",), re.compile(_START + r"AIza[A-Za-z0-9_\-]{30,}")),
    _key(".", ("ya29.", "AQ.A"), re.compile(_START + r"(?:ya29\.[A-Za-z0-9_\-]{20,}|AQ\.A[A-Za-z0-9_\-]{30,})")),
    _key("/", ("1//0",), re.compile(_START + r"1//0[A-Za-z0-9_\-]{40,}")),
    _key("", ("AKIA", "ASIA", "ABSK"), re.compile(_START + r"(?:(?:AKIA|ASIA)[A-Z0-9]{16}\b|ABSK[A-Za-z0-9+/]{40,}=*)")),
    _key("", ("FwoGZXIvYXdz", "FQoGZXIvYXdz", "IQoJb3JpZ2lu"), re.compile(_START + r"(?:F[wQ]oGZXIvYXdz|IQoJb3JpZ2lu)[A-Za-z0-9+/%_\-]{16,}=*")),
    # SendGrid, HashiCorp Vault; Twilio's accounts and keys, an account's token behind it; Brave
    _key(".", ("SG.", "hvs."), re.compile(_START + r"(?:SG\.[A-Za-z0-9_\-]{16,}\.[A-Za-z0-9_\-]{20,}|hvs\.[A-Za-z0-9_\-]{20,})")),
    _key("", ("AC",), re.compile(_START + r"AC[0-9a-f]{32}\b(?::[0-9a-f]{32}\b)?")),
    _key("", ("SK",), re.compile(_START + r"SK[0-9a-f]{32}\b(?::[A-Za-z0-9]{32}\b)?")),
    _key("", ("BSA",), re.compile(_START + r"BSA(?=[A-Za-z_\-]*[0-9])(?=[A-Z0-9_\-]*[a-z])[A-Za-z0-9_\-]{24,29}(?![A-Za-z0-9_\-])")),
    # addresses that are secrets: webhooks, signed URLs; a bot's token in Telegram's
    _key("/", ("webhooks/", "hooks.slack.com/"),
         re.compile(r"(?P<keep>(?i:webhooks/\d{10,25}/|hooks\.slack\.com/(?:services|workflows|triggers)/))[A-Za-z0-9_\-/]{20,}")),
    _key("=", ("sig=", "signature="), re.compile(r"(?P<keep>(?i:sig(?:nature)?)=)[A-Za-z0-9%+/_\-]{20,}=*"),
         re.compile(r"(?i)[?&;](?:x-(?:amz|goog)-)?\Z")),
    _key(":", (":AA",), re.compile(r":AA[A-Za-z0-9_\-]{32,34}(?![A-Za-z0-9_\-])"), re.compile(r"(?<![0-9])(?:bot)?[0-9]{8,11}\Z")),
    # Azure's: a mark within the key says whose it is
    _key("", ("JQQJ9",), re.compile(r"JQQJ9[A-Za-z0-9]{20,}"), re.compile(r"(?P<own>" + _START + r"[A-Za-z0-9]{52})\Z"), reach=60),
    # name=value and "name": "value", where the name says that the value is a secret
    *(
        Rule(":=", (needle,), re.compile(rf"(?isx)(?P<keep>{name}{_IS}){_VALUE}"), before)
        for needle, name, before in (
            ("passw", "passw(?:or)?d", None),
            ("passphrase", "passphrase", None),
            ("passcode", "passcode", None),
            ("pwd", "(?-i:(?!PWD=/))pwd", re.compile(r"(?<![$])(?<![$]\{)\Z")),
            ("secret", "secret(?:[_-]?(?:access[_-]?)?key(?:_base)?)?", None),
            ("authorization", "authorization", None),
            ("key", "key", re.compile(rf"(?i)(?:{_KEY_OWNERS})[_-]?\Z")),
            ("token", "token", re.compile(rf"(?i)(?:(?:{_OWNERS})[_-]?|x-auth-)\Z")),
        )
    ),
    Rule("_", ("_TOKEN", "_KEY", "_PASS"),
         re.compile(rf"(?P<keep>_(?:TOKEN|KEY|PASS){_IS}(?P<quoted>\\?[\"']?)){_LONG_WITH_DIGIT}"), re.compile(r"[A-Z0-9]\Z")),
    Rule(":=", ("key",), re.compile(rf"(?P<keep>(?i:key){_IS}(?P<quoted>\\?[\"']?)){_LONG_WITH_DIGIT}"),
         re.compile(r"(?i)\b(?:api|access|secret|private) \Z")),
    Rule(":=", ("token",), re.compile(rf"(?P<keep>(?i:\btoken){_IS}(?P<quoted>\\?[\"']?)){_LONG_WITH_DIGIT}")),
    Rule(":=", ("cookie",),
         re.compile(r"""(?P<keep>(?i:cookie)["']?\s{0,20}[:=]\s{0,20}["']?[A-Za-z0-9_.\-]{1,80}=)[^\s"'\r\n][^"'\r\n]*""")),
    # Where a tag ends as such a name does: prompts are full of others.
    *(
        Rule(">", (f"{word}>", f"{word} "), re.compile(rf"(?i)(?P<keep>{word}(?:>|\s[^<>]{{0,199}}[^<>/]>))(?!\s|\[scrubbed\]){_TO_TAG}{{3,}}"),
             re.compile(rf"(?i)<(?:[a-z0-9]{{1,20}}[_.:-]?){{0,2}}{owner}\Z"), reach=100)
        for word, owner in _NAMED.items()
    ),
    Rule("-", ("-u ", "--user "), re.compile(r"""(?P<keep>-(?:u|-user)\s{1,8}["']?[^\s"':/]{1,80}:)[^\s"'/]{3,}"""),
         re.compile(r"(?i)\bcurl\b[^\n|;&]{0,200}\s\Z"), reach=210),
    Rule("-", ("--",),
         re.compile(rf"(?i)(?P<keep>{_FLAG}\s{{1,8}})(?![\[\-])[^\s\"'<>]{{3,}}")),
    Rule("-", ("--",), re.compile(rf"(?isx)(?P<keep>{_FLAG}{_IN_QUOTES}\s{{0,20}},\s{{0,20}})(?!\\?[\"'](?:-|\[scrubbed\]))(?:{_QUOTED})")),
    # {"name": "api_key", "value": "…"}, in either order, in YAML and in attributes of a tag too
    Rule(":=", _VALUE_OF, re.compile(rf"(?isx)(?P<keep>value{_IS}){_VALUE}"),
         re.compile(rf"(?i)\b{_NAMES_IT}(?:\s{{0,20}},\s{{0,20}}|\s{{1,40}})\\?[\"']?\Z"), reach=200),
    Rule(":=", _VALUE_OF, re.compile(rf"(?isx)(?P<keep>value{_IS})(?:{_QUOTED})(?=\s{{0,20}},?\s{{0,20}}\\?[\"']?{_NAMES_IT})")),
)  # fmt: skip

_SECRET_KEY = re.compile(rf"(?:^|[._-])(?:{_NAMES}|(?:proxy-)?authorization|(?:set-)?cookie|credentials?|connection[_-]?string|dsn)$")
_SECRET_FLAG = re.compile(_FLAG, re.IGNORECASE)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

_key_is_secret: dict[str, bool] = {}
_MAX_KEYS: Final = 4096
_SHORT: Final = 128

_LENGTHS_REMEMBERED: Final = range(128, 2**16)
"""Texts in which looking for secrets takes longer than knowing them again."""


def use(patterns: Sequence[str]) -> bool:
    """Say which regular expressions find further secrets, in texts and in keys; whether these are others than before."""
    global _own
    before, _own = _own, tuple(map(compiled, patterns))
    if before != _own:
        for seen in (_key_is_secret, _words, _remembered):
            seen.clear()
    return before != _own


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


def is_secret_flag(text: str) -> bool:
    """Whether the next word of a command is a secret (`--password`, `--openai-api-key`, `--token`)."""
    return text[:2] == "--" and len(text) <= _SHORT and _SECRET_FLAG.fullmatch(text) is not None


def _looks_secret(key: str) -> bool:
    if key.isupper() and key.endswith("_TOKEN"):
        return True
    return _SECRET_KEY.search(_CAMEL.sub("_", key).lower()) is not None or any(own.search(key) or MARK in key for own in _own)


_remembered: Final = Remembered(2**20)
"""Prompts, and what else is sent with each call of a conversation again."""


_WORD: Final = 24
_words: Final[dict[str, str]] = {}
"""What is said again and again within values: roles, types, names."""


def scrub(text: str) -> str:
    """*text* with every secret replaced by `MARK`; the same object when there is none."""
    if len(text) <= _WORD:
        known = _words.get(text)
        if known is None:
            known = _scrub(text)
            if len(_words) >= _MAX_KEYS:
                _words.clear()
            _words[text] = known
        return text if known == text else known
    if len(text) not in _LENGTHS_REMEMBERED:
        return _scrub(text)
    known = _remembered.get(text)
    if known is None:
        known = _scrub(text)
        _remembered.add(text, known)
    return known


def _scrub(text: str) -> str:
    for own in _own:
        if own.search(text) is not None:  # marks that stand there already are left as they are, whatever it finds in them
            text = MARK.join(own.sub(_marked, part) for part in text.split(MARK))
    lowered = text.lower()
    search = _ANY if may_hold_keys(text) else _NO_KEYS
    if not search.may_find_any(text, lowered):
        return text
    for rule in search.rules:
        if rule.sign and not any(sign in text for sign in rule.sign):
            continue
        for needle in rule.needles:
            if needle in (lowered if needle == needle.lower() else text):
                scrubbed = _apply(rule, needle, text, lowered)
                if scrubbed is not text:
                    text, lowered = scrubbed, scrubbed.lower()
    return text


def may_hold_secret(text: str) -> bool:
    """Whether a secret may stand in a text, or in any part of it; if not, it need not be looked for."""
    return bool(_own) or (_ANY if may_hold_keys(text) else _NO_KEYS).may_find_any(text, text.lower())


def may_hold_keys(text: str) -> bool:
    """Whether characters that keys are made of stand in a row, as many as the shortest key has."""
    return _RUN in text.encode(errors="replace").translate(_OF_KEYS)


class _Search:
    """Some of the rules, and a first look whether any of them may apply."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.rules = tuple(rules)
        by_sign: dict[str, dict[str, None]] = {}
        for rule in self.rules:
            for sign in rule.sign or ("",):
                by_sign.setdefault(sign, {}).update(dict.fromkeys(rule.needles))
        self._needles = [
            (sign, tuple(n for n in needles if n != n.lower()), tuple(n for n in needles if n == n.lower())) for sign, needles in by_sign.items()
        ]
        """Each sign with its needles: those with capitals, and those in any case."""

    def may_find_any(self, text: str, lowered: str) -> bool:
        """Whether one of the needles stands in *text*, and a sign of its rule."""
        for sign, exact, caseless in self._needles:
            if sign in text:
                for needle in exact:
                    if needle in text:
                        return True
                for needle in caseless:
                    if needle in lowered:
                        return True
        return False


_ANY: Final = _Search(RULES)
_NO_KEYS: Final = _Search(rule for rule in RULES if not rule.is_key)


def _apply(rule: Rule, needle: str, text: str, lowered: str) -> str:
    if needle != needle.lower():
        lowered = text
    elif len(lowered) != len(text):  # a few letters have lower-case forms of two characters; then places would not agree
        lowered = text.translate(_ASCII_LOWER)
    parts: list[str] = []
    done = 0
    place = lowered.find(needle)
    while place >= 0:
        match, start = None, place
        if rule.before is None:
            match = rule.pattern.match(text, place)
        elif (before := rule.before.search(text, max(done, place - rule.reach), place)) is not None:
            match = rule.pattern.match(text, place)
            if before.groupdict().get("own"):
                start = before.start("own")
        if match is None:
            place = lowered.find(needle, place + 1)
            continue
        parts += text[done:start], _replacement(match)
        done = match.end()
        place = lowered.find(needle, done)
    return "".join([*parts, text[done:]]) if parts else text


def _marked(match: re.Match[str]) -> str:
    return MARK if match[0] else ""


def _replacement(match: re.Match[str]) -> str:
    groups = match.groupdict(default="")
    quote = groups.get("quote", "") or groups.get("double", "") or groups.get("single", "")  # what was JSON stays JSON
    if not quote and not groups.get("quoted"):
        quote = groups.get("escaped", "") or groups.get("plain", "")  # a bare number behind a quoted name
    return f"{groups.get('keep', '')}{quote}{MARK}{quote}"


_ASCII_LOWER: Final = {ord(letter): letter.lower() for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}

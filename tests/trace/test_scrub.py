"""Secrets never reach a sink; ordinary text and the package's own keys do."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.trace import Link, SpanContext, StatusCode

import massgen_tracing as mt
from massgen_tracing import semconv
from massgen_tracing.errors import UsageError
from massgen_tracing.insight import summary
from massgen_tracing.store.roots import catalogue, reader
from massgen_tracing.testing import capture
from massgen_tracing.trace import provider
from massgen_tracing.trace import scrub as scrubbing
from massgen_tracing.trace.exceptions import MAX_CHARS
from massgen_tracing.trace.payload import MAX_BYTES, PREVIEW_CHARS, clean, preview, scrub_also
from massgen_tracing.trace.remembered import Remembered
from massgen_tracing.trace.scrub import MARK, RULES, Rule, is_secret_flag, is_secret_key, may_hold_keys, scrub

PEM = "-----BEGIN RSA PRIVATE KEY-----\n" + "MIIEowIBAAKCAQEA0Z3VS5JJcds3xfn\n" * 40 + "-----END RSA PRIVATE KEY-----"
JWT = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4ifQ.SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c"

TOKENS = {
    "openai": "sk-abcdefghijklmnopqrst1234567890ABCDEFGHIJKLMN",
    "openai project": "sk-proj-Ab1_Cd2-Ef3GhIjKlMnOpQrStUvWxYz0123456789",
    "anthropic": "sk-ant-api03-R2D2abcdefghijklmnopqrstuvwxyz-0123456789_AA",
    "openrouter": "sk-or-v1-0123456789abcdef0123456789abcdef0123456789abcdef",
    "xai": "xai-Abcdefghij0123456789Abcdefghij0123456789",
    "groq": "gsk_Abcdefghij0123456789Abcdefghij0123456789abcd",
    "cerebras": "csk-0123456789abcdefghijklmnopqrstuvwxyz",
    "nvidia": "nvapi-0123456789abcdefABCDEF_0123456789",
    "perplexity": "pplx-0123456789abcdef0123456789abcdef",
    "hugging face": "hf_AbCdEfGhIjKlMnOpQrStUvWxYz01234567",
    "google": "AIzaSyA-0123456789abcdefghijklmnopqrstu",
    "google oauth": "ya29.a0AfH6SMB0123456789abcdefghijk",
    "aws": "AKIAIOSFODNN7EXAMPLE",
    "github": "ghp_0123456789abcdefghijABCDEFGHIJ012345",
    "github fine": "github_pat_11ABCDEFG0123456789_abcdefghijklmnopqrstuvwxyz",
    "gitlab": "glpat-0123456789abcdefABCD",
    "slack": "xoxb-123456789012-1234567890123-AbCdEfGhIjKlMnOp",
    "stripe": "sk_live_0123456789abcdefghijklmn",
    "npm": "npm_0123456789abcdefghijABCDEFGHIJ012345",
    "pypi": "pypi-AgEIcHlwaS5vcmcCJDAxMjM0NTY3ODlhYmNk",
    "logfire": "pylf_v1_us_0123456789abcdefghijABCDEFGHIJ",
    "langfuse": "pk-lf-01234567-89ab-cdef-0123-456789abcdef",
    "tavily": "tvly-dev-0123456789abcdefABCDEF",
    "anthropic admin": "sk-ant-admin01-0123456789abcdefghijklmnopqrstuvwxyz-ABCDEFGHIJ_AA",
    "openai service account": "sk-svcacct-Ab1_Cd2-Ef3GhIjKlMnOpQrStUvWxYz0123456789",
    "together": "tgp_v1_0123456789abcdefghijABCDEFGHIJ_-0123456789a",
    "fireworks": "fw_3ZabcdefGHIJKLmnopqrst12",
    "google express": "AQ.Ab8RN6KabcdefghijklmnopqrstuvwxyzABCDEF-_012345",
    "google refresh": "1//0gabcdefghijklmnopqrstuvwxyz-ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789",
    "azure openai": "0123456789abcdefghijABCDEFGHIJ0123456789abcdefghijAB" + "JQQJ99BAACYeBjFXJ3w3AAABACOGabcd",
    "aws session": "IQoJb3JpZ2luX2VjEHoaCXVzLWVhc3QtMSJHMEUCIQD0123456789abcdef+/==",
    "aws session, older": "FwoGZXIvYXdzEBYaDKabcdefghij0123456789+/abcdefghij==",
    "bedrock": "ABSKQmVkcm9ja0FQSUtleS0123456789abcdefghijABCDEFGHIJ0123456789==",
    "bedrock, short": "bedrock-api-key-YmVkcm9jay5hbWF6b25hd3MuY29tLz9BY3Rpb249Q2Fs0123",
    "langsmith": "lsv2_pt_0123456789abcdef0123456789abcdef_0123456789",
    "elevenlabs": "sk_0123456789abcdef0123456789abcdef0123456789abcdef",
    "jina": "jina_0123456789abcdef0123456789abcdefABCDEFGHIJKLMNOPQRSTUVWX",
    "pinecone": "pcsk_Ab1Cd2_0123456789abcdefghijABCDEFGHIJ",
    "databricks": "dapi0123456789abcdef0123456789abcdef-2",
    "brave": "BSAabcdefGHIJKLmnopqrst0123456_-",
    "firecrawl": "fc-0123456789abcdef0123456789abcdef",
    "browserbase": "bb_live_0123456789abcdefABCDEF_-0123",
    "daytona": "dtn_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "notion": "ntn_0123456789abcdefghijABCDEFGHIJ0123456789abcdef",
    "linear": "lin_api_0123456789abcdefghijABCDEFGHIJ0123456789",
    "figma": "figd_0123456789abcdefghij-ABCDEFGHIJ_0123456789",
    "supabase": "sbp_0123456789abcdef0123456789abcdef01234567",
    "sendgrid": "SG.abcdefghijklmnop_-0123.ABCDEFGHIJKLMNOPQRSTUVWXYZ_-abcdefghijklmno01",
    "vault": "hvs.CAESIJabcdefghijklmnopqrstuvwxyz0123456789",
    "twilio account": "AC0123456789abcdef0123456789abcdef",
    "twilio account and token": "AC0123456789abcdef0123456789abcdef:fedcba9876543210fedcba9876543210",
    "twilio key": "SK0123456789abcdef0123456789abcdef",
    "slack app": "xapp-1-A0123456789-1234567890123-abcdef0123456789abcdef",
    "slack refresh": "xoxe.xoxp-1-Mi0yLTEyMzQ1Njc4OTAtYWJjZGVm",
    "logfire, version 2": "pylf_v2_eu_0123456789abcdefghijABCDEFGHIJ",
    "e2b": "e2b_0123456789abcdef0123456789abcdef01234567",
    "replicate": "r8_0123456789abcdefghijABCDEFGHIJ0123456",
    "digitalocean": "dop_v1_" + "0123456789abcdef" * 4,
    "vercel": "vck_0123456789abcdefghijABCDEFGHIJ0123456789abcdef",
    "stripe webhook": "whsec_0123456789abcdefghijABCDEFGHIJ01",
    "jwt": JWT,
    "private key": PEM,
    "pgp": "-----BEGIN PGP PRIVATE KEY BLOCK-----\nxyz\n-----END PGP PRIVATE KEY BLOCK-----",
}

NAMED = [
    ("password=hunter2", "hunter2"),
    ("PASSWORD = hunter2 and more", "hunter2"),
    ("db_password: hunter2", "hunter2"),
    ("dbPassword='hunter2'", "hunter2"),
    ("PGPASSWORD=hunter2 psql", "hunter2"),
    ("passwd=hunter2;server=x", "hunter2"),
    ("Server=x;Uid=u;Pwd=hunter2;", "hunter2"),
    ('{"password": "hun ter2", "user": "bob"}', "hun ter2"),
    ('{"password": "a\\"hunter2", "user": "bob"}', "hunter2"),
    ('{"password":"hunter2"}', "hunter2"),
    ('{"password": 1234567}', "1234567"),
    ("password => 'hunter2', user => 'bob'", "hunter2"),
    ("password := hunter2", "hunter2"),
    ("passcode=hunter2", "hunter2"),
    ("secret_key_base: 0123456789abcdef", "0123456789abcdef"),
    ("my API key: 0123456789abcdef, thanks", "0123456789abcdef"),
    ("<password>hunter2</password>", "hunter2"),
    ("<db:Password>hunter2</db:Password>", "hunter2"),
    ("curl -u bob:hunter2 https://h.example", "hunter2"),
    ('curl -s --user "bob:hunter2" https://h.example', "hunter2"),
    ("{'password': 'hunter2', 'user': 'bob'}", "hunter2"),
    ("{'password': 'it\\'s hunter2', 'user': 'bob'}", "hunter2"),
    (json.dumps(json.dumps({"password": "hunter2", "user": "bob"})), "hunter2"),
    (json.dumps(json.dumps({"password": 'a"hunter2', "user": "bob"})), "hunter2"),
    ("Config(password='hunter2', user='bob')", "hunter2"),
    ("OPENAI_API_KEY=0123456789abcdef", "0123456789abcdef"),
    ("export AZURE_OPENAI_API_KEY='0123456789abcdef'", "0123456789abcdef"),
    ("api-key: 0123456789abcdef", "0123456789abcdef"),
    ('"apiKey": "0123456789abcdef"', "0123456789abcdef"),
    ("x-api-key: 0123456789abcdef", "0123456789abcdef"),
    ("client_secret=0123456789abcdef", "0123456789abcdef"),
    ("AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "wJalrXUtnFEMI"),
    ("AWS_SESSION_TOKEN=FwoGZXIvYXdzEBYaD0123456789", "FwoGZXIvYXdzEBYaD0123456789"),
    ("GITHUB_TOKEN=0123456789abcdef0123", "0123456789abcdef0123"),
    ("SOME_VENDOR_TOKEN=0123456789abcdef0123", "0123456789abcdef0123"),
    ("?access_token=0123456789abcdef&user=bob", "0123456789abcdef"),
    ('{"token": "0123456789abcdef0123"}', "0123456789abcdef0123"),
    ("private_key = 0123456789abcdef", "0123456789abcdef"),
    ("AccountKey=0123456789abcdef0123456789abcdef==;EndpointSuffix=core", "0123456789abcdef"),
    ("Authorization: Bearer abc", "abc"),
    ("authorization: Bearer 0123456789abcdef0123456789abcdef", "0123456789abcdef"),
    ("Authorization: Basic dXNlcjpodW50ZXIy", "dXNlcjpodW50ZXIy"),
    ("{'Authorization': 'Bearer 0123456789abcdef'}", "0123456789abcdef"),
    ("-H 'Authorization: token 0123456789abcdef'", "0123456789abcdef"),
    ("sent Bearer AbCdEfGhIjKlMnOp to it", "AbCdEfGhIjKlMnOp"),
    ("Cookie: sid=0123456789; theme=dark", "0123456789"),
    ("Set-Cookie: session=0123456789; Path=/", "0123456789"),
    ("mysql --password hunter2 -u bob", "hunter2"),
    ("tool --api-key 0123456789abcdef", "0123456789abcdef"),
    ("postgresql://bob:hunter2@db.example/app", "hunter2"),
    ("postgresql://bob:hunt@er2@db.example/app", "er2"),
    ("redis://:hunter2@localhost:6379/0", "hunter2"),
    ("mongodb+srv://bob:hunter2@cluster.example/?retryWrites=true", "hunter2"),
    ("https://oauth2:hunter2@gitlab.example/group/project.git", "hunter2"),
    ("amqp://bob:hunter2@mq", "hunter2"),
    ('password="hunter2 that was cut', "hunter2"),
    ('{"api_key": "0123456789', "0123456789"),
    ("TWILIO_AUTH_TOKEN=fedcba9876543210fedcba9876543210", "fedcba9876543210"),
    ("https://AC0123456789abcdef0123456789abcdef:fedcba9876543210fedcba9876543210@api.twilio.com/", "fedcba9876543210"),
    ("EXA_API_KEY=01234567-89ab-cdef-0123-456789abcdef", "01234567-89ab"),
    ("MISTRAL_API_KEY=0123456789abcdefghijABCDEFGHIJ01", "0123456789abcdef"),
    ("TOGETHER_API_KEY=" + "0123456789abcdef" * 4, "0123456789abcdef"),
    ("ZAI_API_KEY=0123456789abcdef0123456789abcdef.AbCdEfGhIjKlMnOp", "AbCdEfGhIjKlMnOp"),
    ("AZURE_OPENAI_KEY=0123456789abcdef0123456789abcdef", "0123456789abcdef"),
    ("Ocp-Apim-Subscription-Key: 0123456789abcdef0123456789abcdef", "0123456789abcdef"),
    ("X-Subscription-Token: BSAxyz", "BSAxyz"),
    ("DISCORD_TOKEN=MTIzNDU2Nzg5MDEyMzQ1Njc4.GabcdE.abcdefghijklmnopqrstuvwxyz0123456789AB", "abcdefghijklmnop"),
    ("https://discord.com/api/webhooks/123456789012345678/Ab-Cd_0123456789abcdefghijABCDEFGHIJ", "Ab-Cd_0123456789"),
    ("https://hooks.slack.com/services/T01234567/B01234567/abcdefghijABCDEFGHIJ0123", "abcdefghijABCDEFGHIJ"),
    ("https://hooks.slack.com/triggers/T01234567/1234567890/abcdef0123456789abcdef", "abcdef0123456789"),
    ("https://api.telegram.org/bot123456789:AAabcdefghijklmnopqrstuvwxyz-012345/getMe", "abcdefghijklmnop"),
    ("https://a.blob.core.windows.net/c/b?sv=2024-01-01&sp=r&sig=abcdefghij%2B0123456789%3D", "abcdefghij"),
    ("https://b.s3.amazonaws.com/k?X-Amz-Expires=60&X-Amz-Signature=" + "0123456789abcdef" * 4, "0123456789abcdef"),
    ('{"type": "service_account", "private_key_id": "a1", "private_key": "' + PEM.replace("\n", "\\n") + '"}', "MIIEow"),
    ('["mysql", "--password", "hunter2", "-u", "bob"]', "hunter2"),
    ("['mysql', '--db-password', 'hunter2', '-u', 'bob']", "hunter2"),
    (json.dumps(json.dumps(["--api-key", "hunter2", "--user"])), "hunter2"),
    ('{"name": "api_key", "value": "hunter2"}', "hunter2"),
    ('[{"name": "OPENAI_API_KEY", "value": "hun,ter2"}, {"name": "user", "value": "bob"}]', "hun,ter2"),
    ('{"value":"hunter2","key":"db.password"}', "hunter2"),
    ("{'name': 'clientSecret', 'value': 'hunter2'}", "hunter2"),
    (json.dumps(json.dumps({"header": "X-Api-Key", "value": "hunter2"})), "hunter2"),
    ("env:\n  - name: DB_PASSWORD\n    value: hunter2\n", "hunter2"),
    ('<add key="ClientSecret" value="hunter2" />', "hunter2"),
    ('<api_key name="a">hunter2</api_key>', "hunter2"),
    ('{"xml": "<db:password type=\\"plain\\">hunter2</db:password>", "user": "bob"}', "hunter2"),
    ('{"Credentials": {"SecretAccessKey": "wJalrXUtnFEMI/K7MDENG", "SessionToken": "abcdefghij0123456789"}}', "abcdefghij0123456789"),
]

ORDINARY = [
    "massgen.session_id",
    "the session of agent_a, its auth and its token count",
    "authors of the authority authorise the author",
    "the password is wrong",
    "What is a good password? A secret is something you keep.",
    "max_tokens=5, input_tokens=1200, total_tokens: 1500",
    "massgen.usage.input=1200",
    "gen_ai.usage.input_tokens: 1200",
    "{'prompt_tokens': 5, 'completion_tokens': 7}",
    '{"token": "hello", "logprob": -0.1}',
    "pad_token=<pad> eos_token=</s>",
    "session=abc, auth=none, token=5",
    "primary_key=customer_id and foreign key: order_id",
    "def login(user: str, password: str, api_key: str | None = None) -> bool:",
    "password: Optional[str] = None, api_key=None, secret: null",
    "api_key=os.environ['OPENAI_API_KEY']",
    "the basic understanding of basic authentication-schemes, a bearer of good-news-everyone",
    "task-sk-circle-fade-dot-something risk-aversion-and-more",
    "hf_transformers gsk_learn ghp_pages",
    "http://localhost:4318/v1/traces and https://example.com:443/a@b",
    "mail bob@example.com, see https://example.com/x?mail=bob@example.com",
    "keyboard: qwerty; monkey: banana; turkey=bird; donkey = grey",
    "a1b2c3d4-e5f6-7890-abcd-ef1234567890",
    "0af7651916cd43dd8448eb211c80319c",
    "resp_0123456789abcdef0123456789abcdef call_0123456789abcdef toolu_01ABCDEFGHIJ",
    "agent1.1 voted for agent2.1: secretary of the secretariat",
    "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
    "cookie recipes: flour = 200 g",
    "the primary key: 0123456789abcdef0123 => the secret key: unknown",
    "docker run -u 1000:1000 image; sort -u a:b; curl -u bob https://h.example",
    "<password></password> <password/> <secretary>Bob</secretary> a <b> c",
    "eyJust a word",
    "--verbose --token-limit 5 --passes 3",
    '["--token", "--verbose"] ["--passes", "3"] ["--password-file", "/run/secrets/db"] ["--password", ""]',
    '{"name": "max_tokens", "value": "100"} {"name": "primary_key", "value": "id"} {"key": "secretary", "value": "Bob"}',
    '{"name": "api_key", "value": null, "type": "string"} {"value": "5", "name": "tokens"}',
    "name: api_key\ntype: string\nvalue: required",
    '<password name="a"/>text <secretary name="b">Bob</secretary> <key name="a">lime</key> password > 3 and <b',
    "Msg. SG. sg.one.two BSA and BSAFE, BSAfricanUnionConferenceAgain",
    "AC and SK are back: skill, disk, AC0123456789abcdef, SKU0123456789abcdef0123456789abcdef",
    "fc-match fw_setup_of_things lin_api_reference sb_secret_santa pcsk_ jina_embeddings_are_vectors_of_numbers",
    "dapi and hvs. and 1//0 and AQ.A and xapp-like",
    "https://hooks.slack.com/ and /api/webhooks/list and https://discord.com/channels/123456789012345678/234567890123456789",
    "design=abcdefghijklmnopqrstuvwxyz and ?signature=none&sig=short",
    "12:30:AA and C:\\AAA",
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 da39a3ee5e6b4b0d3255bfef95601890afd80709",
    "/home/bob/.massgen/massgen_logs/log_20261121_124614_942159/turn_1/attempt_1/agent_a/20261121_124404_122894/answer.txt",
    "chatcmpl-AbCdEf0123456789 msg_01AbCdEfGhIjKlMnOpQrStUv gen-1700000000-AbCdEf0123456789 run_0123456789abcdef thread_AbCdEf0123456789abcdef",
    "claude-sonnet-4-5-20250929 gpt-5-mini accounts/fireworks/models/llama-v3p1-405b-instruct us.anthropic.claude-3-7-sonnet-20250219-v1:0",
]


@pytest.mark.parametrize("name", TOKENS)
def test_tokens_are_scrubbed_wherever_they_stand(name: str) -> None:
    """A provider's token goes, alone, in a sentence, in JSON, in a URL, in a header; what stands around it stays."""
    token = TOKENS[name]
    assert scrub(token) == MARK
    for before, after in [("use ", " now"), ('{"x": "', '", "y": 1}'), ("https://h/?q=", "&z=1"), ("(", ")"), ("key\n", "\nmore"), ("a=", "")]:
        found = scrub(before + token + after)
        assert token not in found
        assert token[len(token) // 2 :] not in found
        assert found.startswith(before[:3])
        assert found.endswith(after)


@pytest.mark.parametrize(("text", "secret"), NAMED)
def test_named_secrets_are_scrubbed(text: str, secret: str) -> None:
    """A value whose name says that it is a secret goes, in environment, JSON, Python, URL and header style."""
    found = scrub(text)
    assert secret not in found
    assert MARK in found
    if '"user": "bob"' in text or "'user': 'bob'" in text or "user=bob" in text:
        assert "bob" in found


HARMLESS = (Path(__file__).with_name("harmless.txt")).read_text(encoding="utf-8").splitlines()
"""Lines as they stand in logs, code, shells, headers, answers of models and documentation."""


@pytest.mark.parametrize("text", [*ORDINARY, *HARMLESS])
def test_ordinary_text_stays(text: str) -> None:
    """Words like session, auth, token and password are no secrets, and code that takes a password does not hold one."""
    assert scrub(text) is text


@pytest.mark.parametrize(("text", "secret"), [pair for pair in NAMED if pair[0].startswith(('{"', '"{')) and pair[0].endswith(("}", '"'))])
def test_json_stays_json(text: str, secret: str) -> None:
    """Scrubbed JSON is still JSON, also JSON within JSON."""
    found = json.loads(scrub(text))
    if isinstance(found, str):
        found = json.loads(found)
    assert secret not in json.dumps(found)


@given(st.dictionaries(st.sampled_from(["password", "api_key", "user", "text"]), st.text() | st.integers() | st.none() | st.booleans(), max_size=4))
def test_any_json_stays_json_with_its_keys(value: dict[str, Any]) -> None:
    """Whatever the secrets are (quotes, backslashes, line ends), scrubbed JSON has the same keys and the same ordinary values."""
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False)):
        found = json.loads(scrub(text))
        assert found.keys() == value.keys()
        for key in ("password", "api_key"):
            if isinstance(value.get(key), str) and value[key]:
                assert found[key] == MARK


@given(st.text())
def test_scrubbing_twice_changes_nothing_more(text: str) -> None:
    """What has been scrubbed is left alone the second time."""
    for _, secret in zip(range(2), ("password=" + text, text), strict=False):
        assert scrub(scrub(secret)) == scrub(secret)


# --- keys --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "key",
    ["password", "db.password", "DB_PASSWORD", "dbPassword", "apiKey", "openai.api_key", "x-api-key", "Authorization", "cookie",
     "client_secret", "AWS_SECRET_ACCESS_KEY", "accessToken", "refresh_token", "GITHUB_TOKEN", "credentials", "private_key", "connection_string"],
)  # fmt: skip
def test_keys_of_secrets(key: str) -> None:
    """A value under such a key goes, whatever it looks like and whatever its type is, at any depth."""
    assert is_secret_key(key)
    assert clean(key, "tulip") == MARK
    assert clean(key, 1234) == MARK
    assert clean(key, ["tulip"]) == MARK
    assert clean("config", {"a": [{key: "tulip"}]}) == {"a": [{key: MARK}]}
    assert "tulip" not in str(preview({"a": {key: {"b": "tulip"}}}))
    assert clean(key, None) is None
    assert clean(key, True) is True


@pytest.mark.parametrize(
    "value",
    [["mysql", "--password", "tulip", "-u", "bob"], {"args": ("--openai-api-key", "tulip")}, {"name": "X-Api-Key", "value": "tulip"},
     [{"value": "tulip", "key": "dbPassword"}, {"key": "colour", "value": "red"}]],
)  # fmt: skip
def test_a_secret_behind_an_option_or_beside_its_name_goes(value: Any) -> None:
    """Where arguments are lists, or lists of names and values; as objects and as JSON text; what is beside it stays."""
    for found in (clean("config", value), preview(value), preview(json.dumps(value))):
        assert "tulip" not in str(found)
        assert MARK in str(found)
        assert all(
            other in str(found) for other in ("bob", "red", "--password", "--openai-api-key", "dbPassword", "X-Api-Key") if other in str(value)
        )


def test_no_key_of_the_package_is_one() -> None:
    """No `massgen.*`, `gen_ai.*`, `mcp.*` or `logfire.*` key is taken for a secret's, nor those that MassGen itself sets."""
    keys = [value for name, value in vars(semconv).items() if name.isupper() and isinstance(value, str)]
    assert len(keys) > 80
    more = ["massgen.session_id", "massgen.tokens.input", "massgen.usage.input", "max_tokens", "token", "tokens", "author", "auth", "session", "key"]
    assert [key for key in [*keys, *more] if is_secret_key(key)] == []
    for key in keys:
        assert clean(key, "session auth token") == "session auth token"


# --- everywhere on a span ----------------------------------------------------------------------------------------------------------

SECRET = TOKENS["openai project"]


def test_nothing_of_a_span_carries_a_secret(swallowed: list[str]) -> None:
    """Attributes, nested values, events, links, status, exception messages and stack traces, tool arguments and results, messages, point records."""
    with capture(full_content=True) as captured, pytest.raises(ValueError, match="sk-proj"):
        tracer = captured.tracer
        with tracer.session(f"use {SECRET}", agents=["a"], attributes={"app.key": SECRET}) as session, session.agent_round("a") as rnd:
            with rnd.mcp_call("s", "t", arguments={"headers": {"Authorization": f"Bearer {SECRET}"}, "x": SECRET}) as call:
                call.record_result([{"text": f"key={SECRET}"}])
                call.span.add_event("event", {"detail": {"in": [SECRET]}})
                call.span.add_link(SpanContext(1, 2, is_remote=False), {"k": SECRET})
                call.span.set_status(StatusCode.ERROR, f"bad {SECRET}")
            with rnd.llm_call("openai", model="m") as llm:
                llm.record_content(input=[{"role": "user", "content": SECRET}], output=f"said {SECRET}")
                llm.record_usage(input=1, raw={"note": SECRET})
            tracer.info("note {key}", key=SECRET)
            rnd.answer("agent1.1", f"the key is {SECRET}")
            rnd.vote("a", "agent1.1", reason=SECRET)
            rnd.error(f"failed: {SECRET}")
            provider.SHARED.get_tracer("mine").start_span("linked", links=[Link(SpanContext(1, 2, is_remote=False), {"k": SECRET})]).end()
            try:
                raise KeyError(SECRET)
            except KeyError as error:
                raise ValueError(f"no {SECRET}") from error
    assert len(captured.ended) >= 7
    assert {span.name for span in captured.ended if not span.attributes and not span.links} == set()
    for span in captured.ended:
        inside = [(event.name, event.attributes) for event in span.events], [link.attributes for link in span.links]
        assert SECRET not in repr([span.name, span.attributes, span.status.description, inside]), span.name
    raised = captured.find("coordination.session")
    assert MARK in str(raised.status.description)
    assert MARK in str(raised.events[0].attributes)
    swallowed.clear()


def test_the_keys_of_a_run_are_left_as_they_are() -> None:
    """`massgen.*` values and counts pass untouched."""
    question = "Explain the session, its auth tokens and why the password is wrong"
    with capture() as captured:
        with captured.tracer.session(question, agents=["a"]) as session, session.agent_round("a") as rnd:
            with rnd.llm_call("openai", model="m") as call:
                call.record_usage(input=1200, output=3)
            rnd.set("massgen.session_id", "session-1")
    assert captured.find("llm.openai.stream").attributes["gen_ai.usage.input_tokens"] == 1200  # type: ignore[index]
    assert captured.find("agent.a.round_0").attributes["massgen.session_id"] == "session-1"  # type: ignore[index]
    assert question in str(dict(captured.find("coordination.session").attributes or {}))


# --- at the cut --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("secret", [SECRET, PEM, JWT, "password='" + "p4ss" * 20 + "'", "postgres://u:" + "hunter2" * 20 + "@host"])
@pytest.mark.parametrize("inside", [1, 5, 20, 60])
def test_a_secret_that_straddles_the_cut(secret: str, inside: int) -> None:
    """No part of a secret that begins just before the cut is left, in previews, attributes, JSON, exceptions and status descriptions."""
    visible = secret[:inside] if secret is SECRET or secret is JWT else "Z"

    def check(text: object) -> None:
        for piece in ("abcdefghij", "hunter2", "p4ss", "MIIEow", "Ab1_Cd2", "hbGciOi"):
            assert piece not in str(text)
        assert visible == "Z" or inside < 5 or visible not in str(text)

    check(preview("w " * ((PREVIEW_CHARS - inside) // 2) + secret + " tail" * 1000))
    check(clean("k", "w " * ((MAX_BYTES - 40 - inside) // 2) + secret + " tail" * 1000))
    check(preview([{"content": "w " * ((PREVIEW_CHARS * 3 // 4 - inside) // 2) + secret + " tail" * 1000}]))
    check(clean("k", json.dumps({"content": "w " * ((MAX_BYTES * 3 // 4 - inside) // 2) + secret + " tail" * 20_000})))
    with capture() as captured, pytest.raises(ValueError, match="w w"), captured.tracer.span("s"):
        raise ValueError("w " * ((MAX_CHARS - inside) // 2) + secret + " tail" * 1000)
    span = captured.find("s")
    check(span.status.description)
    check(dict(span.events[0].attributes or {}))


def test_many_secrets_before_the_cut() -> None:
    """Where marks make a text much shorter, what moves up to the cut has been looked at too."""
    text = "".join(f"{PEM} {number} " for number in range(200))
    for found in (preview(text), clean("k", text * 3)):
        assert "MIIEow" not in str(found)
        assert "BEGIN" not in str(found)
        assert MARK in str(found)


def test_scrubbing_does_not_grow_a_value_past_its_bound() -> None:
    """A mark may be longer than what it stands for; the value still fits."""
    for text in ("pwd=abc " * 8000, json.dumps([{"pwd": "abc"}] * 4500), "pwd=abc é" * 6000):
        found = clean("k", text)
        assert len(str(found).encode()) <= MAX_BYTES
        assert "abc" not in str(found)


@pytest.mark.parametrize("place", range(25))
@pytest.mark.parametrize("name", ["openai", "github", "slack", "jwt"])
def test_a_secret_among_many_labels_is_found(name: str, place: int) -> None:
    """In a list of short texts, as labels and ids are, whichever of them it is; the others stay as they are."""
    labels = [f"agent{number}.1" for number in range(25)]
    secret = {**TOKENS, "jwt": JWT}[name]
    assert clean("k", labels) == labels
    labels[place] = f"agent {secret}"
    found = clean("k", labels)
    assert isinstance(found, list)
    assert found == [*labels[:place], f"agent {MARK}", *labels[place + 1 :]]


KEYS = [rule for rule in RULES if rule.is_key]


@pytest.mark.parametrize("rule", KEYS, ids=[rule.needles[0] for rule in KEYS])
@given(data=st.data())
def test_what_looks_like_a_key_has_a_run_of_its_characters(rule: Rule, data: st.DataObject) -> None:
    """A text without such a run is not searched for the shapes of keys, so whatever one of these matches has it."""
    match = rule.pattern.search(data.draw(st.from_regex(rule.pattern)))
    assert match is not None
    assert may_hold_keys(match[0])


# --- time --------------------------------------------------------------------------------------------------------------------------

SHAPES = [
    *("a.", "a-", "a_", "eyJ", "eyJ-", "eyJaaaaaaaa.", "sk-", "sk-a-", "hf_", "xoxb-", "AIza", "AKIA", "ya29.", "x" * 30, "A_"),
    *("-----BEGIN ", "-----BEGIN A PRIVATE KEY-----", "bearer ", "basic a ", "authorization: basic ", "bearer " + "a" * 30),
    *("://", "a://b:c", "://:", "@", "=", ":", " ", "\n", "'", '"', "\\", '\\"', "[", "{"),
    *("password", "password ", "password=", "password = ", 'password": "', "password: '", 'password\\": \\"', "secret_", "api_key"),
    *("A_TOKEN", "A_TOKEN=", "token=", "token: 'a", "access_", "access_token", "--", "--password ", "--a-password"),
    *("cookie: ", "cookie: a", "cookie: a="),
    *("SG.", "SG.a", "AC0", "BSA", "?sig=", "JQQJ9", "webhooks/1", ":AA", "1//0", "fc-"),
]
BEGINNINGS = ["password='", 'password="', "://u:", "eyJaaaaaaaa.", "bearer ", "-----BEGIN PRIVATE KEY-----", "cookie: a=", "A" * 70, "token="]


@pytest.mark.long
def test_no_input_makes_scrubbing_slow() -> None:
    """Long texts of each shape on which a careless pattern would take hours are done within two minutes of processor time."""
    program = """
import itertools, resource
resource.setrlimit(resource.RLIMIT_CPU, (120, 120))
from massgen_tracing.trace.scrub import scrub, is_secret_key
from tests.trace.test_scrub import BEGINNINGS, SHAPES
for shape in SHAPES:
    scrub(shape * (300_000 // len(shape)))
for beginning, shape in itertools.product(BEGINNINGS, SHAPES):
    scrub(beginning + shape * (50_000 // len(shape)))
for piece in ["a_", "password", "A", "aA", ".", "_"]:
    is_secret_key(piece * 1_000_000)
print("done")
"""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=root)
    assert done.stdout == "done\n"


def test_the_corpus_is_large_enough() -> None:
    """Formats of secrets, and lines without any."""
    assert len(TOKENS) >= 60
    assert len({*ORDINARY, *HARMLESS}) >= 200


OWN = ("employee-[0-9]{4}", "(?i)code[ _]name")
"""What a user says is secret too."""


def test_patterns_of_ones_own_are_scrubbed_like_the_rest(tmp_path: Path) -> None:
    """In values, names, messages of exceptions and texts within structures, and the value of a key that has a match; before any sink."""
    tracer = mt.configure(root=tmp_path, scrub_patterns=OWN)
    with pytest.raises(ValueError, match="employee"), tracer.session("Ask employee-1234?", agents=["a"]) as session:
        session.set("note", "of employee-1234 and employee-5678")
        session.set("held", {"list": ["employee-1234", 5], "code name": "bluebird"})
        session.set("the_code_name", "bluebird")
        session.set("massgen.session_id", "employee-1234")
        raise ValueError("employee-1234 is away")
    mt.shutdown()
    (path,) = tmp_path.rglob("*.otlp.jsonl")
    recorded = path.read_text(encoding="utf-8")
    assert "employee-1234" not in recorded
    assert "bluebird" not in recorded
    assert "Ask [scrubbed]?" in recorded
    assert "of [scrubbed] and [scrubbed]" in recorded


def test_texts_that_are_remembered_are_bounded() -> None:
    """What long texts became is known until there are too many of them; then they are forgotten, and none becomes another's."""
    remembered = Remembered(most=1000)
    for number in range(100):
        text = f"{number} {'word ' * 20}"
        remembered.add(text, text if number % 2 else f"{number} {MARK}")
        assert remembered.get(f"{number} {'word ' * 20}") == (text if number % 2 else f"{number} {MARK}")
        assert remembered.characters <= 1000
    assert remembered.get(f"0 {'word ' * 20}") is None


def test_patterns_hold_until_the_next_configuration(tmp_path: Path) -> None:
    """What was looked at under other patterns is looked at again."""
    for patterns, seen in ((None, "employee-1234"), (OWN, MARK), (None, "employee-1234")):
        mt.configure(root=tmp_path, scrub_patterns=patterns)
        assert clean("who", "employee-1234") == seen
        assert clean("the_code_name", "x") == ("x" if patterns is None else MARK)
        assert clean("massgen.session_id", "run-employee") == "run-employee"
        prompt = f"{'Weigh what the others have said. ' * 10}Ask employee-1234."  # long enough to be remembered
        assert scrub(prompt) == prompt.replace("employee-1234", seen)
        mt.shutdown()


@given(st.text(alphabet="employ-1234 x[]scrubed"))
def test_scrubbing_by_ones_own_patterns_twice_changes_nothing_more(text: str) -> None:
    """A mark is not scrubbed again, whatever the pattern finds in it; and one that finds nothing at all changes nothing."""
    scrubbing.use(["scrub", "e+", "x*"])
    try:
        once = scrub(text)
        assert scrub(once) == once
        assert "e" not in once.replace(MARK, "")
    finally:
        scrubbing.use(())


def test_a_pattern_that_is_none_is_said(swallowed: list[str]) -> None:
    """It counts as not given; in strict mode it is an error."""
    mt.configure(record=False, scrub_patterns=["("])
    assert swallowed == ["usage.configure.scrub_patterns"]
    swallowed.clear()
    with pytest.raises(UsageError, match="regular expressions"):
        mt.configure(record=False, scrub_patterns=["("], strict=True)


def test_what_was_scrubbed_is_counted_in_the_runs_summary(tmp_path: Path) -> None:
    """Each place that has a mark in it: in attributes, within structures, in messages of exceptions."""
    tracer = mt.configure(root=tmp_path)
    with tracer.session("What?", agents=["a"]) as session:
        session.set("header", f"Authorization: Bearer {JWT}")
        session.set("both", [TOKENS["openai"], f"and {TOKENS['groq']}, and nothing"])
        with contextlib.suppress(ValueError), tracer.span("fails"):
            raise ValueError(f"refused: {TOKENS['aws']}")
    mt.shutdown()
    spans = reader.read(catalogue.files(tmp_path)).spans
    assert summary.summarise(spans).scrubbed == 3 + sum(text.count(MARK) for text in ("refused: [scrubbed]",) * 3)


PIECES = (
    "--password", "--api-key", "--token", "my dog rex 7", "ab", "'my secret word'", "[abcdefgh123", "ab<cdefgh", '{\\"password\\": \\"hunter2secret',
    'he said "x"', "agent_a", "4111111111111111", "employee-1234", TOKENS["openai"],
)  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=8), st.sampled_from([(), (r"^\d{16}$", r"\Aemployee.*\Z")]))
def test_texts_of_a_list_are_scrubbed_however_many_they_are(items: list[str], patterns: tuple[str, ...]) -> None:
    """What stands in a short list stands scrubbed in the same way in a long one, of which labels of answers make the rest."""
    labels = [f"agent{number}.1" for number in range(20)]
    scrub_also(patterns)
    try:
        alone, among = clean("said", items), clean("said", [*items, *labels])
    finally:
        scrub_also(())
    assert isinstance(alone, list)
    assert isinstance(among, list)
    assert among == [*alone, *(labels if not is_secret_flag(items[-1]) else [MARK, *labels[1:]])]


# --- within JSON ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted({**TOKENS, "jwt": JWT}))
@pytest.mark.parametrize("before", ["\n", "\t", "é", "x: \n\n"], ids=["line", "tab", "letter", "lines"])
def test_a_secret_behind_an_escape_is_found(name: str, before: str) -> None:
    """In JSON text, in JSON text within it, and in a `repr`, where the last letter of an escape stands in front of the secret."""
    secret = {**TOKENS, "jwt": JWT}[name]
    said = f"# token{before}{secret}"
    once = json.dumps({"content": said})
    for text in (once, json.dumps({"arguments": once}), repr([said]) if "é" not in before else once):
        assert secret not in scrub(text)
        assert secret not in str(preview([{"content": text}]))


@pytest.mark.parametrize(
    "value",
    [
        [{"content": "tell me the password:"}, {"content": "ok"}],
        [{"arguments": json.dumps({"label": "Password:", "type": "text"})}],
        {"note": "the password:", "more": ["secret="]},
        ['Enter "password:" then click "OK"', "Enter 'password:' then click 'OK'"],
    ],
)
def test_texts_side_by_side_are_no_secret_of_each_other(value: object) -> None:
    """A text that ends with such a name, or with such a tag, takes nothing of the next one, and JSON stays JSON; however it is laid out."""
    for text in (json.dumps(value), json.dumps(value, indent=1), json.dumps([json.dumps(value)])):
        assert scrub(text) == text
    found = preview(value)
    assert isinstance(found, str)
    assert json.loads(found) == value
    assert clean("k", found) == found


def test_a_value_between_tags_ends_with_its_text() -> None:
    """What is cut at the end of a text is scrubbed up to there, and JSON stays JSON."""
    value = [{"content": "<password>tulip"}, {"content": "text"}, {"content": '<api_key>a "quoted" tulip</api_key>'}]
    found = scrub(json.dumps(value))
    assert "tulip" not in found
    assert [each["content"] for each in json.loads(found)] == [f"<password>{MARK}", "text", f"<api_key>{MARK}</api_key>"]


def test_bytes_hold_no_secret() -> None:
    """Neither as a value, nor in a structure, nor under a key of bytes; other bytes stay bytes."""
    secret = TOKENS["openai"]
    assert clean("k", f"a {secret}".encode()) == f"a {MARK}"
    assert clean("k", {"a": [f"\n{secret}".encode()]}) == {"a": [f"\n{MARK}"]}
    assert clean("k", {b"api_key": "tulip"}) == {"api_key": MARK}
    assert secret not in str(preview([f"\n{secret}".encode()]))
    assert clean("k", b"\x00\xff plain") == b"\x00\xff plain"


@pytest.mark.parametrize("length", [3000, 6000, 20_000])
def test_a_token_longer_than_what_is_read_beyond_the_cut(length: int) -> None:
    """A token of several thousand characters that begins before the cut is seen whole."""
    token = "eyJ" + "aB3x" * (length // 4) + "." + "cD4y" * 30
    for found in (preview(f"tok {token} end"), preview([{"content": f"tok {token}"}]), clean("k", "w " * 32_000 + token)):
        assert "aB3x" not in str(found)

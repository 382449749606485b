# Licensed under the Apache License, Version 2.0; see LICENSE.
import pytest

from expansion.contract.problems import shown
from expansion.contract.secrets import is_for_workers, looks_like_key, redacted, redacted_end, redacted_start
from expansion.errors import ConfigError
from expansion.transforms.config import read_config


@pytest.mark.parametrize(
    "variable",
    [
        "OPENAI_API_KEY",
        "hf_token",
        "AWS_SECRET",
        "DB_PASSWORD",
        "OPENAI_BASE_URL",
        "HTTPS_PROXY",
        "HF_ENDPOINT",
        "TOKEN",
    ],
)
def test_variables_that_hold_secrets_or_lead_them_elsewhere_are_for_workers(variable):
    assert is_for_workers(variable)


@pytest.mark.parametrize("variable", ["TOKENIZERS_PARALLELISM", "OMP_NUM_THREADS", "KEYS", "PROXY_LOG", "MONKEY"])
def test_other_variables_are_not(variable):
    assert not is_for_workers(variable)


@pytest.mark.parametrize("text", ["sk-proj-abcdefgh1234", "hf_abcdefgh1234", "AIzaabcdefgh1234", "ya29.abcdefgh1234"])
def test_keys_of_providers_are_known_by_their_form(text):
    assert looks_like_key(text)
    assert looks_like_key(f"Bearer {text}")


@pytest.mark.parametrize("text", ["text-embedding-3-small", "sk-", "hf_x", "org-abcdefgh1234", "BAAI/bge-small-en"])
def test_names_of_models_and_organisations_are_no_keys(text):
    assert not looks_like_key(text)


def test_environment_variables_of_a_model_that_are_for_workers_are_refused():
    model = {"onnx": {"uri": "m.onnx"}, "env_vars": {"HF_TOKEN": "x", "A": "1", "1": "1"}}
    with pytest.raises(ConfigError) as raised:
        read_config({"model": model})
    problems = {problem.path: problem.message for problem in raised.value.problems}
    assert list(problems) == ["model.env_vars", "model.env_vars.HF_TOKEN"]
    assert problems["model.env_vars.HF_TOKEN"].endswith("; set it in the environment of the workers")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("can't read https://user:hunter22@host/m.onnx", "can't read https://***@host/m.onnx"),
        ("'https://ghp@host/m'", "'https://***@host/m'"),
        (
            "https://a.blob.core.windows.net/m/1.onnx?sv=2024&sig=aB%2Bc1%3D&se=2026",
            "https://a.blob.core.windows.net/m/1.onnx?sv=2024&sig=***&se=2026",
        ),
        (
            "https://b.s3/m?X-Amz-Algorithm=A&X-Amz-Credential=AKIA/1&X-Amz-Signature=0aff&X-Amz-Security-Token=Fwo",
            "https://b.s3/m?X-Amz-Algorithm=A&X-Amz-Credential=***&X-Amz-Signature=***&X-Amz-Security-Token=***",
        ),
        ("https://s/m?x-goog-signature=12ab#top", "https://s/m?x-goog-signature=***#top"),
        ("authorization: Bearer abc.def-123", "authorization: Bearer ***"),
        ("('authorization', 'Basic dXNlcjpwYXNz')", "('authorization', 'Basic ***')"),
        ("OPENAI_API_KEY=abcd1234 failed", "OPENAI_API_KEY=*** failed"),
        ('{"password": "with spaces", "user": "me"}', '{"password": ***, "user": "me"}'),
        ("{'HF_TOKEN': 'abcd'}", "{'HF_TOKEN': ***}"),
        ("got 'sk-proj-abcdefgh1234'", "got '***'"),
        ("AKIAIOSFODNN7EXAMPLE and hf_abcdefgh1234", "*** and ***"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl", "***"),
        ("-----BEGIN PRIVATE KEY-----\nMIIE\nvQ==\n-----END", "-----BEGIN PRIVATE KEY-----***-----END"),
    ],
)
def test_secrets_do_not_reach_logs_and_messages(text, expected):
    assert redacted(text) == expected
    assert redacted(expected) == expected


@pytest.mark.parametrize(
    "text",
    [
        "model.onnx.uri: there is no file gs://models/digits.onnx",
        "pre_hooks[0].tokenize.uri: no such file; got 'tokenizer.json'; expected a tokenizer file of Hugging Face",
        "https://host:8080/m?version=3&signature_key=de",
        "mail me@example.com",
        "column 'token' is not there; expected one of 'tokens', 'ids'",
        "token_file: no such file",
        "max_tokens: got 5; expected 10",
    ],
)
def test_what_is_no_secret_is_shown(text):
    assert redacted(text) == text


@pytest.mark.parametrize("env_vars", [["HF_TOKEN=hunter22"], {"A": ["hunter22"]}, {"A": 22}, "A=hunter22"])
def test_messages_never_show_values_of_environment_variables(env_vars):
    with pytest.raises(ConfigError) as raised:
        read_config({"model": {"onnx": {"uri": "m.onnx"}, "env_vars": env_vars}})
    assert "env_vars" in str(raised.value)
    assert "22" not in str(raised.value)


SECRET = "hunter2hunter2VeryLongPasswordThatIsLongerThanWhatIsShown" * 5


@pytest.mark.parametrize(
    "text", [f"https://svc-account:{SECRET}@models.example.com/v1", f'password="{SECRET * 100}"', f"?sig={SECRET}"]
)
def test_what_is_cut_shows_no_part_of_a_secret_that_ends_beyond_the_cut(text):
    for most in range(10, 200):
        assert "hunter2" not in redacted_start(f"got {text} more {'x' * 50_000}", most)
        assert len(redacted_start(text * 1000, most)) <= most
    assert "hunter2" not in shown(text)
    assert "hunter2" not in shown({"endpoint": text})


def test_of_the_end_of_a_text_too():
    text = f"{'x' * 50_000} https://svc-account:{SECRET}@models.example.com/v1"
    for most in range(10, 200):
        assert "hunter2" not in redacted_end(text, most)
        assert len(redacted_end(text, most)) == min(most, len(redacted(text)))


def test_a_short_text_is_not_cut():
    assert redacted_start("x" * 60, 60) == redacted_end("x" * 60, 60) == "x" * 60
    assert redacted_start("x" * 61, 60, "...") == "x" * 57 + "..."
    assert redacted_end("x" * 61, 60) == "…" + "x" * 59

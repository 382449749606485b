# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Text embeddings of three providers, from a real server on loopback that speaks as they do."""

import json
import re
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from expansion.contract._gen.model_pb2 import EmbeddingServiceModel
from expansion.contract.secrets import redacted
from expansion.errors import BadRows, RemoteError, SystemicError
from expansion.models import embedding_service, stacks
from expansion.models.vertex_ai_address import read_address
from expansion.tensors.columns import Blobs, Columns
from expansion.transforms.isolation import isolate

sys.path.insert(0, str(Path(__file__).parent))
from embedding_providers import URIS, VERTEX_AI_MODEL, EmbeddingServer, Failure, vector
from vertex_ai_server import ENDPOINT, TokenServer

# Beam's module for Hugging Face imports sentence-transformers, and PyTorch with it.
pytestmark = pytest.mark.framework

SIZE = 4
PROVIDERS = ("openai", "hugging_face", "vertex_ai")
KEYS = {"openai": "OPENAI_API_KEY", "hugging_face": "HF_TOKEN"}
QUICK = {"backoff_secs": 0.05, "timeout_secs": 5}


def embedded(texts):
    return [vector(text, SIZE) for text in texts]


def failing(*failures):
    """Fails with each of these, then embeds."""
    left = list(failures)

    def embed(texts):
        if left:
            raise left.pop(0)
        return embedded(texts)

    return embed


@pytest.fixture(autouse=True)
def no_keys(monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(params=PROVIDERS)
def provider(request):
    return request.param


@pytest.fixture
def serve():
    """Starts servers, and stops them after the test."""
    servers = []

    def serve(embed=embedded, **options):
        servers.append(EmbeddingServer(embed, **options))
        return servers[-1]

    yield serve
    for server in servers:
        server.stop()


def config(provider, server, calls=None, **more):
    settings = {"provider": provider, "uri": URIS.get(provider, "m"), "size": SIZE, **more}
    if server:
        settings.setdefault("endpoint", server.endpoint(provider))
    return EmbeddingServiceModel(calls={**QUICK, **(calls or {})}, **settings)


def columns(texts):
    return Columns({"text": Blobs.of("STRING", texts, len(texts))}, len(texts))


def run(model, texts):
    return model.run({"text": columns(texts)}, ["embedding"])["embedding"]


def whole(model):
    return lambda part: Columns(model.run({"text": part}, ["embedding"]), part.row_count)


def words(count):
    return [f"word {number} – é" for number in range(count)]


def to_loopback(monkeypatch, server):
    """Makes every name that is looked up lead to a server, whatever the port."""
    resolve = socket.getaddrinfo

    def resolved(host, port, *more, **options):
        host = host.decode() if isinstance(host, bytes) else host
        if host in ("127.0.0.1", "localhost"):
            return resolve(host, port, *more, **options)
        return resolve("127.0.0.1", server.server_address[1], *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolved)


def test_problems_of_the_message_are_reported_at_once():
    wrong = EmbeddingServiceModel(
        provider="vertex_ai",
        uri="text-embedding-005",
        organization="org-1",
        endpoint="http://example.com",
        calls={"timeout_secs": -1},
    )
    problems = {problem.path: problem.message for problem in embedding_service.check(wrong)}
    assert list(problems) == ["uri", "size", "organization", "endpoint", "calls.timeout_secs"]
    assert problems["organization"] == "only openai have it, and provider is 'vertex_ai'"
    assert {problem.path for problem in embedding_service.check(EmbeddingServiceModel())} == {"provider", "uri", "size"}
    (problem,) = embedding_service.check(config("open_ai", None))
    assert problem.message == "unknown provider 'open_ai'; did you mean 'openai'?"
    (problem,) = embedding_service.check(config("hugging_face", None, shorten=True))
    assert problem.message == "only openai and vertex_ai have it, and provider is 'hugging_face'"


@pytest.mark.parametrize("key", ["sk-proj-abcdefgh12345678", "hf_abcdefgh12345678", "AIzaSyabcdefgh12345678"])
def test_a_key_in_the_configuration_is_refused_and_not_repeated(key):
    (problem,) = embedding_service.check(config("openai", None, organization=key))
    assert problem.path == "organization"
    assert "keys are set in the environment of the workers" in problem.message
    assert key not in problem.message


@pytest.mark.parametrize(
    "endpoint", ["ftp://a.b", "a.b/v1", "https://user:secret@a.b", "https://a.b/?key=1", "https://"]
)
def test_an_endpoint_is_an_address_and_no_more(endpoint):
    for name in ("openai", "hugging_face"):
        (problem,) = embedding_service.check(config(name, None, endpoint=endpoint))
        assert problem.message.startswith(f"got {redacted(endpoint)!r}; expected https://HOST/PATH")


def test_models_of_vertex_ai_are_published_or_on_an_endpoint_of_ones_own():
    for name in (VERTEX_AI_MODEL, "projects/p/locations/global/publishers/google/models/m@1", ENDPOINT):
        assert list(embedding_service.check(config("vertex_ai", None, uri=name))) == []
    assert read_address(VERTEX_AI_MODEL, "").origin == "https://test-aiplatform.googleapis.com"
    anywhere = VERTEX_AI_MODEL.replace("locations/test", "locations/global")
    assert read_address(anywhere, "").origin == "https://aiplatform.googleapis.com"


def test_the_signature_is_a_text_and_a_vector_of_the_declared_size(provider):
    signature = embedding_service.signature(config(provider, None))
    assert str(signature) == "(text: STRING) -> (embedding: FP32[4])"
    assert list(embedding_service.check(config(provider, None))) == []
    assert list(embedding_service.permissions(config(provider, None))) == []


def test_every_row_gets_the_vector_of_its_text(serve, provider):
    model = embedding_service.build(config(provider, serve()))
    result = run(model, words(9))
    assert (result.datatype, result.shape) == ("FP32", (SIZE,))
    np.testing.assert_array_equal(result.values, np.array(embedded(words(9)), np.float32))


def test_the_requests_are_those_that_the_providers_document(serve):
    bodies = {}
    for name in PROVIDERS:
        server = serve()
        run(embedding_service.build(config(name, server)), ["a", "b"])
        (bodies[name],) = server.requests
    assert bodies == {
        "openai": {"model": "text-embedding-3-small", "input": ["a", "b"], "encoding_format": "base64"},
        "hugging_face": {"inputs": ["a", "b"], "options": {"wait_for_model": True, "use_cache": True}},
        "vertex_ai": {
            "instances": [{"content": text, "task_type": "RETRIEVAL_DOCUMENT"} for text in "ab"],
            "parameters": {"autoTruncate": True},
        },
    }


def test_vertex_ai_is_asked_what_beams_own_handler_asks_and_gives_the_same(serve):
    vertexai = pytest.importorskip("vertexai", reason="Google's client comes with the extra tft, from Python 3.11 on")
    from apache_beam.ml.transforms.embeddings.vertex_ai import VertexAITextEmbeddings
    from google.auth.credentials import AnonymousCredentials

    server = serve()
    vertexai.init(api_endpoint=server.address, api_transport="rest")
    place = {"project": "my-project", "location": "us-central1", "credentials": AnonymousCredentials()}
    handler = VertexAITextEmbeddings("text-embedding-005", ["text"], **place).get_model_handler()
    theirs = handler.run_inference(words(5), handler.load_model())
    uri = VERTEX_AI_MODEL.replace("locations/test", "locations/us-central1")
    ours = run(embedding_service.build(config("vertex_ai", server, uri=uri)), words(5))
    assert ours.values.tolist() == theirs
    assert server.requests[0] == server.requests[1]
    assert server.paths[0].split("?")[0] == server.paths[1]


def test_settings_of_a_provider_are_sent(serve):
    server = serve()
    run(embedding_service.build(config("openai", server, shorten=True, organization="org-1")), ["a"])
    assert server.requests[-1]["dimensions"] == SIZE
    assert server.headers[-1]["OpenAI-Organization"] == "org-1"
    run(embedding_service.build(config("vertex_ai", server, shorten=True, task_type="CLUSTERING")), ["a"])
    assert server.requests[-1]["parameters"]["outputDimensionality"] == SIZE
    assert server.requests[-1]["instances"][0]["task_type"] == "CLUSTERING"


def test_requests_have_as_many_rows_as_the_settings_say(serve, provider):
    server = serve()
    result = run(embedding_service.build(config(provider, server, {"max_rows_per_request": 4})), words(10))
    np.testing.assert_array_equal(result.values, np.array(embedded(words(10)), np.float32))
    assert [len(server.texts(number)) for number in range(3)] == [4, 4, 2]


@pytest.mark.parametrize(("provider", "most"), [("openai", 2048), ("vertex_ai", 250)])
def test_requests_have_no_more_rows_than_the_provider_takes(serve, provider, most):
    server = serve()
    run(embedding_service.build(config(provider, server)), words(most + 1))
    assert [len(server.texts(number)) for number in range(2)] == [most, 1]


@pytest.mark.parametrize(
    ("provider", "failure"),
    [
        (
            "openai",
            Failure(400, "Requested 350000 tokens, max 300000 tokens per request", code="max_tokens"),
        ),
        ("openai", Failure(400, "Too many inputs. The max number of inputs is 1.")),
        ("openai", Failure(413, "Request Entity Too Large")),
        ("vertex_ai", Failure(400, "3 instance(s) is allowed per prediction. Actual: 8")),
        ("vertex_ai", Failure(400, "Unable to submit request because the input token count is 20345 but …")),
        ("hugging_face", Failure(422, "batch size 8 > maximum allowed batch size 3", error_type="Validation")),
        ("hugging_face", Failure(413, "batch size 8 > maximum allowed batch size 3", error_type="Validation")),
    ],
)
def test_requests_that_are_too_large_for_the_provider_become_smaller(serve, provider, failure):
    def embed(texts):
        if len(texts) > 3:
            raise failure
        return embedded(texts)

    server = serve(embed)
    result = run(embedding_service.build(config(provider, server)), words(8))
    np.testing.assert_array_equal(result.values, np.array(embedded(words(8)), np.float32))
    assert [len(server.texts(number)) for number in range(6)] == [8, 4, 2, 2, 2, 2]


def test_the_text_that_the_provider_does_not_take_costs_its_row(serve, provider):
    def embed(texts):
        if "bad" in texts:
            raise Failure(400, "this text is not taken")
        return embedded(texts)

    server = serve(embed)
    texts = [*words(3), "bad", *words(4)]
    found = isolate(whole(embedding_service.build(config(provider, server))), columns(texts))
    assert found.columns.row_count == 7
    expected = [text for text in texts if text != "bad"]
    np.testing.assert_array_equal(found.columns["embedding"].values, np.array(embedded(expected), np.float32))
    ((row, (error_type, message)),) = found.errors.items()
    assert (row, error_type) == (3, "ValueError")
    assert re.fullmatch(r"HTTP 400( INVALID_ARGUMENT)?: this text is not taken", message)
    assert len(server.requests) == 7  # nothing was tried twice


def test_an_empty_text_is_a_row_error_without_a_request(serve, provider):
    server = serve()
    with pytest.raises(BadRows) as raised:
        run(embedding_service.build(config(provider, server)), ["a", "", "b"])
    assert raised.value.messages == {1: "the text is empty, and no provider of embeddings takes such"}
    assert server.requests == []


@pytest.mark.parametrize("code", [408, 429, 502, 503, 504])
def test_what_may_pass_is_tried_again(serve, provider, code):
    server = serve(failing(Failure(code, "busy"), Failure(code, "busy")))
    result = run(embedding_service.build(config(provider, server)), words(3))
    np.testing.assert_array_equal(result.values, np.array(embedded(words(3)), np.float32))
    assert len(server.requests) == 3


def test_a_dead_provider_is_asked_three_times_a_batch(serve, provider):
    server = serve(failing(*[Failure(503, "dead")] * 99))
    model = embedding_service.build(config(provider, server))
    with pytest.raises(SystemicError, match=rf"{provider} .* failed 3 time\(s\), the last time with: HTTP 503.*: dead"):
        isolate(whole(model), columns(words(64)))
    assert len(server.requests) == 3


def test_a_provider_that_is_gone_is_called_three_times(serve, provider):
    server = serve()
    model = embedding_service.build(config(provider, server))
    server.stop()
    with pytest.raises(SystemicError, match=r"failed 3 time\(s\), the last time with: (API)?ConnectionError"):
        run(model, ["a"])


def test_a_provider_that_does_not_answer_in_time_is_asked_again(serve, provider):
    def embed(texts):
        if len(server.requests) == 1:
            time.sleep(6)
        return embedded(texts)

    server = serve(embed)
    run(embedding_service.build(config(provider, server, {"timeout_secs": 2})), ["a"])
    assert len(server.requests) == 2


def test_a_provider_that_says_when_to_come_back_is_obeyed(serve, provider):
    server = serve(failing(Failure(429, "slow down", {"Retry-After": "1"})))
    run(embedding_service.build(config(provider, server)), ["a"])
    first, second = server.times
    assert 1.0 <= second - first < 4


def test_a_model_of_hugging_face_that_is_being_loaded_is_waited_for(serve):
    server = serve(failing(Failure(503, "Model m is currently loading", estimated_time=1.2)))
    run(embedding_service.build(config("hugging_face", server)), ["a"])
    first, second = server.times
    assert 1.2 <= second - first < 4


@pytest.mark.parametrize("code", [401, 402, 403, 404])
def test_a_provider_that_refuses_everything_is_asked_once(serve, provider, code):
    server = serve(failing(*[Failure(code, "no")] * 99))
    with pytest.raises(SystemicError, match=rf"refuses: HTTP {code}.*: no") as raised:
        isolate(whole(embedding_service.build(config(provider, server))), columns(words(8)))
    assert ("; see to " in str(raised.value)) == (code in (401, 403))
    assert len(server.requests) == 1


def test_a_quota_of_openai_that_is_used_up_for_good_is_not_waited_for(serve):
    server = serve(failing(Failure(429, "You exceeded your current quota", code="insufficient_quota")))
    with pytest.raises(SystemicError, match="refuses: HTTP 429: You exceeded your current quota"):
        run(embedding_service.build(config("openai", server)), ["a"])
    assert len(server.requests) == 1


def test_a_provider_that_fails_by_itself_may_have_a_bad_row_or_be_broken(serve, provider):
    server = serve(failing(*[Failure(500, "broken")] * 99))
    with pytest.raises(RemoteError, match=r"HTTP 500.*: broken"):
        isolate(whole(embedding_service.build(config(provider, server))), columns(words(64)))
    assert len(server.requests) < 12  # three rows that fail alike are enough


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (lambda texts: [vector(text, 3) for text in texts], "is FP32[3]; it is declared as FP32[4]"),
        (lambda texts: embedded(texts)[1:], "has shape [1, 4] for 2 rows"),
        (lambda texts: {"odd": 1}, "returned no embeddings"),
    ],
)
def test_vectors_that_are_not_what_is_declared_fail_the_batch(serve, provider, vectors, message):
    server = serve(vectors)
    if provider == "vertex_ai" and message == "returned no embeddings":
        message = "has shape [0] for 2 rows"
    with pytest.raises(SystemicError, match=re.escape(message)):
        run(embedding_service.build(config(provider, server)), ["a", "b"])


def test_a_vector_for_each_token_is_no_embedding(serve):
    server = serve(lambda texts: [[vector(text, SIZE)] * 3 for text in texts])
    with pytest.raises(SystemicError, match=re.escape("is FP32[3, 4]; it is declared as FP32[4]")):
        run(embedding_service.build(config("hugging_face", server)), ["a"])


@pytest.mark.parametrize("provider", ["openai", "hugging_face"])
def test_without_a_key_the_provider_is_not_called(provider, monkeypatch):
    monkeypatch.setenv(KEYS[provider], " ")
    with pytest.raises(SystemicError, match=f"{KEYS[provider]} is not set in the environment of this worker"):
        embedding_service.build(config(provider, None))


def test_google_is_not_called_without_credentials(monkeypatch, tmp_path):
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    with pytest.raises(SystemicError, match=r"no credentials for Vertex AI: File .*none\.json was not found"):
        embedding_service.build(config("vertex_ai", None))


@pytest.mark.parametrize("provider", ["openai", "hugging_face"])
def test_keys_are_sent_to_the_workers_own_machine_where_there_are_some(serve, provider, monkeypatch):
    server = serve()
    run(embedding_service.build(config(provider, server)), ["a"])
    assert server.headers[-1]["Authorization"] in (None, "Bearer none")
    monkeypatch.setenv(KEYS[provider], "key-of-worker")
    run(embedding_service.build(config(provider, server)), ["a"])
    assert server.headers[-1]["Authorization"] == "Bearer key-of-worker"


@pytest.mark.parametrize("provider", ["openai", "hugging_face"])
def test_keys_are_sent_to_no_address_but_the_providers(serve, provider, monkeypatch):
    monkeypatch.setenv(KEYS[provider], "key-of-worker")
    server = serve()
    to_loopback(monkeypatch, server)
    endpoint = server.endpoint(provider).replace("127.0.0.1", "embeddings.models.svc")
    run(embedding_service.build(config(provider, None, endpoint=endpoint)), ["a"])
    assert server.headers[-1]["Authorization"] in (None, "Bearer none")


@pytest.mark.parametrize("provider", ["openai", "hugging_face"])
def test_the_providers_own_address_is_called_over_tls_with_the_key(serve, provider, certificate, monkeypatch):
    monkeypatch.setenv(KEYS[provider], "key-of-worker")
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.setenv(name, str(certificate[1]))
    server = serve(certificate=certificate)
    to_loopback(monkeypatch, server)
    result = run(embedding_service.build(config(provider, None)), words(3))
    np.testing.assert_array_equal(result.values, np.array(embedded(words(3)), np.float32))
    assert server.headers[-1]["Authorization"] == "Bearer key-of-worker"
    expected = {
        "openai": "/v1/embeddings",
        "hugging_face": "/hf-inference/models/sentence-transformers/mini/pipeline/feature-extraction",
    }
    assert server.paths == [expected[provider]]


def test_google_is_called_over_tls_with_the_credentials_that_google_auth_finds(
    serve, certificate, service_account, monkeypatch
):
    server, tokens = serve(certificate=certificate), TokenServer()
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(service_account(tokens.address)))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate[1]))
    to_loopback(monkeypatch, server)
    model = embedding_service.build(config("vertex_ai", None))
    np.testing.assert_array_equal(run(model, words(3)).values, np.array(embedded(words(3)), np.float32))
    assert server.headers[-1]["Authorization"] == "Bearer from-google"
    assert server.paths == [f"/v1/{VERTEX_AI_MODEL}:predict"]
    tokens.stop()


def test_the_operator_of_the_workers_may_lead_openais_client_elsewhere(serve, monkeypatch):
    server = serve()
    monkeypatch.setenv("OPENAI_API_KEY", "key-of-worker")
    monkeypatch.setenv("OPENAI_BASE_URL", server.endpoint("openai"))
    run(embedding_service.build(config("openai", None)), ["a"])
    assert server.headers[-1]["Authorization"] == "Bearer key-of-worker"


def test_a_missing_package_names_the_extra(monkeypatch):
    for name in ("expansion.models.embedding_openai", "apache_beam.ml.transforms.embeddings.open_ai"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(SystemicError, match=r"openai is missing; install beam-ml-expansion\[openai\] on the workers"):
        embedding_service.build(config("openai", None))


def test_what_beam_imports_with_hugging_face_is_not_mixed_with_tensorflow(serve, monkeypatch):
    """Both in one process would abort it."""
    monkeypatch.setattr(stacks, "_loaded", {"tensorflow"})
    with pytest.raises(SystemicError, match="tensorflow and huggingface in one process abort it"):
        embedding_service.build(config("hugging_face", serve()))


def test_several_threads_call_at_once(serve, provider):
    two = threading.Barrier(2, timeout=60)
    server = serve(lambda texts: (two.wait(), embedded(texts))[1])
    model = embedding_service.build(config(provider, server))
    with ThreadPoolExecutor(4) as threads:
        for count, result in enumerate(threads.map(lambda count: run(model, words(count)), range(1, 9)), 1):
            np.testing.assert_array_equal(result.values, np.array(embedded(words(count)), np.float32))


def test_texts_reach_the_server_as_they_are(serve, provider):
    server, texts = serve(), ['"quoted"\n\t\\', "日本語 🌍", "\u0000", " "]
    run(embedding_service.build(config(provider, server)), texts)
    assert server.texts(0) == texts
    assert json.dumps(server.requests[0])

"""The document against the server: a foreign validator takes it, every boundary value that it names is answered as it
says, and every answer has the shape that it promises."""

import base64
import math
import struct

import openai
import pytest
from openapi_document import Document
from openapi_spec_validator import validate

from server_fixture import server  # noqa: F401 (a fixture)

MESSAGES = [{"role": "user", "content": "Name three colours."}]
BODIES = {
    "ChatRequest": ("/v1/chat/completions", {"messages": MESSAGES, "max_tokens": 1, "temperature": 0}),
    "CompletionRequest": ("/v1/completions", {"prompt": "One,", "max_tokens": 1, "temperature": 0}),
    "TokenizeRequest": ("/tokenize", {"content": "One,"}),
    "DetokenizeRequest": ("/detokenize", {"tokens": [1, 2]}),
    "EmbeddingRequest": ("/v1/embeddings", {"input": "One,"}),
}
# Refused because of other fields or the model, not because of the value.
COMBINED = {"min_tokens", "max_tokens", "max_completion_tokens", "top_logprobs", "dimensions", "n", "content"}
COMBINED |= {"continue_final_message"}
COMBINED |= {"grammar", "guided_grammar", "lark"}  # text of the right length is no grammar yet
COMBINED |= {"regex", "guided_regex"}  # max_tokens is too small for what they ask for


@pytest.fixture(scope="module")
def document(server):  # noqa: F811
    return Document(server.url)


@pytest.fixture
def client(server):  # noqa: F811
    with openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0, timeout=120) as made:
        yield made


def test_a_foreign_validator_takes_the_document(document):
    validate(document.json)


def boundary_values(schema):
    kinds = schema.get("type", [])
    values = [None]
    if "integer" in kinds or "number" in kinds:
        low, high = schema["minimum"], schema["maximum"]
        values += [low, high, low - 1, high + 1, "1", True, [], {}]
        if "integer" in kinds:
            values += [0.5]
    if "boolean" in kinds:
        values += [True, False, 0, "true", []]
    if "string" in kinds and "maxLength" in schema:
        values += ["x" * schema["maxLength"], "x" * (schema["maxLength"] + 1), 5]
    values += schema.get("enum", [])
    if "enum" in schema:
        values += ["no such word", 7]
    for alternative in schema.get("anyOf", []):
        if alternative.get("type") == "array" and alternative.get("items", {}).get("type") == "integer":
            most = alternative.get("maxItems", 4)
            values += [[1] * most, [1] * (most + 1), [-1], ["x"]]
    return values


@pytest.mark.parametrize("name", BODIES)
def test_every_boundary_value_is_answered_as_the_document_says(document, name):
    path, base = BODIES[name]
    sent = 0
    for field, schema in document.json["components"]["schemas"][name]["properties"].items():
        valid = document.property_validator(name, field).is_valid
        for value in boundary_values(schema):
            body = {k: v for k, v in base.items() if field != "max_completion_tokens" or k != "max_tokens"}
            status, _, answer = document.post(path, body | {field: value})
            sent += 1
            if not valid(value):
                assert status == 400 and (answer["error"]["param"] or "").startswith(field), (field, value, answer)
            elif field not in COMBINED:
                assert status == 200, (field, value, answer)
            elif status != 200:
                assert status in (400, 429), (field, value, answer)
    assert sent > 5


@pytest.mark.parametrize("name", ["ChatRequest", "CompletionRequest"])
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"n": 2},
        {"stream": True},
        {"stream": True, "n": 2, "stream_options": {"include_usage": True}},
        {"stream": True, "stream_options": {"continuous_usage_stats": True}},
        {"stop": ["e", " "]},
        {"temperature": 0.7, "top_k": 40, "min_p": 0.05, "typical_p": 0.9, "xtc_probability": 0.1, "seed": 3},
        {"presence_penalty": 0.5, "frequency_penalty": 0.5, "repetition_penalty": 1.1, "dry_multiplier": 0.8},
        {"logit_bias": {"5": -100}, "min_tokens": 3, "ignore_eos": True},
        {"repetition_detection": {"max_pattern_size": 4, "min_count": 3}, "max_tokens": 60, "ignore_eos": True},
    ],
)
def test_every_answer_has_the_shape_of_the_document(document, name, fields):
    path, base = BODIES[name]
    status, _, answer = document.post(path, base | {"max_tokens": 6} | fields)
    assert status == 200, answer
    if fields.get("stream"):
        assert sum(c["choices"] != [] and c["choices"][0]["finish_reason"] is not None for c in answer) == fields.get("n", 1)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "fields",
    [
        {"tool_choice": "required"},
        {"tool_choice": "required", "max_tokens": 40},
        {"tool_choice": "auto", "logprobs": True},
        {"tool_choice": "required", "n": 2},
        {"tool_choice": {"type": "function", "function": {"name": "now"}}, "guards": "refuse"},
    ],
)
def test_calls_have_the_shape_of_the_document(document, fields, stream):
    path, base = BODIES["ChatRequest"]
    place = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 9}}, "required": ["city"]}
    tools = [
        {"type": "function", "function": {"name": "weather", "parameters": place}},
        {"type": "function", "function": {"name": "now"}},
    ]
    status, _, answer = document.post(path, base | {"max_tokens": 80, "tools": tools, "stream": stream} | fields)
    assert status == 200, answer


@pytest.mark.parametrize("stream", [False, True])
def test_old_calls_and_dialects_have_the_shape_of_the_document(document, stream):
    path, base = BODIES["ChatRequest"]
    for fields in ({"functions": [{"name": "now"}], "function_call": {"name": "now"}}, {"dialect": "scalpel"}):
        status, _, answer = document.post(path, base | {"max_tokens": 80, "stream": stream} | fields)
        assert status == 200, answer


def test_logprobs_have_the_shape_of_the_document(document):
    path, base = BODIES["ChatRequest"]
    for stream in (False, True):
        assert document.post(path, base | {"logprobs": True, "top_logprobs": 3, "stream": stream})[0] == 200
    path, base = BODIES["CompletionRequest"]
    for stream in (False, True):
        assert document.post(path, base | {"logprobs": 5, "echo": True, "stream": stream})[0] == 200


def test_greedy_with_echo_scores_what_it_generated(document):
    """The prompt's scores are those that generating the same tokens gave."""
    path, _ = BODIES["CompletionRequest"]
    prompt = document.post("/tokenize", {"content": "The capital of France is"})[2]["tokens"]
    body = {"temperature": 0, "logprobs": 1, "ignore_eos": True}
    first = document.post(path, body | {"prompt": prompt, "max_tokens": 6})[2]["choices"][0]
    answer = document.post("/tokenize", {"content": first["text"]})[2]["tokens"]
    again = document.post(path, body | {"prompt": prompt + answer, "max_tokens": 0, "echo": True})[2]["choices"][0]
    scores, whole = first["logprobs"], again["logprobs"]
    assert whole["tokens"][len(prompt) :] == scores["tokens"]
    assert whole["token_logprobs"][0] is None
    assert whole["token_logprobs"][len(prompt) :] == pytest.approx(scores["token_logprobs"], abs=2e-3)


def test_embeddings_through_the_official_client(client, document):
    texts = ["The cat sat on the mat.", "A cat was sitting on a mat.", "Stock prices fell sharply on Monday."]
    answer = client.embeddings.create(model="m", input=texts)  # the client asks for base64
    vectors = [item.embedding for item in answer.data]
    for vector in vectors:
        assert math.isclose(sum(v * v for v in vector), 1, rel_tol=1e-4)
    near, far = (sum(a * b for a, b in zip(vectors[0], other)) for other in vectors[1:])
    assert near > far
    floats = document.post("/v1/embeddings", {"input": texts[0], "encoding_format": "float"})[2]
    coded = document.post("/v1/embeddings", {"input": texts[0], "encoding_format": "base64"})[2]
    raw = base64.b64decode(coded["data"][0]["embedding"])
    assert list(struct.unpack(f"<{len(raw) // 4}f", raw)) == pytest.approx(floats["data"][0]["embedding"], abs=1e-6)
    last = document.post("/v1/embeddings", {"input": texts[0], "pooling": "last"})[2]
    assert last["data"][0]["embedding"] != floats["data"][0]["embedding"]


def test_penalties_and_bias_change_the_answer(client):
    base = dict(model="m", messages=MESSAGES, max_tokens=40, temperature=0)
    plain = client.chat.completions.create(**base).choices[0].message.content
    penalised = client.chat.completions.create(**base, frequency_penalty=2, presence_penalty=2).choices[0].message.content
    assert plain != penalised
    ids = client.completions.create(model="m", prompt="x", max_tokens=3, temperature=0, logit_bias={"1000": 100})
    assert ids.usage.completion_tokens == 3


def test_a_conversation_that_is_too_long_says_which_message(document):
    body = {"messages": [{"role": "user", "content": "Hi."}, {"role": "user", "content": "word " * 5000}]}
    status, _, answer = document.post("/v1/chat/completions", body)
    assert status == 400 and answer["error"]["code"] == "context_length_exceeded"
    tokens = answer["error"]["tokens_per_message"]
    assert len(tokens) == 2 and tokens[1] > 4000 > tokens[0]


def test_a_final_message_is_continued(document):
    messages = MESSAGES + [{"role": "assistant", "content": "Red, green and"}]
    body = {"messages": messages, "continue_final_message": True, "max_tokens": 3, "temperature": 0}
    assert document.post("/apply-template", body)[2]["prompt"].endswith("Red, green and")
    assert document.post("/v1/chat/completions", body)[0] == 200


def test_a_salt_keeps_the_cache_apart(document):
    path, _ = BODIES["CompletionRequest"]
    body = {"prompt": "A long sentence that fills some blocks of the cache. " * 12, "max_tokens": 1}

    def cached(salt):
        usage = document.post(path, body | {"cache_salt": salt})[2]["usage"]
        return usage["prompt_tokens_details"]["cached_tokens"]

    assert cached("mine") == 0
    assert cached("mine") > 0
    assert cached("yours") == 0

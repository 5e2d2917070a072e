"""The official openai client against a running server."""

import concurrent.futures
import time

import openai
import pytest

from server_fixture import server  # noqa: F401 (a fixture)

MESSAGES = [{"role": "user", "content": "Name three colours."}]


@pytest.fixture
def client(server):  # noqa: F811
    with openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0, timeout=120) as made:
        yield made


def test_chat_answers_with_text_usage_and_reason(client):
    answer = client.chat.completions.create(model="any-name", messages=MESSAGES, max_tokens=12, temperature=0)
    assert answer.object == "chat.completion"
    assert answer.id.startswith("chatcmpl-")
    assert isinstance(answer.choices[0].message.content, str)
    assert answer.choices[0].finish_reason in ("stop", "length")
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_stream_joins_to_the_whole_answer(client):
    wanted = dict(model="m", messages=MESSAGES, max_tokens=24, temperature=0.8, seed=7)
    whole = client.chat.completions.create(**wanted).choices[0].message.content
    chunks = list(client.chat.completions.create(**wanted, stream=True, stream_options={"include_usage": True}))
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == whole
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens > 0
    assert len({c.id for c in chunks}) == 1


def test_same_answer_alone_and_among_others(client):
    def ask(seed):
        answer = client.chat.completions.create(model="m", messages=MESSAGES, max_tokens=16, temperature=1, seed=seed)
        return answer.choices[0].message.content

    alone = [ask(seed) for seed in range(4)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ask, range(4))) == alone


def test_completions_take_text_and_token_lists(client):
    answer = client.completions.create(model="m", prompt=["One, two,", "Red, green,"], max_tokens=4, temperature=0)
    assert [c.index for c in answer.choices] == [0, 1]
    assert client.completions.create(model="m", prompt=[1, 2, 3], max_tokens=2).usage.prompt_tokens == 3
    text = "".join(
        c.choices[0].text for c in client.completions.create(model="m", prompt="One,", max_tokens=4, stream=True)
    )
    assert isinstance(text, str)


def test_logprobs(client):
    answer = client.chat.completions.create(
        model="m", messages=MESSAGES, max_tokens=3, temperature=0, logprobs=True, top_logprobs=2
    )
    for entry in answer.choices[0].logprobs.content:
        assert entry.logprob <= 0 and len(entry.top_logprobs) == 2
        assert entry.logprob == pytest.approx(entry.top_logprobs[0].logprob)


def test_stop_string_is_not_in_the_answer(client):
    wanted = dict(model="m", messages=MESSAGES, max_tokens=24, temperature=0)
    text = client.chat.completions.create(**wanted).choices[0].message.content
    stop = text[len(text) // 2]
    cut = client.chat.completions.create(**wanted, stop=stop).choices[0]
    assert cut.message.content == text[: text.index(stop)] and cut.finish_reason == "stop"


def test_models(client):
    (model,) = client.models.list().data
    assert client.models.retrieve(model.id).id == model.id
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("nobody/nothing")
    assert caught.value.code == "model_not_found"


@pytest.mark.parametrize(
    "fields, param",
    [
        ({"temperature": 3}, "temperature"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"frequency_penalty": 3}, "frequency_penalty"),
        ({"logit_bias": {"x": 1}}, "logit_bias"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"n": 1000}, "n"),
    ],
)
def test_unusable_parameters_are_named(client, fields, param):
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="m", messages=MESSAGES, **fields)
    assert caught.value.param == param
    assert caught.value.request_id


def test_too_long_a_prompt_says_the_numbers(client):
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "word " * 5000}])
    assert caught.value.code == "context_length_exceeded"
    assert any(character.isdigit() for character in str(caught.value))


def test_a_client_that_gives_up_frees_its_slot(client, server):  # noqa: F811
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=0.2).chat.completions.create(
            model="m", messages=MESSAGES, max_tokens=1500, extra_body={"ignore_eos": True}
        )
    stream = client.chat.completions.create(
        model="m", messages=MESSAGES, max_tokens=1500, stream=True, extra_body={"ignore_eos": True}
    )
    next(iter(stream))
    stream.close()
    end = time.monotonic() + 20  # a bound for a busy machine; one step takes milliseconds
    while server.health()[1]["running"] > 0:
        assert time.monotonic() < end, "requests of clients that left are still running"


def test_ids_and_ignored_fields_are_reported(client):
    answer = client.chat.completions.with_raw_response.create(
        model="m",
        messages=MESSAGES,
        max_tokens=1,
        extra_body={"shiny": 1},
        extra_headers={"x-request-id": "mine-1"},
    )
    assert answer.headers["x-request-id"] == "mine-1"
    assert answer.headers["x-ignored-params"] == "shiny"
    assert answer.headers["x-model-resolved"]

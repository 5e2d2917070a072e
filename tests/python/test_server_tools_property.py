"""Calls of random weights at temperature 2: each one parses and validates, in the model's own form and in the dialect
of a prompt, with budgets from 8 tokens up.

$LANCET_PROPERTY is the number of answers in all (default 300)."""

import concurrent.futures
import json
import os
import random
import urllib.error
import urllib.request

import jsonschema
import pytest

import scalpel_client
from server_fixture import start_server

ANSWERS = int(os.environ.get("LANCET_PROPERTY", "300"))
BUDGETS = (8, 12, 20, 40, 90, 200)
PARAMETERS = [
    None,
    {"type": "object", "properties": {}},
    {"type": "object", "properties": {"path": {"type": "string", "minLength": 1}}, "required": ["path"]},
    {"type": "object", "properties": {"path": {"type": "string"}, "content": {"type": "string", "minLength": 1}},
     "required": ["path", "content"], "additionalProperties": False},
    {"type": "object", "properties": {"n": {"type": "integer", "minimum": -3, "maximum": 40}, "x": {"type": "number"}},
     "required": ["n"]},
    {"type": "object", "properties": {"tags": {"type": "array", "items": {"enum": ["a", "b", "c"]}, "maxItems": 3}},
     "required": ["tags"]},
    {"type": "object", "properties": {"unit": {"enum": ["c", "f"]}, "when": {"type": ["string", "null"], "pattern": "^[0-9]{4}$"}}},
    {"type": "object", "properties": {"tree": {"$ref": "#/$defs/t"}}, "required": ["tree"],
     "$defs": {"t": {"type": "object", "properties": {"k": {"$ref": "#/$defs/t"}}, "additionalProperties": False}}},
]


@pytest.fixture(scope="module")
def random_server(tiny):
    running = start_server("--ctx", "2048", "--parallel", "4", model=tiny / "fp8")
    yield running
    running.process.terminate()
    assert running.process.wait(timeout=20) == 0


def ask(running, body):
    """The choice, or None where no answer of max_tokens can be what was asked for: 400 says so."""
    request = urllib.request.Request(
        running.url + "/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=300) as answer:
            return json.load(answer)["choices"][0]
    except urllib.error.HTTPError as error:
        assert error.code == 400 and json.load(error)["error"]["param"] == "max_tokens"
        return None


def many(function, count):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        return list(pool.map(function, range(count)))


def test_every_call_validates(random_server):
    def one(seed):
        pick = random.Random(seed)
        some = pick.sample(range(len(PARAMETERS)), 3)
        tools = [
            {"type": "function", "function": {"name": f"tool_{i}"} | ({"parameters": PARAMETERS[i]} if PARAMETERS[i] else {})}
            for i in some
        ]
        choice = ask(
            random_server,
            {
                "messages": [{"role": "user", "content": "Do it."}],
                "tools": tools,
                "tool_choice": pick.choice(["required", "auto"]),
                "max_tokens": pick.choice(BUDGETS),
                "temperature": 2,
                "seed": seed,
                "guards": "off",
            },
        )
        if choice is None:
            return 0
        calls = choice["message"].get("tool_calls", [])
        for call in calls:
            name, arguments = call["function"]["name"], json.loads(call["function"]["arguments"])
            jsonschema.validate(arguments, PARAMETERS[int(name.removeprefix("tool_"))] or {"maxProperties": 0})
        return len(calls)

    assert sum(many(one, ANSWERS)) > ANSWERS / 4


def test_every_call_in_the_content_is_the_one_that_was_meant(random_server):
    messages = [{"role": "system", "content": scalpel_client.SYSTEM}, {"role": "user", "content": "Task: do it"}]
    backtick = None
    with urllib.request.urlopen(
        urllib.request.Request(
            random_server.url + "/tokenize", json.dumps({"content": "```tool"}).encode(), {"Content-Type": "application/json"}
        )
    ) as answer:
        backtick = json.load(answer)["tokens"][0]

    def one(seed):
        pick = random.Random(seed)
        body = {
            "messages": messages,
            "max_tokens": pick.choice(BUDGETS),
            "temperature": 2,
            "seed": seed,
            "logit_bias": {str(backtick): pick.choice([0, 5, 12])},
        }
        choice = ask(random_server, body)
        call = scalpel_client.parse(choice["message"]["content"])
        assert (call[0] if call else None) == choice["lancet"]["dialect"].get("call"), choice
        if call:
            assert all(isinstance(v, str) and v for v in call[1].values()), call
        return call is not None

    assert sum(many(one, ANSWERS)) > 0

"""Structured answers and calls of functions, asked for by the official openai client; and an agent that reads nothing
but the content."""

import json
import os
import socket
import time
import urllib.request

import jsonschema
import openai
import pytest

import scalpel_client
from server_fixture import server, start_server  # noqa: F401 (a fixture)

USER = [{"role": "user", "content": "What is the weather in Oslo?"}]
PARAMETERS = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "minLength": 1, "maxLength": 30},
        "unit": {"enum": ["celsius", "fahrenheit"]},
        "days": {"type": "integer", "minimum": 1, "maximum": 14},
    },
    "required": ["city", "unit"],
    "additionalProperties": False,
}
TOOLS = [
    {"type": "function", "function": {"name": "get_weather", "description": "Weather.", "parameters": PARAMETERS}},
    {"type": "function", "function": {"name": "now", "description": "The time."}},
]
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 20}, "age": {"type": "integer", "minimum": 0, "maximum": 130}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def client(server):  # noqa: F811
    with openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0, timeout=300) as made:
        yield made


def ask(client, messages=USER, **fields):
    fields.setdefault("max_tokens", 120)
    return client.chat.completions.create(model="m", messages=messages, **fields).choices[0]


def check_call(call):
    assert len(call.id) == 9 and call.id.isalnum() and call.type == "function"
    arguments = json.loads(call.function.arguments)
    if call.function.name == "now":
        assert arguments == {}
    else:
        jsonschema.validate(arguments, PARAMETERS)


@pytest.mark.parametrize("seed", range(6))
def test_required_calls_validate(client, seed):
    choice = ask(client, tools=TOOLS, tool_choice="required", temperature=1.5, seed=seed)
    assert choice.message.tool_calls and choice.finish_reason in ("tool_calls", "length")
    for call in choice.message.tool_calls:
        check_call(call)


def test_a_named_function_is_called(client):
    named = {"type": "function", "function": {"name": "get_weather"}}
    choice = ask(client, tools=TOOLS, tool_choice=named, temperature=0)
    (call,) = choice.message.tool_calls
    assert call.function.name == "get_weather"
    check_call(call)


@pytest.mark.parametrize("choice", ["auto", "required"])
def test_a_stream_joins_to_the_whole_answer(client, choice):
    fields = dict(tools=TOOLS, tool_choice=choice, temperature=1.0, seed=5)
    whole = ask(client, **fields).message
    content, calls = "", []
    for chunk in client.chat.completions.create(model="m", messages=USER, max_tokens=120, stream=True, **fields):
        delta = chunk.choices[0].delta
        content += delta.content or ""
        for part in delta.tool_calls or []:
            if part.index == len(calls):
                calls.append([part.function.name, ""])
            calls[part.index][1] += part.function.arguments or ""
    assert content == (whole.content or "")
    assert calls == [[c.function.name, c.function.arguments] for c in whole.tool_calls or []]


def test_a_conversation_with_results_goes_on(client):
    first = ask(client, tools=TOOLS, tool_choice="required", parallel_tool_calls=False, temperature=0).message
    messages = USER + [first.model_dump(exclude_none=True)]
    messages.append({"role": "tool", "tool_call_id": first.tool_calls[0].id, "content": "4 degrees"})
    assert ask(client, messages, tools=TOOLS, temperature=0).finish_reason in ("stop", "tool_calls", "length")


@pytest.mark.parametrize("seed", range(4))
def test_json_schema_validates(client, seed):
    wanted = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON, "strict": True}}
    choice = ask(client, response_format=wanted, temperature=1.5, seed=seed)
    jsonschema.validate(json.loads(choice.message.content), PERSON)


@pytest.mark.parametrize("budget", [24, 32, 64])
def test_json_is_closed_before_max_tokens(client, budget):
    wanted = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON}}
    choice = ask(client, response_format=wanted, temperature=1.5, seed=1, max_tokens=budget)
    jsonschema.validate(json.loads(choice.message.content), PERSON)


def test_the_parse_helper_of_the_client_works(client):
    pydantic = pytest.importorskip("pydantic")

    class Answer(pydantic.BaseModel):
        colour: str
        count: int

    parsed = client.chat.completions.parse(model="m", messages=USER, response_format=Answer, max_tokens=150, temperature=0)
    assert isinstance(parsed.choices[0].message.parsed, Answer)


def test_other_constraints(client):
    assert ask(client, extra_body={"guided_choice": ["red", "green"]}).message.content in ("red", "green")
    assert ask(client, extra_body={"regex": "[a-c]{4}"}).message.content.strip("abc") == ""
    assert ask(client, extra_body={"grammar": 'root ::= "x" "y"+ "z"'}).message.content[0] == "x"
    text = client.completions.create(model="m", prompt="p", max_tokens=9, extra_body={"guided_regex": "[0-9]{3}"})
    assert text.choices[0].text.isdigit()


@pytest.mark.parametrize(
    "fields, param",
    [
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": TOOLS + TOOLS}, "tools[2].function.name"),
        ({"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "x"}}}, "tool_choice.function.name"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "strin"}}}},
            "response_format.json_schema.schema/type",
        ),
        ({"extra_body": {"regex": "(", "max_tokens": 5}}, "regex"),
    ],
)
def test_what_cannot_be_kept_is_refused_by_place(client, fields, param):
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, **fields)
    assert caught.value.param == param


def test_a_client_that_leaves_stops_the_compile(server):  # noqa: F811
    # Alternatives that share nothing, over and over: seconds of work.
    schema = {"anyOf": [{"pattern": f"^(?:[a-z]{{1,{60 + i}}}x){{1,40}}y{i}$", "type": "string"} for i in range(60)]}
    body = json.dumps({"messages": USER, "max_tokens": 1, "guided_json": schema}).encode()
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            + f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        time.sleep(0.02)
    time.sleep(0.2)
    with open(f"/proc/{server.process.pid}/stat") as stat:
        used = sum(int(x) for x in stat.read().rsplit(")")[-1].split()[11:13])
    time.sleep(0.5)
    with open(f"/proc/{server.process.pid}/stat") as stat:
        later = sum(int(x) for x in stat.read().rsplit(")")[-1].split()[11:13])
    assert later - used <= 0.1 * os.sysconf("SC_CLK_TCK"), "the compile went on"


@pytest.fixture(scope="module")
def agent_server(request):
    if "LANCET_SLOW_BINARY" in os.environ:
        pytest.skip("DID NOT RUN: make asan leaves answers of SmolLM2 out")
    smol_fp8 = request.getfixturevalue("smol_fp8")
    running = start_server("--ctx", "2048", "--parallel", "4", model=smol_fp8)
    yield running
    running.process.terminate()
    assert running.process.wait(timeout=20) == 0


def agent_turn(running, messages, **fields):
    """One request exactly as the agent sends it: four members, no more."""
    body = {"model": "Hermes-3", "messages": messages, "max_tokens": 300, "temperature": 0.1, **fields}
    request = urllib.request.Request(
        running.url + "/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)["choices"][0]


TASKS = [
    "Read /etc/hosts and summarise it.",
    'Create /tmp/a.txt with content "working".',
    "Append a line to /tmp/notes.md.",
    "List the files in /var/log.",
]


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("temperature", [0.1, 1.5])
def test_every_call_in_the_content_is_found_by_the_agent(agent_server, task, temperature):
    messages = [{"role": "system", "content": scalpel_client.SYSTEM}, {"role": "user", "content": f"Task: {task}\n"}]
    for _ in range(3):
        choice = agent_turn(agent_server, messages, temperature=temperature)
        content = choice["message"]["content"]
        assert isinstance(content, str) and "tool_calls" not in choice["message"]
        report = choice["lancet"]["dialect"]
        call = scalpel_client.parse(content)
        assert (call[0] if call else None) == report.get("call")
        if not call:
            break
        name, params = call
        wanted = {"read_file": {"path"}, "run_command": {"command"}}.get(name, {"path", "content"})
        assert set(params) == wanted and all(isinstance(v, str) and v for v in params.values())
        messages.append({"role": "assistant", "content": content.strip()})
        messages.append({"role": "user", "content": "Tool result:\n```json\n{\"name\": \"x\", \"params\": {}}\n```"})


@pytest.mark.parametrize("temperature", [0.1, 1.0, 2.0])
@pytest.mark.parametrize("task", TASKS)
def test_a_turn_that_is_due_a_call_yields_one(agent_server, task, temperature):
    messages = [{"role": "system", "content": scalpel_client.SYSTEM}, {"role": "user", "content": f"Task: {task}\n"}]
    for seed in range(4):
        choice = agent_turn(
            agent_server, messages, temperature=temperature, seed=seed, dialect="scalpel", tool_choice="required", max_tokens=160
        )
        name, params = scalpel_client.parse(choice["message"]["content"])
        assert name == choice["lancet"]["dialect"]["call"]
        wanted = {"read_file": {"path"}, "run_command": {"command"}}.get(name, {"path", "content"})
        assert set(params) == wanted and all(isinstance(v, str) and v for v in params.values())

"""Many clients at once: nobody's answer depends on the others, whoever leaves stops costing anything, and what cannot be taken is said."""

import asyncio
import json
import os
import random
import urllib.request

import pytest

import http_load
from server_fixture import start_server

SLOW = bool(os.environ.get("LANCET_SLOW_BINARY"))
WORDS = "river stone paper window morning bridge yellow garden letter silver market animal winter simple number travel".split()


@pytest.fixture(scope="module")
def small_cache():
    """Room for 1,024 tokens: an eighth of what 64 requests of these tests need."""
    running = start_server("--ctx", "1024", "--parallel", "16", "--cache-tokens", "1024",
                           "--limit-waiting-tokens", "1000000", "--limit-queue-seconds", "600")
    yield running
    running.process.terminate()
    assert running.process.wait(timeout=60) == 0


def completion(number, **more):
    words = random.Random(number).choices(WORDS, k=100)
    return {"model": "m", "prompt": " ".join(words), "max_tokens": 24, "ignore_eos": True, "seed": number,
            "temperature": 0 if number % 2 else 0.8, **more}


async def all_of(port, bodies):
    answers = await asyncio.gather(*(http_load.ask(port, "/v1/completions", body, patience=600) for body in bodies))
    for status, _, body in answers:
        assert status == 200, body
    return [body["choices"][0]["text"] for _, _, body in answers]


def test_smol_64_requests_with_room_for_an_eighth_equal_each_alone(small_cache):
    port = small_cache.port
    bodies = [completion(number) for number in range(64)]

    async def both():
        together = await all_of(port, bodies)
        _, _, metrics = await one_get(port, "/metrics")
        return together, [(await all_of(port, [body]))[0] for body in bodies], metrics.decode()

    together, alone, metrics = asyncio.run(both())
    assert together == alone
    preempted = [line for line in metrics.splitlines() if line.startswith("lancet_preemptions_total ")]
    assert preempted and float(preempted[0].split()[1]) > 0, "the cache was never too small: the test shows nothing"
    asyncio.run(http_load.settled(port, 5))


async def one_get(port, path):
    async with http_load.Connection(port) as connection:
        return await connection.exchange("GET", path)


async def vanish(port, number):
    """One client that leaves at a random moment in one of three ways; it may as well be refused before."""
    choice = random.Random(number)
    way = choice.choice(["fin", "rst", "deaf"])
    streamed = choice.random() < 0.5
    connection = await http_load.Connection(port).__aenter__()
    try:
        await connection.send("POST", "/v1/completions", completion(number, stream=streamed, max_tokens=300))
        if way == "deaf":  # reads nothing, and leaves later
            connection.writer.transport.pause_reading()
        await asyncio.sleep(choice.random() * 0.5)
    except OSError:
        return
    finally:
        if way == "rst":
            connection.reset()
        else:
            connection.writer.close()


def test_smol_a_thousand_vanishing_clients_leave_nothing(small_cache):
    port = small_cache.port
    canary = completion(7)
    expected = asyncio.run(all_of(port, [canary]))[0]

    async def storm():
        for first in range(0, 200 if SLOW else 1000, 100):
            await asyncio.gather(*(vanish(port, first + i) for i in range(100)))
        return await http_load.settled(port, 10 if SLOW else 1.0)

    asyncio.run(storm())
    assert small_cache.process.poll() is None
    assert asyncio.run(all_of(port, [canary]))[0] == expected


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("way", ["fin", "rst"])
@pytest.mark.parametrize("phase", ["queue", "prefill", "decode"])
def test_smol_work_stops_when_its_client_leaves(small_cache, phase, way, streamed):
    port = small_cache.port

    async def leave():
        held = []
        if phase == "queue":  # all sixteen places taken by others
            for number in range(16):
                held.append(await http_load.Connection(port).__aenter__())
                await held[-1].send("POST", "/v1/completions", {"prompt": "a", "max_tokens": 1000, "ignore_eos": True})
            await until(port, lambda health: health["running"] >= 1)
        connection = await http_load.Connection(port).__aenter__()
        prompt = " ".join(random.Random(1).choices(WORDS, k=900)) if phase == "prefill" else "once"
        await connection.send("POST", "/v1/completions",
                              {"prompt": prompt, "max_tokens": 60 if phase == "prefill" else 900, "ignore_eos": True,
                               "stream": streamed})
        if phase == "decode" and streamed:
            await connection.head()
        elif phase != "queue":
            await until(port, lambda health: health["running"] == 1)
        for one in [connection, *held]:
            if way == "rst":
                one.reset()
            else:
                one.writer.close()
        await http_load.settled(port, 10 if SLOW else 1.0)

    asyncio.run(leave())


async def until(port, holds):
    async with http_load.Connection(port) as connection:
        for _ in range(2000):
            _, _, data = await connection.exchange("GET", "/health")
            if holds(json.loads(data)):
                return
            await asyncio.sleep(0.001)
    raise AssertionError("it never came so far")


def test_smol_later_turns_read_only_what_is_new():
    running = start_server("--ctx", "4096", "--parallel", "2")
    try:
        messages = [{"role": "system", "content": " ".join(random.Random(3).choices(WORDS, k=300))}]
        known = 0
        for turn in range(6):
            messages.append({"role": "user", "content": f"Turn {turn}: " + " ".join(random.Random(turn).choices(WORDS, k=20))})
            body = {"model": "m", "messages": messages, "max_tokens": 24, "temperature": 0}
            status, _, answer = asyncio.run(http_load.ask(running.port, "/v1/chat/completions", body))
            assert status == 200, answer
            usage = answer["usage"]
            # All that was read or generated before, but for the unfinished block at its end and the last token, whose
            # keys nobody needed.
            assert usage["prompt_tokens_details"]["cached_tokens"] >= known - 17, (turn, usage)
            text = answer["choices"][0]["message"]["content"]
            messages.append({"role": "assistant", "content": text.strip()})  # as clients do
            trimmed = len(text) - len(text.strip())
            known = usage["prompt_tokens"] + (0 if trimmed else usage["completion_tokens"] - 1)
    finally:
        running.process.terminate()
        assert running.process.wait(timeout=60) == 0


def test_smol_overload_is_refused_with_a_time_to_come_back():
    running = start_server("--ctx", "1024", "--parallel", "2", "--limit-waiting-requests", "8")
    try:
        async def flood():
            return await asyncio.gather(*(http_load.ask(running.port, "/v1/completions", completion(n)) for n in range(60)))

        answers = asyncio.run(flood())
        refused = [(fields, body) for status, fields, body in answers if status == 429]
        assert {status for status, _, _ in answers} == {200, 429}
        assert len(refused) >= 30
        for fields, body in refused:
            assert int(fields["retry-after"]) >= 1
            assert body["error"]["code"] == "queue_full"
        asyncio.run(http_load.settled(running.port, 2))
    finally:
        running.process.terminate()
        assert running.process.wait(timeout=60) == 0


def test_smol_metrics_agree_with_what_clients_saw(small_cache):
    def total(name):
        with urllib.request.urlopen(small_cache.url + "/metrics", timeout=10) as answer:
            return sum(float(line.rsplit(" ", 1)[1]) for line in answer.read().decode().splitlines()
                       if line.startswith(name) and line[len(name)] in " {")

    before = total("lancet_generation_tokens_total"), total("lancet_prompt_tokens_total")
    answers = [asyncio.run(http_load.ask(small_cache.port, "/v1/completions", completion(1000 + n))) for n in range(4)]
    usage = [body["usage"] for _, _, body in answers]
    generated = sum(u["completion_tokens"] for u in usage)
    for _ in range(1000):  # an answer leaves before its step has been counted
        if total("lancet_generation_tokens_total") - before[0] >= generated:
            break
    assert total("lancet_generation_tokens_total") - before[0] == generated
    read = sum(u["prompt_tokens"] - u["prompt_tokens_details"]["cached_tokens"] for u in usage)
    assert total("lancet_prompt_tokens_total") - before[1] == read

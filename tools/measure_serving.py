#!/usr/bin/env python3
"""Measures a running server on loopback, one JSON line a part. Everything it does is bounded and ends by itself.

  tools/measure_serving.py PORT PID interference   gaps of a short stream, alone and while a long prompt is read
  tools/measure_serving.py PORT PID overload       goodput and latency at one and at four times the load that fills the server
  tools/measure_serving.py PORT PID connections    memory of idle connections, streams and probes beside them
  tools/measure_serving.py PORT PID soak           mixed load with faults: errors, and the slope of the resident memory

--seconds and --count scale the parts.
"""
import argparse
import asyncio
import http.client
import json
import multiprocessing
import random
import resource
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "python"))
import http_load  # noqa: E402

WORDS = "river stone paper window morning bridge yellow garden letter silver market animal winter simple number travel".split()


def words(rng, count):
    return " ".join(rng.choices(WORDS, k=count))


def say(**facts):
    print(json.dumps(facts), flush=True)


def ms(values, share):
    value = http_load.quantile(values, share)
    return None if value is None else round(value * 1e3, 2)


async def interference(args):
    short = {"prompt": "Once upon a time", "max_tokens": args.count or 200, "ignore_eos": True, "temperature": 0}
    alone = await http_load.stream(args.port, "/v1/completions", short)
    long = {"prompt": words(random.Random(args.seed), args.words), "max_tokens": 1, "temperature": 0}
    reading = asyncio.create_task(http_load.ask(args.port, "/v1/completions", long, patience=600))
    gaps, total = [], time.perf_counter()
    while not reading.done():
        one = await http_load.stream(args.port, "/v1/completions", short, on_piece=None)
        gaps += [gap for gap, at in zip(one.gaps(), one.times[1:]) if not reading.done() or at]
    status, _, body = await reading
    assert status == 200, body
    say(part="interference", prompt_tokens=body["usage"]["prompt_tokens"], prompt_s=round(time.perf_counter() - total, 2),
        alone_p50_ms=ms(alone.gaps(), 0.5), alone_p99_ms=ms(alone.gaps(), 0.99), beside_p50_ms=ms(gaps, 0.5),
        beside_p99_ms=ms(gaps, 0.99), beside_max_ms=ms(gaps, 1.0), gaps=len(gaps))


async def at_load(args, clients, seconds):
    """Closed loop: every client asks, and asks again; one that is refused waits as it was told, but at most 2 s."""
    tokens, latencies, first, refused, unexplained = 0, [], [], 0, []
    end = time.perf_counter() + seconds

    async def client(number):
        nonlocal tokens, refused
        rng = random.Random(number)
        while time.perf_counter() < end:
            body = {"prompt": words(rng, 40), "max_tokens": 48, "ignore_eos": True, "temperature": 0.8, "seed": number,
                    "stream_options": {"include_usage": True}}
            began = time.perf_counter()
            try:
                one = await http_load.stream(args.port, "/v1/completions", body)
            except (OSError, ConnectionError, asyncio.TimeoutError) as error:
                unexplained.append(repr(error))
                continue
            if one.status == 429:
                refused += 1
                await asyncio.sleep(min(2, float(one.fields.get("retry-after", "nan"))))
            elif one.status == 200 and one.done:
                tokens += one.usage["completion_tokens"]
                latencies.append(time.perf_counter() - began)
                first.append(one.first_s)
            else:
                unexplained.append(str(one.error or one.status))

    await asyncio.gather(*(client(i) for i in range(clients)))
    return {"clients": clients, "goodput_t_s": round(tokens / seconds, 1), "answers": len(latencies), "refused_429": refused,
            "ttft_p50_ms": ms(first, 0.5), "ttft_p99_ms": ms(first, 0.99), "latency_p99_ms": ms(latencies, 0.99),
            "unexplained": unexplained[:5]}


async def overload(args):
    clients = args.count or 16
    one = await at_load(args, clients, args.seconds / 4)
    four = await at_load(args, 4 * clients, args.seconds)
    say(part="overload", one=one, four=four, goodput_ratio=round(four["goodput_t_s"] / one["goodput_t_s"], 3))


def probe(port, path, ended, results):
    times = []
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    while not ended.wait(0.02):
        began = time.perf_counter()
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200
        times.append(time.perf_counter() - began)
    results.put(times)


async def connections(args):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    before = http_load.resident_bytes(args.pid)
    idle = []
    for _ in range(args.count or 10000):
        one = await http_load.Connection(args.port).__aenter__()
        status, _, _ = await one.exchange("GET", "/livez")
        assert status == 200
        idle.append(one)
    await asyncio.sleep(1)
    each = (http_load.resident_bytes(args.pid) - before) / len(idle)
    # In a process of its own, or the time that this one spends on its streams would count.
    ended, results = multiprocessing.Event(), multiprocessing.SimpleQueue()
    probing = multiprocessing.Process(target=probe, args=(args.port, args.probe, ended, results))
    probing.start()
    body = {"prompt": "a b c", "max_tokens": args.tokens, "ignore_eos": True, "temperature": 0.7}
    began = time.perf_counter()
    streams = await asyncio.gather(*(http_load.stream(args.port, "/v1/completions", {**body, "seed": i}, patience=600)
                                     for i in range(args.streams)))
    took = time.perf_counter() - began
    ended.set()
    probes = results.get()
    probing.join()
    say(part="connections", idle=len(idle), bytes_each=round(each), streams=args.streams,
        final_events=sum(one.done and one.finish_reason is not None for one in streams),
        streams_s=round(took, 2), probe=args.probe, probe_p50_ms=ms(probes, 0.5), probe_p99_ms=ms(probes, 0.99), probes=len(probes))
    answered = 0
    for one in idle:
        status, _, _ = await one.exchange("GET", "/livez")
        answered += status == 200
        one.writer.close()
    say(part="connections", idle_that_still_answer=answered)


async def soak(args):
    end = time.perf_counter() + args.seconds
    samples, counts, errors = [], {"whole": 0, "streamed": 0, "vanished": 0, "refused": 0, "bad": 0}, []
    canary = {"prompt": "The capital of France is", "max_tokens": 12, "temperature": 0}
    _, _, expected = await http_load.ask(args.port, "/v1/completions", canary)

    async def one(rng):
        kind = rng.choices(["canary", "whole", "streamed", "vanish", "bad"], [10, 40, 48, 1, 1])[0]
        body = {"prompt": words(rng, rng.randrange(4, 200)), "max_tokens": rng.randrange(1, 60), "temperature": 0.8,
                "seed": rng.randrange(1 << 30)}
        if kind == "vanish":
            connection = await http_load.Connection(args.port).__aenter__()
            await connection.send("POST", "/v1/completions", {**body, "stream": rng.random() < 0.5})
            await asyncio.sleep(rng.random() * 0.2)
            connection.reset()
            counts["vanished"] += 1
        elif kind == "bad":
            status, _, answer = await http_load.ask(args.port, "/v1/completions", {**body, "top_p": -1})
            if status != 400 or answer["error"]["param"] != "top_p":
                errors.append(("bad", status, answer))
            counts["bad"] += 1
        elif kind == "streamed":
            answer = await http_load.stream(args.port, "/v1/completions", body)
            if answer.status == 429:
                counts["refused"] += 1
            elif answer.status != 200 or not answer.done:
                errors.append(("stream", answer.status, answer.error))
            counts["streamed"] += 1
        else:
            status, _, answer = await http_load.ask(args.port, "/v1/completions", canary if kind == "canary" else body)
            if status == 429:
                counts["refused"] += 1
            elif status != 200 or (kind == "canary" and answer["choices"] != expected["choices"]):
                errors.append((kind, status, answer))
            counts["whole"] += 1

    async def client(number):
        rng = random.Random(args.seed + number)
        while time.perf_counter() < end:
            try:
                await one(rng)
            except (OSError, ConnectionError, asyncio.TimeoutError) as error:
                errors.append(("client", repr(error)))

    async def watch():
        began = time.perf_counter()
        while time.perf_counter() < end:
            samples.append((time.perf_counter() - began, http_load.resident_bytes(args.pid)))
            await asyncio.sleep(5)

    await asyncio.gather(watch(), *(client(i) for i in range(args.count or 8)))
    settled = await http_load.settled(args.port, 5)
    warm = [s for s in samples if s[0] >= samples[-1][0] / 3] or samples
    mean_t, mean_b = (sum(s[i] for s in warm) / len(warm) for i in (0, 1))
    spread = sum((t - mean_t) ** 2 for t, _ in warm)
    slope = sum((t - mean_t) * (b - mean_b) for t, b in warm) / spread if spread else 0
    say(part="soak", seconds=args.seconds, **counts, errors=len(errors), first_errors=errors[:3],
        rss_slope_mib_h=round(slope * 3600 / 2**20, 3), rss_mib=[round(samples[0][1] / 2**20, 1), round(samples[-1][1] / 2**20, 1)],
        settled_s=round(settled, 3))


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("port", type=int)
parser.add_argument("pid", type=int)
parser.add_argument("part", choices=["interference", "overload", "connections", "soak"])
parser.add_argument("--seconds", type=float, default=60)
parser.add_argument("--count", type=int, default=0)
parser.add_argument("--streams", type=int, default=1000)
parser.add_argument("--tokens", type=int, default=32)
parser.add_argument("--words", type=int, default=7800, help="of the long prompt")
parser.add_argument("--probe", default="/livez")
parser.add_argument("--seed", type=int, default=1)
arguments = parser.parse_args()
asyncio.run(globals()[arguments.part](arguments))

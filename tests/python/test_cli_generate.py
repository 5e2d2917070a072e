"""generate and score: what their JSON says, and that an answer depends on request, weights and seed alone."""
import json
import math

import pytest

from conftest import comma

IDS = [1, 1450, 1384, 1145]


def generate(lancet, model, *flags, count=16):
    return lancet.json("generate", "-m", model, "--tokens", comma(IDS), "-n", count, *flags)


def test_json_has_text_tokens_reason_usage_and_timings(lancet, tiny):
    got = generate(lancet, tiny / "fp8", "--temperature", 0)
    assert got.keys() >= {"text", "tokens", "finish_reason", "usage", "timings"}
    assert len(got["tokens"]) == 16 and got["finish_reason"] == "length"
    assert (got["usage"]["prompt_tokens"], got["usage"]["completion_tokens"]) == (4, 16)
    assert got["text"] == lancet.json("detokenize", "-m", tiny / "fp8", stdin=json.dumps(got["tokens"]))["text"]


def test_without_json_the_text_is_printed(lancet, tiny):
    shown = lancet.text("generate", "-m", tiny / "fp8", "--tokens", comma(IDS), "-n", 16, "--temperature", 0)
    assert shown.rstrip("\n") == generate(lancet, tiny / "fp8", "--temperature", 0)["text"].rstrip("\n")


def test_a_seed_gives_the_same_text_and_another_seed_another(lancet, tiny):
    one, again, other = (generate(lancet, tiny / "fp8", "--temperature", 5, "--seed", s)["tokens"] for s in (7, 7, 8))
    assert one == again != other


def test_top_k_1_is_greedy(lancet, tiny):
    greedy = generate(lancet, tiny / "fp8", "--temperature", 0)["tokens"]
    assert generate(lancet, tiny / "fp8", "--temperature", 1, "--top-k", 1, "--seed", 3)["tokens"] == greedy


def test_more_tokens_begin_with_fewer(lancet, tiny):
    short, long = (generate(lancet, tiny / "fp8", "--temperature", 0, count=n)["tokens"] for n in (8, 24))
    assert long[:8] == short


def test_generation_ends_at_the_context_and_says_so(lancet, tiny):
    prompt = comma([1000] * 1020)
    done = lancet.run("generate", "-m", tiny / "fp8", "--tokens", prompt, "-n", 50, "--temperature", 0, "--json")
    got = json.loads(done.stdout)
    assert done.returncode == 0 and len(got["tokens"]) <= 4
    assert b"1024" in done.stderr


def test_chat_uses_the_template(lancet, tiny):
    body = json.dumps({"messages": [{"role": "user", "content": "hi"}]})
    prompt = lancet.json("render", "-m", tiny / "fp8", stdin=body)["tokens"]
    chat = lancet.json("generate", "-m", tiny / "fp8", "--chat", "hi", "-n", 8, "--temperature", 0)
    assert chat["usage"]["prompt_tokens"] == len(prompt)
    assert chat["tokens"] == lancet.greedy(tiny / "fp8", prompt, 8)["tokens"]


def test_a_prompt_begins_with_bos_once(lancet, tiny):
    for text in ("The server", "<s>The server"):
        rows = lancet.json("score", "-m", tiny / "fp8", "-p", text)["positions"]
        assert [row["token"] for row in rows][:2].count(1) == 1


def test_score_is_the_log_softmax_of_the_logits(lancet, tiny, tmp_path):
    got = lancet.json("score", "-m", tiny / "fp8", "--tokens", comma(IDS), "--logits", tmp_path / "l.f32", "--top", 3)
    logits = lancet.logits(tiny / "fp8", IDS, tmp_path / "again.f32").astype(float)
    assert (tmp_path / "l.f32").read_bytes() == (tmp_path / "again.f32").read_bytes()
    rows = got["positions"]
    assert [row["token"] for row in rows] == IDS and rows[0]["logprob"] is None
    total = 0.0
    for position in range(1, len(IDS)):
        row = logits[position - 1]
        shift = row.max()
        normaliser = shift + math.log(sum(math.exp(x - shift) for x in row))
        assert rows[position]["logprob"] == pytest.approx(row[IDS[position]] - normaliser, abs=1e-6)
        best = sorted(range(len(row)), key=lambda i: (-row[i], i))[:3]
        assert [t["token"] for t in rows[position]["top"]] == best
        total += rows[position]["logprob"]
    assert got["logprob"] == pytest.approx(total)
    assert got["perplexity"] == pytest.approx(math.exp(-total / 3))


def test_score_of_a_file_is_score_of_its_text(lancet, tiny, tmp_path):
    (tmp_path / "text.txt").write_text("The server reads\nthe weights.")
    a = lancet.json("score", "-m", tiny / "fp8", "-f", tmp_path / "text.txt")
    assert a == lancet.json("score", "-m", tiny / "fp8", "-p", "The server reads\nthe weights.")


SCHEMA = {
    "type": "object",
    "properties": {"city": {"enum": ["Oslo", "Bergen"]}, "note": {"type": "string"}, "count": {"type": "integer"}},
    "required": ["city", "note", "count"],
    "additionalProperties": False,
}


@pytest.mark.parametrize("count", [36, 60, 200])
def test_a_schema_makes_every_answer_valid_json(lancet, tiny, tmp_path, count):
    file = tmp_path / "schema.json"
    file.write_text(json.dumps(SCHEMA))
    for seed in range(5):
        flags = ("--schema", file, "--temperature", 2, "--seed", seed)
        got = generate(lancet, tiny / "fp8", *flags, count=count)
        value = json.loads(got["text"])
        assert value.keys() == {"city", "note", "count"} and value["city"] in ("Oslo", "Bergen")
        assert isinstance(value["note"], str) and isinstance(value["count"], int)
        assert len(got["tokens"]) <= count
        assert got["tokens"] == generate(lancet, tiny / "fp8", *flags, "--no-jump", count=count)["tokens"]


def test_a_choice_is_one_of_the_choices(lancet, tiny):
    flags = ("--choice", "yes, please", "--choice", "no", "--temperature", 0)
    got = generate(lancet, tiny / "fp8", *flags)
    assert got["text"] in ("yes, please", "no") and got["finish_reason"] == "stop"


def test_too_few_tokens_for_a_schema_are_refused_with_numbers(lancet, tiny, tmp_path):
    file = tmp_path / "schema.json"
    file.write_text(json.dumps(SCHEMA))
    done = lancet.run("generate", "-m", tiny / "fp8", "--tokens", comma(IDS), "-n", 3, "--schema", file)
    assert done.returncode != 0 and b"max_tokens is 3" in done.stderr

"""perplexity: equal to what score says of the same positions, divergence that can be checked by hand, and what is refused."""
import math

import numpy as np
import pytest

from conftest import ROOT

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")[:3000]


@pytest.fixture(scope="module")
def text_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


def chunks_of(lancet, model, ctx, most):
    """The token ids of the chunks: bos in place of each chunk's first token, as every vocabulary of the tests adds one."""
    ids = [1, *lancet.json("tokenize", "-m", model, stdin=TEXT)["tokens"]][:most]
    return [[1, *ids[i + 1:i + ctx]] for i in range(0, len(ids) - ctx + 1, ctx)]


def log_softmax(logits):
    x = logits.astype(np.float64)
    x -= x.max(axis=1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=1, keepdims=True))


def test_perplexity_is_what_score_says_of_the_second_halves(lancet, tiny, text_file):
    got = lancet.json("perplexity", "-m", tiny / "fp8", "-f", text_file, "--ctx", 64, "--tokens", 200)
    surprise = []
    for ids in chunks_of(lancet, tiny / "fp8", 64, 200):
        scored = lancet.json("score", "-m", tiny / "fp8", "--tokens", ",".join(map(str, ids)))
        # The prediction at position i is of token i + 1: those of positions 32 to 62 count.
        surprise += [-row["logprob"] for row in scored["positions"][33:]]
    assert got["chunks"] == 3 and got["positions"] == len(surprise) == 3 * 31
    assert got["perplexity"] == pytest.approx(math.exp(np.mean(surprise)), rel=1e-9)
    error = np.std(surprise, ddof=1) / math.sqrt(len(surprise))
    assert got["perplexity_error"] == pytest.approx(got["perplexity"] * error, rel=1e-9)
    assert "kl" not in got


def test_chunks_limit_the_text(lancet, tiny, text_file):
    flags = ["-m", tiny / "fp8", "-f", text_file, "--ctx", 64]
    got = lancet.json("perplexity", *flags, "--chunks", 2)
    assert got["chunks"] == 2 and got == lancet.json("perplexity", *flags, "--tokens", 2 * 64)
    assert lancet.json("perplexity", *flags, "--chunks", 10000) == lancet.json("perplexity", *flags)


def test_divergence_from_another_model_is_the_sum_it_claims_to_be(lancet, tiny, text_file, tmp_path):
    model, other, flags = tiny / "gguf" / "tiny-Q8_0.gguf", tiny / "gguf" / "tiny-F32.gguf", ["--ctx", 32, "--tokens", 96]
    got = lancet.json("perplexity", "-m", model, "-f", text_file, *flags, "--exact", "--reference", other, "--reference-exact")
    kl, same, wanted_surprise = [], [], []
    for ids in chunks_of(lancet, model, 32, 96):
        p = log_softmax(lancet.logits(other, ids, tmp_path / "p", "--exact")[16:-1])
        q = log_softmax(lancet.logits(model, ids, tmp_path / "q", "--exact")[16:-1])
        kl += list((np.exp(p) * (p - q)).sum(axis=1))
        same += list(p.argmax(axis=1) == q.argmax(axis=1))
        wanted_surprise += [-row[token] for row, token in zip(p, ids[17:])]
    assert got["kl"]["mean"] == pytest.approx(np.mean(kl), rel=1e-6) and np.mean(kl) > 0
    assert got["kl"]["error"] == pytest.approx(np.std(kl, ddof=1) / math.sqrt(len(kl)), rel=1e-6)
    assert got["kl"]["max"] == pytest.approx(max(kl), rel=1e-6)
    assert [got["kl"][p] for p in ("p90", "p99")] == pytest.approx(list(np.quantile(kl, [0.9, 0.99])), rel=1e-6)
    assert got["same_top"] == pytest.approx(np.mean(same))
    assert got["reference_perplexity"] == pytest.approx(math.exp(np.mean(wanted_surprise)), rel=1e-6)


@pytest.mark.parametrize("flags", [[], ["--exact"]])
def test_a_model_agrees_with_itself(lancet, tiny, text_file, flags):
    same = ["--reference-exact"] if flags else ["--reference", tiny / "fp8"]
    got = lancet.json("perplexity", "-m", tiny / "fp8", "-f", text_file, "--ctx", 100, *flags, *same)
    assert got["kl"] == {"mean": 0, "error": 0, "p90": 0, "p99": 0, "max": 0}
    assert got["same_top"] == 1 and got["reference_perplexity"] == got["perplexity"]


def test_for_people_it_says_the_same(lancet, tiny, text_file):
    shown = lancet.text("perplexity", "-m", tiny / "fp8", "-f", text_file, "--ctx", 64, "--tokens", 64, "--reference-exact")
    assert shown.startswith("perplexity ") and "KL(reference || model)" in shown and "same likeliest token" in shown


def test_a_text_shorter_than_a_chunk_is_refused(lancet, tiny, tmp_path):
    short = tmp_path / "short.txt"
    short.write_text("The server")
    said = lancet.refuses("perplexity", "-m", tiny / "fp8", "-f", short)
    assert "one chunk needs 512" in said


def test_another_vocabulary_is_refused(lancet, tiny, text_file, smol_gguf):
    said = lancet.refuses("perplexity", "-m", tiny / "fp8", "-f", text_file, "--ctx", 64, "--reference", smol_gguf)
    assert "vocabulary" in said and "49152" in said


def test_a_text_that_is_not_there_is_named(lancet, tiny, tmp_path):
    assert "missing.txt" in lancet.refuses("perplexity", "-m", tiny / "fp8", "-f", tmp_path / "missing.txt")

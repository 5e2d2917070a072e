"""The memory plan of `lancet serve` and the cache's precision, through the program."""
import subprocess

import numpy as np
import pytest
from conftest import lines_until_ready


def test_serve_prints_the_plan_before_it_is_ready(lancet, tiny):
    process = subprocess.Popen([lancet.binary, "serve", "-m", str(tiny / "fp8"), "--port", "0"], stderr=subprocess.PIPE,
                               text=True)
    lines = lines_until_ready(process)
    shown = "".join(lines)
    plan = [name for line in lines for name in ("weights", "cache", "scratch", "reserve", "available") if f"  {name} " in line]
    assert plan[:4] == ["weights", "cache", "scratch", "reserve"]
    assert "of 1024 (chosen)" in shown and "context 1024 tokens" in shown  # the tiny model has no more
    assert "kv=f16" in shown


def test_exact_and_an_eight_bit_cache_exclude_each_other(lancet, tiny):
    assert "--kv q8" in lancet.refuses("score", "-m", tiny / "fp8", "--tokens", "1,2", "--exact", "--kv", "q8")


def test_a_cache_of_unknown_precision_is_wrong_usage(lancet, tiny):
    assert "q5" in lancet.refuses("score", "-m", tiny / "fp8", "--tokens", "1,2", "--kv", "q5", code=2)


@pytest.mark.parametrize("flags", [["--ctx", "-1"], ["--ctx", "1048577"], ["--parallel", "0"], ["--parallel", "1025"]])
def test_sizes_one_past_their_bounds_are_wrong_usage(lancet, tiny, flags):
    lancet.refuses("serve", "-m", tiny / "fp8", *flags, code=2)


def test_an_eight_bit_cache_stays_close_to_a_half_one(lancet, tiny, tiny_reference, tmp_path):
    ids = tiny_reference.prompts["p37"]
    half = lancet.logits(tiny / "fp8", ids, tmp_path / "f16")
    eight = lancet.logits(tiny / "fp8", ids, tmp_path / "q8", "--kv", "q8")
    assert not np.array_equal(half, eight)
    assert np.abs(half - eight).max() < 0.08 * np.abs(half).max()

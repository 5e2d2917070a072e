"""The program's numbers against other people's: transformers on the tiny checkpoints and on SmolLM2, and the executable
specification tools/reference.py where a configuration is changed.

--exact is f32 arithmetic: 1e-3 of a row's standard deviation is a hundred times its error and a thousandth of what any
mistake in names, scales, rotary order or YaRN does.
"""
import json
import shutil

import numpy as np
import pytest

import checkpoint_io
import reference
from conftest import DATA

# fp8-floatints is fp8 with numbers written as floats; transformers refuses it, so it has no reference of its own.
VARIANTS = {v: v for v in ("fp8", "fp8-sharded", "fp8-prefix", "fp8-textonly", "native", "fp8-p2", "bf16", "fp8-untied",
                           "gguf/tiny-F32.gguf", "gguf/tiny-BF16.gguf", "gguf/tiny-Q8_0.gguf")} | {"fp8-floatints": "fp8"}
SMOL = json.loads((DATA / "smol_expected.json").read_text())["cases"]


def in_deviations(got, wanted):
    """The largest difference in a row, in standard deviations of the wanted row; the worst over rows."""
    return float((np.abs(got - wanted).max(-1) / wanted.std(-1)).max())


def of_largest(got, wanted):
    return float(np.abs(got - wanted).max() / np.abs(wanted).max())


def agreed(greedy, wanted, margins, least_margin):
    """How many ids must agree: those before the first step that is as good as a tie. Fails if they do not."""
    steps = next((i for i, margin in enumerate(margins) if margin < least_margin), len(wanted))
    assert greedy[:steps] == wanted[:steps]
    return steps


# ---------------------------------------------------------------- tiny checkpoints
@pytest.mark.parametrize("prompt", ["p20", "p150"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_container_gives_the_logits_of_transformers(lancet, tiny, tiny_reference, tmp_path, variant, prompt):
    wanted = tiny_reference.logits[f"{VARIANTS[variant]}/{prompt}/last"][0]
    got = lancet.logits(tiny / variant, tiny_reference.prompts[prompt], tmp_path / "l.f32", "--exact")
    assert in_deviations(got[-1], wanted) < 1e-3


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_container_gives_the_greedy_ids_of_transformers(lancet, tiny, tiny_reference, variant):
    for prompt in ("p20", "p150"):
        got = lancet.greedy(tiny / variant, tiny_reference.prompts[prompt], 32, "--exact")
        assert got["tokens"] == tiny_reference.greedy[f"{VARIANTS[variant]}/{prompt}"]


@pytest.mark.parametrize("prompt", ["one", "p20"])
def test_every_position_has_the_logits_of_transformers(lancet, tiny, tiny_reference, tmp_path, prompt):
    wanted = tiny_reference.logits[f"fp8/{prompt}/logits"]
    got = lancet.logits(tiny / "fp8", tiny_reference.prompts[prompt], tmp_path / "l.f32", "--exact")
    assert in_deviations(got, wanted) < 1e-3


@pytest.mark.parametrize("variant", VARIANTS)
def test_default_arithmetic_stays_within_the_bound_of_8_bit_activations(lancet, tiny, tiny_reference, tmp_path, variant):
    for prompt in ("p20", "p150"):
        wanted = tiny_reference.logits[f"{VARIANTS[variant]}/{prompt}/last"][0]
        got = lancet.logits(tiny / variant, tiny_reference.prompts[prompt], tmp_path / "l.f32")
        assert of_largest(got[-1], wanted) < 8e-2


def test_fp8_with_power_of_two_scales_is_its_bf16_image_bit_for_bit(lancet, tiny, tiny_reference, tmp_path):
    a, b = (lancet.logits(tiny / v, tiny_reference.prompts["p150"], tmp_path / v, "--exact") for v in ("fp8-p2", "bf16"))
    assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("variant,twin", [("fp8-channel", "channel-twin"), ("fp8-block", "block-twin")])
def test_scales_a_row_and_a_block_multiply_their_weights(lancet, tiny, tiny_reference, tmp_path, variant, twin):
    ids = tiny_reference.prompts["p150"]
    scaled, plain = (lancet.logits(tiny / v, ids, tmp_path / v, "--exact") for v in (variant, twin))
    wanted = reference.logits(*reference.load(str(tiny / variant)), ids)
    assert in_deviations(plain, wanted) < 1e-3
    assert in_deviations(scaled, wanted) < 1e-3


def test_activation_scale_changes_nothing(lancet, tiny, tiny_reference, tmp_path):
    changed = tmp_path / "changed"
    shutil.copytree(tiny / "fp8", changed)
    tensors = checkpoint_io.read_safetensors(changed / "model.safetensors")
    for name, (dtype, value) in tensors.items():
        if name.endswith("activation_scale"):
            tensors[name] = (dtype, checkpoint_io.to_bf16(checkpoint_io.from_bf16(value) * 37).reshape(()))
    checkpoint_io.write_safetensors(changed / "model.safetensors", tensors)
    assert (changed / "model.safetensors").read_bytes() != (tiny / "fp8" / "model.safetensors").read_bytes()
    for flags in (["--exact"], []):
        a, b = (lancet.logits(m, tiny_reference.prompts["p20"], tmp_path / "l.f32", *flags)
                for m in (tiny / "fp8", changed))
        assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("change", [{"factor": 1.0}, {"llama_4_scaling_beta": 0.0}, {"rope_theta": 50000.0},
                                    {"original_max_position_embeddings": 32}, {"beta_slow": 4.0}])
def test_rope_parameters_are_obeyed(lancet, tiny, tiny_reference, tmp_path, change):
    changed = tmp_path / "changed"
    shutil.copytree(tiny / "fp8", changed)
    config = json.loads((changed / "config.json").read_text())
    config["text_config"]["rope_parameters"].update(change)
    (changed / "config.json").write_text(json.dumps(config))
    ids = tiny_reference.prompts["p150"]
    got = lancet.logits(changed, ids, tmp_path / "l.f32", "--exact")
    wanted = reference.logits(*reference.load(str(changed)), ids)
    assert in_deviations(got, wanted) < 1e-3
    assert of_largest(got[-1], tiny_reference.logits["fp8/p150/last"][0]) > 0.05, "the change must show"


def test_a_single_thread_gives_the_same_bytes(lancet, tiny, tiny_reference, tmp_path):
    for flags in (["--exact"], []):
        files = [lancet.logits(tiny / "fp8", tiny_reference.prompts["p150"], tmp_path / "l.f32", "--threads", n, *flags)
                 for n in (1, 2, 3)]
        assert files[0].tobytes() == files[1].tobytes() == files[2].tobytes()


def test_the_scalar_kernels_agree_with_the_fastest(lancet, tiny, tiny_reference, tmp_path):
    wanted = tiny_reference.logits["fp8/p150/last"][0]
    got = lancet.logits(tiny / "fp8", tiny_reference.prompts["p150"], tmp_path / "l.f32", "--exact", "--kernels", "scalar")
    assert in_deviations(got[-1], wanted) < 1e-3


# ---------------------------------------------------------------- SmolLM2
def digest_error(row, digest):
    """Against the digest of a row: its 20 best logits, 32 sampled ones; in standard deviations of the row."""
    known = np.array(digest["top20"] + digest["sample"])
    return float(np.abs(row[known[:, 0].astype(int)] - known[:, 1]).max() / digest["std"])


@pytest.mark.parametrize("case", range(len(SMOL)))
def test_smollm2_as_fp8_in_ministrals_layout_is_exact(lancet, smol_fp8, tmp_path, case):
    check_smollm2_exact(lancet, smol_fp8, tmp_path, SMOL[case], "fp8")


@pytest.mark.parametrize("case", range(len(SMOL)))
def test_smollm2_gguf_is_exact(lancet, smol_gguf, tmp_path, case):
    check_smollm2_exact(lancet, smol_gguf, tmp_path, SMOL[case], "gguf")


def check_smollm2_exact(lancet, model, tmp_path, case, engine):
    expected = case[engine]
    row = lancet.logits(model, case["ids"], tmp_path / "l.f32", "--exact")[-1]
    assert digest_error(row, expected["logits_after_prompt"]) < 1e-3
    assert abs(row.std() - expected["logits_after_prompt"]["std"]) < 1e-3 * row.std()
    got = lancet.greedy(model, case["ids"], 64, "--exact")
    steps = agreed(got["tokens"], expected["greedy"], expected["margins"], 1e-3)
    assert steps == len(expected["greedy"]), "no step of these is a tie in f32"
    assert got["text"] == expected["text"].removesuffix("<|im_end|>")
    assert got["finish_reason"] == ("stop" if expected["greedy"][-1] == 2 else "length")


@pytest.mark.parametrize("case", range(len(SMOL)))
def test_smollm2_gguf_by_default_is_as_close_as_llama_cpp(lancet, smol_gguf, tmp_path, case):
    expected = SMOL[case]["gguf"]
    row = lancet.logits(smol_gguf, SMOL[case]["ids"], tmp_path / "l.f32")[-1]
    known = np.array(expected["logits_after_prompt"]["top20"])
    assert np.abs(row[known[:, 0].astype(int)] - known[:, 1]).max() < 0.7
    agreed(lancet.greedy(smol_gguf, SMOL[case]["ids"], 64)["tokens"], expected["greedy"], expected["margins"], 1.0)


@pytest.mark.parametrize("case", range(len(SMOL)))
def test_smollm2_chat_prompts_have_the_ids_of_transformers(lancet, smol_gguf, case):
    got = lancet.json("render", "-m", smol_gguf,
                      stdin=json.dumps({"messages": SMOL[case]["messages"], "add_generation_prompt": True}))
    assert (got["prompt"], got["tokens"]) == (SMOL[case]["prompt"], SMOL[case]["ids"])

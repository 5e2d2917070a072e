#!/usr/bin/env python3
"""Writes tiny Ministral 3 checkpoints: the published file structure, names and dtypes with small deterministic weights.

    python make_test_checkpoints.py OUTDIR [--broken]

numpy, and gguf for the GGUF files. Every number comes from splitmix64 + Box-Muller keyed by (tensor name, seed), see
checkpoint_io.py. docs/test-data.md lists the variants.
"""
import argparse
import json
import os
import shutil
import sys

import numpy as np

import build_tekken_tokenizer as tek
from checkpoint_io import (byte_to_unicode, dequantise_fp8, gauss, half_to_pairs, quantise_fp8, round_bf16, to_bf16,
                           to_e4m3, write_safetensors)

PROFILE = {
    "seed": 20251202, "hidden": 64, "layers": 3, "heads": 4, "kv_heads": 2, "head_dim": 32, "ffn": 128,
    "eps": 1e-5, "max_pos": 1024, "merges": 280,
    "rope": {"beta_fast": 32.0, "beta_slow": 1.0, "factor": 16.0, "llama_4_scaling_beta": 0.1, "mscale": 1.0,
             "mscale_all_dim": 1.0, "original_max_position_embeddings": 64, "rope_theta": 10000.0, "rope_type": "yarn",
             "type": "yarn"},
    "vision": {"hidden": 32, "heads": 2, "layers": 2, "ffn": 64, "patch": 14, "image": 112, "theta": 10000.0},
    "embed_std": 1.0, "weight_std": 0.24, "template": "../tests/data/templates/inst.jinja",
    "variants": ["fp8", "fp8-p2", "fp8-sharded", "fp8-prefix", "fp8-untied", "fp8-textonly", "fp8-floatints", "bf16",
                 "fp8-channel", "fp8-block", "twins", "native", "gguf"],
}
CORPUS = (
    "The server reads the weights and the server writes the answer. When the reader asks for a file, the file is "
    "there; when the file is not there, the reader is told that it is not there. import json\ndef main(args):\n"
    "    for line in open(args.path):\n        print(json.dumps({\"name\": line.strip(), \"value\": [1, 2, 3]}))\n"
    "    return None\n\nL'été dernier, nous étions à la mer; l'eau était très belle. Über den Wolken ist die "
    "Freiheit grenzenlos. Привет, мир! 你好，世界。 In the morning they were reading and writing and talking. "
    "The weather in Paris is fine today, what is the weather in Rome? function get_weather(city) { return 22; }\n"
    "I'm sure that the other answer isn't the right one, but the reader doesn't know. The tools are called with "
    "the arguments and the results are returned to the model, and then the model answers the user.\n" * 2)


# ---------------------------------------------------------------- tokenizer
def train_ranks(text, merges):
    """Byte-pair training on whitespace-led words: rank order = order of creation, lowest pair wins ties."""
    import re
    words = {}
    for w in re.findall(r" ?\S+|\s", text):
        key = tuple(bytes([b]) for b in w.encode())
        words[key] = words.get(key, 0) + 1
    ranks = [bytes([b]) for b in range(256)]
    while len(ranks) < 256 + merges:
        count = {}
        for w, n in words.items():
            for pair in zip(w, w[1:]):
                count[pair] = count.get(pair, 0) + n
        count = {p: n for p, n in count.items() if p[0] + p[1] not in ranks}
        best = min(count, key=lambda p: (-count[p], p))
        ranks.append(best[0] + best[1])
        merged = {}
        for w, n in words.items():
            out, i = [], 0
            while i < len(w):
                if w[i:i + 2] == best:
                    out.append(best[0] + best[1])
                    i += 2
                else:
                    out.append(w[i])
                    i += 1
            merged[tuple(out)] = merged.get(tuple(out), 0) + n
        words = merged
    return ranks


# ---------------------------------------------------------------- weights (HF names without the language_model. prefix)
def linears(p):
    h, q, kv, f = p["hidden"], p["heads"] * p["head_dim"], p["kv_heads"] * p["head_dim"], p["ffn"]
    for i in range(p["layers"]):
        pre = f"model.layers.{i}."
        for name, shape in (("self_attn.q_proj", (q, h)), ("self_attn.k_proj", (kv, h)), ("self_attn.v_proj", (kv, h)),
                            ("self_attn.o_proj", (h, q)), ("mlp.gate_proj", (f, h)), ("mlp.up_proj", (f, h)),
                            ("mlp.down_proj", (h, f))):
            yield pre + name, shape


def text_weights(p):
    """-> (linear weights f64, others f32 that are exact in BF16)."""
    n = lambda name, shape, std: gauss(name, p["seed"], shape) * std
    lin = {name: n(name, s, p["weight_std"] * (0.7 if "q_proj" in name or "k_proj" in name else 1.0))
           for name, s in linears(p)}
    vocab = 1256 + p["merges"]
    other = {"model.embed_tokens.weight": n("model.embed_tokens.weight", (vocab, p["hidden"]), p["embed_std"]),
             "model.norm.weight": 1 + n("model.norm.weight", (p["hidden"],), 0.1)}
    for i in range(p["layers"]):
        for g in ("input_layernorm", "post_attention_layernorm"):
            name = f"model.layers.{i}.{g}.weight"
            other[name] = 1 + n(name, (p["hidden"],), 0.1)
    return lin, {k: round_bf16(v) for k, v in other.items()}


def vision_weights(p):
    v, std = p["vision"], p["weight_std"] * 0.8
    h, f, t = v["hidden"], v["ffn"], p["hidden"]
    shapes = {"vision_tower.patch_conv.weight": (h, 3, v["patch"], v["patch"]), "vision_tower.ln_pre.weight": (h,)}
    for i in range(v["layers"]):
        pre = f"vision_tower.transformer.layers.{i}."
        shapes.update({pre + f"attention.{x}_proj.weight": (h, h) for x in "qkvo"})
        shapes.update({pre + "attention_norm.weight": (h,), pre + "ffn_norm.weight": (h,),
                       pre + "feed_forward.gate_proj.weight": (f, h), pre + "feed_forward.up_proj.weight": (f, h),
                       pre + "feed_forward.down_proj.weight": (h, f)})
    m = "multi_modal_projector."
    shapes.update({m + "norm.weight": (h,), m + "patch_merger.merging_layer.weight": (h, 4 * h),
                   m + "linear_1.weight": (t, h), m + "linear_2.weight": (t, t)})
    out = {}
    for name, s in shapes.items():
        g = gauss(name, p["seed"], s)
        out[name] = round_bf16(1 + 0.1 * g if len(s) == 1 else g * (0.05 if len(s) == 4 else std))
    return out


# ---------------------------------------------------------------- config files
def config(p, quantised, tied=True, text_only=False):
    v = p["vision"]
    text = {"attention_dropout": 0.0, "head_dim": p["head_dim"], "hidden_act": "silu", "hidden_size": p["hidden"],
            "initializer_range": 0.02, "intermediate_size": p["ffn"], "max_position_embeddings": p["max_pos"],
            "model_type": "ministral3", "num_attention_heads": p["heads"], "num_hidden_layers": p["layers"],
            "num_key_value_heads": p["kv_heads"], "rms_norm_eps": p["eps"], "rope_parameters": p["rope"],
            "sliding_window": None, "tie_word_embeddings": tied, "use_cache": True, "vocab_size": 1256 + p["merges"]}
    skip = ["model.vision_tower", "model.multi_modal_projector", "lm_head"]
    quant = {"activation_scheme": "static", "dequantize": False, "modules_to_not_convert": skip + skip,
             "quant_method": "fp8", "weight_block_size": None}
    if text_only:
        c = {"architectures": ["Ministral3ForCausalLM"], "dtype": "bfloat16", **text}
        quant["modules_to_not_convert"] = ["lm_head"]
    else:
        c = {"architectures": ["Mistral3ForConditionalGeneration"], "dtype": "bfloat16", "image_token_index": 10,
             "model_type": "mistral3", "multimodal_projector_bias": False, "projector_hidden_act": "gelu",
             "spatial_merge_size": 2, "text_config": text, "vision_feature_layer": -1,
             "vision_config": {"attention_dropout": 0.0, "head_dim": v["hidden"] // v["heads"], "hidden_act": "silu",
                               "hidden_size": v["hidden"], "image_size": v["image"], "initializer_range": 0.02,
                               "intermediate_size": v["ffn"], "model_type": "pixtral",
                               "num_attention_heads": v["heads"], "num_channels": 3, "num_hidden_layers": v["layers"],
                               "patch_size": v["patch"], "rope_theta": v["theta"],
                               "rope_parameters": {"rope_theta": v["theta"], "rope_type": "default"}}}
        if not tied:
            c["tie_word_embeddings"] = False
    c["transformers_version"] = "5.0.0.dev0"
    if quantised:
        c["quantization_config"] = quant
    return c


def processor_config(p):
    image = {"data_format": "channels_first", "do_convert_rgb": True, "do_normalize": True, "do_rescale": True,
             "do_resize": True, "image_mean": [0.48145466, 0.4578275, 0.40821073],
             "image_processor_type": "PixtralImageProcessorFast", "image_std": [0.26862954, 0.26130258, 0.27577711],
             "patch_size": p["vision"]["patch"], "resample": 3, "rescale_factor": 1 / 255,
             "size": {"longest_edge": p["vision"]["image"]}}
    return {"image_break_token": "[IMG_BREAK]", "image_end_token": "[IMG_END]", "image_processor": image,
            "image_token": "[IMG]", "patch_size": p["vision"]["patch"], "processor_class": "PixtralProcessor",
            "spatial_merge_size": 2}


def params_json(p):
    v, r = p["vision"], p["rope"]
    return {"dim": p["hidden"], "n_layers": p["layers"], "head_dim": p["head_dim"], "hidden_dim": p["ffn"],
            "n_heads": p["heads"], "n_kv_heads": p["kv_heads"], "rope_theta": r["rope_theta"], "norm_eps": p["eps"],
            "vocab_size": 1256 + p["merges"], "tied_embeddings": True, "max_position_embeddings": p["max_pos"],
            "llama_4_scaling": {"original_max_position_embeddings": r["original_max_position_embeddings"],
                                "beta": r["llama_4_scaling_beta"]},
            "q_lora_rank": None, "qk_rope_head_dim": None, "qk_nope_head_dim": None, "kv_lora_rank": None,
            "v_head_dim": None, "quantization": {"qformat_weight": "fp8_e4m3", "qscheme_act": "TENSOR"},
            "yarn": {"original_max_position_embeddings": r["original_max_position_embeddings"], "factor": r["factor"],
                     "apply_scale": False, "beta": r["beta_fast"], "alpha": r["beta_slow"]},
            "vision_encoder": {"image_token_id": 10, "image_break_token_id": 12, "image_end_token_id": 13,
                               "intermediate_size": v["ffn"], "num_hidden_layers": v["layers"],
                               "num_attention_heads": v["heads"], "mm_projector_id": "patch_merge",
                               "spatial_merge_size": 2, "hidden_size": v["hidden"], "num_channels": 3,
                               "image_size": v["image"], "max_image_size": v["image"], "patch_size": v["patch"],
                               "rope_theta": v["theta"], "add_pre_mm_projector_layer_norm": True,
                               "adapter_bias": False}}


def write_json(obj, path, sort=True):
    with open(path, "w", encoding="utf-8") as f:
        f.write(json.dumps(obj, indent=2, sort_keys=sort, ensure_ascii=False) + "\n")


# ---------------------------------------------------------------- name mappings
def native_name(hf):
    """HF module path (no .weight) -> Mistral-native module path."""
    for a, b in (("model.embed_tokens", "tok_embeddings"), ("lm_head", "output"), ("model.layers.", "layers."),
                 ("model.norm", "norm"), ("self_attn.", "attention."), ("mlp.gate_proj", "feed_forward.w1"),
                 ("mlp.down_proj", "feed_forward.w2"), ("mlp.up_proj", "feed_forward.w3"),
                 ("input_layernorm", "attention_norm"), ("post_attention_layernorm", "ffn_norm"),
                 ("feed_forward.gate_proj", "feed_forward.w1"), ("feed_forward.down_proj", "feed_forward.w2"),
                 ("feed_forward.up_proj", "feed_forward.w3"), ("vision_tower.", "vision_encoder."),
                 ("multi_modal_projector.norm", "pre_mm_projector_norm"),
                 ("multi_modal_projector.patch_merger", "patch_merger"),
                 ("multi_modal_projector.linear_1", "vision_language_adapter.w_in"),
                 ("multi_modal_projector.linear_2", "vision_language_adapter.w_out")):
        hf = hf.replace(a, b)
    for x in "qkvo":
        hf = hf.replace(f"attention.{x}_proj", f"attention.w{x}")
    return hf


def gguf_name(hf):
    """HF tensor name -> GGUF tensor name (text file, or mmproj for vision tensors)."""
    fixed = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight",
             "lm_head.weight": "output.weight", "vision_tower.patch_conv.weight": "v.patch_embd.weight",
             "vision_tower.ln_pre.weight": "v.pre_ln.weight", "multi_modal_projector.norm.weight": "mm.input_norm.weight",
             "multi_modal_projector.patch_merger.merging_layer.weight": "mm.patch_merger.weight",
             "multi_modal_projector.linear_1.weight": "mm.1.weight", "multi_modal_projector.linear_2.weight": "mm.2.weight"}
    if hf in fixed:
        return fixed[hf]
    part = hf.split(".")
    text = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q",
            "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
            "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}
    vision = {"attention_norm": "ln1", "ffn_norm": "ln2", "attention.q_proj": "attn_q", "attention.k_proj": "attn_k",
              "attention.v_proj": "attn_v", "attention.o_proj": "attn_out", "feed_forward.gate_proj": "ffn_gate",
              "feed_forward.up_proj": "ffn_up", "feed_forward.down_proj": "ffn_down"}
    if hf.startswith("model.layers."):
        return f"blk.{part[2]}.{text['.'.join(part[3:-1])]}.weight"
    return f"v.blk.{part[3]}.{vision['.'.join(part[4:-1])]}.weight"


def rows_to_pairs(name, w, p):
    """q/k rows into adjacent-pair order; everything else unchanged."""
    text, vision = ".self_attn." in name, ".attention." in name
    if text and "q_proj" in name:
        return half_to_pairs(w, p["heads"])
    if text and "k_proj" in name:
        return half_to_pairs(w, p["kv_heads"])
    if vision and ("q_proj" in name or "k_proj" in name):
        return half_to_pairs(w, p["vision"]["heads"])
    return w


# ---------------------------------------------------------------- writers
class Tiny:
    def __init__(self, out, p):
        self.out, self.p = out, p
        self.lin, self.other = text_weights(p)
        self.vision = vision_weights(p)
        self.ranks = train_ranks(CORPUS, p["merges"])
        act = lambda name: np.float32(round_bf16(np.float32(0.01 + 0.05 * abs(float(gauss(name, p["seed"], (1,))[0])))))
        group = {"q_proj": "qkv", "k_proj": "qkv", "v_proj": "qkv", "gate_proj": "gu", "up_proj": "gu"}
        self.act = {n: act(n.rsplit(".", 1)[0] + group.get(n.rsplit(".", 1)[1], n.rsplit(".", 1)[1])) for n in self.lin}

    def fp8(self, p2):
        return {n: quantise_fp8(w, p2) for n, w in self.lin.items()}

    def text_tensors(self, p2=False, bf16=False, prefix="language_model."):
        out = {prefix + n: ("BF16", to_bf16(w)) for n, w in self.other.items()}
        for n, (codes, s) in self.fp8(p2).items():
            if bf16:
                out[prefix + n + ".weight"] = ("BF16", to_bf16(dequantise_fp8(codes, s)))
            else:
                out[prefix + n + ".weight"] = ("F8_E4M3", codes)
                out[prefix + n + ".weight_scale_inv"] = ("BF16", to_bf16(s).reshape(()))
                out[prefix + n + ".activation_scale"] = ("BF16", to_bf16(self.act[n]).reshape(()))
        return out

    def grid_tensors(self, block, twin):
        """Linear weights with one scale a row, or one a block of rows x columns; or their F32 twins."""
        out = {}
        for n, w in self.lin.items():
            rows, cols = block[0], block[1] or w.shape[1]
            grid = w.reshape(w.shape[0] // rows, rows, w.shape[1] // cols, cols)
            scale = (np.abs(grid).max(axis=(1, 3)) / 448).astype(np.float32)
            full = np.repeat(np.repeat(scale, rows, 0), cols, 1)
            codes = to_e4m3(w / full.astype(np.float64))
            name = "language_model." + n + ".weight"
            if twin:
                out[name] = ("F32", dequantise_fp8(codes, 1) * full)
            else:
                out[name] = ("F8_E4M3", codes)
                out[name + "_scale_inv"] = ("F32", scale)
        return out

    def vision_tensors(self, prefix=""):
        return {prefix + n: ("BF16", to_bf16(w)) for n, w in self.vision.items()}

    def start(self, name, cfg, vision=True):
        d = os.path.join(self.out, name)
        os.makedirs(d, exist_ok=True)
        write_json(cfg, os.path.join(d, "config.json"))
        write_json({"bos_token_id": 1, "eos_token_id": 2, "max_length": self.p["max_pos"], "pad_token_id": 11,
                    "transformers_version": "5.0.0.dev0"}, os.path.join(d, "generation_config.json"))
        tek.dump(tek.tokenizer_json(self.ranks), os.path.join(d, "tokenizer.json"))
        write_json({"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>",
                    "model_max_length": self.p["max_pos"], "processor_class": "PixtralProcessor",
                    "tokenizer_class": "TokenizersBackend"}, os.path.join(d, "tokenizer_config.json"))
        with open(os.path.join(d, "chat_template.jinja"), "w", encoding="utf-8") as f:
            f.write(self.template(self.p["template"]))
        if vision:
            write_json(processor_config(self.p), os.path.join(d, "processor_config.json"))
        return d

    def template(self, path):
        here = os.path.dirname(os.path.abspath(__file__))
        return open(os.path.join(here, path), encoding="utf-8").read()

    def single(self, name, tensors, cfg, vision=True):
        write_safetensors(os.path.join(self.start(name, cfg, vision), "model.safetensors"), tensors)

    def sharded(self, name):
        d = self.start(name, config(self.p, True))
        tensors = {**self.text_tensors(), **self.vision_tensors()}
        last = self.p["layers"] - 1
        second = lambda n: (f".layers.{last}." in n and "self_attn" not in n and n.startswith("language_model")) \
            or n == "language_model.model.norm.weight"
        parts, weight_map, total = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"), {}, 0
        for i, part in enumerate(parts):
            chosen = {n: t for n, t in tensors.items() if second(n) == bool(i)}
            total += write_safetensors(os.path.join(d, part), chosen)
            weight_map.update({n: part for n in chosen})
        write_json({"metadata": {"total_parameters": sum(int(np.prod(t[1].shape)) for t in tensors.values()),
                                 "total_size": total}, "weight_map": weight_map},
                   os.path.join(d, "model.safetensors.index.json"))

    def native(self, name):
        d = os.path.join(self.out, name)
        os.makedirs(d, exist_ok=True)
        out = {}
        for n, (codes, s) in self.fp8(False).items():
            m = native_name(n)
            out[m + ".weight"] = ("F8_E4M3", np.ascontiguousarray(rows_to_pairs(n, codes, self.p)))
            out[m + ".qscale_weight"] = ("BF16", to_bf16(s).reshape(()))
            out[m + ".qscale_act"] = ("BF16", to_bf16(self.act[n]).reshape(()))
        for n, w in {**self.other, **self.vision}.items():
            m = native_name(n.removesuffix(".weight")) + ".weight"
            out[m] = ("BF16", to_bf16(np.ascontiguousarray(rows_to_pairs(n, w, self.p))))
        write_safetensors(os.path.join(d, "consolidated.safetensors"), out)
        write_json(params_json(self.p), os.path.join(d, "params.json"), sort=False)
        v = self.p["vision"]
        tek.dump(tek.tekken_json(self.ranks, image={"image_patch_size": v["patch"], "max_image_size": v["image"],
                                                    "spatial_merge_size": 2}), os.path.join(d, "tekken.json"))

    def gguf(self, name):
        import gguf  # here, so that the other variants need numpy only
        d, p, r = os.path.join(self.out, name), self.p, self.p["rope"]
        os.makedirs(d, exist_ok=True)
        weights = {n + ".weight": dequantise_fp8(*q) for n, q in self.fp8(False).items()}
        weights.update(self.other)
        b2u = byte_to_unicode()
        tokens = tek.SPECIALS + ["".join(b2u[b] for b in t) for t in self.ranks]
        merges = [f"{tokens[1000 + a]} {tokens[1000 + b]}" for a, b in tek.merges_of(self.ranks)]
        for label, qtype in (("F32", gguf.GGMLQuantizationType.F32), ("BF16", gguf.GGMLQuantizationType.BF16),
                             ("Q8_0", gguf.GGMLQuantizationType.Q8_0)):
            w = gguf.GGUFWriter(os.path.join(d, f"tiny-{label}.gguf"), "mistral3")
            w.add_name("Tiny Ministral 3")
            w.add_vocab_size(len(tokens))
            w.add_context_length(p["max_pos"])
            w.add_embedding_length(p["hidden"])
            w.add_block_count(p["layers"])
            w.add_feed_forward_length(p["ffn"])
            w.add_head_count(p["heads"])
            w.add_head_count_kv(p["kv_heads"])
            w.add_key_length(p["head_dim"])
            w.add_value_length(p["head_dim"])
            w.add_layer_norm_rms_eps(p["eps"])
            w.add_attn_temperature_scale(r["llama_4_scaling_beta"])
            w.add_rope_dimension_count(p["head_dim"])
            w.add_rope_freq_base(r["rope_theta"])
            w.add_rope_scaling_type(gguf.RopeScalingType.YARN)
            w.add_rope_scaling_factor(r["factor"])
            w.add_rope_scaling_orig_ctx_len(r["original_max_position_embeddings"])
            w.add_rope_scaling_yarn_beta_fast(r["beta_fast"])
            w.add_rope_scaling_yarn_beta_slow(r["beta_slow"])
            w.add_rope_scaling_yarn_log_mul(r["mscale_all_dim"])
            w.add_tokenizer_model("gpt2")
            w.add_tokenizer_pre("tekken")
            w.add_token_list(tokens)
            w.add_array("tokenizer.ggml.scores", np.zeros(len(tokens), np.int32).tolist())
            w.add_token_types([3] * 1000 + [1] * len(self.ranks))
            w.add_token_merges(merges)
            w.add_bos_token_id(1)
            w.add_eos_token_id(2)
            w.add_unk_token_id(0)
            w.add_pad_token_id(11)
            w.add_add_bos_token(True)
            w.add_add_eos_token(False)
            w.add_chat_template(self.template(p["template"]))
            self.gguf_tensors(w, weights, qtype)
        w = gguf.GGUFWriter(os.path.join(d, "tiny-mmproj.gguf"), "clip")
        v = p["vision"]
        w.add_string("general.type", "mmproj")
        w.add_string("clip.projector_type", "pixtral")
        w.add_bool("clip.has_vision_encoder", True)
        w.add_bool("clip.use_silu", True)
        for key, value in (("image_size", v["image"]), ("patch_size", v["patch"]), ("embedding_length", v["hidden"]),
                           ("feed_forward_length", v["ffn"]), ("block_count", v["layers"]),
                           ("attention.head_count", v["heads"]), ("projection_dim", p["hidden"]),
                           ("spatial_merge_size", 2)):
            w.add_uint32("clip.vision." + key, value)
        w.add_float32("clip.vision.attention.layer_norm_epsilon", 1e-5)
        w.add_array("clip.vision.image_mean", [0.48145466, 0.4578275, 0.40821073])
        w.add_array("clip.vision.image_std", [0.26862954, 0.26130258, 0.27577711])
        w.add_tensor("v.token_embd.img_break", self.other["model.embed_tokens.weight"][12].copy())
        self.gguf_tensors(w, self.vision, gguf.GGMLQuantizationType.F32)

    def gguf_tensors(self, w, weights, qtype):
        import gguf
        for n, a in weights.items():
            a = np.ascontiguousarray(rows_to_pairs(n, a, self.p), np.float32)
            if a.ndim == 2 and qtype != gguf.GGMLQuantizationType.F32:
                w.add_tensor(gguf_name(n), gguf.quants.quantize(a, qtype), raw_dtype=qtype)
            else:
                w.add_tensor(gguf_name(n), a)
        w.write_header_to_file()
        w.write_kv_data_to_file()
        w.write_tensors_to_file()
        w.close()

    def make(self, variant):
        p, both = self.p, lambda **k: {**self.text_tensors(**k), **self.vision_tensors()}
        if variant == "fp8":
            self.single(variant, both(), config(p, True))
        elif variant == "fp8-p2":
            self.single(variant, both(p2=True), config(p, True))
        elif variant == "bf16":                       # exact BF16 image of fp8-p2
            self.single(variant, both(p2=True, bf16=True), config(p, False))
        elif variant == "fp8-sharded":
            self.sharded(variant)
        elif variant == "fp8-prefix":
            text = {n.replace("model.", "model.language_model.", 1): t for n, t in self.text_tensors(prefix="").items()}
            self.single(variant, {**text, **self.vision_tensors("model.")}, config(p, True))
        elif variant == "fp8-untied":
            head = round_bf16(gauss("lm_head.weight", p["seed"], (1256 + p["merges"], p["hidden"])) * p["embed_std"])
            self.single(variant, {**both(), "language_model.lm_head.weight": ("BF16", to_bf16(head))},
                        config(p, True, tied=False))
        elif variant == "fp8-textonly":
            self.single(variant, self.text_tensors(prefix=""), config(p, True, text_only=True), vision=False)
        elif variant == "fp8-floatints":
            c = config(p, True)
            t = c["text_config"]
            t["max_position_embeddings"] = float(t["max_position_embeddings"])
            t["rope_parameters"] = {k: float(x) if type(x) is int else x for k, x in t["rope_parameters"].items()}
            c["vision_config"]["image_size"] = float(c["vision_config"]["image_size"])
            self.single(variant, both(), c)
        elif variant in ("fp8-channel", "fp8-block"):
            block = (1, None) if variant == "fp8-channel" else (32, 32)
            c = config(p, True)
            c["quantization_config"]["weight_block_size"] = None if variant == "fp8-channel" else list(block)
            self.single(variant, {**both(), **self.grid_tensors(block, twin=False)}, c)
        elif variant == "twins":                      # the same numbers in F32, scales multiplied in
            for name, block in (("channel-twin", (1, None)), ("block-twin", (32, 32))):
                plain = {n: t for n, t in both().items() if "_scale" not in n}
                self.single(name, {**plain, **self.grid_tensors(block, twin=True)}, config(p, False))
        elif variant == "native":
            self.native(variant)
        elif variant == "gguf":
            self.gguf(variant)
        else:
            sys.exit(f"unknown variant {variant}")

    def broken(self):
        """Checkpoints that must be refused, each with one defect."""
        src, p = os.path.join(self.out, "fp8"), self.p
        layer = "language_model.model.layers.1.mlp.up_proj.weight"

        def copy(name, tensors):
            d = os.path.join(self.out, "broken", name)
            shutil.copytree(src, d, dirs_exist_ok=True)
            write_safetensors(os.path.join(d, "model.safetensors"), tensors)
            return os.path.join(d, "model.safetensors")
        base = {**self.text_tensors(), **self.vision_tensors()}
        copy("missing-scale", {n: t for n, t in base.items() if n != layer + "_scale_inv"})
        codes = base[layer][1].copy()
        codes[0, 0] = 0x7F
        copy("nan-code", {**base, layer: ("F8_E4M3", codes)})
        copy("wrong-shape", {**base, layer: ("F8_E4M3", base[layer][1][:-1])})
        path = copy("truncated", base)
        with open(path, "r+b") as f:
            f.truncate(os.path.getsize(path) - 1000)
        copy("block-scale", {**base, layer + "_scale_inv": ("BF16", to_bf16(np.ones((2, 2), np.float32)))})


if __name__ == "__main__":
    ap = argparse.ArgumentParser()
    ap.add_argument("out")
    ap.add_argument("--broken", action="store_true")
    a = ap.parse_args()
    t = Tiny(a.out, PROFILE)
    for variant in PROFILE["variants"]:
        t.make(variant)
    if a.broken:
        t.broken()

#!/usr/bin/env python3
"""Executable specification of Ministral 3 inference: plain numpy, float64, no caching, written to be read.

    python reference.py CHECKPOINT 1,3,1500 [-n 8]      ids in, greedy ids out

Reads a Hugging Face directory (FP8 or BF16, any of the published name prefixes), a Mistral-native directory
(params.json + consolidated.safetensors) or a GGUF file (with the gguf package) plus an optional mmproj GGUF.
Rotary order is a property of the file: "half" pairs (i, i+d/2) in Hugging Face files, "adjacent" pairs (2i, 2i+1) in
native and GGUF files. Nothing is reordered here; the rotation follows the file.
"""
import glob
import json
import math
import os
import struct
import sys

import numpy as np

f64 = np.float64

# ------------------------------------------------------------------ 1. numbers on disk
def e4m3(byte):
    """One E4M3FN code: sign, 4 exponent bits (bias 7), 3 mantissa bits; no infinities, 0x7F and 0xFF are NaN."""
    s, e, m = byte >> 7, (byte >> 3) & 15, byte & 7
    if (e, m) == (15, 7):
        return math.nan
    return (-1) ** s * (m / 8 * 2.0**-6 if e == 0 else (1 + m / 8) * 2.0 ** (e - 7))

E4M3_TABLE = np.array([e4m3(b) for b in range(256)], np.float32)
def tensor_from_bytes(dtype, raw, shape):
    if dtype == "BF16":
        a = (np.frombuffer(raw, "<u2").astype("<u4") << 16).view("<f4")
    elif dtype == "F8_E4M3":
        a = E4M3_TABLE[np.frombuffer(raw, np.uint8)]
    else:
        a = np.frombuffer(raw, {"F32": "<f4", "F16": "<f2"}[dtype]).astype(np.float32)
    return a.reshape(shape)
def read_safetensors(path):
    raw = open(path, "rb").read()
    n, = struct.unpack("<Q", raw[:8])
    for name, t in json.loads(raw[8:8 + n]).items():
        if name != "__metadata__":
            begin, end = (8 + n + o for o in t["data_offsets"])
            yield name, tensor_from_bytes(t["dtype"], raw[begin:end], t["shape"])
def spread(scale, shape):
    """One scale, one a row [rows, 1], or one a block [rows / r, columns / c] (its shape tells r and c) -> per value."""
    if scale.size == 1:
        return np.float32(scale.reshape(()))
    r, c = (-(-n // m) for n, m in zip(shape, scale.shape))
    return np.repeat(np.repeat(scale, r, 0), c, 1)[:shape[0], :shape[1]]
def apply_scales(tensors):
    """weight = fp8 value * scale, the product in float32. The activation scale is not used (W8A32)."""
    out = {}
    for name, a in tensors.items():
        scale = tensors.get(name + "_scale_inv", tensors.get(name.removesuffix("weight") + "qscale_weight"))
        if not name.endswith(("_scale_inv", ".activation_scale", ".qscale_weight", ".qscale_act")):
            out[name] = a if scale is None or not name.endswith(".weight") else a * spread(scale, a.shape)
    return out

# ------------------------------------------------------------------ 2. one set of names: short, close to GGUF
TEXT = {"attn_norm": "input_layernorm attention_norm", "ffn_norm": "post_attention_layernorm ffn_norm",
        "attn_q": "self_attn.q_proj attention.wq", "attn_k": "self_attn.k_proj attention.wk",
        "attn_v": "self_attn.v_proj attention.wv", "attn_output": "self_attn.o_proj attention.wo",
        "ffn_gate": "mlp.gate_proj feed_forward.w1", "ffn_down": "mlp.down_proj feed_forward.w2",
        "ffn_up": "mlp.up_proj feed_forward.w3"}
VISION = {"ln1": "attention_norm", "ln2": "ffn_norm", "attn_q": "attention.q_proj attention.wq",
          "attn_k": "attention.k_proj attention.wk", "attn_v": "attention.v_proj attention.wv",
          "attn_out": "attention.o_proj attention.wo", "ffn_gate": "feed_forward.gate_proj feed_forward.w1",
          "ffn_down": "feed_forward.down_proj feed_forward.w2", "ffn_up": "feed_forward.up_proj feed_forward.w3"}
SINGLE = {"token_embd": "embed_tokens tok_embeddings", "output_norm": "norm", "output": "lm_head output",
          "v.patch_embd": "vision_tower.patch_conv vision_encoder.patch_conv",
          "v.pre_ln": "vision_tower.ln_pre vision_encoder.ln_pre",
          "mm.input_norm": "multi_modal_projector.norm pre_mm_projector_norm",
          "mm.patch_merger": "multi_modal_projector.patch_merger.merging_layer patch_merger.merging_layer",
          "mm.1": "multi_modal_projector.linear_1 vision_language_adapter.w_in",
          "mm.2": "multi_modal_projector.linear_2 vision_language_adapter.w_out"}
def short_names(layers, vision_layers):
    table = {}
    for short, longs in SINGLE.items():
        table.update({x + ".weight": short for x in longs.split()})
    for names, dst, pres, n in ((TEXT, "blk", ["layers"], layers),
                                (VISION, "v.blk", ["vision_tower.transformer.layers",
                                                   "vision_encoder.transformer.layers"], vision_layers)):
        for i in range(n):
            for short, longs in names.items():
                table.update({f"{p}.{i}.{x}.weight": f"{dst}.{i}.{short}" for x in longs.split() for p in pres})
    return table
def canonical(tensors, cfg):
    table, out = short_names(cfg["layers"], cfg.get("vision", {}).get("layers", 0)), {}
    for name, a in tensors.items():
        for prefix in ("language_model.model.", "model.language_model.", "language_model.", "model.", ""):
            if name.startswith(prefix) and name[len(prefix):] in table:
                out[table[name[len(prefix):]]] = a.astype(f64)
                break
        else:
            raise SystemExit(f"unexpected tensor {name}")
    return out

# ------------------------------------------------------------------ 3. configuration -> one flat dict
def config_hf(c):
    t, v = c.get("text_config", c), c.get("vision_config")
    cfg = {"layers": t["num_hidden_layers"], "heads": t["num_attention_heads"], "kv": t["num_key_value_heads"],
           "d": t["head_dim"], "eps": t["rms_norm_eps"], "rope": t["rope_parameters"], "order": "half"}
    return {**cfg, "vision": config_vision(v, v["rope_parameters"]["rope_theta"])} if v else cfg
def config_vision(v, theta):
    return {"layers": v["num_hidden_layers"], "heads": v["num_attention_heads"], "patch": v["patch_size"], "theta": theta}
def config_native(c):
    y, l4, v = c["yarn"], c["llama_4_scaling"], c["vision_encoder"]
    return {"layers": c["n_layers"], "heads": c["n_heads"], "kv": c["n_kv_heads"], "d": c["head_dim"],
            "eps": c["norm_eps"], "order": "adjacent",
            "rope": {"rope_theta": c["rope_theta"], "factor": y["factor"], "beta_fast": y["beta"],
                     "beta_slow": y["alpha"], "mscale": 1.0, "mscale_all_dim": 1.0,
                     "original_max_position_embeddings": y["original_max_position_embeddings"],
                     "llama_4_scaling_beta": l4["beta"]},
            "vision": config_vision(v, v["rope_theta"])}
def load_gguf(path, mmproj=None):
    import gguf
    def read(p):
        r = gguf.GGUFReader(p)
        fields = {k: f.contents() for k, f in r.fields.items() if "tokenizer" not in k}
        return fields, {t.name.removesuffix(".weight"): gguf.quants.dequantize(t.data, t.tensor_type)
                        .reshape(t.shape[::-1]).astype(f64) for t in r.tensors}
    k, w = read(path)
    g = lambda key, *d: k.get("mistral3." + key, *d)
    cfg = {"layers": g("block_count"), "heads": g("attention.head_count"), "kv": g("attention.head_count_kv"),
           "d": g("attention.key_length"), "eps": g("attention.layer_norm_rms_epsilon"), "order": "adjacent",
           "rope": {"rope_theta": g("rope.freq_base"), "factor": g("rope.scaling.factor"), "mscale": 1.0,
                    "mscale_all_dim": 1.0, "beta_fast": g("rope.scaling.yarn_beta_fast", 32.0),
                    "beta_slow": g("rope.scaling.yarn_beta_slow", 1.0),
                    "original_max_position_embeddings": g("rope.scaling.original_context_length"),
                    "llama_4_scaling_beta": g("attention.temperature_scale", 0.0)}}
    if mmproj:
        v, vw = read(mmproj)
        c = lambda key: v["clip.vision." + key]
        cfg["vision"] = {"layers": c("block_count"), "heads": c("attention.head_count"), "patch": c("patch_size"),
                         "theta": 10000.0}                                     # the file has no key for it
        w.update({n: a for n, a in vw.items() if n != "v.token_embd.img_break"})
    return cfg, w
def load(path, mmproj=None):
    if path.endswith(".gguf"):
        return load_gguf(path, mmproj)
    native = os.path.exists(os.path.join(path, "params.json"))
    c = json.load(open(os.path.join(path, "params.json" if native else "config.json")))
    cfg = config_native(c) if native else config_hf(c)
    raw = {n: a for f in sorted(glob.glob(os.path.join(path, "*.safetensors"))) for n, a in read_safetensors(f)}
    return cfg, canonical(apply_scales(raw), cfg)

# ------------------------------------------------------------------ 4. the mathematics
def rms(x, gain, eps):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * gain
def silu(x):
    return x / (1 + np.exp(-x))
def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)

def yarn(d, r):
    """-> inverse frequencies [d/2], factor on cos and sin."""
    theta, s, L0 = r["rope_theta"], r["factor"], r["original_max_position_embeddings"]
    extrap = theta ** (-np.arange(0, d, 2, dtype=f64) / d)
    corr = lambda turns: d * math.log(L0 / (turns * 2 * math.pi)) / (2 * math.log(theta))
    low, high = max(math.floor(corr(r["beta_fast"])), 0), min(math.ceil(corr(r["beta_slow"])), d - 1)
    ramp = np.clip((np.arange(d // 2) - low) / ((high - low) or 0.001), 0, 1)
    m = lambda k: 0.1 * k * math.log(s) + 1 if s > 1 else 1.0
    both = r.get("mscale") and r.get("mscale_all_dim")
    return extrap / s * ramp + extrap * (1 - ramp), m(r["mscale"]) / m(r["mscale_all_dim"]) if both else m(1)

def rotate(x, angles, order, factor=1.0):
    """x [tokens, heads, d], angles [tokens, d/2]: pair i turns by angles[:, i]."""
    c, s = np.cos(angles)[:, None] * factor, np.sin(angles)[:, None] * factor
    half = x.shape[-1] // 2
    a, b = (x[..., :half], x[..., half:]) if order == "half" else (x[..., 0::2], x[..., 1::2])
    y = np.empty_like(x)
    first, second = (y[..., :half], y[..., half:]) if order == "half" else (y[..., 0::2], y[..., 1::2])
    first[:], second[:] = a * c - b * s, b * c + a * s
    return y

def attention(q, k, v, mask):
    """q [n, H, d], k and v [n, K, d]; query head j reads key head j // (H/K)."""
    group = q.shape[1] // k.shape[1]
    k, v = np.repeat(k, group, 1), np.repeat(v, group, 1)
    scores = np.einsum("qhd,khd->hqk", q, k) / math.sqrt(q.shape[-1]) + mask
    return np.einsum("hqk,khd->qhd", softmax(scores), v).reshape(len(q), -1)
def swiglu(x, w, p):
    return (silu(x @ w[p + "ffn_gate"].T) * (x @ w[p + "ffn_up"].T)) @ w[p + "ffn_down"].T

def decode(cfg, w, h, layers_out=None):
    """h [tokens, hidden] -> logits [tokens, vocabulary]."""
    n, d, r = len(h), cfg["d"], cfg["rope"]
    pos = np.arange(n)
    inv_freq, factor = yarn(d, r)
    angles = pos[:, None] * inv_freq
    t = 1 + (r["llama_4_scaling_beta"] or 0) * np.log(1 + pos // r["original_max_position_embeddings"])
    mask = np.where(pos[:, None] >= pos[None], 0.0, -np.inf)
    for i in range(cfg["layers"]):
        p = f"blk.{i}."
        if layers_out is not None:
            layers_out.append(h)
        a = rms(h, w[p + "attn_norm"], cfg["eps"])
        q, k, v = ((a @ w[p + x].T).reshape(n, -1, d) for x in ("attn_q", "attn_k", "attn_v"))
        q = rotate(q, angles, cfg["order"], factor) * t[:, None, None]
        k = rotate(k, angles, cfg["order"], factor)
        h = h + attention(q, k, v, mask) @ w[p + "attn_output"].T
        h = h + swiglu(rms(h, w[p + "ffn_norm"], cfg["eps"]), w, p)
    h = rms(h, w["output_norm"], cfg["eps"])
    layers_out is not None and layers_out.append(h)
    return h @ w.get("output", w["token_embd"]).T

def encode_images(cfg, w, images):
    """images: list of [3, H, W], H and W multiples of 2*patch -> (tower output, projected rows), images concatenated."""
    c, rows, angles, owner, grids = cfg["vision"], [], [], [], []
    d = w["v.blk.0.attn_q"].shape[0] // c["heads"]
    f = c["theta"] ** (-np.arange(0, d, 2, dtype=f64) / d)
    for number, image in enumerate(images):
        gh, gw = image.shape[1] // c["patch"], image.shape[2] // c["patch"]
        patches = image.reshape(3, gh, c["patch"], gw, c["patch"]).transpose(1, 3, 0, 2, 4).reshape(gh * gw, -1)
        rows.append(patches @ w["v.patch_embd"].reshape(len(w["v.patch_embd"]), -1).T)
        y, x = np.divmod(np.arange(gh * gw), gw)
        angles.append(np.concatenate([y[:, None] * f[0::2], x[:, None] * f[1::2]], 1))
        owner += [number] * (gh * gw)
        grids.append((gh, gw))
    h, angles, owner = rms(np.concatenate(rows), w["v.pre_ln"], 1e-5), np.concatenate(angles), np.array(owner)
    mask = np.where(owner[:, None] == owner[None], 0.0, -np.inf)
    for i in range(c["layers"]):
        p = f"v.blk.{i}."
        a = rms(h, w[p + "ln1"], 1e-5)
        q, k, v = ((a @ w[p + x].T).reshape(len(h), -1, d) for x in ("attn_q", "attn_k", "attn_v"))
        q, k = (rotate(x, angles, cfg["order"]) for x in (q, k))
        h = h + attention(q, k, v, mask) @ w[p + "attn_out"].T
        h = h + swiglu(rms(h, w[p + "ln2"], 1e-5), w, p)
    normed, out, at = rms(h, w["mm.input_norm"], cfg["eps"]), [], 0
    for gh, gw in grids:                       # 2x2 merge, feature index = channel*4 + ky*2 + kx
        g = normed[at:at + gh * gw].reshape(gh // 2, 2, gw // 2, 2, -1).transpose(0, 2, 4, 1, 3)
        out.append(g.reshape((gh // 2) * (gw // 2), -1))
        at += gh * gw
    x = np.concatenate(out) @ w["mm.patch_merger"].T @ w["mm.1"].T
    erf = np.vectorize(math.erf)
    return h, (0.5 * x * (1 + erf(x / math.sqrt(2)))) @ w["mm.2"].T

def logits(cfg, w, ids, images=(), layers_out=None):
    ids = np.asarray(ids)
    h = w["token_embd"][ids]
    if len(images):
        rows = encode_images(cfg, w, [np.asarray(i, f64) for i in images])[1]
        h[np.flatnonzero(ids == 10)[:len(rows)]] = rows        # an [IMG] that the model itself emits keeps its embedding
    return decode(cfg, w, h, layers_out)
def greedy(cfg, w, ids, n, images=()):
    ids = list(ids)
    for _ in range(n):
        ids.append(int(logits(cfg, w, ids, images)[-1].argmax()))
    return ids[-n:]

if __name__ == "__main__":
    config, weights = load(sys.argv[1])
    print(greedy(config, weights, [int(x) for x in sys.argv[2].split(",")], int(sys.argv[4]) if "-n" in sys.argv else 8))

"""doctor by mutation: faults planted in good models must be found and called by their names, and nothing else.

By default: a few faults that cost a fraction of a second each. LANCET_DOCTOR=all plants every fault of the table in SmolLM2, as
GGUF and in Ministral's format, and prints the table (half an hour on two busy cores).
"""
import hashlib
import json
import os
import re
import shutil
import subprocess
import time

import numpy as np
import pytest
from checkpoint_io import (E4M3, from_bf16, half_to_pairs, pairs_to_half, read_safetensors, to_bf16, write_safetensors)
from conftest import ROOT, lines_until_ready

ALL = os.environ.get("LANCET_DOCTOR") == "all"
LAYER = "language_model.model.layers.{}."
Q, K, V, O = (f"self_attn.{x}_proj.weight" for x in "qkvo")
GATE, UP, DOWN = (f"mlp.{x}_proj.weight" for x in ("gate", "up", "down"))
NORMS = ("input_layernorm.weight", "post_attention_layernorm.weight")
EMBEDDING = "language_model.model.embed_tokens.weight"
PARTS = [Q, K, V, O, GATE, UP, DOWN, *NORMS]


class Model:
    """A safetensors folder whose parts a fault changes."""

    def __init__(self, folder):
        self.folder = folder
        self.weights = folder / "model.safetensors"
        self.config = json.loads((folder / "config.json").read_text())
        self.text = self.config["text_config"]
        self.layers = self.text["num_hidden_layers"]

    def set(self, **values):
        for key, value in values.items():
            place = self.text["rope_parameters"] if key in self.text["rope_parameters"] else self.text
            place[key] = value
        (self.folder / "config.json").write_text(json.dumps(self.config))

    def tensors(self, change):
        tensors = read_safetensors(self.weights)
        change(tensors)
        write_safetensors(self.weights, tensors)

    def edit(self, name, change):
        """One tensor's stored array, changed by a function from array to array."""
        self.tensors(lambda t: t.__setitem__(name, (t[name][0], change(t[name][1].copy()))))

    def json(self, name, change):
        path = self.folder / name
        document = json.loads(path.read_text(encoding="utf-8"))
        change(document)
        path.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")


def names_of(layer, part):
    """A weight with its scale."""
    name = LAYER.format(layer) + part
    return [name, name + "_scale_inv"]


def swap(tensors, first, second):
    for a, b in zip(first, second):
        if a in tensors:
            tensors[a], tensors[b] = tensors[b], tensors[a]


def swap_parts(model, a, b, layers=None):
    def change(tensors):
        for layer in layers or range(model.layers):
            swap(tensors, names_of(layer, a), names_of(layer, b))
    model.tensors(change)


def swap_layers(model, pairs):
    def change(tensors):
        for i, j in pairs:
            for part in PARTS:
                swap(tensors, names_of(i, part), names_of(j, part))
    model.tensors(change)


def change_scales(model, change, layers=None, parts=(Q, K, V, O, GATE, UP, DOWN)):
    def edit(tensors):
        for layer in layers or range(model.layers):
            for part in parts:
                name = names_of(layer, part)[1]
                value = change(from_bf16(tensors[name][1]))
                if value is None:
                    del tensors[name]
                else:
                    tensors[name] = ("BF16", to_bf16(np.float32(value)).reshape(()))
    model.tensors(edit)


def change_rows(model, parts, change, layers=None):
    def edit(tensors):
        for layer in layers or range(model.layers):
            for part in parts:
                name = LAYER.format(layer) + part
                tensors[name] = (tensors[name][0], np.ascontiguousarray(change(part, tensors[name][1])))
    model.tensors(edit)


def lost_scales(model):
    """What a home-made conversion to BF16 makes of FP8 if it does not know of scales."""
    def edit(tensors):
        for name in [n for n, (kind, _) in tensors.items() if kind == "F8_E4M3"]:
            tensors[name] = ("BF16", to_bf16(E4M3[tensors[name][1]]))
            del tensors[name + "_scale_inv"]
    model.tensors(edit)
    model.config.pop("quantization_config")
    model.set()


def heads(model, part):
    return model.text["num_attention_heads"] if part == Q else model.text["num_key_value_heads"]


def zero_layer(model, layer):
    change_rows(model, PARTS, lambda part, w: np.zeros_like(w), [layer])


def nan_block(codes):
    codes.reshape(-1)[5000:5512] = 0x7F
    return codes


def shuffled(rows, start=400):
    order = np.random.default_rng(1).permutation(np.arange(start, len(rows)))
    rows[start:] = rows[order]
    return rows


def shuffle_vocabulary(document):
    vocabulary = document["model"]["vocab"]
    names = [t for t, i in vocabulary.items() if i >= 400]
    ids = np.random.default_rng(2).permutation([vocabulary[t] for t in names])
    vocabulary.update((t, int(i)) for t, i in zip(names, ids))


def reverse_merges(document):
    document["model"]["merges"].reverse()


def replace(name, text):
    return lambda model: (model.folder / name).write_bytes(text)


def truncate(model):
    os.truncate(model.weights, model.weights.stat().st_size * 2 // 3)


def zero_tail(model):
    size = model.weights.stat().st_size
    with open(model.weights, "r+b") as file:
        file.seek(size - size // 50)
        file.write(bytes(size // 50))


def missing_shard(model):
    index = {"weight_map": {n: f"model-0000{1 + i % 2}-of-00002.safetensors"
                            for i, n in enumerate(read_safetensors(model.weights))}}
    (model.folder / "model.safetensors.index.json").write_text(json.dumps(index))
    model.weights.rename(model.folder / "model-00001-of-00002.safetensors")


def hub_copy(model):
    """The folder as a hub cache has it, with one byte of the weights changed after the hash was taken."""
    blobs, snapshot = model.folder / "blobs", model.folder / "snapshots" / "0"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    for path in [p for p in model.folder.iterdir() if p.is_file()]:
        blob = blobs / hashlib.sha256(path.read_bytes()).hexdigest()
        path.rename(blob)
        (snapshot / path.name).symlink_to(blob)
    weights = (snapshot / "model.safetensors").resolve()
    with open(weights, "r+b") as file:
        file.seek(weights.stat().st_size // 2)
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte[0] ^ 1]))
    return snapshot


def identity(model):
    """A copy as it is, in the hub's layout: nothing is wrong with it."""
    del model


PERMUTE = lambda m: change_rows(m, (Q, K), lambda part, w: half_to_pairs(w, heads(m, part)))
FOREIGN_TEMPLATE = (b"{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST]{{ m.content }}[/INST]"
                    b"{% else %}{{ m.content }}</s>{% endif %}{% endfor %}")
DROPPING_TEMPLATE = b"{% for m in messages %}<|im_start|>{{ m.role }}\n<|im_end|>\n{% endfor %}"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 163720776\n"

# name -> (how it is planted, the causes that name it rightly, words that the problem's sentence must have)
FAULTS = {
    "one scale dropped": (lambda m: change_scales(m, lambda s: None, [3], [UP]), "refused", "no scale"),
    "all scales dropped": (lambda m: change_scales(m, lambda s: None), "refused", "scales of 210 tensors are missing"),
    "one scale inverted": (lambda m: change_scales(m, lambda s: 1 / s, [7], [DOWN]), "scale-inverted", "text.7.ffn.down"),
    "all scales inverted": (lambda m: change_scales(m, lambda s: 1 / s), "scale-inverted", "210 tensors"),
    "all scales 1": (lambda m: change_scales(m, lambda s: 1), "scale-one", "210 tensors"),
    "scales lost in a conversion": (lost_scales, "scale-lost", "210 tensors"),
    "one scale ten times": (lambda m: change_scales(m, lambda s: 10 * s, [12], [O]), "size-outlier", "text.12.attention.o"),
    "one scale three times": (lambda m: change_scales(m, lambda s: 3 * s, [18], [V]), "size-outlier", "text.18.attention.v"),
    "q/k permutation missing": (PERMUTE, "rotary-pairs", "permutation"),
    "layers 5 and 20 swapped": (lambda m: swap_layers(m, [(5, 20)]), "layers-swapped", "5 and 20"),
    "layers 2 and 27 swapped": (lambda m: swap_layers(m, [(2, 27)]), "layers-swapped", "2 and 27"),
    "layers 10 and 11 swapped": (lambda m: swap_layers(m, [(10, 11)]), "layers-swapped", "10 and 11"),
    "layers reversed": (lambda m: swap_layers(m, [(i, 29 - i) for i in range(15)]), "layers-swapped", "reverse"),
    "one o transposed": (lambda m: change_rows(m, [O], lambda p, w: w.T, [14]), "transposed", "14"),
    "all q transposed": (lambda m: change_rows(m, [Q], lambda p, w: w.T), "transposed", "attention.q"),
    "all o transposed": (lambda m: change_rows(m, [O], lambda p, w: w.T), "transposed", "attention.o"),
    "wrong epsilon": (lambda m: m.set(rms_norm_eps=0.01), "norm-epsilon", "0.01"),
    "rope theta too large": (lambda m: m.set(rope_theta=1e7), "rope-theta", "theta"),
    "rope theta too small": (lambda m: m.set(rope_theta=1000.0), "rope-theta", "theta"),
    "wrong head width": (lambda m: m.set(head_dim=32, num_attention_heads=18, num_key_value_heads=6), "head-width", "64"),
    "wrong number of kv heads": (lambda m: m.set(num_key_value_heads=1), "refused", "wants"),
    "wrong number of layers": (lambda m: m.set(num_hidden_layers=28), "refused unsupported", "layers"),
    "too many layers": (lambda m: m.set(num_hidden_layers=31), "refused", "missing"),
    "another model's template": (replace("chat_template.jinja", FOREIGN_TEMPLATE), "template-foreign", "INST"),
    "broken template": (replace("chat_template.jinja", b"{% for m in messages %}{{ m.content }}"), "template-broken", ""),
    "template without content": (replace("chat_template.jinja", DROPPING_TEMPLATE), "template-broken", "user"),
    "another tokenizer": (lambda m: m.json("tokenizer.json", shuffle_vocabulary), "vocabulary-mismatch", "tokenizer"),
    "wrong merges": (lambda m: m.json("tokenizer.json", reverse_merges), "tokenizer-merges", "merges"),
    "wrong eos": (lambda m: m.json("generation_config.json", lambda d: d.update(eos_token_id=1300)), "special-ids", "eos"),
    "embedding shuffled": (lambda m: m.edit(EMBEDDING, shuffled), "vocabulary-mismatch", "embedding"),
    "embedding shifted by one": (lambda m: m.edit(EMBEDDING, lambda w: np.roll(w, 1, 0)), "vocabulary-mismatch", "embedding"),
    "truncated": (truncate, "refused", "model.safetensors"),
    "zeros at the end": (zero_tail, "zero-tail all-zero zero-rows", ""),
    "missing shard": (missing_shard, "refused", "00002-of-00002"),
    "git-LFS pointer": (replace("model.safetensors", POINTER), "not-a-model", "LFS"),
    "web page": (replace("model.safetensors", b"<!DOCTYPE html><html>Log in</html>"), "not-a-model", "web page"),
    "web page as tokenizer": (replace("tokenizer.json", b"<!DOCTYPE html><html></html>"), "not-a-model", "tokenizer.json"),
    "empty file": (replace("model.safetensors", b""), "not-a-model", "empty"),
    "changed since the hub sent it": (hub_copy, "hash-differs", "model.safetensors"),
    "NaN block": (lambda m: m.edit(LAYER.format(4) + GATE, nan_block), "not-finite refused", "NaN"),
    "NaN in a norm": (lambda m: m.edit(LAYER.format(2) + NORMS[0], lambda w: np.where(np.arange(len(w)) < 9, 0x7FC0, w)
                                       .astype(np.uint16)), "not-finite", "text.2.attention_norm"),
    "zeroed layer": (lambda m: zero_layer(m, 9), "all-zero", "text.9"),
    "gate and up swapped": (lambda m: swap_parts(m, GATE, UP), "gate-and-up-swapped", "ffn.gate and ffn.up"),
    "gate and up of one layer swapped": (lambda m: swap_parts(m, GATE, UP, [1]), "gate-and-up-swapped", "in layer 1"),
    "gate and up of a late layer swapped": (lambda m: swap_parts(m, GATE, UP, [20]), "gate-and-up-swapped", "layer 20"),
    "k and v swapped": (lambda m: swap_parts(m, K, V), "keys-and-values-swapped", ""),
    "k and v of one layer swapped": (lambda m: swap_parts(m, K, V, [16]), "keys-and-values-swapped", "16"),
    "norms swapped": (lambda m: swap_parts(m, *NORMS), "norms-swapped", "norms"),
    "head missing": (lambda m: (m.config.update(tie_word_embeddings=False), m.set(tie_word_embeddings=False)),
                     "head-missing", "head"),
    "a tensor missing": (lambda m: m.tensors(lambda t: t.pop(LAYER.format(8) + NORMS[1])), "refused", "missing"),
    "a tensor misspelt": (lambda m: m.tensors(lambda t: t.__setitem__(LAYER.format(8) + "mlp.norm.weight", t.pop(
        LAYER.format(8) + NORMS[1]))), "refused", "missing"),
    "yarn factor invented": (lambda m: m.set(factor=16.0, original_max_position_embeddings=64), "yarn", "yarn"),
}


def gguf_rows(path, names, change):
    """Rewrites tensors of a GGUF in place, as rows of bytes."""
    from gguf import GGUFReader
    reader = GGUFReader(path, "r+")
    for tensor in reader.tensors:
        if names(tensor.name):
            rows = int(tensor.shape[1]) if len(tensor.shape) > 1 else 1
            data = tensor.data.view(np.uint8).reshape(rows, -1)
            data[:] = change(tensor.name, data.copy())
    reader.data.flush()


def gguf_swap(path, a, b):
    from gguf import GGUFReader
    tensors = {t.name: t for t in GGUFReader(path, "r+").tensors}
    first, second = tensors[a].data, tensors[b].data
    kept = first.copy()
    first[:] = second
    second[:] = kept
    first.base.flush() if hasattr(first.base, "flush") else None


def gguf_value(path, key, value):
    from gguf import GGUFReader
    reader = GGUFReader(path, "r+")
    field = reader.fields[key]
    field.parts[field.data[0]][0] = value
    reader.data.flush()


def gguf_nan(name, rows):
    del name
    rows[7, :2] = (0x00, 0x7E)  # the f16 scale of a block
    return rows


GGUF_FAULTS = {
    "GGUF: q/k permutation missing": (lambda p: gguf_rows(p, lambda n: n.endswith(("attn_q.weight", "attn_k.weight")), lambda n, r:
                                      pairs_to_half(r, 9 if "attn_q" in n else 3)), "rotary-pairs", "permutation"),
    "GGUF: rope theta": (lambda p: gguf_value(p, "llama.rope.freq_base", 1e9), "rope-theta", "theta"),
    "GGUF: wrong eos": (lambda p: gguf_value(p, "tokenizer.ggml.eos_token_id", 700), "special-ids", "eos"),
    "GGUF: NaN scale": (lambda p: gguf_rows(p, lambda n: n == "blk.3.ffn_up.weight", gguf_nan), "not-finite", "text.3.ffn.up"),
    "GGUF: truncated": (lambda p: os.truncate(p, p.stat().st_size // 2), "refused", ""),
    "GGUF: zeroed tensor": (lambda p: gguf_rows(p, lambda n: n == "blk.11.ffn_down.weight", lambda n, r: r * 0), "all-zero",
                            "text.11.ffn.down"),
    "GGUF: embedding shuffled": (lambda p: gguf_rows(p, lambda n: n == "token_embd.weight", lambda n, r: shuffled(r)),
                                 "vocabulary-mismatch", "embedding"),
    "GGUF: LFS pointer": (lambda p: p.write_bytes(POINTER), "not-a-model", "LFS"),
}


def examine(lancet, model):
    """-> (exit code, document, seconds)"""
    began = time.monotonic()
    done = lancet.run("doctor", model, "--skip-machine", "--json")
    return done.returncode, json.loads(done.stdout), time.monotonic() - began


def named(document, causes, words):
    """The first problem, which is what the verdict says, has a right cause and the words that name the place."""
    problems = [f for f in document["findings"] if f["outcome"] == "problem"]
    right = [p for p in problems if p["cause"] in causes.split() and words in p["text"]]
    return bool(right) and any(document["verdict"].startswith(p["text"]) for p in right)


def plant(source, folder, fault):
    shutil.copytree(source, folder)
    for path in folder.iterdir():
        path.chmod(0o644)
    return fault(Model(folder)) if fault is hub_copy else (fault(Model(folder)), folder)[1]


FAST = ["one scale dropped", "truncated", "git-LFS pointer", "web page", "empty file", "changed since the hub sent it",
        "wrong epsilon", "missing shard", "broken template", "wrong eos", "head missing", "wrong number of kv heads",
        "too many layers"]


@pytest.mark.parametrize("fault", FAST)
def test_faults_that_need_no_trained_model_are_named(lancet, tiny, tmp_path, fault):
    how, causes, words = FAULTS[fault]
    if fault == "one scale dropped":
        how = lambda m: change_scales(m, lambda s: None, [1], [UP])
    code, document, _ = examine(lancet, plant(tiny / "fp8", tmp_path / "m", how))
    assert code == 1 and named(document, causes, words), document


def tiny_models(folder):
    return [p for p in sorted(folder.iterdir()) if (p / "config.json").exists() or (p / "params.json").exists()] + \
           [p for p in sorted((folder / "gguf").glob("*.gguf")) if "mmproj" not in p.name]


def test_good_models_raise_no_alarm(lancet, tiny):
    folders = [tiny] + ([ROOT / os.environ["LANCET_ORACLES"] / "tiny"] if os.environ.get("LANCET_ORACLES") else [])
    for model in [m for folder in folders for m in tiny_models(folder)]:
        code, document, _ = examine(lancet, model)
        assert code == 0 and document["right"] and document["verdict"] == "all is right", (model, document)


def test_a_trained_model_with_its_q_and_k_permuted_is_told_from_the_good_one(lancet, smol_gguf, tmp_path):
    code, document, seconds = examine(lancet, smol_gguf)
    assert code == 0 and document["verdict"] == "all is right" and seconds < 60, document
    assert any(re.search(r"perplexity \d+(\.\d+)? ", f["text"]) for f in document["findings"])
    bad = tmp_path / "bad.gguf"
    shutil.copy(smol_gguf, bad)
    how, causes, words = GGUF_FAULTS["GGUF: q/k permutation missing"]
    how(bad)
    code, document, _ = examine(lancet, bad)
    assert code == 1 and named(document, causes, words), document


def serve_lines(lancet, model):
    return lines_until_ready(subprocess.Popen([lancet.binary, "serve", "-m", model, "--port", "0"], stderr=subprocess.PIPE, text=True))


def test_serve_warns_of_what_the_cheap_part_finds(lancet, tiny, tmp_path):
    assert not [line for line in serve_lines(lancet, tiny / "fp8") if " warning " in line]
    bad = plant(tiny / "fp8", tmp_path / "m", lambda m: (m.set(rms_norm_eps=0.01), change_scales(m, lambda s: 1, [1], [UP])))
    warnings = [line for line in serve_lines(lancet, bad) if " warning " in line]
    assert any("epsilon is 0.01" in line for line in warnings)
    assert any("1 of 21 FP8 tensors have a scale above 0.25" in line and "text.1.ffn.up" in line for line in warnings)


def test_doctor_for_people_ends_with_a_verdict(lancet, tiny):
    shown = lancet.text("doctor", tiny / "fp8")
    assert "CPU features" in shown and "port 8111" in shown and shown.rstrip().endswith("verdict: all is right")


@pytest.mark.skipif(not ALL, reason="LANCET_DOCTOR=all plants every fault: four minutes")
def test_nine_of_ten_faults_are_named(lancet, smol_fp8, smol_gguf, tmp_path):
    rows, only = [], os.environ.get("LANCET_DOCTOR_ONLY", "")
    for name, (how, causes, words) in {**FAULTS, **GGUF_FAULTS}.items():
        if only not in name:
            continue
        folder = tmp_path / "m"
        if name in GGUF_FAULTS:
            folder.mkdir()
            model = folder / "bad.gguf"
            shutil.copy(smol_gguf, model)
            how(model)
        else:
            model = plant(smol_fp8, folder, how)
        code, document, seconds = examine(lancet, model)
        rows.append((name, code == 1, named(document, causes, words), seconds, document["verdict"]))
        print(f"{name:36} {'found' if code == 1 else 'MISSED':7}{'named' if rows[-1][2] else 'NOT NAMED':10}{seconds:5.1f} s  "
              f"{document['verdict'][:150]}", flush=True)
        shutil.rmtree(folder)
    for model in (smol_fp8, smol_gguf):
        code, document, seconds = examine(lancet, model)
        print(f"good {model.name}: {document['verdict']} {seconds:.1f} s")
        assert code == 0, document
    assert sum(row[2] for row in rows) >= 0.9 * len(rows), [row for row in rows if not row[2]]
    assert max(row[3] for row in rows) <= 75, rows

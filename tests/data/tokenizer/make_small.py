#!/usr/bin/env python3
"""Makes small-tokenizer.json and small-tekken.json beside itself: one vocabulary of 40 special tokens, 256 bytes and
200 merges learned from the sentences below, in the two formats of the published Ministral 3. Standard library only.

    python3 tests/data/tokenizer/make_small.py
"""
import base64
import collections
import json
import pathlib
import re

PATTERN = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
           r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
           r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
NAMED = {0: "<unk>", 1: "<s>", 2: "</s>", 3: "[INST]", 4: "[/INST]", 5: "[AVAILABLE_TOOLS]", 6: "[/AVAILABLE_TOOLS]",
         7: "[TOOL_RESULTS]", 8: "[/TOOL_RESULTS]", 9: "[TOOL_CALLS]", 10: "[IMG]", 11: "<pad>", 12: "[IMG_BREAK]",
         13: "[IMG_END]", 14: "[PREFIX]", 15: "[MIDDLE]", 16: "[SUFFIX]", 17: "[SYSTEM_PROMPT]",
         18: "[/SYSTEM_PROMPT]", 19: "[TOOL_CONTENT]", 24: "[AUDIO]", 25: "[BEGIN_AUDIO]", 32: "[ARGS]", 33: "[CALL_ID]"}
SPECIALS = [NAMED.get(i, f"<SPECIAL_{i}>") for i in range(40)]
TEXT = """A small model reads a file, finds the line that is wrong, and writes the answer to the question it was asked.
The server takes the request, cuts the prompt into tokens, and returns the text of the tokens that follow.
for (int i = 0; i < count; i++) { total += values[i]; }  // the sum of all values
{"name": "read_file", "arguments": {"path": "src/main.cpp", "lines": [1, 20]}}
Zwei kleine Wörter für die Übung; être, naïve, façade. Привет, мир. 你好，世界。 The end of the text. 🙂🙂
"""
MERGES = 200


def train():
    words = collections.Counter(re.findall(r" ?[^\W\d]+|\d| ?[^\w\s]+|\s+", TEXT))
    pieces = {w: [bytes([b]) for b in w.encode()] for w in words}
    tokens = [bytes([b]) for b in range(256)]
    while len(tokens) < 256 + MERGES:
        pairs = collections.Counter()
        for word, symbols in pieces.items():
            for pair in zip(symbols, symbols[1:]):
                pairs[pair] += words[word]
        left, right = min(pairs, key=lambda p: (-pairs[p], p))
        if left + right not in tokens:
            tokens.append(left + right)
        for symbols in pieces.values():
            at = 0
            while at + 1 < len(symbols):
                if (symbols[at], symbols[at + 1]) == (left, right):
                    symbols[at:at + 2] = [left + right]
                at += 1
    return tokens


def byte_to_unicode():
    itself = [*range(0x21, 0x7f), *range(0xa1, 0xad), *range(0xae, 0x100)]
    rest = [b for b in range(256) if b not in itself]
    return {**{b: chr(b) for b in itself}, **{b: chr(0x100 + i) for i, b in enumerate(rest)}}


def tokenizer_json(tokens):
    spell = byte_to_unicode()
    text = ["".join(spell[b] for b in t) for t in tokens]
    rank = {t: i for i, t in enumerate(tokens)}
    cuts = [(rank[t[:i]], rank[t[i:]]) for t in tokens for i in range(1, len(t)) if t[:i] in rank and t[i:] in rank]
    merges = sorted(cuts, key=lambda c: (rank[tokens[c[0]] + tokens[c[1]]], c))
    bos = {"SpecialToken": {"id": "<s>", "type_id": 0}}
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": i, "content": s, "single_word": False, "lstrip": False, "rstrip": False,
                          "normalized": False, "special": True} for i, s in enumerate(SPECIALS)],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": PATTERN}, "behavior": "Isolated", "invert": False},
            {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}]},
        "post_processor": {"type": "TemplateProcessing", "single": [bos, {"Sequence": {"id": "A", "type_id": 0}}],
                           "pair": [], "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}},
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": True,
                  "vocab": {**{s: i for i, s in enumerate(SPECIALS)},
                            **{t: len(SPECIALS) + i for i, t in enumerate(text)}},
                  "merges": [[text[a], text[b]] for a, b in merges]}}


def tekken_json(tokens):
    return {
        "config": {"pattern": PATTERN, "num_vocab_tokens": len(tokens), "version": "v13",
                   "default_vocab_size": len(SPECIALS) + len(tokens), "default_num_special_tokens": len(SPECIALS)},
        "vocab": [{"rank": i, "token_bytes": base64.b64encode(t).decode(), "token_str": None}
                  for i, t in enumerate(tokens)],
        "special_tokens": [{"rank": i, "token_str": s, "is_control": True} for i, s in NAMED.items()]}


if __name__ == "__main__":
    folder = pathlib.Path(__file__).parent
    learned = train()
    for name, content in (("small-tokenizer.json", tokenizer_json(learned)), ("small-tekken.json", tekken_json(learned))):
        (folder / name).write_text(json.dumps(content, ensure_ascii=False, indent=0), encoding="utf-8")

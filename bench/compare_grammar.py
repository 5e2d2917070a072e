#!/usr/bin/env python3
"""Random schemas times random instances: Lancet, llguidance, xgrammar and python-jsonschema, every class of disagreement.

  compare_grammar.py --lancet build/lancet --model MODEL [--schemas 500] [--seed 1]

Run by hand, in a virtual environment with jsonschema==4.26.0, rfc3339-validator==0.1.4, llguidance==1.9.1, xgrammar==0.2.8 and apache-tvm-ffi
(pip install --no-deps does: torch, transformers and triton are replaced by stand-ins, because nothing here needs them).
jsonschema is the judge. Keys of instances come in the order of the schema's properties, because the peers fix the order;
the peers see single bytes, which changes their speed and not what they accept."""
import argparse
import collections
import json
import random
import subprocess
import sys
from unittest.mock import MagicMock

import jsonschema
import llguidance
import tvm_ffi  # noqa: F401  (before the stand-ins)

for name in ("torch", "torch.utils", "torch.utils.cpp_extension", "transformers", "triton", "triton.language"):
    sys.modules[name] = MagicMock(name=name, __spec__=None)
import xgrammar  # noqa: E402

WORDS = ["", "a", "ab", "abc", "aé", "x1", "B", "foo", "bar", "2020-02-30", "2020-02-28", "\n\"\\", "😀", "12", "a b"]
PATTERNS = ["^a", "b$", "^[a-c]+$", "\\d{2}", "^(foo|bar)?$", "^.{2,3}$", "[^a]", "^\\w*$"]
NAMES = ["a", "b", "c", "xy"]
FORMATS = ["date", "time", "date-time", "ipv4", "uuid", "email", "color"]


class Schemas:
    """Draws schemas; every keyword that is drawn says something about the type that was drawn."""

    def __init__(self, seed):
        self.r = random.Random(seed)

    def some(self, chance):
        return self.r.random() < chance

    def value(self, depth=0):
        kind = self.r.randrange(8 if depth < 2 else 6)
        if kind == 0:
            return None
        if kind == 1:
            return self.some(0.5)
        if kind == 2:
            return self.r.choice([0, 1, -1, 2, 3, 6, 10, 12, 100, -7])
        if kind == 3:
            return self.r.choice([0.5, 1.5, -2.25, 3.0, 0.1, 1e3, 2.5])
        if kind < 6:
            return self.r.choice(WORDS)
        if kind == 6:
            return [self.value(depth + 1) for _ in range(self.r.randrange(4))]
        return {k: self.value(depth + 1) for k in NAMES if self.some(0.4)}

    def number(self, kind):
        s = {"type": kind}
        for word, values in (("minimum", [0, -3, 1.5, 2]), ("maximum", [10, 3, 5.5]), ("exclusiveMinimum", [0, 1]), ("exclusiveMaximum", [3, 12]),
                             ("multipleOf", [2, 3, 0.5, 5])):
            if self.some(0.3):
                s[word] = self.r.choice(values)
        return s

    def string(self):
        s = {"type": "string"}
        for word, values in (("minLength", [0, 1, 2, 3]), ("maxLength", [0, 2, 3, 8]), ("pattern", PATTERNS), ("format", FORMATS)):
            if self.some(0.3):
                s[word] = self.r.choice(values)
        return s

    def array(self, depth):
        s = {"type": "array"}
        if self.some(0.6):
            s["items"] = self.schema(depth + 1)
        if self.some(0.3):
            s["prefixItems"] = [self.schema(depth + 1) for _ in range(self.r.randrange(1, 3))]
        for word, values in (("minItems", [0, 1, 2]), ("maxItems", [0, 1, 3]), ("uniqueItems", [True])):
            if self.some(0.25):
                s[word] = self.r.choice(values)
        if self.some(0.15):
            s["contains"] = self.schema(depth + 1)
        return s

    def object(self, depth):
        s = {"type": "object"}
        if self.some(0.8):
            s["properties"] = {k: self.schema(depth + 1) for k in NAMES if self.some(0.5)}
        if self.some(0.4):
            s["required"] = [k for k in NAMES if self.some(0.4)]
        if self.some(0.4):
            s["additionalProperties"] = self.schema(depth + 1) if self.some(0.5) else False
        if self.some(0.15):
            s["patternProperties"] = {self.r.choice(["^a", "y$", "^x"]): self.schema(depth + 1)}
        for word, values in (("minProperties", [1, 2]), ("maxProperties", [1, 2, 3]), ("dependentRequired", [{"a": ["b"]}]),
                             ("propertyNames", [{"maxLength": 1}, {"pattern": "^[a-c]"}])):
            if self.some(0.12):
                s[word] = self.r.choice(values)
        return s

    def schema(self, depth=0):
        kind = self.r.randrange(12 if depth < 2 else 7)
        if kind == 0:
            return self.r.choice([True, {}, {"type": "null"}, {"type": "boolean"}])
        if kind < 3:
            return self.number(self.r.choice(["integer", "number"]))
        if kind < 5:
            return self.string()
        if kind == 5:
            return {"enum": [self.value(1) for _ in range(self.r.randrange(1, 4))]}
        if kind == 6:
            return {"const": self.value(1)}
        if kind == 7:
            return self.array(depth)
        if kind < 10:
            return self.object(depth)
        if kind == 10:
            word = self.r.choice(["anyOf", "oneOf", "allOf"])
            return {word: [self.schema(depth + 1) for _ in range(2)]}
        return self.r.choice([{"not": self.schema(depth + 1)},
                              {"if": self.schema(depth + 1), "then": self.schema(depth + 1), "else": self.schema(depth + 1)},
                              {"type": ["string", "integer", "object"], **self.string(), **{"type": ["string", "integer"]}}])


def in_order(schema, value):
    """Keys in the order of the schema's own properties, others behind, as the peers want them."""
    if isinstance(value, list):
        return [in_order(schema.get("items", {}) if isinstance(schema, dict) else {}, v) for v in value]
    if not isinstance(value, dict):
        return value
    properties = schema.get("properties", {}) if isinstance(schema, dict) else {}
    order = [k for k in properties if k in value] + [k for k in value if k not in properties]
    return {k: in_order(properties.get(k, {}), value[k]) for k in order}


class Lancet:
    def __init__(self, binary, model):
        self.process = subprocess.Popen([binary, "schema", "-m", model], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def ask(self, line):
        self.process.stdin.write(json.dumps(line, ensure_ascii=False) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


class Llguidance:
    def __init__(self):
        self.tokenizer = llguidance.LLTokenizer("byte")

    def judge(self, schema, texts):
        matcher = llguidance.LLMatcher(self.tokenizer, llguidance.LLMatcher.grammar_from_json_schema(schema))
        if matcher.is_error():
            return None
        results = []
        for text in texts:
            copy = matcher.deep_copy()
            results.append(copy.consume_tokens(list(text.encode())) and copy.is_accepting())
        return results


class Xgrammar:
    def __init__(self):
        info = xgrammar.TokenizerInfo([bytes([i]) for i in range(256)] + [b"</s>"], vocab_type=xgrammar.VocabType.RAW, vocab_size=257, stop_token_ids=[256])
        self.compiler = xgrammar.GrammarCompiler(info, max_threads=1, cache_enabled=False)

    def judge(self, schema, texts):
        try:
            compiled = self.compiler.compile_json_schema(json.dumps(schema), any_whitespace=True, strict_mode=False)
        except Exception:
            return None
        results = []
        for text in texts:
            matcher = xgrammar.GrammarMatcher(compiled)
            results.append(matcher.accept_string(text) and matcher.is_completed())
        return results


def keywords(schema):
    if isinstance(schema, list):
        return set().union(*map(keywords, schema)) if schema else set()
    if not isinstance(schema, dict):
        return {"false"} if schema is False else set()
    own = {k for k in schema if k not in ("type", "properties")}
    return own.union(*(keywords(v) for k, v in schema.items() if k not in ("enum", "const")))


def smallest(classes):
    """Disagreements by the smallest sets of keywords, so that a keyword's own defect is not listed under its company."""
    kept = {}
    for (who, kind, words), rows in sorted(classes.items(), key=lambda item: len(item[0][2])):
        home = next((k for k in kept if k[:2] == (who, kind) and k[2] <= words), None)
        kept.setdefault(home or (who, kind, words), []).extend(rows)
    return kept


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--lancet", required=True)
    p.add_argument("--model", required=True)
    p.add_argument("--schemas", type=int, default=500)
    p.add_argument("--instances", type=int, default=20)
    p.add_argument("--seed", type=int, default=1)
    a = p.parse_args()
    lancet, peers = Lancet(a.lancet, a.model), {"llguidance": Llguidance(), "xgrammar": Xgrammar()}
    classes, refused, right, reasons = collections.defaultdict(list), collections.Counter(), collections.Counter(), collections.Counter()
    judged = 0
    for number in range(a.schemas):
        draw = Schemas(a.seed * 1_000_003 + number)
        schema = draw.schema()
        validator = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
        answer = lancet.ask({"schema": schema, "generate": 4, "max_tokens": 40, "seed": number})
        values = [json.loads(made["text"]) for made in answer.get("generated", [])]
        values = [v for v in values if "Infinity" not in json.dumps(v)]  # beyond a double, which is all that Python's reader has
        values += [draw.value() for _ in range(a.instances - len(values))]
        values = [in_order(schema, v) for v in values]
        texts = [json.dumps(v, ensure_ascii=False) for v in values]
        truth = [validator.is_valid(v) for v in values]
        judged += len(values)
        answer = lancet.ask({"schema": schema, "instances": [{"data": v} for v in values]})
        verdicts = {"lancet": answer["results"] if answer["compile"] == "ok" else None}
        if verdicts["lancet"] is None:
            reasons[answer["reason"][:90]] += 1
        verdicts.update((name, peer.judge(schema, texts)) for name, peer in peers.items())
        for who, results in verdicts.items():
            if results is None:
                refused[who] += 1
                continue
            wrong = [(t, g) for t, g, w in zip(texts, results, truth) if bool(g) != w]
            right[who] += not wrong
            for text, got in wrong:
                classes[who, "accepts invalid" if got else "rejects valid", frozenset(keywords(schema))].append((json.dumps(schema), text))
    print(f"{a.schemas} schemas, {judged} instances")
    for who in verdicts:
        print(f"{who:12} right {right[who]:5}  refused {refused[who]:5}  wrong {a.schemas - right[who] - refused[who]:5}")
    for reason, count in reasons.most_common():
        print(f"  lancet refused {count}: {reason}")
    for (who, kind, words), rows in sorted(smallest(classes).items(), key=lambda item: (item[0][0], item[0][1], -len(item[1]))):
        schema, text = min(rows, key=lambda row: len(row[0]) + len(row[1]))
        print(f"{who} {kind}, {len(rows)} times, with {{{', '.join(sorted(words))}}}: {schema[:200]} <- {text[:80]}")
    return 1 if any(who == "lancet" for who, _, _ in classes) else 0


if __name__ == "__main__":
    sys.exit(main())

"""Random schemas with random values: `lancet schema` must say what python-jsonschema says, or refuse the schema.

Small alphabets make the keywords meet: names, patterns and numbers are few, references go to two definitions. Left out
is what the two read differently: numbers as items of uniqueItems (one spelling here), `contains` in 2019-09 (python-jsonschema
counts its matches as evaluated there, the draft does not), unevaluatedProperties where additionalProperties is an object
(python-jsonschema 4.26 takes its keywords for names of evaluated members).
"""
import json
import os
import random
import subprocess
import sys

import jsonschema
import pytest

from test_json_schema_suite import DRAFTS, vocabulary

# The C++ suites run the same code under sanitizers.
pytestmark = pytest.mark.skipif("LANCET_SLOW_BINARY" in os.environ, reason="DID NOT RUN: takes too long with a sanitizer")

NAMES = ["a", "b", "ab", "c"]
STRINGS = ["", "a", "b", "ab", "abc", "ba", "é"]
PATTERNS = ["^a", "b$", "^ab?$", "a", "[^a]", "^$", "^.{2,3}$"]
NUMBERS = [-1, 0, 1, 2, 3, 1.5, 0.5, 1.0, -2.5, 10]
os.environ.setdefault("RUST_BACKTRACE", "0")  # an extension module of jsonschema is in Rust, and verbose
TYPES = ["null", "boolean", "integer", "number", "string", "array", "object"]


class Maker:
    def __init__(self, seed):
        self.r = random.Random(seed)
        self.draft = self.r.choice(list(DRAFTS))
        self.at = list(DRAFTS).index(self.draft)  # 0: draft 4 ... 4: 2020-12

    def value(self, depth):
        r = self.r
        if depth == 0 or r.random() < 0.6:
            return r.choice([None, True, False, r.choice(NUMBERS), r.choice(NUMBERS), r.choice(STRINGS), r.choice(STRINGS), [], {}])
        if r.random() < 0.5:
            return [self.value(depth - 1) for _ in range(r.randint(0, 3))]
        return {name: self.value(depth - 1) for name in r.sample(NAMES, r.randint(0, 3))}

    def leaf(self):
        r = self.r
        keyword = r.choice(["minimum", "maximum", "multipleOf", "minLength", "maxLength", "pattern", "enum", "const", "required",
                            "minProperties", "maxProperties", "minItems", "maxItems", "exclusiveMinimum"])
        if self.at == 0 and keyword == "exclusiveMinimum":
            return {"minimum": r.choice(NUMBERS), "exclusiveMinimum": r.random() < 0.5}
        if self.at == 0 and keyword == "const":
            keyword = "enum"
        if keyword in ("minimum", "maximum", "exclusiveMinimum"):
            return {keyword: r.choice(NUMBERS)}
        if keyword == "multipleOf":
            return {keyword: r.choice([1, 2, 0.5, 3])}
        if keyword == "pattern":
            return {keyword: r.choice(PATTERNS)}
        if keyword == "enum":
            return {keyword: [self.value(1) for _ in range(r.randint(1, 3))]}
        if keyword == "const":
            return {keyword: self.value(1)}
        if keyword == "required":
            return {keyword: r.sample(NAMES, r.randint(1, 2))}
        return {keyword: r.randint(0, 3)}

    def sub(self, depth):
        return self.schema(depth - self.r.randint(1, 2))

    def many(self, depth):
        return [self.sub(depth) for _ in range(self.r.randint(1, 3))]

    def branch(self, depth):
        r, at = self.r, self.at
        listed, rest = ("items", "additionalItems") if at < 4 else ("prefixItems", "items")
        made = {
            "properties": lambda: {"properties": {name: self.sub(depth) for name in r.sample(NAMES, r.randint(1, 3))}},
            "others": lambda: {"additionalProperties": r.random() < 0.4 if r.random() < 0.5 else self.sub(depth)},
            "patterns": lambda: {"patternProperties": {p: self.sub(depth) for p in r.sample(PATTERNS, r.randint(1, 2))}},
            "items": lambda: {"items": self.sub(depth)},
            "tuple": lambda: {listed: self.many(depth)},
            "tuple and rest": lambda: {listed: self.many(depth), rest: self.sub(depth)},
            "anyOf": lambda: {"anyOf": self.many(depth)},
            "allOf": lambda: {"allOf": self.many(depth)},
            "oneOf": lambda: {"oneOf": self.many(depth)},
            "not": lambda: {"not": self.sub(depth)},
            "$ref": lambda: {"$ref": "#/definitions/" + r.choice("xy")},
            "unique": lambda: {"uniqueItems": True, "items": {"type": ["string", "null", "boolean"]}},
        }
        if at >= 1:
            made["names"] = lambda: {"propertyNames": self.sub(depth)}
        if at >= 1 and at != 3:
            made["contains"] = lambda: {"contains": self.sub(depth)}
        if at >= 2:
            made["if"] = lambda: {"if": self.sub(depth), "then": self.sub(depth), "else": self.sub(depth)}
        if at < 3:
            made["dependencies"] = lambda: {"dependencies": {r.choice(NAMES): r.choice([r.sample(NAMES, 1), self.sub(depth)])}}
        else:
            made["dependentSchemas"] = lambda: {"dependentSchemas": {r.choice(NAMES): self.sub(depth)}}
            made["dependentRequired"] = lambda: {"dependentRequired": {r.choice(NAMES): r.sample(NAMES, 2)}}
            made["other members"] = lambda: {"unevaluatedProperties": r.choice([False, False, self.sub(depth)])}
            made["other items"] = lambda: {"unevaluatedItems": r.choice([False, False, self.sub(depth)])}
        if at == 4:
            made["counted"] = lambda: {"contains": self.sub(depth), "minContains": r.randint(0, 2), "maxContains": r.randint(1, 2)}
        return r.choice(list(made.values()))()

    def schema(self, depth):
        r = self.r
        if depth <= 0:
            kind = r.random()
            if kind < 0.1 and self.at >= 1:
                return r.random() < 0.6
            if kind < 0.3:
                return {"$ref": "#/definitions/" + r.choice("xy")}
            return {"type": r.choice(TYPES)} if kind < 0.6 else self.leaf()
        schema = {}
        for _ in range(r.choice([1, 1, 2, 2, 3])):
            schema |= self.leaf() if r.random() < 0.1 else self.branch(depth)
        if r.random() < 0.25:
            schema["type"] = r.choice(TYPES) if r.random() < 0.6 else r.sample(TYPES, 2)
        return schema

    def near(self, schema, depth=3):
        """A value that goes some way towards satisfying the schema."""
        r = self.r
        if not isinstance(schema, dict) or depth < 0 or r.random() < 0.2:
            return self.value(1)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema and r.random() < 0.8:
            return r.choice(schema["enum"])
        for keyword in ("anyOf", "oneOf", "allOf"):
            if keyword in schema and r.random() < 0.6:
                return self.near(r.choice(schema[keyword]), depth)
        kind = schema.get("type")
        kind = r.choice(kind) if isinstance(kind, list) else kind
        if kind in ("object", None) and any(k in schema for k in ("properties", "required", "patternProperties", "additionalProperties")):
            names = set(r.sample(NAMES, r.randint(0, 3))) | set(schema.get("required", []))
            others = schema.get("additionalProperties", {})
            return {n: self.near(schema.get("properties", {}).get(n, others), depth - 1) for n in sorted(names)}
        if kind in ("array", None) and any(k in schema for k in ("items", "prefixItems", "contains", "minItems")):
            items = schema.get("items", {})
            listed = schema.get("prefixItems", items if isinstance(items, list) else [])
            rest = schema.get("additionalItems", {}) if isinstance(items, list) else items
            return [self.near(listed[i] if i < len(listed) else rest, depth - 1) for i in range(r.randint(0, 3))]
        return {"integer": r.choice(NUMBERS), "number": r.choice(NUMBERS), "string": r.choice(STRINGS)}.get(kind, self.value(1))


def case(seed):
    """(schema, [(value, valid)]), or None where python-jsonschema runs in a circle or is known to be wrong."""
    maker = Maker(seed)
    top = maker.schema(maker.r.choice([1, 2, 2, 3, 3, 4]))
    schema = {"$schema": DRAFTS[maker.draft]} | (top if isinstance(top, dict) else {"not": {}})
    schema["definitions"] = {"x": maker.schema(2), "y": maker.schema(1)}
    values = [maker.near(schema) if i % 3 else maker.value(2) for i in range(12)]
    text = json.dumps(schema)
    if "unevaluatedProperties" in text and '"additionalProperties": {' in text:
        return None
    validator = jsonschema.validators.validator_for(schema)(schema)
    try:
        return schema, [(value, validator.is_valid(value)) for value in values]
    except BaseException as error:  # its recursion ends in RecursionError or in a panic of an extension module
        if isinstance(error, KeyboardInterrupt):
            raise
        return None


@pytest.mark.parametrize("block", range(4))
def test_random_schemas_agree_with_python_jsonschema(lancet, tmp_path_factory, block):
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(600)
    try:
        cases = [c for c in map(case, range(block * 150, block * 150 + 150)) if c]
    finally:
        sys.setrecursionlimit(limit)
    lines = [json.dumps({"schema": schema, "instances": [{"data": v} for v, _ in judged]}) for schema, judged in cases]
    done = subprocess.run([lancet.binary, "schema", "-m", vocabulary(tmp_path_factory.getbasetemp())], check=True, timeout=300,
                          input="\n".join(lines) + "\n", capture_output=True, text=True)
    wrong, enforced = [], 0
    for (schema, judged), line in zip(cases, done.stdout.splitlines(), strict=True):
        answer = json.loads(line)
        if answer["compile"] == "ok":
            enforced += 1
            said = answer["results"]
        elif "no JSON value" in answer["reason"] or "no text satisfies" in answer["reason"]:
            said = [False] * len(judged)
        else:
            continue
        wrong += [f"{json.dumps(schema)}: {json.dumps(value)} is {'' if valid else 'not '}valid"
                  for (value, valid), accepted in zip(judged, said, strict=True) if accepted != valid]
    assert not wrong, "\n".join(wrong[:5])
    assert enforced > 0.7 * len(cases)

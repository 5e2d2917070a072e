"""Whatever is written under a schema validates: random answers, by budgets from 8 tokens up, checked by jsonschema.

$LANCET_PROPERTY is the number of answers in all (default 1,000). With $LANCET_ORACLES the published schemas of
maskbench/ are used as well."""
import gzip
import json
import os
import re
from pathlib import Path

import jsonschema
import pytest

from schema_child import SchemaChild

# The C++ suites run the same code under sanitizers.
pytestmark = pytest.mark.skipif("LANCET_SLOW_BINARY" in os.environ, reason="DID NOT RUN: takes too long with a sanitizer")

ANSWERS = int(os.environ.get("LANCET_PROPERTY", "1000"))
BUDGETS = (8, 12, 24, 60, 200)
OWN = [
    {},
    {"type": "object"},
    {"type": "integer", "minimum": -5, "exclusiveMaximum": 1000, "multipleOf": 3},
    {"type": "number", "minimum": 0.25, "maximum": 1e3},
    {"type": ["string", "null"], "minLength": 2, "maxLength": 5},
    {"type": "string", "pattern": "^[A-Z]{2,4}-[0-9]+$"},
    {"type": "string", "pattern": "ab", "maxLength": 12},
    {"type": "string", "format": "date-time"},
    {"type": "string", "format": "ipv4"},
    {"type": "string", "format": "uuid"},
    {"enum": [1, "two", None, [3, {"four": 5}], {"a": "b"}]},
    {"const": {"a": [1, 2.5, "x\n\u00e9"]}},
    {"type": "array", "items": {"type": "integer", "maximum": 3, "minimum": 0}, "minItems": 2, "maxItems": 4, "uniqueItems": True},
    {"type": "array", "prefixItems": [{"type": "string"}, {"type": "boolean"}], "items": {"type": "null"}, "minItems": 1},
    {"type": "array", "contains": {"const": 7}, "items": {"type": "integer"}},
    {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}, "tags": {"type": "array", "items": {"enum": ["a", "b"]}}},
     "required": ["name", "age"], "additionalProperties": False},
    {"type": "object", "properties": {"a": {"type": "integer"}}, "patternProperties": {"^x": {"type": "boolean"}}, "additionalProperties": {"type": "string"},
     "minProperties": 2, "maxProperties": 4},
    {"type": "object", "propertyNames": {"pattern": "^[a-z]{1,3}$"}, "additionalProperties": {"type": "null"}, "minProperties": 1},
    {"type": "object", "properties": {"kind": {"const": "circle"}, "r": {"type": "number"}}, "dependentRequired": {"kind": ["r"]}},
    {"anyOf": [{"type": "string", "maxLength": 3}, {"type": "integer", "minimum": 10}, {"type": "array", "maxItems": 1}]},
    {"oneOf": [{"type": "integer", "multipleOf": 2}, {"type": "integer", "multipleOf": 3}]},
    {"allOf": [{"type": "string", "minLength": 2}, {"pattern": "^a"}, {"maxLength": 6}]},
    {"$ref": "#/$defs/tree", "$defs": {"tree": {"type": "object", "properties": {"v": {"type": "integer"}, "kids": {"type": "array", "items": {"$ref": "#/$defs/tree"}}},
                                                "required": ["v"], "additionalProperties": False}}},
    {"if": {"properties": {"a": {"const": 1}}, "required": ["a"]}, "then": {"required": ["b"]}, "else": {"required": ["c"]}, "type": "object",
     "properties": {"a": {"enum": [1, 2]}, "b": {"type": "boolean"}, "c": {"type": "null"}}, "additionalProperties": False},
    {"not": {"type": ["object", "array"]}},
]
GRAMMARS = [
    ({"regex": "[a-z]{2,5}(?:-[0-9]{1,3})*"}, re.compile(r"[a-z]{2,5}(?:-[0-9]{1,3})*")),
    ({"grammar": 'root ::= word (", " word)* "."\nword ::= [A-Z] [a-z\u00e9]*'}, re.compile(r"[A-Z][a-zé]*(?:, [A-Z][a-zé]*)*\.")),
    ({"lark": 'start: INT ("+" INT)*\n%import common.INT'}, re.compile(r"[0-9]+(?:\+[0-9]+)*")),
    ({"choice": ["yes", "no", "not at all"]}, re.compile(r"yes|no|not at all")),
]


def schemas():
    every = list(OWN)
    sample = Path(os.environ.get("LANCET_ORACLES", "")).parent / "maskbench" / "dev400.jsonl.gz"
    if os.environ.get("LANCET_ORACLES") and sample.exists():
        with gzip.open(sample, "rt", encoding="utf-8") as file:
            every += [json.loads(line)["schema"] for line in file]
    else:
        print("DID NOT RUN: the published schemas, for which $LANCET_ORACLES must name a folder beside maskbench/")
    return every


def generated(child, request, count, budget, seed):
    """The random answers, all of which ended in time; none if the constraint is refused."""
    answer = child.ask({**request, "generate": count, "max_tokens": budget, "seed": seed}, seconds=120)
    if answer["compile"] != "ok":
        assert answer["reason"] and "reading" not in answer["reason"], answer
        return []
    for made in answer["generated"]:
        assert made["ended"] and made["tokens"] <= answer["max_tokens"], (request, made)
    return [made["text"] for made in answer["generated"]]


def test_random_answers_validate(lancet, smol_gguf):
    every = schemas()
    each = max(1, ANSWERS // (len(every) * len(BUDGETS)))
    total, used, bad = 0, 0, []
    with SchemaChild(lancet.binary, smol_gguf) as child:
        for number, schema in enumerate(every):
            validator = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
            check = validator(schema, format_checker=jsonschema.FormatChecker())
            before = total
            for budget in BUDGETS:
                for text in generated(child, {"schema": schema}, each, budget, number * 1000 + budget):
                    total += 1
                    try:
                        check.validate(json.loads(text))
                    except (ValueError, jsonschema.ValidationError) as problem:
                        bad.append((json.dumps(schema)[:300], text[:300], str(problem).split("\n", 1)[0]))
            used += total > before
    print(f"{total} answers of {used} schemas ({len(every) - used} refused), {len(bad)} bad")
    assert not bad, bad[:5]
    assert used >= len(OWN) - 2 and total >= ANSWERS / 3


@pytest.mark.parametrize("index", range(len(GRAMMARS)))
def test_random_answers_match_grammars(lancet, tiny, index):
    request, wanted = GRAMMARS[index]
    with SchemaChild(lancet.binary, tiny / "fp8" / "tokenizer.json") as child:
        for budget in BUDGETS:
            texts = generated(child, request, 20, budget, budget)
            assert texts
            for text in texts:
                assert wanted.fullmatch(text), text

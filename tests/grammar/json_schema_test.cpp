// JSON Schema as rules: by keyword, what a schema accepts and rejects, judged by the oracle and by the machine, which
// must agree; and what is refused, with the pointer of the keyword.
#include "grammar/json_schema.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/json.h"
#include "grammar/grammar.h"
#include "grammar/rules_oracle.h"
#include "grammar/vocabularies.h"

namespace lancet {
namespace {

Budget endless() { return Budget("a test"); }

boost::json::value parse(std::string_view text) {
  Budget budget = endless();
  return parse_json(text, "a test", {.depth = 32, .fault = Fault::bad_request}, budget);
}

class Judge {
 public:
  explicit Judge(std::string_view schema, SchemaOptions options = {.any_order = true}) {
    const boost::json::value parsed = parse(schema);
    Budget budget = endless();
    start_ = add_json_schema(rules_, parsed, options, budget, &notes_);
    Rules again;
    const RuleId start = add_json_schema(again, parsed, options, budget);
    grammar_ = Grammar::make(std::move(again), start, make_trie({}), budget);
  }

  bool accepts(std::string_view text) {
    Budget budget = endless();
    GrammarState state(grammar_);
    const bool machine = state.accept_bytes(text, budget) && state.may_end();
    EXPECT_EQ(machine, RulesOracle(rules_).accepts(start_, text)) << "machine and oracle disagree about " << text;
    return machine;
  }
  const std::vector<SchemaNote>& notes() const { return notes_; }

 private:
  Rules rules_;
  RuleId start_ = 0;
  std::vector<SchemaNote> notes_;
  std::shared_ptr<Grammar> grammar_;
};

struct Case {
  std::string_view schema;
  std::vector<std::string_view> accepts, rejects;
};

void check(const std::vector<Case>& cases) {
  for (const Case& c : cases) {
    SCOPED_TRACE(c.schema);
    Judge judge(c.schema);
    for (const std::string_view text : c.accepts) EXPECT_TRUE(judge.accepts(text)) << text;
    for (const std::string_view text : c.rejects) EXPECT_FALSE(judge.accepts(text)) << text;
  }
}

/// The Error of a schema that is not taken: "fault pointer: message".
std::string refusal(std::string_view schema) {
  try {
    Judge judge(schema);
  } catch (const Error& e) {
    return std::string(fault_name(e.fault())) + " " + e.param() + ": " + e.message();
  }
  return "none";
}

void expect_refusal(std::string_view schema, std::string_view beginning) {
  EXPECT_EQ(refusal(schema).substr(0, beginning.size()), beginning) << schema << "\n" << refusal(schema);
}

TEST(JsonSchema, TypesAreEnforced) {
  check({
      {"true", {"null", "1", R"("x")", "[]", "{}", R"({"a": [1e5, {"b": null}]})"}, {"", "nul", "[", "{1}"}},
      {"{}", {"null", "-1.5e-3", "true"}, {"TRUE", "01", "+1"}},
      {R"({"type": "null"})", {"null"}, {"0", "false"}},
      {R"({"type": "boolean"})", {"true", "false"}, {"null", "0"}},
      {R"({"type": "integer"})", {"0", "-7", "1.0", "12345678901234567890123"}, {"1.5", R"("1")", "-"}},
      {R"({"type": "number"})", {"0.5", "1e9"}, {"null"}},
      {R"({"type": "string"})", {R"("")", R"("a\"\\\n")", "\"\xC3\xA9\""}, {"\"\n\"", R"("\u0061")", "a"}},
      {R"({"type": ["string", "null"]})", {"null", R"("")"}, {"0", "[]"}},
      {R"({"type": ["integer", "number"]})", {"1", "1.5"}, {"null"}},
      {R"({"type": "array"})", {"[]", "[1, [2]]"}, {"{}"}},
      {R"({"type": "object"})", {"{}", R"({"a": 1})"}, {"[]", R"({"a": 1, "a": 2})"}},
  });
}

TEST(JsonSchema, NumbersAreExact) {
  check({
      {R"({"minimum": 3})", {"3", "3.0", "17", R"("x")"}, {"2.999", "-3"}},
      {R"({"exclusiveMinimum": 3, "maximum": 4.5})", {"3.0001", "4.5"}, {"3", "3.00", "4.51"}},
      {R"({"minimum": 2, "exclusiveMinimum": 3})", {"3.1"}, {"3", "2"}},
      {R"({"$schema": "http://json-schema.org/draft-04/schema#", "minimum": 3, "exclusiveMinimum": true})",
       {"3.1"},
       {"3"}},
      {R"({"$schema": "http://json-schema.org/draft-04/schema#", "type": "integer"})", {"1"}, {"1.0"}},
      {R"({"multipleOf": 0.01})", {"4.35", "0", "-1.10"}, {"4.351"}},
      {R"({"type": "integer", "minimum": 0, "maximum": 300})", {"0", "299", "300"}, {"301", "-1", "1.5"}},
      {R"({"not": {"minimum": 3}})", {"2.9", "-3"}, {"3", "4", R"({"a": )"}},
  });
}

TEST(JsonSchema, StringsAreExact) {
  check({
      {R"({"type": "string", "minLength": 2, "maxLength": 3})",
       {R"("ab")", "\"\xC3\xA9\xF0\x9F\x98\x80\"", R"("\n\n\n")"},
       {R"("a")", R"("abcd")"}},
      {R"({"pattern": "^a+$"})", {R"("aa")", "1"}, {R"("ab")", R"("")"}},
      {R"({"type": "string", "pattern": "b", "maxLength": 2})", {R"("ab")", R"("b")"}, {R"("abc")", R"("a")"}},
      {R"({"type": "string", "format": "date"})", {R"("2024-02-29")"}, {R"("2023-02-29")", R"("")"}},
      {R"({"type": "string", "not": {"pattern": "^a"}})", {R"("")", R"("ba")"}, {R"("a")"}},
      {R"({"oneOf": [{"pattern": "a"}, {"pattern": "b"}], "type": "string"})",
       {R"("a")", R"("cb")"},
       {R"("ab")", R"("c")"}},
      {R"({"enum": ["x", "y\"", 1, null, [1], {"a": 1, "b": [true]}]})",
       {R"("x")", R"("y\"")", "1", "1.0", "null", "[1]", R"({"b": [true], "a": 1.0})"},
       {R"("z")", "[1, 1]", R"({"a": 1})", R"({"a": 1, "b": [true], "c": 0})", "2"}},
      {R"({"const": "x"})", {R"("x")"}, {R"("X")"}},
      {R"({"type": "string", "enum": ["aa", "b", 3], "minLength": 2})", {R"("aa")"}, {R"("b")", "3"}},
      {R"({"not": {"enum": ["a", 1, {"k": 1}]}})",
       {R"("b")", "2", R"({"k": 2})", "{}", R"({"k": 1, "l": 1})"},
       {R"("a")", "1", "1.0", R"({"k": 1})"}},
  });
}

TEST(JsonSchema, MembersAreExact) {
  check({
      {R"({"properties": {"a": {"type": "integer"}}, "required": ["b"]})",
       {R"({"b": 0})", R"({"a": 1, "b": 0})", R"({"b": 0, "a": 1, "c": null})", "[]"},
       {R"({"a": 1})", R"({"a": "x", "b": 0})", "{}"}},
      {R"({"properties": {"a": true}, "patternProperties": {"^x": {"type": "null"}}, "additionalProperties": false})",
       {"{}", R"({"a": 1, "xy": null})"},
       {R"({"b": 1})", R"({"xy": 1})", R"({"ax": null})"}},
      {R"({"patternProperties": {"a": {"minimum": 2}, "b": {"maximum": 4}}, "additionalProperties": {"type": "null"}})",
       {R"({"a": 2, "b": 1, "ab": 3, "c": null})"},
       {R"({"ab": 1})", R"({"ab": 5})", R"({"c": 3})"}},
      {R"({"propertyNames": {"maxLength": 1}})", {R"({"a": 1, "b": 2})"}, {R"({"ab": 1})"}},
      {R"({"type": "object", "propertyNames": false})", {"{}"}, {R"({"a": 1})"}},
      {R"({"minProperties": 1, "maxProperties": 2})", {R"({"a": 1})"}, {"{}", R"({"a": 1, "b": 2, "c": 3})"}},
      {R"({"dependentRequired": {"a": ["b"]}})", {R"({"b": 1})", R"({"a": 1, "b": 2})", "{}"}, {R"({"a": 1})"}},
      {R"({"dependencies": {"a": ["b"], "c": {"required": ["d"], "properties": {"d": {"type": "null"}}}}})",
       {R"({"a": 1, "b": 1})", R"({"c": 1, "d": null})", R"({"d": 1})"},
       {R"({"a": 1})", R"({"c": 1})", R"({"c": 1, "d": 1})"}},
      {R"({"dependentSchemas": {"a": {"properties": {"b": {"type": "null"}}}}})",
       {R"({"b": 1})", R"({"a": 1, "b": null})"},
       {R"({"a": 1, "b": 1})"}},
      {R"({"not": {"required": ["a"], "properties": {"b": {"type": "null"}}}})",
       {"{}", R"({"b": null})", R"({"a": 1, "b": 1})"},
       {"null", R"({"a": 1})", R"({"a": 1, "b": null})"}},
      {R"({"type": "object", "not": {"additionalProperties": {"type": "null"}, "properties": {"a": true}}})",
       {R"({"b": 1})", R"({"a": 1, "b": null, "c": 2})"},
       {"{}", R"({"a": 1})", R"({"b": null})"}},
  });
}

TEST(JsonSchema, ItemsAreExact) {
  check({
      {R"({"items": {"type": "integer"}, "minItems": 1, "maxItems": 2})",
       {"[1]", "[1, 2]", "{}"},
       {"[]", "[1, 2, 3]", R"(["a"])"}},
      {R"({"prefixItems": [{"type": "null"}, {"type": "boolean"}], "items": false})",
       {"[]", "[null]", "[null, true]"},
       {"[true]", "[null, true, 1]"}},
      {R"({"$schema": "http://json-schema.org/draft-07/schema", "items": [{"type": "null"}], "additionalItems": {"type": "integer"}})",
       {"[null, 1, 2]", "[]"},
       {"[null, null]", "[1]"}},
      {R"({"contains": {"minimum": 5}})", {"[1, 5]", "[6]", "[5, 6, 1]"}, {"[]", "[1, 2]"}},
      {R"({"contains": {"const": 1}, "minContains": 2, "maxContains": 3})",
       {"[1, 1]", "[1, 2, 1, 1]"},
       {"[1]", "[1, 1, 1, 1]", "[2, 2]"}},
      {R"({"contains": {"const": 1}, "minContains": 0})", {"[]", "[2]", "[1]"}, {}},
      {R"({"uniqueItems": true, "items": {"type": ["string", "integer"]}})",
       {R"(["a", "b", 1])", "[]"},
       {R"(["a", "a"])", "[1, 1.0]", "[2, 2]"}},
      {R"({"uniqueItems": true, "maxItems": 1})", {R"([{"a": 1}])", "[]"}, {"[1, 2]"}},
      {R"({"not": {"items": {"type": "integer"}}})", {R"([1, "a"])", "[null]"}, {"[]", "[1]", "1"}},
      {R"({"not": {"contains": {"type": "null"}}})", {"[]", "[1]"}, {"[1, null]", "3"}},
  });
}

TEST(JsonSchema, CombinationsAreExact) {
  check({
      {R"({"allOf": [{"required": ["a"]}, {"properties": {"a": {"type": "integer"}}}], "type": "object"})",
       {R"({"a": 1})"},
       {"{}", R"({"a": "x"})"}},
      {R"({"type": "object", "anyOf": [{"required": ["a"]}, {"required": ["b"]}]})",
       {R"({"a": 1})", R"({"a": 1, "b": 1})"},
       {"{}", R"({"c": 1})"}},
      {R"({"type": "object", "oneOf": [{"required": ["a"]}, {"required": ["b"]}]})",
       {R"({"a": 1})", R"({"b": 1, "c": 1})"},
       {"{}", R"({"a": 1, "b": 1})"}},
      {R"({"oneOf": [{"properties": {"k": {"const": "x"}, "v": {"type": "integer"}}, "required": ["k"]},
                     {"properties": {"k": {"const": "y"}, "v": {"type": "string"}}, "required": ["k"]}], "type": "object"})",
       {R"({"k": "x", "v": 1})", R"({"v": "s", "k": "y"})", R"({"k": "y"})"},
       {R"({"k": "x", "v": "s"})", R"({"k": "z"})", "{}"}},
      {R"({"oneOf": [{"type": "array", "items": {"type": "integer"}}, {"type": "array", "maxItems": 1}]})",
       {"[1, 2]", R"(["a"])"},
       {"[]", "[1]", R"(["a", "b"])"}},
      {R"({"if": {"properties": {"k": {"const": 1}}, "required": ["k"]}, "then": {"required": ["a"]}, "else": {"required": ["b"]},
           "type": "object"})",
       {R"({"k": 1, "a": 0})", R"({"k": 2, "b": 0})", R"({"b": 0})"},
       {R"({"k": 1})", R"({"k": 2, "a": 0})", "{}"}},
      {R"({"not": {"not": {"type": "integer"}}})", {"1"}, {"null", "[]"}},
      {R"({"not": {"anyOf": [{"type": "object"}, {"type": "array"}, {"type": "string"}]}})",
       {"1", "null"},
       {"{}", R"("")"}},
  });
}

TEST(JsonSchema, UnevaluatedMembersAreExact) {
  check({
      {R"({"type": "object", "allOf": [{"properties": {"a": true}}], "unevaluatedProperties": false})",
       {"{}", R"({"a": 1})"},
       {R"({"b": 1})"}},
      {R"({"type": "object", "anyOf": [{"properties": {"a": {"const": 1}}, "required": ["a"]}, {"properties": {"b": {"const": 2}}, "required": ["b"]}],
           "unevaluatedProperties": false})",
       {R"({"a": 1})", R"({"b": 2})", R"({"a": 1, "b": 2})"},
       {R"({"a": 1, "b": 3})", R"({"a": 1, "c": 1})"}},
      {R"({"type": "object", "if": {"required": ["k"], "properties": {"k": true}}, "then": {"properties": {"a": true}},
           "unevaluatedProperties": {"type": "null"}})",
       {R"({"k": 1, "a": 1})", R"({"a": null})", "{}"},
       {R"({"a": 1})", R"({"k": 1, "b": 1})"}},
      {R"({"prefixItems": [true], "contains": {"type": "null"}, "unevaluatedItems": {"type": "integer"}})",
       {R"(["x", null, 1])", "[null]"},
       {R"(["x", null, "y"])", R"(["x"])"}},
      {R"({"type": "object", "not": {"properties": {"a": true}, "unevaluatedProperties": false}})",
       {R"({"b": 1})", R"({"a": 1, "b": 1})"},
       {"{}", R"({"a": 1})"}},
  });
}

TEST(JsonSchema, ReferencesAreFollowed) {
  check({
      {R"({"$ref": "#/$defs/list", "$defs": {"list": {"type": "object", "properties": {"next": {"$ref": "#/$defs/list"}}, "additionalProperties": false}}})",
       {"{}", R"({"next": {"next": {}}})"},
       {R"({"next": 1})", R"({"next": {"nxt": {}}})"}},
      {R"({"properties": {"a": {"$ref": "#/$defs/x~1y%25~0"}}, "$defs": {"x/y%~": {"type": "null"}}})",
       {R"({"a": null})"},
       {R"({"a": 1})"}},
      {R"({"$id": "http://example.com/root", "properties": {"a": {"$ref": "item#n"}}, "$defs": {"i": {"$id": "item", "$defs": {"n": {"$anchor": "n", "type": "null"}}}}})",
       {R"({"a": null})"},
       {R"({"a": 1})"}},
      {R"({"$ref": "#/$defs/a", "maximum": 3, "$defs": {"a": {"minimum": 2}}})", {"2", "3"}, {"1", "4"}},
      {R"({"$schema": "http://json-schema.org/draft-07/schema#", "allOf": [{"$ref": "#/definitions/a", "maximum": 3}], "definitions": {"a": {"minimum": 2}}})",
       {"2", "4"},
       {"1"}},
      {R"({"$dynamicAnchor": "node", "type": "object", "additionalProperties": {"$dynamicRef": "#node"}})",
       {R"({"a": {"b": {}}})"},
       {R"({"a": 1})"}},
  });
}

TEST(JsonSchema, MembersComeInTheGivenOrder) {
  Judge judge(
      R"({"type": "object", "properties": {"b": {"type": "integer"}, "a": {"type": "integer"}}, "required": ["a"]})",
      {});
  EXPECT_TRUE(judge.accepts(R"({"b": 1, "a": 2})"));
  EXPECT_TRUE(judge.accepts(R"({"a": 2, "z": null})"));
  EXPECT_FALSE(judge.accepts(R"({"a": 2, "b": 1})"));
  EXPECT_FALSE(judge.accepts(R"({"z": null, "a": 2})"));
}

TEST(JsonSchema, WhatIsIllFormedIsNamed) {
  expect_refusal(R"({"properties": {"a": {"type": "stsring"}}})",
                 "bad_request /properties/a/type: schema keyword type wants");
  expect_refusal(R"({"properties": {"a/b": {"minLength": -1}}})", "bad_request /properties/a~1b/minLength: ");
  expect_refusal(R"({"items": [true], "$schema": "https://json-schema.org/draft/2020-12/schema"})",
                 "bad_request /items: ");
  expect_refusal(R"({"anyOf": []})", "bad_request /anyOf: ");
  expect_refusal(R"({"pattern": "("})", "bad_request /pattern: ");
  expect_refusal(R"({"$ref": "#/$defs/x"})", "bad_request /$ref: ");
  expect_refusal(R"({"$ref": "#"})", "bad_request : the schema refers to itself");
  expect_refusal(R"({"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}]}}})", "bad_request ");
  expect_refusal("3", "bad_request : a JSON schema must be");
}

TEST(JsonSchema, WhatCannotBeEnforcedIsNamed) {
  expect_refusal(R"({"properties": {"a": {"$ref": "http://example.com/x.json"}}})", "unsupported /properties/a/$ref: ");
  expect_refusal(R"({"items": {"type": "array", "uniqueItems": true}})", "unsupported /items/uniqueItems: ");
  expect_refusal(R"({"not": {"type": "array", "uniqueItems": true}})", "unsupported /not/uniqueItems: ");
  expect_refusal(R"({"properties": {"a": {"format": "regex"}}})", "unsupported /properties/a/format: ");
  expect_refusal(R"({"pattern": "(?<=a)b"})", "unsupported /pattern: ");
  expect_refusal(R"({"$schema": "http://example.com/own"})", "unsupported /$schema: ");
}

TEST(JsonSchema, ContradictionsAreRefused) {
  for (const std::string_view schema :
       {"false", R"({"not": {}})", R"({"type": "string", "minLength": 3, "maxLength": 2})",
        R"({"allOf": [{"type": "string"}, {"type": "null"}]})", R"({"enum": ["a"], "pattern": "^b"})",
        R"({"type": "object", "required": ["a"], "properties": {"a": false}})",
        R"({"type": "array", "minItems": 2, "maxItems": 1})",
        R"({"type": "integer", "minimum": 1.2, "maximum": 1.8})"}) {
    expect_refusal(schema, "bad_request : no ");
  }
}

TEST(JsonSchema, AnnotationsAreReported) {
  const Judge judge(R"({"format": "color", "nullable": true, "title": "t", "properties": {"a": {"x-y": 1}}})");
  ASSERT_EQ(judge.notes().size(), 3U);
  EXPECT_EQ(judge.notes()[0].pointer, "/nullable");
  EXPECT_EQ(judge.notes()[1].pointer, "/properties/a/x-y");
  EXPECT_EQ(judge.notes()[2].pointer, "/format");
}

TEST(JsonSchema, BombsEndEarly) {
  const auto limited = [](const std::string& schema) {
    Budget parsing = endless();
    const boost::json::value parsed = parse_json(schema, "a test", {.depth = 128, .nodes = 1'000'000}, parsing);
    Budget budget("the schema", {.steps = 2'000'000, .bytes = size_t{64} << 20});
    Rules rules;
    try {
      add_json_schema(rules, parsed, {}, budget);
      return std::string("ok");
    } catch (const Error& e) {
      return std::string(fault_name(e.fault()));
    }
  };
  std::string nested = R"({"type": "object"})", texts = R"({"enum": [)", chain = R"({"$ref": "#/$defs/a0", "$defs": {)";
  for (int i = 0; i < 16; i++) {
    nested = R"({"oneOf": [)" + nested + R"(, {"type": "object", "required": ["a)" + std::to_string(i) + R"("]}]})";
  }
  for (int i = 0; i < 100'000; i++) texts += (i ? ",\"v" : "\"v") + std::to_string(i) + "\"";
  for (int i = 0; i < 3000; i++) {
    chain += "\"a" + std::to_string(i) + R"(": {"$ref": "#/$defs/a)" + std::to_string(i + 1) + "\"},";
  }
  EXPECT_NE(limited(nested), "");
  EXPECT_EQ(limited(texts + "]}"), "ok");
  EXPECT_EQ(limited(chain + R"("a3000": true}})"), "unsupported");
  EXPECT_EQ(limited(R"({"type": "array", "minItems": 1000000000})"), "ok");
  EXPECT_EQ(limited(R"({"type": "string", "maxLength": 1000000})"), "ok");
}

}  // namespace
}  // namespace lancet

// The fields that say what an answer must be: a constraint on its text, functions that it may or must call, the dialect
// of a prompt. Read here and nowhere else; all of OpenAI's, vLLM's and llama.cpp's names.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <boost/json/value.hpp>

#include "server/fields.h"

namespace lancet {

/// What the text of an answer must be.
struct TextConstraint {
  enum class Kind { none, json_object, json_schema, gbnf, lark, regex, choice };
  Kind kind = Kind::none;
  boost::json::value schema;         // json_schema
  std::string text;                  // gbnf, lark, regex
  std::vector<std::string> choices;  // choice
  std::string param;                 // the field that says it: "response_format.json_schema.schema"
  bool is_json() const { return kind == Kind::json_object || kind == Kind::json_schema; }
};

struct ToolField {
  std::string name;
  boost::json::value parameters;  // JSON Schema, or null: no arguments
  bool strict = true;             // else any JSON object will do
  std::string param;              // "tools[2].function.parameters"
};

/// The functions that an answer may call.
struct ToolFields {
  std::vector<ToolField> tools;  // those that tool_choice leaves; empty: none
  bool required = false;         // the answer is a call
  bool parallel = true;          // more than one
  bool old_names = false;        // functions, function_call: the answer says function_call too
};

/// What becomes of calls that go in circles, change nothing, or were copied from a tool's result.
enum class Guards { annotate, refuse, off };

struct ConstraintFields {
  TextConstraint text;
  ToolFields tools;
  std::optional<std::string> dialect;  // "scalpel", "none"; nothing: what the system prompt shows
  Guards guards = Guards::annotate;
  bool any() const { return text.kind != TextConstraint::Kind::none || !tools.tools.empty(); }
};

/// Of a chat or a completion. Throws Error with the field as param for what is ill-formed, and for constraints that
/// exclude each other.
ConstraintFields read_constraints(const FieldReader&);

}  // namespace lancet

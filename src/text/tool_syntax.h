// How a model writes calls of functions, chosen from its chat template and its vocabulary: one row of the table in
// tool_syntax.cpp each. A marker that the vocabulary has as a control token is only ever that token, so that text which
// merely spells it stays text.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace lancet {

enum class CallForm {
  mistral,       // [TOOL_CALLS]name[ARGS]{"a": 1}, repeated
  mistral_list,  // [TOOL_CALLS][{"name": "f", "arguments": {"a": 1}}, ...]
  hermes,        // <tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>, repeated
  llama,         // {"name": "f", "parameters": {"a": 1}}, separated by "; ", also behind <|python_tag|>
};

std::string_view call_form_name(CallForm);  // "mistral"

struct Marker {
  std::string text;
  std::optional<TokenId> id;  // the control token of that name; none: the marker is text
};

struct ToolSyntax {
  CallForm form = CallForm::hermes;
  Marker begin;                           // in front of a call (mistral_list: of all calls; llama: may be missing)
  Marker arguments;                       // mistral: between name and arguments
  Marker call_id;                         // mistral: some models put an id there
  bool writes_call_id = false;            // ... this one may
  Marker end;                             // hermes: behind a call
  std::string_view arguments_key;         // of the object that is a call; empty: mistral has none
  bool known = false;                     // the template has this form; else it is a form that any model can be held to
  std::vector<TokenId> thought;           // control tokens around reasoning, which prose may have
  std::vector<TokenId> controls() const;  // control tokens that an answer's reader must see, ascending
};

ToolSyntax find_tool_syntax(std::string_view chat_template, const Tokenizer&);

}  // namespace lancet

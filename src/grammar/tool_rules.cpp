#include "grammar/tool_rules.h"

namespace lancet {
namespace {

RuleId mark(Rules& rules, const Marker& marker) {
  return marker.id ? rules.control(*marker.id) : rules.literal(marker.text);
}

/// Any text that has none of the markers in it. Markers that are control tokens are no text.
Term text_without(Rules& rules, const std::vector<std::string>& markers) {
  TermPool& terms = rules.terms();
  std::vector<Term> parts{terms.anything()};
  for (const std::string& marker : markers)
    parts.push_back(terms.complement(terms.concat({terms.anything(), terms.literal(marker), terms.anything()})));
  return terms.both(parts);
}

/// No text whose first character that is no white space is a '{'.
Term not_an_object(TermPool& terms) {
  const Term space = terms.repeat(terms.chars(CharSet::of(U" \t\r\n")), 0, std::nullopt);
  return terms.complement(terms.concat({space, terms.literal("{"), terms.anything()}));
}

/// Text, with the marks around a thought where they please.
RuleId prose(Rules& rules, Term text, const std::vector<TokenId>& thought) {
  const RuleId part = rules.text(text, Encoding::utf8);
  if (thought.empty()) return part;
  std::vector<RuleId> marks;
  for (const TokenId id : thought) marks.push_back(rules.control(id));
  const RuleId more = rules.sequence({rules.either(std::move(marks)), part});
  return rules.sequence({part, rules.repeat(more, 0, std::nullopt)});
}

Term call_id_term(TermPool& terms) {
  return terms.repeat(terms.chars(CharSet({{U'0', U'9'}, {U'A', U'Z'}, {U'a', U'z'}})), 9, 9);
}

/// {"name": "f", "arguments": {...}}, with an id behind it where older models write one.
RuleId call_object(Rules& rules, const CallableTool& tool, std::string_view key, bool with_id) {
  std::vector<RuleId> parts{rules.literal("{\"name\": \"" + tool.name + "\", \"" + std::string(key) + "\": "),
                            tool.arguments};
  if (with_id) {
    const RuleId id = rules.text(call_id_term(rules.terms()), Encoding::json_string);
    parts.push_back(rules.either({rules.empty(), rules.sequence({rules.literal(", \"id\": "), id})}));
  }
  parts.push_back(rules.literal("}"));
  return rules.sequence(std::move(parts));
}

RuleId any_object(Rules& rules, const ToolUse& use, std::string_view key, bool with_id) {
  std::vector<RuleId> calls;
  for (const CallableTool& tool : use.tools) calls.push_back(call_object(rules, tool, key, with_id));
  return rules.either(std::move(calls));
}

RuleId mistral_call(Rules& rules, const ToolSyntax& syntax, const ToolUse& use) {
  RuleId id = rules.empty();
  if (syntax.writes_call_id)
    id = rules.either(
        {id, rules.sequence({mark(rules, syntax.call_id), rules.text(call_id_term(rules.terms()), Encoding::utf8)})});
  std::vector<RuleId> calls;
  for (const CallableTool& tool : use.tools)
    calls.push_back(rules.sequence({rules.literal(tool.name), id, mark(rules, syntax.arguments), tool.arguments}));
  return rules.sequence({mark(rules, syntax.begin), rules.either(std::move(calls))});
}

RuleId hermes_call(Rules& rules, const ToolSyntax& syntax, const ToolUse& use) {
  const RuleId line_break = rules.texts({"\n", ""});
  return rules.sequence({mark(rules, syntax.begin), line_break, any_object(rules, use, syntax.arguments_key, false),
                         line_break, mark(rules, syntax.end)});
}

/// One call, and then as many as may be, with `between` in front of each.
RuleId one_or_more(Rules& rules, RuleId call, RuleId between, bool parallel) {
  if (!parallel) return call;
  return rules.sequence({call, rules.repeat(rules.sequence({between, call}), 0, std::nullopt)});
}

/// Llama's calls are returned without their marker, which may be missing at the beginning of an answer only.
RuleId calls_of(Rules& rules, const ToolSyntax& syntax, const ToolUse& use) {
  switch (syntax.form) {
    case CallForm::mistral: return one_or_more(rules, mistral_call(rules, syntax, use), rules.empty(), use.parallel);
    case CallForm::mistral_list:
      return rules.sequence({mark(rules, syntax.begin), rules.literal("["),
                             one_or_more(rules, any_object(rules, use, syntax.arguments_key, true),
                                         rules.texts({",", ", "}), use.parallel),
                             rules.literal("]")});
    case CallForm::hermes:
      return one_or_more(rules, hermes_call(rules, syntax, use), rules.texts({"\n", ""}), use.parallel);
    case CallForm::llama: break;
  }
  return one_or_more(rules, any_object(rules, use, syntax.arguments_key, false), rules.literal("; "), use.parallel);
}

}  // namespace

RuleId add_tool_answer(Rules& rules, const ToolSyntax& syntax, const ToolUse& use) {
  const RuleId calls = calls_of(rules, syntax, use);
  const bool llama = syntax.form == CallForm::llama;
  const RuleId marked = llama ? rules.sequence({mark(rules, syntax.begin), calls}) : calls;
  if (use.required) return llama ? rules.either({calls, marked}) : calls;
  std::vector<std::string> markers;
  if (!syntax.begin.id) markers.push_back(syntax.begin.text);
  Term text = text_without(rules, markers);
  // Where a call may begin without a marker, prose must not look like one.
  if (llama) text = rules.terms().both({text, not_an_object(rules.terms())});
  const RuleId answer = rules.sequence({prose(rules, text, syntax.thought), rules.either({rules.empty(), marked})});
  return llama ? rules.either({calls, answer}) : answer;
}

RuleId add_fenced_answer(Rules& rules, const ToolSyntax& syntax, const ToolUse& use) {
  const ToolUse one{.tools = use.tools, .required = true, .parallel = false};
  const ToolSyntax hermes{.form = CallForm::hermes,
                          .begin = {.text = "<tool_call>"},
                          .end = {.text = "</tool_call>"},
                          .arguments_key = "arguments"};
  const RuleId object = any_object(rules, one, "params", false);
  std::vector<RuleId> calls{rules.sequence({rules.literal("```tool\n"), object, rules.literal("\n```")}),
                            hermes_call(rules, hermes, one)};
  if (syntax.known && syntax.form != CallForm::llama) calls.push_back(calls_of(rules, syntax, one));
  const RuleId call = rules.either(calls);
  if (use.required) return rules.either({call, object});
  std::vector<std::string> markers{"```tool", "<tool_call>"};
  if (calls.size() > 2 && !syntax.begin.id) markers.push_back(syntax.begin.text);
  const Term text = rules.terms().both({text_without(rules, markers), not_an_object(rules.terms())});
  return rules.either(
      {object, rules.sequence({prose(rules, text, syntax.thought), rules.either({rules.empty(), call})})});
}

}  // namespace lancet

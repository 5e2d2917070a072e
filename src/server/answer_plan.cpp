#include "server/answer_plan.h"

#include <algorithm>
#include <chrono>

#include <fmt/format.h>

#include <boost/json/serialize.hpp>

#include "grammar/json_schema.h"
#include "grammar/text_grammars.h"
#include "grammar/tool_rules.h"
#include "server/errors.h"
#include "server/grammars.h"
#include "text/fenced_reader.h"
#include "text/json_fence_reader.h"

namespace lancet {
namespace json = boost::json;
namespace {

using Kind = TextConstraint::Kind;

/// Arguments are written as templates show them: ", " and ": ", or without spaces.
constexpr SchemaOptions kArguments{.spacing = Spacing::single, .whole_plain = true}, kText{.whole_plain = true};

/// Runs a compiler; what it refuses is the field's fault, and says where in it.
template <typename Compile>
RuleId compiled(const std::string& field, Compile compile) {
  try {
    return compile();
  } catch (const ApiError&) {
    throw;  // an inner field's
  } catch (const Error& error) {
    const std::string place = field + (error.param().starts_with('/') ? error.param() : "");
    if (error.fault() == Fault::bad_request) throw ApiError(400, "invalid_schema", error.message(), place);
    if (error.fault() == Fault::unsupported) throw ApiError(400, "unsupported_value", error.message(), place);
    if (error.fault() == Fault::budget) throw ApiError(400, "budget_exceeded", error.message(), place);
    throw;
  }
}

RuleId text_rule(Rules& rules, const TextConstraint& text, Budget& budget) {
  return compiled(text.param, [&] {
    switch (text.kind) {
      case Kind::json_schema: return add_json_schema(rules, text.schema, kText, budget);
      case Kind::gbnf: return add_gbnf(rules, text.text, budget);
      case Kind::lark: return add_lark(rules, text.text, budget);
      case Kind::regex: return add_regex(rules, text.text, budget);
      case Kind::choice: return add_choice(rules, text.choices, budget);
      case Kind::json_object:
      case Kind::none: break;
    }
    return add_json_object(rules, kText);
  });
}

/// JSON, also between fences.
RuleId fenced_json(Rules& rules, RuleId text) {
  return rules.either(
      {text, rules.sequence({rules.literal(JsonFenceReader::kOpen), text, rules.literal(JsonFenceReader::kClose)})});
}

/// Parameters that are listed are all there are, unless the schema says something about others.
bool says_all(const json::object& parameters) {
  static constexpr std::string_view kOthers[] = {
      "additionalProperties", "unevaluatedProperties", "patternProperties", "allOf", "anyOf", "oneOf", "$ref", "if",
      "dependentSchemas",     "minProperties",         "propertyNames"};
  return parameters.contains("properties") &&
         std::none_of(std::begin(kOthers), std::end(kOthers), [&](auto key) { return parameters.contains(key); });
}

/// The schema of a call's arguments: an object, whatever else it says.
json::value arguments_schema(const json::value& parameters) {
  json::object out = parameters.get_object();
  const json::value* type = out.if_contains("type");
  const json::array* types = type ? type->if_array() : nullptr;
  const bool object = !type || *type == json::value("object") ||
                      (types && std::find(types->begin(), types->end(), json::value("object")) != types->end());
  if (!object) throw Error(Fault::bad_request, "the arguments of a function are an object, wanted this type", "/type");
  const bool all = says_all(out);
  out["type"] = "object";
  if (all) out["additionalProperties"] = false;
  return out;
}

RuleId arguments_rule(Rules& rules, const ToolField& tool, Budget& budget) {
  if (tool.parameters.is_null()) return rules.object({}, Spacing::compact);
  if (!tool.strict) return add_json_object(rules, kArguments);
  return compiled(tool.param,
                  [&] { return add_json_schema(rules, arguments_schema(tool.parameters), kArguments, budget); });
}

ToolUse tool_use(Rules& rules, const ToolFields& fields, Budget& budget) {
  ToolUse use{.required = fields.required, .parallel = fields.parallel};
  for (const ToolField& tool : fields.tools) use.tools.push_back({tool.name, arguments_rule(rules, tool, budget)});
  return use;
}

std::string text_key(const TextConstraint& text) {
  std::string key = fmt::format("text {} ", static_cast<int>(text.kind));
  key += text.text;
  if (!text.schema.is_null()) key += json::serialize(text.schema);
  for (const std::string& choice : text.choices) key += fmt::format("{}:{}", choice.size(), choice);
  return key;
}

std::string tools_key(const ToolFields& fields) {
  std::string key = fmt::format("tools {}{} ", fields.required, fields.parallel);
  for (const ToolField& tool : fields.tools)
    key += fmt::format("{} {} {}\n", tool.name, tool.strict, json::serialize(tool.parameters));
  return key;
}

ToolFields dialect_tools(const FencedDialect& dialect) {
  ToolFields fields{.parallel = false};
  for (const DialectTool& tool : dialect.tools)
    fields.tools.push_back({.name = tool.name, .parameters = tool.params, .param = "dialect"});
  return fields;
}

std::string system_text(const Conversation& conversation) {
  std::string text;
  for (const ChatMessage& message : conversation.messages) {
    if (message.role != "system" && message.role != "developer") continue;
    for (const ContentPart& part : message.content) text += part.text + "\n";
  }
  return text;
}

struct ChosenDialect {
  std::string name;
  bool inferred = false;
  FencedDialect dialect;
};

/// The dialect of this conversation: what the request says, else the server, else what the prompt shows.
std::optional<ChosenDialect> choose_dialect(const RequestContext& context, const ConstraintFields& fields,
                                            const Conversation& conversation, Budget& budget) {
  const std::string wanted = fields.dialect.value_or(context.service.dialect);
  const bool busy = fields.any() || !conversation.tools.is_null();
  if (fields.dialect && *fields.dialect != "none" && busy)
    throw Error(Fault::bad_request,
                "dialect puts calls into the text; wanted no tools and no constraint of the text beside it", "dialect");
  if (busy || wanted == "none") return std::nullopt;
  if (auto found = find_fenced_dialect(system_text(conversation), budget))
    return ChosenDialect{"scalpel", wanted == "auto", std::move(*found)};
  if (wanted == "auto") return std::nullopt;
  return ChosenDialect{wanted, false, scalpel_dialect()};
}

/// What the plan's grammar is made of.
struct Recipe {
  TextConstraint text;
  ToolFields tools;
};

RuleId answer_rule(Rules& rules, const AnswerPlan& plan, const Recipe& recipe, Budget& budget) {
  using Reading = AnswerPlan::Reading;
  if (plan.reading == Reading::plain) return text_rule(rules, recipe.text, budget);
  if (plan.reading == Reading::json) return fenced_json(rules, text_rule(rules, recipe.text, budget));
  ToolUse use = tool_use(rules, recipe.tools, budget);
  if (plan.reading == Reading::fenced) return add_fenced_answer(rules, plan.syntax, use);
  if (recipe.text.kind == Kind::none) return add_tool_answer(rules, plan.syntax, use);
  use.required = true;  // calls, or the text that was asked for
  return rules.either({text_rule(rules, recipe.text, budget), add_tool_answer(rules, plan.syntax, use)});
}

void compile(const RequestContext& context, AnswerPlan& plan, const Recipe& recipe) {
  const auto time = std::chrono::duration<double>(context.limits.grammar_s);
  Budget budget("compiling the constraint of the answer",
                {.time = std::chrono::duration_cast<std::chrono::nanoseconds>(time)}, context.cancel);
  const std::string key =
      fmt::format("{} {}{}", static_cast<int>(plan.reading), text_key(recipe.text), tools_key(recipe.tools));
  const std::string& field = recipe.text.kind != Kind::none ? recipe.text.param : "tools";
  compiled(field, [&] {
    plan.grammar = context.service.grammars->get(
        key, [&](Rules& rules, Budget& b) { return answer_rule(rules, plan, recipe, b); }, budget);
    return RuleId{};
  });
}

void plan_guard(const ConstraintFields& fields, const Conversation& conversation, AnswerPlan& plan, Budget& budget) {
  plan.guards = fields.guards;
  if (plan.guards == Guards::off) return;
  plan.guard = std::make_shared<const CallGuard>(conversation, plan.reading == AnswerPlan::Reading::fenced, budget);
}

}  // namespace

AnswerPlan plan_answer(const RequestContext& context, const ConstraintFields& fields, const Conversation* conversation,
                       Budget& budget) {
  AnswerPlan plan;
  Recipe recipe{.text = fields.text, .tools = fields.tools};
  std::optional<ChosenDialect> dialect;
  if (conversation) dialect = choose_dialect(context, fields, *conversation, budget);
  if (!fields.any() && !dialect) return plan;
  const Grammars& grammars = *context.service.grammars;
  plan.syntax = grammars.tool_syntax();
  if (!fields.tools.tools.empty()) {
    plan.reading = AnswerPlan::Reading::calls;
    plan.required = fields.tools.required;
    plan.old_names = fields.tools.old_names;
    if (!plan.syntax.known)
      plan.notes.push_back(
          fmt::format("the model's chat template has no form of calls; {} is used", call_form_name(plan.syntax.form)));
  } else if (dialect) {
    plan.reading = AnswerPlan::Reading::fenced;
    plan.dialect = dialect->name;
    plan.inferred = dialect->inferred;
    recipe.tools = dialect_tools(dialect->dialect);
    recipe.tools.required = fields.tools.required;
  } else if (conversation && fields.text.is_json()) {
    plan.reading = AnswerPlan::Reading::json;
  }
  for (const ToolField& tool : recipe.tools.tools) plan.tools.push_back(tool.name);
  compile(context, plan, recipe);
  if (conversation && !plan.tools.empty()) plan_guard(fields, *conversation, plan, budget);
  return plan;
}

std::unique_ptr<AnswerReader> AnswerPlan::reader() const {
  switch (reading) {
    case Reading::json: return std::make_unique<JsonFenceReader>();
    case Reading::calls: return std::make_unique<CallReader>(syntax);
    case Reading::fenced: return std::make_unique<FencedReader>(syntax, tools);
    case Reading::plain: break;
  }
  return nullptr;
}

std::vector<TokenId> AnswerPlan::show_tokens() const {
  return reading == Reading::calls || reading == Reading::fenced ? syntax.controls() : std::vector<TokenId>();
}

}  // namespace lancet

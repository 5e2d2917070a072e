#include "server/constraint_fields.h"

#include <algorithm>
#include <unordered_set>

#include <fmt/format.h>

#include <boost/json/serialize.hpp>

#include "base/json.h"
#include "server/errors.h"

namespace lancet {
namespace json = boost::json;
namespace {

using Kind = TextConstraint::Kind;

constexpr size_t kMostNameBytes = 64;  // OpenAI's bound

bool is_name(std::string_view name) {
  return !name.empty() && name.size() <= kMostNameBytes && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
}

std::string_view checked_name(const JsonView& view) {
  if (!is_name(view.string())) view.fail("1 to 64 of the characters A-Z a-z 0-9 _ -");
  return view.string();
}

/// A schema, which may stand in a string.
TextConstraint schema_constraint(const JsonView& view, const ServerLimits& limits) {
  TextConstraint constraint{.kind = Kind::json_schema, .schema = view.value(), .param = view.path()};
  if (view.value().is_string()) {
    Budget budget("a schema", {.steps = limits.json_nodes * 2});
    constraint.schema =
        parse_json(view.string(), view.path(), {limits.json_depth, limits.json_nodes, Fault::bad_request}, budget);
  }
  if (!constraint.schema.is_object()) view.fail("a JSON Schema: an object");
  if (json::serialize(constraint.schema).size() > limits.grammar_bytes)
    throw Error(Fault::bad_request,
                fmt::format("{} is longer than {} bytes, the limit of a schema", view.path(), limits.grammar_bytes),
                view.path());
  return constraint;
}

TextConstraint text_constraint(Kind kind, const JsonView& view, const ServerLimits& limits) {
  if (view.string().size() > limits.grammar_bytes)
    throw Error(
        Fault::bad_request,
        fmt::format("{} has {} bytes, wanted at most {}", view.path(), view.string().size(), limits.grammar_bytes),
        view.path());
  return {.kind = kind, .text = std::string(view.string()), .param = view.path()};
}

TextConstraint choice_constraint(const JsonView& view, const ServerLimits& limits) {
  TextConstraint constraint{.kind = Kind::choice, .param = view.path()};
  check_count(view, limits.grammar_choices);
  size_t bytes = 0;
  for (size_t i = 0; i < view.size(); i++) {
    const JsonView choice = view.element(i);
    if (choice.string().empty()) choice.fail("a text that is not empty");
    constraint.choices.emplace_back(choice.string());
    bytes += choice.string().size();
  }
  if (bytes > limits.grammar_bytes) view.fail(fmt::format("at most {} bytes in all", limits.grammar_bytes));
  return constraint;
}

TextConstraint read_response_format(const JsonView& format, const ServerLimits& limits) {
  const JsonView type = format.at("type");
  if (type.string() == "text") return {};
  if (type.string() == "json_object") {
    // llama.cpp's: a schema beside the type.
    if (const auto schema = format.find("schema")) return schema_constraint(*schema, limits);
    return {.kind = Kind::json_object, .param = format.path()};
  }
  if (type.string() != "json_schema") type.fail("text, json_object or json_schema");
  const JsonView wrapper = format.at("json_schema");
  if (const auto name = wrapper.find("name")) checked_name(*name);
  if (const auto strict = wrapper.find("strict")) strict->boolean();
  if (const auto description = wrapper.find("description")) description->string();
  const auto schema = wrapper.find("schema");
  if (!schema) return {.kind = Kind::json_object, .param = wrapper.path()};
  return schema_constraint(*schema, limits);
}

/// "" asks for nothing, and so does a choice of nothing.
bool is_empty(const JsonView& view, Kind kind) {
  const json::value& value = view.value();
  if (kind == Kind::choice) return value.is_array() && value.get_array().empty();
  return value.is_string() && value.get_string().empty();
}

TextConstraint read_kind(Kind kind, const JsonView& view, const ServerLimits& limits) {
  switch (kind) {
    case Kind::json_schema: return schema_constraint(view, limits);
    case Kind::choice: return choice_constraint(view, limits);
    default: return text_constraint(kind, view, limits);
  }
}

struct NamedConstraint {
  std::string_view name;
  Kind kind;
};
constexpr NamedConstraint kNamed[] = {
    {"grammar", Kind::gbnf},
    {"lark", Kind::lark},
    {"regex", Kind::regex},
    {"choice", Kind::choice},
    {"json_schema", Kind::json_schema},
    {"guided_json", Kind::json_schema},
    {"guided_regex", Kind::regex},
    {"guided_choice", Kind::choice},
    {"guided_grammar", Kind::gbnf},
};
constexpr NamedConstraint kStructured[] = {{"json", Kind::json_schema},
                                           {"regex", Kind::regex},
                                           {"choice", Kind::choice},
                                           {"grammar", Kind::gbnf},
                                           {"json_object", Kind::json_object}};

void take(TextConstraint found, TextConstraint& constraint) {
  if (found.kind == Kind::none) return;
  if (constraint.kind != Kind::none)
    throw Error(
        Fault::bad_request,
        fmt::format("{} and {} both constrain the answer, wanted only one of them", constraint.param, found.param),
        found.param);
  constraint = std::move(found);
}

/// vLLM's field.
void read_structured(const JsonView& view, const ServerLimits& limits, TextConstraint& constraint) {
  for (const auto& [key, value] : view.object()) {
    if (value.is_null()) continue;
    const std::string_view name = key;
    const auto row = std::find_if(std::begin(kStructured), std::end(kStructured),
                                  [&](const NamedConstraint& named) { return named.name == name; });
    const JsonView member = view.at(name);
    if (row == std::end(kStructured))
      throw Error(Fault::unsupported,
                  member.path() + " is not supported: wanted json, regex, choice, grammar or json_object",
                  member.path());
    if (row->kind == Kind::json_object) {
      if (member.boolean()) take({.kind = Kind::json_object, .param = member.path()}, constraint);
    } else if (!is_empty(member, row->kind)) {
      take(read_kind(row->kind, member, limits), constraint);
    }
  }
}

TextConstraint read_text(const FieldReader& reader) {
  TextConstraint constraint;
  if (const auto format = reader.find("response_format"))
    take(read_response_format(*format, reader.limits()), constraint);
  for (const NamedConstraint& named : kNamed)
    if (const auto view = reader.find(named.name); view && !is_empty(*view, named.kind))
      take(read_kind(named.kind, *view, reader.limits()), constraint);
  if (const auto view = reader.find("structured_outputs")) read_structured(*view, reader.limits(), constraint);
  return constraint;
}

ToolField read_function(const JsonView& function, const ServerLimits& limits) {
  ToolField tool{.name = std::string(checked_name(function.at("name"))), .param = function.path() + ".parameters"};
  if (const auto strict = function.find("strict")) tool.strict = strict->boolean();
  const auto parameters = function.find("parameters");
  if (!parameters) return tool;
  tool.parameters = parameters->object();
  if (json::serialize(tool.parameters).size() > limits.grammar_bytes)
    parameters->fail(fmt::format("a schema of at most {} bytes", limits.grammar_bytes));
  return tool;
}

std::vector<ToolField> read_functions(const FieldReader& reader, bool& old_names) {
  std::vector<ToolField> tools;
  if (const auto list = reader.list("tools"))
    for (size_t i = 0; i < list->size(); i++)
      tools.push_back(read_function(list->element(i).at("function"), reader.limits()));
  if (const auto list = reader.list("functions")) {
    old_names = list->size() > 0;
    for (size_t i = 0; i < list->size(); i++) tools.push_back(read_function(list->element(i), reader.limits()));
  }
  std::unordered_set<std::string_view> names;
  for (const ToolField& tool : tools) {
    const std::string place = tool.param.substr(0, tool.param.rfind('.')) + ".name";
    if (!names.insert(tool.name).second)
      throw Error(Fault::bad_request, fmt::format("{} is {} again, wanted a name of its own", place, quoted(tool.name)),
                  place);
  }
  return tools;
}

/// Leaves the tools of these names.
void choose(const std::vector<std::string>& names, std::vector<ToolField>& tools) {
  std::erase_if(tools,
                [&](const ToolField& tool) { return std::find(names.begin(), names.end(), tool.name) == names.end(); });
}

std::string known_name(const JsonView& view, const std::vector<ToolField>& tools) {
  const std::string name(view.string());
  if (std::none_of(tools.begin(), tools.end(), [&](const ToolField& tool) { return tool.name == name; }))
    view.fail("the name of one of the request's tools");
  return name;
}

std::string function_name(const JsonView& choice, const std::vector<ToolField>& tools) {
  if (const JsonView type = choice.at("type"); type.string() != "function") type.fail("function");
  return known_name(choice.at("function").at("name"), tools);
}

void read_allowed(const JsonView& allowed, ToolFields& fields) {
  const JsonView mode = allowed.at("mode");
  if (mode.string() != "auto" && mode.string() != "required") mode.fail("auto or required");
  fields.required = mode.string() == "required";
  const JsonView list = allowed.at("tools");
  if (list.size() == 0) list.fail("at least one tool");
  check_count(list, fields.tools.size());
  std::vector<std::string> names;
  for (size_t i = 0; i < list.size(); i++) names.push_back(function_name(list.element(i), fields.tools));
  choose(names, fields.tools);
}

/// `in_text`: calls that a dialect puts into the text may be demanded too.
void read_choice(const JsonView& choice, bool in_text, ToolFields& fields) {
  if (choice.value().is_string()) {
    const std::string_view word = choice.string();
    if (word != "none" && word != "auto" && word != "required")
      choice.fail("none, auto, required or an object that names functions");
    fields.required = word == "required";
    if (word == "none") fields.tools.clear();
    if (fields.required && fields.tools.empty() && !in_text) choice.fail("none or auto in a request without tools");
    return;
  }
  const JsonView type = choice.at("type");
  if (type.string() == "allowed_tools") return read_allowed(choice.at("allowed_tools"), fields);
  if (type.string() != "function") type.fail("function or allowed_tools");
  choose({function_name(choice, fields.tools)}, fields.tools);
  fields.required = true;
  fields.parallel = false;
}

/// The old field: none, auto or {"name": ...}.
void read_old_choice(const JsonView& choice, ToolFields& fields) {
  if (choice.value().is_string()) {
    if (choice.string() != "none" && choice.string() != "auto") choice.fail("none, auto or an object with a name");
    if (choice.string() == "none") fields.tools.clear();
    return;
  }
  choose({known_name(choice.at("name"), fields.tools)}, fields.tools);
  fields.required = true;
}

ToolFields read_tool_fields(const FieldReader& reader, bool in_text) {
  ToolFields fields;
  fields.tools = read_functions(reader, fields.old_names);
  fields.parallel = reader.flag("parallel_tool_calls", true) && !fields.old_names;
  const auto choice = reader.find("tool_choice");
  const auto old = reader.find("function_call");
  if (choice && old)
    throw Error(Fault::bad_request, "function_call is the old form of tool_choice, wanted only one of them",
                "function_call");
  if (choice) read_choice(*choice, in_text, fields);
  if (old) read_old_choice(*old, fields);
  return fields;
}

template <size_t count>
std::optional<size_t> read_word(const FieldReader& reader, std::string_view field,
                                const std::string_view (&words)[count]) {
  const auto view = reader.find(field);
  if (!view) return std::nullopt;
  const auto found = std::find(std::begin(words), std::end(words), view->string());
  if (found == std::end(words)) view->fail(fmt::format("one of {}", fmt::join(words, ", ")));
  return static_cast<size_t>(found - std::begin(words));
}

/// What cannot be kept together.
void check_together(const ConstraintFields& fields) {
  if (fields.text.kind != Kind::none && fields.tools.required)
    throw Error(Fault::bad_request,
                fmt::format("{} constrains the text of an answer that must be a call; wanted only one of them",
                            fields.text.param),
                fields.text.param);
}

}  // namespace

ConstraintFields read_constraints(const FieldReader& reader) {
  static constexpr std::string_view kDialects[] = {"none", "scalpel"}, kGuards[] = {"annotate", "refuse", "off"};
  ConstraintFields fields{.text = read_text(reader)};
  if (reader.body() == Body::chat) {
    if (const auto dialect = read_word(reader, "dialect", kDialects)) fields.dialect = kDialects[*dialect];
    fields.tools = read_tool_fields(reader, fields.dialect && *fields.dialect != "none");
    if (const auto guards = read_word(reader, "guards", kGuards)) fields.guards = static_cast<Guards>(*guards);
  }
  check_together(fields);
  return fields;
}

}  // namespace lancet

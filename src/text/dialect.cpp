// Reading tools out of a prompt: its list, and its examples.
#include "text/dialect.h"

#include <algorithm>

#include "base/error.h"
#include "base/json.h"
#include "text/call_object.h"

namespace lancet {
namespace json = boost::json;
namespace {

constexpr size_t kMostTools = 64, kMostParams = 32;  // more is no list of tools
constexpr std::string_view kFence = "```tool\n", kFenceEnd = "```";
constexpr std::string_view kPlaceholders[] = {"tool_name", "name", "tool", "function_name", "TOOL_NAME", "..."};

struct Param {
  std::string name;
  json::object schema;
  bool required = true;
};

struct Found {
  std::string name;
  std::vector<Param> params;
};

/// What a parameter is where no example says it. An empty path, command or content is always a mistake: a file was
/// once overwritten with nothing.
json::object usual_schema(std::string_view param) {
  if (param == "tags") return {{"type", "array"}, {"items", json::object{{"type", "string"}}}};
  if (param == "data") return {{"type", "object"}};
  json::object schema{{"type", "string"}};
  if (param == "path" || param == "command" || param == "content") schema["minLength"] = 1;
  return schema;
}

json::object schema_like(std::string_view param, const json::value& example) {
  switch (example.kind()) {
    case json::kind::bool_: return {{"type", "boolean"}};
    case json::kind::int64:
    case json::kind::uint64: return {{"type", "integer"}};
    case json::kind::double_: return {{"type", "number"}};
    case json::kind::object: return {{"type", "object"}};
    case json::kind::array: return {{"type", "array"}};
    default: return usual_schema(param);
  }
}

std::string_view trimmed(std::string_view text, std::string_view what = " \t\r") {
  const size_t begin = text.find_first_not_of(what);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(what) - begin + 1);
}

bool is_name(std::string_view text) { return is_function_name(text) && text.find('.') == std::string_view::npos; }

/// "path", "path: string", "limit?: integer", "limit=10".
std::optional<Param> read_param(std::string_view text) {
  static constexpr std::pair<std::string_view, std::string_view> kTypes[] = {
      {"int", "integer"},  {"integer", "integer"}, {"number", "number"}, {"float", "number"},
      {"bool", "boolean"}, {"boolean", "boolean"}, {"object", "object"}, {"array", "array"}};
  const size_t colon = text.find(':'), equal = text.find('=');
  std::string_view name = trimmed(text.substr(0, std::min(colon, equal)));
  Param param{.required = equal == std::string_view::npos};
  if (name.ends_with('?')) {
    name.remove_suffix(1);
    param.required = false;
  }
  if (!is_name(name)) return std::nullopt;
  param.name = name;
  param.schema = usual_schema(name);
  if (colon == std::string_view::npos || colon > equal) return param;
  const std::string_view type =
      trimmed(text.substr(colon + 1, equal == std::string_view::npos ? equal : equal - colon - 1));
  for (const auto& [word, named] : kTypes)
    if (type == word) param.schema = {{"type", named}};
  return param;
}

/// "- read_file(path): Read file contents"; nothing if the line is none of a list of tools.
std::optional<Found> read_line(std::string_view line) {
  line = trimmed(line, " \t\r-*+`0123456789.");
  const size_t open = line.find('('), close = line.find(')', open);
  if (open == std::string_view::npos || close == std::string_view::npos || !is_name(line.substr(0, open)))
    return std::nullopt;
  // A sentence may have "name(x)" too; a list's line goes on with a colon, a dash, a bracket, or ends.
  const std::string_view rest = trimmed(line.substr(close + 1), " \t\r`");
  if (!rest.empty() && rest.find_first_of(":-([=") != 0 && !rest.starts_with("\u2013") && !rest.starts_with("\u2014") &&
      !rest.starts_with("\u2192"))
    return std::nullopt;
  Found tool{.name = std::string(line.substr(0, open))};
  std::string_view list = line.substr(open + 1, close - open - 1);
  while (!trimmed(list).empty()) {
    const size_t comma = std::min(list.find(','), list.size());
    std::optional<Param> param = read_param(list.substr(0, comma));
    if (!param || tool.params.size() == kMostParams) return std::nullopt;
    const bool twice =
        std::any_of(tool.params.begin(), tool.params.end(), [&](const Param& p) { return p.name == param->name; });
    if (twice) return std::nullopt;
    tool.params.push_back(std::move(*param));
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return tool;
}

/// The object of an example; null if it is none.
json::value example_call(std::string_view text, Budget& budget) {
  try {
    json::value value = parse_json(text, "an example", {.fault = Fault::bad_request}, budget);
    const json::object* object = value.if_object();
    if (!object || !object->contains("name") || !object->at("name").is_string()) return nullptr;
    if (!object->contains("params") || !object->at("params").is_object()) return nullptr;
    return value;
  } catch (const Error& error) {
    if (error.fault() != Fault::bad_request) throw;
    return nullptr;
  }
}

std::vector<json::value> read_examples(std::string_view prompt, Budget& budget) {
  std::vector<json::value> examples;
  for (size_t at = prompt.find(kFence); at != std::string_view::npos; at = prompt.find(kFence, at)) {
    at += kFence.size();
    const size_t end = prompt.find(kFenceEnd, at);
    if (end == std::string_view::npos) break;
    json::value call = example_call(prompt.substr(at, end - at), budget);
    if (!call.is_null()) examples.push_back(std::move(call));
    at = end;
  }
  return examples;
}

std::vector<Found> read_list(std::string_view prompt, Budget& budget) {
  std::vector<Found> tools;
  while (!prompt.empty()) {
    const size_t end = std::min(prompt.find('\n'), prompt.size());
    budget.step(end);
    std::optional<Found> tool = read_line(prompt.substr(0, end));
    prompt.remove_prefix(std::min(end + 1, prompt.size()));
    const auto same = [&](const Found& other) { return other.name == tool->name; };
    if (tool && tools.size() < kMostTools && std::none_of(tools.begin(), tools.end(), same))
      tools.push_back(std::move(*tool));
  }
  return tools;
}

/// What the examples say of the tools: types of their parameters, or the tools themselves if there is no list.
void take_example(const json::object& example, bool listed, std::vector<Found>& tools) {
  const std::string_view name = example.at("name").get_string();
  const json::object& params = example.at("params").get_object();
  auto tool = std::find_if(tools.begin(), tools.end(), [&](const Found& t) { return t.name == name; });
  if (tool == tools.end()) {
    const bool placeholder =
        std::find(std::begin(kPlaceholders), std::end(kPlaceholders), name) != std::end(kPlaceholders);
    if (listed || placeholder || !is_name(name) || tools.size() == kMostTools || params.size() > kMostParams) return;
    tools.push_back({.name = std::string(name)});
    for (const auto& [key, value] : params)
      tools.back().params.push_back({std::string(key), schema_like(key, value), true});
    return;
  }
  for (Param& param : tool->params) {
    const json::value* value = params.if_contains(param.name);
    if (value) param.schema = schema_like(param.name, *value);
    if (!value) param.required = false;  // an example does without
  }
  if (listed) return;
  for (const auto& [key, value] : params) {
    const std::string param(key);
    const bool known =
        std::any_of(tool->params.begin(), tool->params.end(), [&](const Param& p) { return p.name == param; });
    if (!known && tool->params.size() < kMostParams) tool->params.push_back({param, schema_like(param, value), false});
  }
}

FencedDialect dialect_of(std::vector<Found> tools) {
  FencedDialect dialect;
  for (Found& tool : tools) {
    json::object properties;
    json::array required;
    for (Param& param : tool.params) {
      if (param.required) required.push_back(json::value(param.name));
      properties[param.name] = std::move(param.schema);
    }
    json::object schema{{"type", "object"}, {"properties", std::move(properties)}, {"additionalProperties", false}};
    if (!required.empty()) schema["required"] = std::move(required);
    dialect.tools.push_back({std::move(tool.name), std::move(schema)});
  }
  return dialect;
}

}  // namespace

std::optional<FencedDialect> find_fenced_dialect(std::string_view prompt, Budget& budget) {
  budget.step(prompt.size());
  const std::vector<json::value> examples = read_examples(prompt, budget);
  if (examples.empty()) return std::nullopt;
  std::vector<Found> tools = read_list(prompt, budget);
  const bool listed = !tools.empty();
  for (const json::value& example : examples) take_example(example.get_object(), listed, tools);
  if (tools.empty()) return std::nullopt;
  return dialect_of(std::move(tools));
}

FencedDialect scalpel_dialect() {
  std::vector<Found> tools;
  for (const std::string_view line :
       {"read_file(path)", "write_file(path, content)", "append_file(path, content)", "run_command(command)"})
    tools.push_back(*read_line(line));
  return dialect_of(std::move(tools));
}

}  // namespace lancet

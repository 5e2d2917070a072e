// Tables -> an OpenAPI document and Markdown. See openapi.h.
#include "server/openapi.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "server/routes.h"

namespace lancet {
namespace json = boost::json;
namespace {

struct BodyInfo {
  Body body;
  std::string_view schema, title;
};
constexpr BodyInfo kBodies[] = {
    {Body::chat, "ChatRequest", "chat"},
    {Body::completion, "CompletionRequest", "completions"},
    {Body::embedding, "EmbeddingRequest", "embeddings"},
    {Body::tokenize, "TokenizeRequest", "tokenize"},
    {Body::detokenize, "DetokenizeRequest", "detokenize"},
};

/// What routes.cpp does not know of a route. Those that are not here are described by their path alone.
struct RouteInfo {
  std::string_view path, summary, request, response, stream;
};
constexpr RouteInfo kRouteInfo[] = {
    {"/v1/chat/completions", "a conversation's next message", "ChatRequest", "ChatCompletion", "ChatCompletionChunk"},
    {"/v1/completions", "a prompt's continuation", "CompletionRequest", "TextCompletion", "TextCompletion"},
    {"/v1/embeddings", "a vector for each input", "EmbeddingRequest", "EmbeddingList", ""},
    {"/v1/models", "the one model", "", "ModelList", ""},
    {"/v1/models/*", "the one model by its id", "", "Model", ""},
    {"/tokenize", "text to token ids", "TokenizeRequest", "Tokens", ""},
    {"/detokenize", "token ids to text", "DetokenizeRequest", "Text", ""},
    {"/apply-template", "a conversation's prompt, without running the model", "ChatRequest", "RenderedPrompt", ""},
    {"/openapi.json", "this document", "", "", ""},
};

json::object reference(std::string_view schema) { return {{"$ref", "#/components/schemas/" + std::string(schema)}}; }

/// A bound as JSON: integers without a fraction, 2^63 as the largest integer.
json::value bound(double value) {
  if (value >= 9223372036854775808.0) return INT64_MAX;
  if (value == std::floor(value) && std::abs(value) < 1e18) return static_cast<int64_t>(value);
  if (value == -9223372036854775808.0) return INT64_MIN;
  return value;
}

/// Adds the bound on elements or members to the alternative that has them.
void add_most(json::object& schema, size_t most) {
  if (auto* any = schema.if_contains("anyOf")) {
    for (json::value& alternative : any->as_array()) add_most(alternative.as_object(), most);
    return;
  }
  const json::value* type = schema.if_contains("type");
  if (type && *type == json::value("array")) schema["maxItems"] = most;
  if (type && *type == json::value("object")) schema["maxProperties"] = most;
}

json::object other_schema(const Field& field, const ServerLimits& limits) {
  json::object schema = json::parse(field.schema).as_object();
  if (field.most) add_most(schema, limits.*field.most);
  if (field.required) return schema;
  if (schema.contains("enum")) {
    schema["enum"].as_array().push_back(nullptr);
    return schema;
  }
  json::array alternatives;
  if (const json::value* any = schema.if_contains("anyOf"))
    alternatives = any->as_array();
  else
    alternatives.push_back(schema);
  alternatives.push_back(json::object{{"type", "null"}});
  return {{"anyOf", std::move(alternatives)}};
}

std::string_view type_name(FieldKind kind) {
  switch (kind) {
    case FieldKind::boolean: return "boolean";
    case FieldKind::integer: return "integer";
    case FieldKind::number: return "number";
    case FieldKind::string: return "string";
    case FieldKind::other: break;
  }
  return "";
}

json::object typed_schema(const Field& field, const ServerLimits& limits) {
  json::object schema{{"type", json::array{type_name(field.kind), "null"}}};
  if (field.kind == FieldKind::integer || field.kind == FieldKind::number) {
    schema["minimum"] = bound(field.low);
    schema["maximum"] = bound(field_high(field, limits));
  }
  if (field.kind == FieldKind::string && field.most) schema["maxLength"] = limits.*field.most;
  return schema;
}

json::object body_schema(Body body, const ServerLimits& limits) {
  json::object properties;
  json::array required;
  for (const Field& field : fields()) {
    if (!(field.bodies & static_cast<unsigned>(body))) continue;
    properties[field.name] = field_schema(field, limits);
    if (field.required) required.push_back(json::value(field.name));
  }
  json::object schema{{"type", "object"}, {"properties", std::move(properties)}};
  if (!required.empty()) schema["required"] = std::move(required);
  schema["description"] = "null is the same as absent; fields that are not known are named in x-ignored-params";
  return schema;
}

json::object content(std::string_view schema) {
  return {{"application/json", json::object{{"schema", schema.empty() ? json::object{} : reference(schema)}}}};
}

json::object error_answer(std::string_view what) { return {{"description", what}, {"content", content("Error")}}; }

json::object operation(const Route& route, const RouteInfo& info) {
  json::object ok{{"description", info.summary}};
  if (!info.response.empty()) ok["content"] = content(info.response);
  if (!info.stream.empty()) {
    // Each event's data; 3.1 has no words for a stream of them.
    ok["content"].as_object()["text/event-stream"] = json::object{{"schema", reference(info.stream)}};
  }
  json::object answers{{"200", std::move(ok)}};
  if (route.method == "POST") {
    answers["400"] = error_answer("the request breaks the contract; error.param names the field");
    answers["429"] = error_answer("the queue is full");
  }
  if (!route.before_ready) answers["503"] = error_answer("loading, draining, or waited too long");
  json::object out{{"summary", info.summary}};
  if (route.path.ends_with('*'))
    out["parameters"] = json::array{
        json::object{{"name", "id"}, {"in", "path"}, {"required", true}, {"schema", json::object{{"type", "string"}}}}};
  if (!info.request.empty()) out["requestBody"] = json::object{{"required", true}, {"content", content(info.request)}};
  out["responses"] = std::move(answers);
  return out;
}

json::object paths() {
  json::object all;
  for (const Route& route : routes()) {
    std::string path(route.path);
    if (path.ends_with('*')) path.replace(path.size() - 1, 1, "{id}");
    const auto* info = std::find_if(std::begin(kRouteInfo), std::end(kRouteInfo),
                                    [&](const RouteInfo& row) { return row.path == route.path; });
    const RouteInfo unknown{route.path, route.path, "", "", ""};
    std::string method(route.method);
    for (char& c : method) c = static_cast<char>(c | 0x20);
    json::value& item = all[path];
    if (!item.is_object()) item = json::object{};
    item.as_object()[method] = operation(route, info == std::end(kRouteInfo) ? unknown : *info);
  }
  return all;
}

std::string values_text(const Field& field, const ServerLimits& limits) {
  const auto number = [](double value) {
    const json::value shown = bound(value);
    return shown.is_double() ? fmt::format("{}", value) : json::serialize(shown);
  };
  if (field.use == FieldUse::harmless) return "any";
  if (field.use == FieldUse::refused) return fmt::format("`{}`", field.neutral->words);
  if (field.kind == FieldKind::integer || field.kind == FieldKind::number)
    return fmt::format("{} from {} to {}", type_name(field.kind), number(field.low), number(field_high(field, limits)));
  if (field.kind != FieldKind::other)
    return field.most ? fmt::format("{} of at most {} bytes", type_name(field.kind), limits.*field.most)
                      : std::string(type_name(field.kind));
  const json::object schema = json::parse(field.schema).as_object();
  if (const json::value* values = schema.if_contains("enum")) {
    std::string text;
    for (const json::value& value : values->as_array())
      text += fmt::format("{}`{}`", text.empty() ? "" : ", ", json::serialize(value));
    return text;
  }
  return field.most ? fmt::format("at most {}", limits.*field.most) : "see right";
}

}  // namespace

json::object field_schema(const Field& field, const ServerLimits& limits) {
  json::object schema;
  if (field.use == FieldUse::refused)
    schema = json::parse(field.neutral->schema).as_object();
  else if (field.use == FieldUse::used)
    schema = field.kind == FieldKind::other ? other_schema(field, limits) : typed_schema(field, limits);
  schema["description"] = field.standard.empty() || field.use == FieldUse::refused
                              ? std::string(field.meaning)
                              : fmt::format("{} (default: {})", field.meaning, field.standard);
  return schema;
}

json::object openapi_document(const ServerLimits& limits, const std::string& version) {
  json::object schemas = json::parse(kOpenapiSchemas).as_object();
  for (const BodyInfo& info : kBodies) schemas[info.schema] = body_schema(info.body, limits);
  return {{"openapi", "3.1.0"},
          {"info", json::object{{"title", "Lancet"}, {"version", version.empty() ? "0" : version}}},
          {"paths", paths()},
          {"components", json::object{{"schemas", std::move(schemas)}}}};
}

std::string fields_markdown(const ServerLimits& limits) {
  std::string text;
  constexpr std::pair<FieldUse, std::string_view> kParts[] = {
      {FieldUse::used, "Used:\n\n| field | of | values | default | meaning |\n|---|---|---|---|---|\n"},
      {FieldUse::harmless, "\nAccepted; the answer does not depend on them:\n\n| field | of |\n|---|---|\n"},
      {FieldUse::refused,
       "\nNot supported: 400 `unsupported_value` for any other value than null or this one, which asks for nothing:"
       "\n\n| field | of | value |\n|---|---|---|\n"}};
  for (const auto& [use, head] : kParts) {
    text += head;
    for (const Field& field : fields()) {
      if (field.use != use) continue;
      std::string bodies;
      for (const BodyInfo& info : kBodies)
        if (field.bodies & static_cast<unsigned>(info.body))
          bodies += fmt::format("{}{}", bodies.empty() ? "" : ", ", info.title);
      text += fmt::format("| `{}` | {} |", field.name, bodies);
      if (use != FieldUse::harmless) text += fmt::format(" {} |", values_text(field, limits));
      if (use == FieldUse::used)
        text += fmt::format(" {} | {} |", field.required ? "required" : field.standard, field.meaning);
      text += "\n";
    }
  }
  return text;
}

Answer handle_openapi(const RequestContext& context) {
  const std::string version = context.server ? context.server->options.version : std::string();
  return HttpResponse{.body = json::serialize(openapi_document(context.limits, version))};
}

}  // namespace lancet

// Reads request bodies. JsonView names the place in every complaint; each reader handles one shape.
#include "server/requests.h"

#include <algorithm>
#include <cfloat>
#include <cmath>

#include <fmt/format.h>

#include <boost/json/serialize.hpp>

#include "base/json.h"
#include "server/errors.h"
#include "server/fields.h"

namespace lancet {
namespace json = boost::json;
namespace {

constexpr std::string_view kSource = "the request";

json::value parse_body(std::string_view body, const ServerLimits& limits, Budget& budget) {
  const JsonLimits json_limits{limits.json_depth, limits.json_nodes, Fault::bad_request};
  try {
    return parse_json(body, "the request's body", json_limits, budget);
  } catch (const Error& error) {
    if (error.fault() != Fault::bad_request) throw;
    throw ApiError(400, "invalid_json", error.message());
  }
}

/// The member if it is there and not null: null means "the default" everywhere.
std::optional<JsonView> member(const JsonView& view, std::string_view key) { return view.find(key); }

bool flag(const JsonView& root, std::string_view key, bool otherwise) {
  const auto view = member(root, key);
  return view ? view->boolean() : otherwise;
}

[[noreturn]] void too_many(const JsonView& view, size_t found, size_t most) {
  view.fail(fmt::format("at most {} elements and found {}", most, found));
}

std::vector<std::string> read_stop(const JsonView& view, const ServerLimits& limits) {
  std::vector<std::string> stop;
  const auto take = [&](const JsonView& text) {
    if (text.string().empty() || text.string().size() > limits.stop_string_bytes)
      text.fail(fmt::format("a string of 1 to {} bytes", limits.stop_string_bytes));
    stop.emplace_back(text.string());
  };
  if (view.value().is_string()) {
    if (!view.string().empty()) take(view);  // "" stops nothing; some clients send it as "none"
    return stop;
  }
  if (!view.value().is_array()) view.fail("a string or an array of strings");
  if (view.size() > limits.stop_strings) too_many(view, view.size(), limits.stop_strings);
  for (size_t i = 0; i < view.size(); i++) take(view.element(i));
  return stop;
}

void read_sampling(const JsonView& root, const ServerLimits& limits, GenerationFields& fields) {
  SamplingParams& sampling = fields.sampling;
  if (const auto view = member(root, "temperature")) sampling.temperature = view->number(0, 2);
  // top_p 0 keeps the likeliest token, as does the smallest positive number; min_p 1 likewise, from below.
  if (const auto view = member(root, "top_p")) sampling.top_p = std::max(view->number(0, 1), DBL_MIN);
  if (const auto view = member(root, "min_p")) sampling.min_p = std::min(view->number(0, 1), std::nextafter(1.0, 0.0));
  if (const auto view = member(root, "top_k"))
    sampling.top_k = static_cast<int>(std::max<int64_t>(0, view->integer(-1, INT32_MAX)));
  if (const auto view = member(root, "seed")) {
    sampling.seed = static_cast<uint64_t>(view->integer(INT64_MIN, INT64_MAX));
    fields.has_seed = true;
  }
  if (const auto view = member(root, "n")) fields.n = static_cast<int>(view->integer(1, limits.choices));
}

GenerationFields read_generation_fields(const JsonView& root, const ServerLimits& limits, Body body) {
  GenerationFields fields;
  fields.ignored = check_fields(root, body);
  if (const auto view = member(root, "model")) fields.model = std::string(view->string());
  read_sampling(root, limits, fields);
  if (const auto view = member(root, "stop")) fields.stop = read_stop(*view, limits);
  for (const std::string_view key : {"max_tokens", "max_completion_tokens"})  // the second wins
    if (const auto view = key == "max_tokens" || body == Body::chat ? member(root, key) : std::nullopt)
      fields.max_tokens = static_cast<int>(view->integer(1, INT32_MAX));
  fields.stream = flag(root, "stream", false);
  fields.ignore_eos = flag(root, "ignore_eos", false);
  if (const auto view = member(root, "stream_options")) fields.include_usage = flag(*view, "include_usage", false);
  return fields;
}

[[noreturn]] void refuse_image(const std::string& path) {
  throw Error(Fault::unsupported, path + " is an image; this model as served here takes no images", path);
}

ContentPart read_part(const JsonView& view) {
  const std::string_view type = view.at("type").string();
  if (type == "text") return {.text = std::string(view.at("text").string())};
  if (type == "refusal") return {.text = std::string(view.at("refusal").string())};
  if (type == "image_url" || type == "input_image" || type == "image") refuse_image(view.path());
  throw Error(Fault::unsupported, fmt::format("{} has the type {}, wanted text", view.path(), quoted(type)),
              view.path());
}

void read_content(const JsonView& view, const ServerLimits& limits, ChatMessage& message) {
  if (view.value().is_string()) {
    message.content.push_back({.text = std::string(view.string())});
    return;
  }
  if (!view.value().is_array()) view.fail("a string or an array of parts");
  if (view.size() > limits.content_parts) too_many(view, view.size(), limits.content_parts);
  message.content_is_list = true;
  for (size_t i = 0; i < view.size(); i++) message.content.push_back(read_part(view.element(i)));
}

ToolCall read_tool_call(const JsonView& view) {
  ToolCall call;
  if (const auto id = member(view, "id")) call.id = std::string(id->string());
  const JsonView function = view.at("function");
  call.name = std::string(function.at("name").string());
  // A string by the contract; some clients replay the object itself.
  if (const auto arguments = member(function, "arguments"))
    call.arguments =
        arguments->value().is_object() ? json::serialize(arguments->value()) : std::string(arguments->string());
  return call;
}

ChatMessage read_message(const JsonView& view, const ServerLimits& limits, std::vector<std::string>& ignored) {
  static constexpr std::string_view kRoles[] = {"system", "developer", "user", "assistant", "tool"};
  static constexpr std::string_view kKnown[] = {"role", "content", "name", "tool_calls", "tool_call_id"};
  ChatMessage message;
  const JsonView role = view.at("role");
  message.role = std::string(role.string());
  if (std::find(std::begin(kRoles), std::end(kRoles), message.role) == std::end(kRoles))
    role.fail("system, developer, user, assistant or tool");
  if (const auto content = member(view, "content")) read_content(*content, limits, message);
  if (const auto name = member(view, "name")) message.name = std::string(name->string());
  if (const auto id = member(view, "tool_call_id")) message.tool_call_id = std::string(id->string());
  if (const auto calls = member(view, "tool_calls")) {
    if (calls->size() > limits.tools) too_many(*calls, calls->size(), limits.tools);
    for (size_t i = 0; i < calls->size(); i++) message.tool_calls.push_back(read_tool_call(calls->element(i)));
  }
  for (const auto& [key, value] : view.object())
    if (!value.is_null() && std::find(std::begin(kKnown), std::end(kKnown), std::string_view(key)) == std::end(kKnown))
      ignored.push_back(fmt::format("{}.{}", view.path(), std::string_view(key)));
  return message;
}

json::value read_tools(const JsonView& root, const ServerLimits& limits) {
  const auto tools = member(root, "tools");
  if (!tools || tools->size() == 0) return nullptr;
  if (tools->size() > limits.tools) too_many(*tools, tools->size(), limits.tools);
  for (size_t i = 0; i < tools->size(); i++) {
    const JsonView tool = tools->element(i);
    const JsonView type = tool.at("type");
    if (type.string() != "function") type.fail("function");
    const JsonView name = tool.at("function").at("name");
    if (name.string().empty()) name.fail("a name");
  }
  // "none" is kept by not telling the model of any tool.
  const auto choice = member(root, "tool_choice");
  if (choice && choice->string() == "none") return nullptr;
  return tools->value();
}

void read_chat_logprobs(const JsonView& root, const ServerLimits& limits, SamplingParams& sampling) {
  const bool wanted = flag(root, "logprobs", false);
  const auto top = member(root, "top_logprobs");
  if (top && !wanted && top->integer(0, limits.top_logprobs) > 0)
    throw Error(Fault::bad_request, "top_logprobs needs logprobs to be true", "top_logprobs");
  if (wanted) sampling.top_logprobs = top ? static_cast<int>(top->integer(0, limits.top_logprobs)) : 0;
}

std::vector<TokenId> read_tokens(const JsonView& view, int vocabulary) {
  std::vector<TokenId> tokens;
  tokens.reserve(view.size());
  for (size_t i = 0; i < view.size(); i++)
    tokens.push_back(static_cast<TokenId>(view.element(i).integer(0, vocabulary - 1)));
  return tokens;
}

CompletionPrompt read_prompt(const JsonView& view, int vocabulary) {
  if (view.value().is_string()) return std::string(view.string());
  if (!view.value().is_array()) view.fail("a string or an array of token ids");
  auto tokens = read_tokens(view, vocabulary);
  if (tokens.empty()) view.fail("at least one token");
  return tokens;
}

std::vector<CompletionPrompt> read_prompts(const JsonView& view, int vocabulary, const ServerLimits& limits) {
  std::vector<CompletionPrompt> prompts;
  const bool one = !view.value().is_array() || (view.size() > 0 && view.element(0).value().is_number());
  if (one) {
    prompts.push_back(read_prompt(view, vocabulary));
    return prompts;
  }
  if (view.size() == 0 || view.size() > limits.prompts) view.fail(fmt::format("1 to {} prompts", limits.prompts));
  for (size_t i = 0; i < view.size(); i++) prompts.push_back(read_prompt(view.element(i), vocabulary));
  return prompts;
}

std::vector<std::string> unknown_keys(const JsonView& root, std::initializer_list<std::string_view> known) {
  std::vector<std::string> unknown;
  for (const auto& [key, value] : root.object())
    if (std::find(known.begin(), known.end(), std::string_view(key)) == known.end()) unknown.emplace_back(key);
  return unknown;
}

}  // namespace

ChatRequest read_chat_request(std::string_view body, const ServerLimits& limits, Budget& budget) {
  const json::value value = parse_body(body, limits, budget);
  const JsonView root(value, std::string(kSource), Fault::bad_request);
  ChatRequest request;
  request.fields = read_generation_fields(root, limits, Body::chat);
  read_chat_logprobs(root, limits, request.fields.sampling);
  const JsonView messages = root.at("messages");
  if (messages.size() == 0 || messages.size() > limits.messages)
    messages.fail(fmt::format("1 to {} messages", limits.messages));
  for (size_t i = 0; i < messages.size(); i++)
    request.conversation.messages.push_back(read_message(messages.element(i), limits, request.fields.ignored));
  request.conversation.tools = read_tools(root, limits);
  request.conversation.add_generation_prompt = flag(root, "add_generation_prompt", true);
  return request;
}

CompletionRequest read_completion_request(std::string_view body, int vocabulary, const ServerLimits& limits,
                                          Budget& budget) {
  const json::value value = parse_body(body, limits, budget);
  const JsonView root(value, std::string(kSource), Fault::bad_request);
  CompletionRequest request;
  request.fields = read_generation_fields(root, limits, Body::completion);
  if (const auto view = member(root, "logprobs"))
    request.fields.sampling.top_logprobs = static_cast<int>(view->integer(0, limits.top_logprobs));
  request.fields.parse_special = flag(root, "parse_special", false);
  request.prompts = read_prompts(root.at("prompt"), vocabulary, limits);
  if (request.prompts.size() * static_cast<size_t>(request.fields.n) > limits.prompts)
    throw Error(Fault::bad_request,
                fmt::format("{} prompts with n {} are more than {} answers", request.prompts.size(), request.fields.n,
                            limits.prompts),
                "n");
  return request;
}

TokenizeRequest read_tokenize_request(std::string_view body, const ServerLimits& limits, Budget& budget) {
  const json::value value = parse_body(body, limits, budget);
  const JsonView root(value, std::string(kSource), Fault::bad_request);
  const auto content = member(root, "content");
  return {.text = std::string(content ? content->string() : root.at("prompt").string()),
          .add_special = flag(root, "add_special", flag(root, "add_special_tokens", false)),
          .parse_special = flag(root, "parse_special", false),
          .with_pieces = flag(root, "with_pieces", false),
          .ignored = unknown_keys(root, {"content", "prompt", "add_special", "add_special_tokens", "parse_special",
                                         "with_pieces", "model"})};
}

DetokenizeRequest read_detokenize_request(std::string_view body, int vocabulary, const ServerLimits& limits,
                                          Budget& budget) {
  const json::value value = parse_body(body, limits, budget);
  const JsonView root(value, std::string(kSource), Fault::bad_request);
  return {.tokens = read_tokens(root.at("tokens"), vocabulary),
          .special = flag(root, "special", false),
          .ignored = unknown_keys(root, {"tokens", "special", "model"})};
}

}  // namespace lancet

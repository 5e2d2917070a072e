// Reads request bodies. JsonView names the place in every complaint; each reader handles one shape.
#include "server/requests.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/json.h"
#include "server/errors.h"
#include "server/fields.h"
#include "server/messages.h"

namespace lancet {
namespace json = boost::json;
namespace {

json::value parse_body(std::string_view body, const ServerLimits& limits, Budget& budget) {
  const JsonLimits json_limits{limits.json_depth, limits.json_nodes, Fault::bad_request};
  try {
    return parse_json(body, "the request's body", json_limits, budget);
  } catch (const Error& error) {
    if (error.fault() != Fault::bad_request) throw;
    throw ApiError(400, "invalid_json", error.message());
  }
}

/// A parsed body and its reader.
struct ParsedBody {
  ParsedBody(std::string_view text, Body body, const ServerLimits& limits, Budget& budget)
      : value(parse_body(text, limits, budget)),
        root(value, "the request", Fault::bad_request),
        reader(root, body, limits) {}
  ParsedBody(const ParsedBody&) = delete;

  const json::value value;
  const JsonView root;
  const FieldReader reader;
};

void add(std::vector<std::string>& into, std::vector<std::string> names) {
  for (std::string& name : names) into.push_back(std::move(name));
}

void read_chat_logprobs(const FieldReader& reader, SamplingParams& sampling) {
  const bool wanted = reader.flag("logprobs", false);
  const int top = reader.small_integer("top_logprobs").value_or(0);
  if (top > 0 && !wanted) throw Error(Fault::bad_request, "top_logprobs needs logprobs to be true", "top_logprobs");
  if (wanted) sampling.top_logprobs = top;
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

void check_answers(const CompletionRequest& request, const ServerLimits& limits) {
  if (request.prompts.size() * static_cast<size_t>(request.fields.n) > limits.prompts)
    throw Error(Fault::bad_request,
                fmt::format("{} prompts with n {} are more than {} answers", request.prompts.size(), request.fields.n,
                            limits.prompts),
                "n");
  if (request.fields.max_tokens == 0 && !request.fields.echo)
    throw Error(Fault::bad_request, "max_tokens is 0, wanted at least 1 without echo", "max_tokens");
}

}  // namespace

ChatRequest read_chat_request(std::string_view text, const ServerLimits& limits, Budget& budget, int vocabulary) {
  const ParsedBody body(text, Body::chat, limits, budget);
  std::vector<std::string> unknown = check_fields(body.reader);
  ChatRequest request{.fields = read_generation_fields(body.reader, vocabulary)};
  read_chat_logprobs(body.reader, request.fields.sampling);
  request.fields.ignored = std::move(unknown);
  add(request.fields.ignored, idle_fields(body.reader, request.fields));
  request.conversation = read_conversation(body.reader, request.fields.ignored);
  request.constraints = read_constraints(body.reader);
  return request;
}

CompletionRequest read_completion_request(std::string_view text, int vocabulary, const ServerLimits& limits,
                                          Budget& budget) {
  const ParsedBody body(text, Body::completion, limits, budget);
  std::vector<std::string> unknown = check_fields(body.reader);
  CompletionRequest request{.fields = read_generation_fields(body.reader, vocabulary)};
  request.fields.sampling.top_logprobs = body.reader.small_integer("logprobs").value_or(-1);
  request.fields.parse_special = body.reader.flag("parse_special", false);
  request.fields.echo = body.reader.flag("echo", false);
  request.constraints = read_constraints(body.reader);
  request.fields.ignored = std::move(unknown);
  add(request.fields.ignored, idle_fields(body.reader, request.fields));
  request.prompts = read_prompts(body.root.at("prompt"), vocabulary, limits);
  check_answers(request, limits);
  return request;
}

EmbeddingRequest read_embedding_request(std::string_view text, int vocabulary, const ServerLimits& limits,
                                        Budget& budget) {
  const ParsedBody body(text, Body::embedding, limits, budget);
  EmbeddingRequest request{.ignored = check_fields(body.reader)};
  body.reader.string("model");
  const auto choose = [&](std::string_view name, std::string_view usual, std::string_view other) {
    const auto view = body.reader.find(name);
    if (view && view->string() != usual && view->string() != other) view->fail(fmt::format("{} or {}", usual, other));
    return view && view->string() == other;
  };
  request.base64 = choose("encoding_format", "float", "base64");
  request.last = choose("pooling", "mean", "last");
  request.dimensions = body.reader.small_integer("dimensions");
  request.priority = body.reader.small_integer("priority").value_or(0);
  if (const auto salt = body.reader.string("cache_salt")) request.cache_salt = salt_hash(*salt);
  request.inputs = read_prompts(body.root.at("input"), vocabulary, limits);
  return request;
}

TokenizeRequest read_tokenize_request(std::string_view text, const ServerLimits& limits, Budget& budget) {
  const ParsedBody body(text, Body::tokenize, limits, budget);
  TokenizeRequest request{.ignored = check_fields(body.reader)};
  body.reader.string("model");
  const auto content = body.reader.string("content");
  const auto prompt = body.reader.string("prompt");
  if (!content && !prompt) body.root.at("content");
  request.text = content ? *content : *prompt;
  request.add_special = body.reader.flag("add_special", body.reader.flag("add_special_tokens", false));
  request.parse_special = body.reader.flag("parse_special", false);
  request.with_pieces = body.reader.flag("with_pieces", false);
  return request;
}

DetokenizeRequest read_detokenize_request(std::string_view text, int vocabulary, const ServerLimits& limits,
                                          Budget& budget) {
  const ParsedBody body(text, Body::detokenize, limits, budget);
  DetokenizeRequest request{.ignored = check_fields(body.reader)};
  body.reader.string("model");
  request.tokens = read_tokens(body.root.at("tokens"), vocabulary);
  request.special = body.reader.flag("special", false);
  return request;
}

}  // namespace lancet

// Builds every object in the order in which OpenAI documents it.
#include "server/responses.h"

#include <algorithm>
#include <random>

#include <fmt/format.h>

#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "base/utf8.h"

namespace lancet {
namespace json = boost::json;
namespace {

/// JSON has no -infinity; OpenAI writes -9999 for "practically impossible".
double finite(float logprob) { return std::max(static_cast<double>(logprob), -9999.0); }

std::string_view reason_name(FinishReason reason) { return reason == FinishReason::stop ? "stop" : "length"; }

json::object scored_token(const Tokenizer& tokenizer, TokenId token, float logprob) {
  const std::string_view bytes = tokenizer.bytes(token);
  json::array numbers;
  for (const char c : bytes) numbers.push_back(static_cast<unsigned char>(c));
  return {{"token", utf8_lossy(bytes)}, {"logprob", finite(logprob)}, {"bytes", std::move(numbers)}};
}

json::value chat_logprobs(const AnswerIdentity& answer, const std::vector<TokenScore>& scores) {
  if (!answer.scores) return nullptr;
  json::array content;
  for (const TokenScore& score : scores) {
    json::object entry = scored_token(*answer.tokenizer, score.token, score.logprob);
    json::array top;
    for (const auto& [token, logprob] : score.top) top.push_back(scored_token(*answer.tokenizer, token, logprob));
    entry["top_logprobs"] = std::move(top);
    content.push_back(std::move(entry));
  }
  return json::object{{"content", std::move(content)}, {"refusal", nullptr}};
}

json::value completion_logprobs(const AnswerIdentity& answer, const std::vector<TokenScore>& scores,
                                size_t text_offset) {
  if (!answer.scores) return nullptr;
  json::array tokens, logprobs, tops, offsets;
  for (const TokenScore& score : scores) {
    const std::string token = utf8_lossy(answer.tokenizer->bytes(score.token));
    json::object top;
    for (const auto& [id, logprob] : score.top) top[utf8_lossy(answer.tokenizer->bytes(id))] = finite(logprob);
    tokens.push_back(json::value(token));
    logprobs.push_back(finite(score.logprob));
    tops.push_back(std::move(top));
    offsets.push_back(static_cast<int64_t>(text_offset));
    text_offset += token.size();
  }
  return json::object{{"tokens", std::move(tokens)},
                      {"token_logprobs", std::move(logprobs)},
                      {"top_logprobs", std::move(tops)},
                      {"text_offset", std::move(offsets)}};
}

json::object usage_object(const Usage& usage) {
  return {
      {"prompt_tokens", usage.prompt_tokens},
      {"completion_tokens", usage.completion_tokens},
      {"total_tokens", usage.prompt_tokens + usage.completion_tokens},
      {"prompt_tokens_details", json::object{{"cached_tokens", usage.cached_tokens}}},
      {"completion_tokens_details",
       json::object{{"reasoning_tokens", 0}, {"accepted_prediction_tokens", 0}, {"rejected_prediction_tokens", 0}}}};
}

json::object envelope(const AnswerIdentity& answer, std::string_view object) {
  return {{"id", answer.id},
          {"object", object},
          {"created", answer.created},
          {"model", answer.model},
          {"system_fingerprint", answer.system_fingerprint}};
}

json::object whole_choice(const AnswerIdentity& answer, int index, const ChoiceResult& result) {
  json::object choice{{"index", index}};
  if (answer.chat) {
    choice["message"] = json::object{{"role", "assistant"}, {"content", result.text}, {"refusal", nullptr}};
    choice["logprobs"] = chat_logprobs(answer, result.scores);
  } else {
    choice["text"] = result.text;
    choice["logprobs"] = completion_logprobs(answer, result.scores, 0);
  }
  choice["finish_reason"] = reason_name(result.finished.reason);
  if (!result.finished.stop_string.empty()) choice["stop_reason"] = result.finished.stop_string;
  return choice;
}

std::string event(const json::value& value) { return "data: " + json::serialize(value) + "\n\n"; }

std::string chunk(const AnswerIdentity& answer, json::array choices, json::value usage) {
  json::object object = envelope(answer, answer.chat ? "chat.completion.chunk" : "text_completion");
  object["choices"] = std::move(choices);
  if (answer.include_usage) object["usage"] = std::move(usage);
  return event(object);
}

}  // namespace

uint64_t random_seed() {
  std::random_device device;
  return static_cast<uint64_t>(device()) << 32 | device();
}

std::string random_id(std::string_view prefix) {
  return fmt::format("{}{:016x}{:08x}", prefix, random_seed(), random_seed() & 0xffffffffu);
}

std::string whole_json(const AnswerIdentity& answer, const std::vector<ChoiceResult>& results, const Usage& total) {
  json::object object = envelope(answer, answer.chat ? "chat.completion" : "text_completion");
  json::array choices;
  for (size_t i = 0; i < results.size(); i++) choices.push_back(whole_choice(answer, static_cast<int>(i), results[i]));
  object["choices"] = std::move(choices);
  object["usage"] = usage_object(total);
  return json::serialize(object);
}

std::string role_event(const AnswerIdentity& answer, int choice) {
  if (!answer.chat) return "";  // completions have no role
  json::object entry{{"index", choice},
                     {"delta", json::object{{"role", "assistant"}, {"content", ""}, {"refusal", nullptr}}},
                     {"logprobs", nullptr},
                     {"finish_reason", nullptr}};
  return chunk(answer, {std::move(entry)}, nullptr);
}

std::string delta_event(const AnswerIdentity& answer, int choice, const TextDelta& delta, size_t text_offset) {
  json::object entry{{"index", choice}};
  if (answer.chat) {
    entry["delta"] = json::object{{"content", delta.text}};
    entry["logprobs"] = chat_logprobs(answer, delta.scores);
  } else {
    entry["text"] = delta.text;
    entry["logprobs"] = completion_logprobs(answer, delta.scores, text_offset);
  }
  entry["finish_reason"] = nullptr;
  return chunk(answer, {std::move(entry)}, nullptr);
}

std::string finish_event(const AnswerIdentity& answer, int choice, const Finished& finished) {
  json::object entry{{"index", choice}};
  if (answer.chat)
    entry["delta"] = json::object{};
  else
    entry["text"] = "";
  entry["logprobs"] = nullptr;
  entry["finish_reason"] = reason_name(finished.reason);
  if (!finished.stop_string.empty()) entry["stop_reason"] = finished.stop_string;
  return chunk(answer, {std::move(entry)}, nullptr);
}

std::string usage_event(const AnswerIdentity& answer, const Usage& total) {
  return chunk(answer, {}, usage_object(total));
}

}  // namespace lancet

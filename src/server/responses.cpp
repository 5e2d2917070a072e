// Builds every object in the order in which OpenAI documents it.
#include "server/responses.h"

#include <algorithm>
#include <cmath>
#include <random>

#include <fmt/format.h>

#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "base/utf8.h"

namespace lancet {
namespace json = boost::json;
namespace {

/// JSON has no -infinity; OpenAI writes -9999 for "practically impossible", and null where there is none: before the
/// first token of a prompt.
json::value finite(float logprob) {
  if (std::isnan(logprob)) return nullptr;
  return std::max(static_cast<double>(logprob), -9999.0);
}

/// What ended the answer more exactly: the stop string, the stop token's id, or "repetition".
void add_stop_reason(json::object& choice, const Finished& finished) {
  if (finished.reason == FinishReason::repetition)
    choice["stop_reason"] = "repetition";
  else if (!finished.stop_string.empty())
    choice["stop_reason"] = finished.stop_string;
  else if (finished.stop_token)
    choice["stop_reason"] = *finished.stop_token;
}

double per_second(int tokens, double ms) { return ms > 0 ? tokens * 1000.0 / ms : 0; }

json::object timings_object(const AnswerTimings& timings) {
  const int read = timings.usage.prompt_tokens - timings.usage.cached_tokens;
  const int made = timings.usage.completion_tokens;
  return {{"prompt_n", read},
          {"prompt_ms", timings.times.prefill_ms},
          {"prompt_per_second", per_second(read, timings.times.prefill_ms)},
          {"predicted_n", made},
          {"predicted_ms", timings.times.decode_ms},
          {"predicted_per_second", per_second(made, timings.times.decode_ms)},
          {"cache_n", timings.usage.cached_tokens},
          {"queue_ms", timings.times.queue_ms}};
}

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
    json::value top = nullptr;  // where nothing was predicted
    if (!std::isnan(score.logprob)) {
      json::object likeliest;
      for (const auto& [id, logprob] : score.top) likeliest[utf8_lossy(answer.tokenizer->bytes(id))] = finite(logprob);
      top = std::move(likeliest);
    }
    tokens.push_back(json::value(token));
    logprobs.push_back(finite(score.logprob));
    tops.push_back(std::move(top));
    offsets.push_back(static_cast<int64_t>(text_offset));
    text_offset += shown_characters(*answer.tokenizer, score.token);
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

json::object function_object(std::string_view name, std::string_view arguments) {
  return {{"name", name}, {"arguments", arguments}};
}

json::object message_object(const ChoiceResult& result) {
  json::object message{{"role", "assistant"}, {"content", result.text}, {"refusal", nullptr}};
  if (!result.refusal.empty()) message["refusal"] = result.refusal;
  if (result.text.empty() && (!result.calls.empty() || !result.refusal.empty())) message["content"] = nullptr;
  if (result.calls.empty()) return message;
  if (result.end.old_names) {
    message["function_call"] = function_object(result.calls[0].name, result.calls[0].arguments);
    return message;
  }
  json::array calls;
  for (const CallResult& call : result.calls)
    calls.push_back(
        json::object{{"id", call.id}, {"type", "function"}, {"function", function_object(call.name, call.arguments)}});
  message["tool_calls"] = std::move(calls);
  return message;
}

void add_end(json::object& choice, const ChoiceEnd& end) {
  choice["finish_reason"] = reason_name(end);
  add_stop_reason(choice, end.finished);
  if (!end.report.empty()) choice["lancet"] = end.report;
}

json::object whole_choice(const AnswerIdentity& answer, int index, const ChoiceResult& result) {
  json::object choice{{"index", index}};
  if (answer.chat) {
    choice["message"] = message_object(result);
    choice["logprobs"] = chat_logprobs(answer, result.scores);
  } else {
    choice["text"] = result.text;
    choice["logprobs"] = completion_logprobs(answer, result.scores, 0);
  }
  add_end(choice, result.end);
  return choice;
}

/// What a chat's chunk adds to the message.
json::object part_delta(const AnswerPart& part, bool old_names) {
  if (part.kind == AnswerPart::Kind::content) return {{"content", part.text}};
  if (part.kind == AnswerPart::Kind::refusal) return {{"refusal", part.text}};
  const bool begins = part.kind == AnswerPart::Kind::call;
  json::object function = begins ? function_object(part.text, "") : json::object{{"arguments", part.text}};
  if (old_names) return {{"function_call", std::move(function)}};
  json::object call{{"index", part.call}};
  if (begins) {
    call["id"] = part.id;
    call["type"] = "function";
  }
  call["function"] = std::move(function);
  return {{"tool_calls", json::array{std::move(call)}}};
}

std::string event(const json::value& value) { return "data: " + json::serialize(value) + "\n\n"; }

json::object chunk(const AnswerIdentity& answer, json::array choices) {
  json::object object = envelope(answer, answer.chat ? "chat.completion.chunk" : "text_completion");
  object["choices"] = std::move(choices);
  return object;
}

json::object usage_so_far(const Usage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"completion_tokens", usage.completion_tokens},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens}};
}

json::object choice_chunk(const AnswerIdentity& answer, const ChunkContext& context, json::object entry) {
  json::object object = chunk(answer, {std::move(entry)});
  if (answer.continuous_usage)
    object["usage"] = usage_so_far(context.so_far);
  else if (answer.include_usage)
    object["usage"] = nullptr;
  return object;
}

}  // namespace

std::string_view reason_name(const ChoiceEnd& end) {
  if (end.finished.reason == FinishReason::length) return "length";
  if (!end.has_calls) return "stop";
  return end.old_names ? "function_call" : "tool_calls";
}

uint64_t random_seed() {
  std::random_device device;
  return static_cast<uint64_t>(device()) << 32 | device();
}

std::string random_id(std::string_view prefix) {
  return fmt::format("{}{:016x}{:08x}", prefix, random_seed(), random_seed() & 0xffffffffu);
}

size_t shown_characters(const Tokenizer& tokenizer, TokenId token) {
  if (tokenizer.is_control(token)) return 0;
  const std::string_view bytes = tokenizer.bytes(token);
  return static_cast<size_t>(
      std::count_if(bytes.begin(), bytes.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

void AnswerTimings::add(const Finished& finished) {
  usage.prompt_tokens += finished.usage.prompt_tokens;
  usage.completion_tokens += finished.usage.completion_tokens;
  usage.cached_tokens += finished.usage.cached_tokens;
  times.queue_ms = std::max(times.queue_ms, finished.timings.queue_ms);
  times.prefill_ms = std::max(times.prefill_ms, finished.timings.prefill_ms);
  times.decode_ms = std::max(times.decode_ms, finished.timings.decode_ms);
}

std::string whole_json(const AnswerIdentity& answer, const std::vector<ChoiceResult>& results, const Usage& total) {
  json::object object = envelope(answer, answer.chat ? "chat.completion" : "text_completion");
  json::array choices;
  AnswerTimings timings;
  for (size_t i = 0; i < results.size(); i++) {
    choices.push_back(whole_choice(answer, static_cast<int>(i), results[i]));
    timings.add(results[i].end.finished);
  }
  object["choices"] = std::move(choices);
  object["usage"] = usage_object(total);
  object["timings"] = timings_object(timings);
  return json::serialize(object);
}

std::string role_event(const AnswerIdentity& answer, const ChunkContext& context, bool call_first) {
  if (!answer.chat) return "";  // completions have no role
  json::object delta{{"role", "assistant"}, {"content", ""}, {"refusal", nullptr}};
  if (call_first) delta["content"] = nullptr;
  json::object entry{
      {"index", context.choice}, {"delta", std::move(delta)}, {"logprobs", nullptr}, {"finish_reason", nullptr}};
  return event(choice_chunk(answer, context, std::move(entry)));
}

std::string part_event(const AnswerIdentity& answer, const ChunkContext& context, const AnswerPart& part,
                       const std::vector<TokenScore>& scores) {
  json::object entry{{"index", context.choice}};
  if (answer.chat) {
    entry["delta"] = part_delta(part, context.old_names);
    entry["logprobs"] = chat_logprobs(answer, scores);
  } else {
    entry["text"] = part.text;
    entry["logprobs"] = completion_logprobs(answer, scores, context.text_offset);
  }
  entry["finish_reason"] = nullptr;
  return event(choice_chunk(answer, context, std::move(entry)));
}

std::string finish_event(const AnswerIdentity& answer, const ChunkContext& context, const ChoiceEnd& end) {
  json::object entry{{"index", context.choice}};
  if (answer.chat)
    entry["delta"] = json::object{};
  else
    entry["text"] = "";
  entry["logprobs"] = nullptr;
  add_end(entry, end);
  json::object object = choice_chunk(answer, context, std::move(entry));
  AnswerTimings timings;
  timings.add(end.finished);
  object["timings"] = timings_object(timings);
  return event(object);
}

std::string usage_event(const AnswerIdentity& answer, const Usage& total, const AnswerTimings& timings) {
  json::object object = chunk(answer, {});
  object["usage"] = usage_object(total);
  object["timings"] = timings_object(timings);
  return event(object);
}

}  // namespace lancet

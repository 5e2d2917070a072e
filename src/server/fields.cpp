// The table of fields. Sources: openai-openapi (CreateChatCompletionRequest, CreateCompletionRequest) and the
// extensions that clients of llama.cpp and vLLM send.
#include "server/fields.h"

#include <algorithm>

#include <fmt/format.h>

#include "server/http.h"

namespace lancet {
namespace json = boost::json;
namespace {

using Neutral = bool (*)(const json::value&);  // does this value ask for nothing?

bool zero(const json::value& v) { return v.is_number() && v.to_number<double>() == 0; }
bool one(const json::value& v) { return v.is_number() && v.to_number<double>() == 1; }
bool no(const json::value& v) { return v.is_bool() && !v.get_bool(); }
bool yes(const json::value& v) { return v.is_bool() && v.get_bool(); }
bool empty(const json::value& v) {
  return (v.is_object() && v.get_object().empty()) || (v.is_array() && v.get_array().empty()) ||
         (v.is_string() && v.get_string().empty());
}
bool never(const json::value&) { return false; }
bool any(const json::value&) { return true; }
bool text_format(const json::value& v) {
  const json::value* type = v.is_object() ? v.get_object().if_contains("type") : nullptr;
  return type && *type == json::value("text");
}
bool text_only(const json::value& v) {
  return v.is_array() && v.get_array().size() == 1 && v.get_array()[0] == json::value("text");
}
bool free_choice(const json::value& v) { return v == json::value("auto") || v == json::value("none"); }

struct FieldRule {
  std::string_view name;
  unsigned bodies;
  Neutral neutral;       // null: the field is used, requests.cpp reads it
  std::string_view why;  // completes "<name> is not supported: wanted ..."
};

constexpr unsigned kChat = 1, kCompletion = 2, kBoth = 3;

constexpr FieldRule kRules[] = {
    // Used.
    {"model", kBoth, nullptr, ""},
    {"messages", kChat, nullptr, ""},
    {"prompt", kCompletion, nullptr, ""},
    {"max_tokens", kBoth, nullptr, ""},
    {"max_completion_tokens", kChat, nullptr, ""},
    {"temperature", kBoth, nullptr, ""},
    {"top_p", kBoth, nullptr, ""},
    {"top_k", kBoth, nullptr, ""},
    {"min_p", kBoth, nullptr, ""},
    {"seed", kBoth, nullptr, ""},
    {"stop", kBoth, nullptr, ""},
    {"stream", kBoth, nullptr, ""},
    {"stream_options", kBoth, nullptr, ""},
    {"n", kBoth, nullptr, ""},
    {"logprobs", kBoth, nullptr, ""},
    {"top_logprobs", kChat, nullptr, ""},
    {"tools", kChat, nullptr, ""},
    {"ignore_eos", kBoth, nullptr, ""},
    {"add_generation_prompt", kChat, nullptr, ""},
    {"parse_special", kCompletion, nullptr, ""},
    // Harmless: the answer does not depend on them.
    {"user", kBoth, any, ""},
    {"safety_identifier", kBoth, any, ""},
    {"metadata", kBoth, any, ""},
    {"store", kBoth, any, ""},
    {"service_tier", kBoth, any, ""},
    {"prompt_cache_key", kBoth, any, ""},
    {"prompt_cache_retention", kBoth, any, ""},
    {"prompt_cache_options", kBoth, any, ""},
    {"prediction", kChat, any, ""},
    {"cache_prompt", kBoth, any, ""},
    {"keep_alive", kBoth, any, ""},
    // Understood, and refused when they ask for something.
    {"frequency_penalty", kBoth, zero, "0"},
    {"presence_penalty", kBoth, zero, "0"},
    {"repetition_penalty", kBoth, one, "1"},
    {"repeat_penalty", kBoth, one, "1"},
    {"logit_bias", kBoth, empty, "an empty object"},
    {"response_format", kBoth, text_format, "{\"type\": \"text\"}"},
    {"tool_choice", kChat, free_choice, "\"auto\" or \"none\""},
    {"parallel_tool_calls", kChat, yes, "true"},
    {"functions", kChat, empty, "tools instead"},
    {"function_call", kChat, free_choice, "tools and tool_choice instead"},
    {"modalities", kChat, text_only, "[\"text\"]"},
    {"audio", kChat, never, "null"},
    {"web_search_options", kChat, never, "null"},
    {"moderation", kBoth, never, "null"},
    {"chat_template_kwargs", kChat, empty, "an empty object"},
    {"chat_template", kChat, never, "null"},
    {"continue_final_message", kChat, no, "false"},
    {"best_of", kCompletion, one, "1"},
    {"echo", kCompletion, no, "false"},
    {"suffix", kCompletion, empty, "an empty string"},
    {"grammar", kBoth, empty, "none"},
    {"json_schema", kBoth, empty, "none"},
    {"guided_json", kBoth, empty, "none"},
    {"guided_regex", kBoth, empty, "none"},
    {"guided_choice", kBoth, empty, "none"},
    {"guided_grammar", kBoth, empty, "none"},
    {"structured_outputs", kBoth, empty, "none"},
    {"min_tokens", kBoth, zero, "0"},
    {"stop_token_ids", kBoth, empty, "an empty array"},
    {"bad_words", kBoth, empty, "an empty array"},
    {"include_stop_str_in_output", kBoth, no, "false"},
    {"skip_special_tokens", kBoth, yes, "true"},
    {"use_beam_search", kBoth, no, "false"},
    {"truncate_prompt_tokens", kBoth, never, "null"},
    {"prompt_logprobs", kBoth, never, "null"},
    {"typical_p", kBoth, one, "1"},
    {"tfs_z", kBoth, one, "1"},
    {"top_a", kBoth, zero, "0"},
    {"mirostat", kBoth, zero, "0"},
    {"dry_multiplier", kBoth, zero, "0"},
    {"xtc_probability", kBoth, zero, "0"},
    {"dynatemp_range", kBoth, zero, "0"},
};

const FieldRule* find_rule(std::string_view name, unsigned body) {
  const auto* found = std::find_if(std::begin(kRules), std::end(kRules),
                                   [&](const FieldRule& rule) { return rule.name == name && (rule.bodies & body); });
  return found == std::end(kRules) ? nullptr : found;
}

}  // namespace

std::vector<std::string> check_fields(const JsonView& root, Body body) {
  std::vector<std::string> unknown;
  for (const auto& [name, value] : root.object()) {
    const FieldRule* rule = find_rule(name, static_cast<unsigned>(body));
    if (!rule) {
      unknown.emplace_back(name);
    } else if (rule->neutral && !value.is_null() && !rule->neutral(value)) {
      throw Error(Fault::unsupported,
                  fmt::format("{} is not supported with this value: wanted {}", rule->name, rule->why),
                  std::string(rule->name));
    }
  }
  return unknown;
}

std::string ignored_header(const std::vector<std::string>& names) {
  constexpr size_t kMostBytes = 1024;
  std::string out;
  for (size_t i = 0; i < names.size(); i++) {
    const std::string name = percent_encoded(std::string_view(names[i]).substr(0, 64));
    if (out.size() + name.size() + 2 > kMostBytes - 32) return out + fmt::format(", and {} more", names.size() - i);
    out += (out.empty() ? "" : ", ") + name;
  }
  return out;
}

}  // namespace lancet

// Reads what the table of fields bounds; only what a table cannot say is here.
#include "server/sampling_fields.h"

#include <algorithm>
#include <cfloat>
#include <charconv>
#include <cmath>

#include <fmt/format.h>

#include "base/hash.h"

namespace lancet {
namespace {

std::string_view text_of(const JsonView& view, size_t most) {
  if (view.string().empty() || view.string().size() > most) view.fail(fmt::format("a string of 1 to {} bytes", most));
  return view.string();
}

std::vector<std::string> read_stop(const FieldReader& reader) {
  std::vector<std::string> stop;
  const auto view = reader.find("stop");
  if (!view) return stop;
  if (view->value().is_string()) {
    // "" stops nothing; some clients send it as "none".
    if (!view->string().empty()) stop.emplace_back(text_of(*view, reader.limits().stop_string_bytes));
    return stop;
  }
  if (!view->value().is_array()) view->fail("a string or an array of strings");
  check_count(*view, reader.limits().stop_strings);
  for (size_t i = 0; i < view->size(); i++)
    stop.emplace_back(text_of(view->element(i), reader.limits().stop_string_bytes));
  return stop;
}

std::vector<TokenId> read_stop_tokens(const FieldReader& reader, int vocabulary) {
  std::vector<TokenId> tokens;
  const auto view = reader.list("stop_token_ids");
  for (size_t i = 0; view && i < view->size(); i++)
    tokens.push_back(static_cast<TokenId>(view->element(i).integer(0, vocabulary - 1)));
  return tokens;
}

std::vector<std::pair<TokenId, float>> read_logit_bias(const FieldReader& reader, int vocabulary) {
  std::vector<std::pair<TokenId, float>> bias;
  const auto view = reader.find("logit_bias");
  if (!view) return bias;
  const auto& object = view->object();
  check_count(*view, reader.limits().logit_bias);
  for (const auto& member : object) {
    const std::string_view key = member.key();
    TokenId token = -1;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), token);
    // Only the shortest spelling, or "5" and "05" would be one token twice.
    if (error != std::errc() || token >= vocabulary || fmt::format("{}", token) != key || token < 0)
      throw Error(Fault::bad_request,
                  fmt::format("logit_bias has the key {}, wanted a token id from 0 to {}", quoted(key), vocabulary - 1),
                  "logit_bias");
    const auto value = view->find(key);  // null: no bias
    if (value) bias.emplace_back(token, static_cast<float>(value->number(-100, 100)));
  }
  return bias;
}

RepetitionRule read_repetition(const FieldReader& reader) {
  RepetitionRule rule;
  const auto view = reader.find("repetition_detection");
  if (!view) return rule;
  const int most = reader.limits().repetition_pattern;
  rule.max_pattern = static_cast<int>(view->at("max_pattern_size").integer(0, most));
  if (const auto low = view->find("min_pattern_size"))
    rule.min_pattern = std::max(1, static_cast<int>(low->integer(0, most)));
  if (rule.max_pattern == 0) return {};
  const JsonView count = view->at("min_count");
  rule.count = static_cast<int>(count.integer(2, 1024));
  if (rule.min_pattern > rule.max_pattern)
    view->at("min_pattern_size").fail(fmt::format("at most max_pattern_size, which is {}", rule.max_pattern));
  return rule;
}

void read_dry(const FieldReader& reader, GenerationFields& fields) {
  DryParams& dry = fields.sampling.dry;
  dry.multiplier = reader.number("dry_multiplier").value_or(dry.multiplier);
  dry.base = reader.number("dry_base").value_or(dry.base);
  dry.allowed_length = reader.small_integer("dry_allowed_length").value_or(dry.allowed_length);
  dry.last_n = reader.small_integer("dry_penalty_last_n").value_or(dry.last_n);
  fields.dry_breakers = {"\n", ":", "\"", "*"};  // llama.cpp's and text-generation-webui's
  const auto view = reader.list("dry_sequence_breakers");
  if (!view) return;
  fields.dry_breakers.clear();
  for (size_t i = 0; i < view->size(); i++)
    fields.dry_breakers.emplace_back(text_of(view->element(i), reader.limits().dry_breaker_bytes));
}

void read_sampling(const FieldReader& reader, int vocabulary, GenerationFields& fields) {
  SamplingParams& sampling = fields.sampling;
  sampling.temperature = reader.number("temperature").value_or(sampling.temperature);
  // 0 keeps the likeliest token, as does the smallest positive number; min_p 1 likewise, from below.
  sampling.top_p = std::max(reader.number("top_p").value_or(1), DBL_MIN);
  sampling.typical_p = std::max(reader.number("typical_p").value_or(1), DBL_MIN);
  sampling.min_p = std::min(reader.number("min_p").value_or(0), std::nextafter(1.0, 0.0));
  sampling.top_k = std::max(0, reader.small_integer("top_k").value_or(0));
  sampling.top_n_sigma = std::max(0.0, reader.number("top_n_sigma").value_or(0));
  sampling.xtc_probability = reader.number("xtc_probability").value_or(0);
  sampling.xtc_threshold = reader.number("xtc_threshold").value_or(sampling.xtc_threshold);
  sampling.presence_penalty = reader.number("presence_penalty").value_or(0);
  sampling.frequency_penalty = reader.number("frequency_penalty").value_or(0);
  const auto repeat = reader.number("repeat_penalty");
  sampling.repetition_penalty = reader.number("repetition_penalty").value_or(repeat.value_or(1));
  sampling.repeat_last_n = reader.small_integer("repeat_last_n").value_or(-1);
  read_dry(reader, fields);
  sampling.logit_bias = read_logit_bias(reader, vocabulary);
  if (const auto seed = reader.integer("seed")) {
    sampling.seed = static_cast<uint64_t>(*seed);
    fields.has_seed = true;
  }
}

void read_length(const FieldReader& reader, GenerationFields& fields) {
  fields.max_tokens = reader.small_integer("max_tokens");
  if (reader.body() == Body::chat)
    if (const auto newer = reader.small_integer("max_completion_tokens")) fields.max_tokens = newer;
  fields.min_tokens = reader.small_integer("min_tokens").value_or(0);
  if (fields.max_tokens && fields.min_tokens > *fields.max_tokens)
    throw Error(
        Fault::bad_request,
        fmt::format("min_tokens is {}, wanted at most max_tokens, which is {}", fields.min_tokens, *fields.max_tokens),
        "min_tokens");
}

/// True where a member of stream_options is true.
bool stream_option(const FieldReader& reader, std::string_view name) {
  const auto options = reader.find("stream_options");
  const auto member = options ? options->find(name) : std::nullopt;
  return member && member->boolean();
}

bool greedy(const GenerationFields& fields) { return fields.sampling.temperature == 0; }
bool no_xtc(const GenerationFields& fields) {
  return greedy(fields) || fields.sampling.xtc_probability == 0 || fields.sampling.xtc_threshold > 0.5;
}
bool no_dry(const GenerationFields& fields) { return fields.sampling.dry.multiplier == 0; }
bool no_penalties(const GenerationFields& fields) {
  const SamplingParams& s = fields.sampling;
  return s.presence_penalty == 0 && s.frequency_penalty == 0 && s.repetition_penalty == 1;
}
bool no_stream(const GenerationFields& fields) { return !fields.stream; }
bool always(const GenerationFields&) { return true; }

struct IdleRule {
  std::string_view name;
  double neutral_low, neutral_high;  // numbers in between ask for nothing and are not worth a word
  bool (*idle)(const GenerationFields&);
  std::string_view wins;  // idle if that field is there; empty: `idle` alone decides
};

constexpr double kAny = 1, kNone = 0;  // an empty interval: every value asks for something

constexpr IdleRule kIdleRules[] = {
    {"top_p", 1, 1, greedy, ""},
    {"top_k", -1, 0, greedy, ""},
    {"min_p", 0, 0, greedy, ""},
    {"typical_p", 1, 1, greedy, ""},
    {"top_n_sigma", -1, 0, greedy, ""},
    {"seed", kAny, kNone, greedy, ""},
    {"xtc_probability", 0, 0, no_xtc, ""},
    {"xtc_threshold", 0.1, 0.1, no_xtc, ""},
    {"dry_base", 1.75, 1.75, no_dry, ""},
    {"dry_allowed_length", 2, 2, no_dry, ""},
    {"dry_penalty_last_n", -1, -1, no_dry, ""},
    {"dry_sequence_breakers", kAny, kNone, no_dry, ""},
    {"repeat_last_n", -1, -1, no_penalties, ""},
    {"repeat_penalty", 1, 1, always, "repetition_penalty"},
    {"max_tokens", kAny, kNone, always, "max_completion_tokens"},
    {"stream_options", kAny, kNone, no_stream, ""},
    {"prediction", kAny, kNone, always, ""},
};

}  // namespace

GenerationFields read_generation_fields(const FieldReader& reader, int vocabulary) {
  GenerationFields fields;
  fields.model = reader.string("model").value_or("");
  read_sampling(reader, vocabulary, fields);
  read_length(reader, fields);
  fields.stop = read_stop(reader);
  fields.stop_tokens = read_stop_tokens(reader, vocabulary);
  fields.keep_stop = reader.flag("include_stop_str_in_output", false);
  fields.ignore_eos = reader.flag("ignore_eos", false);
  fields.repetition = read_repetition(reader);
  fields.n = reader.small_integer("n").value_or(1);
  fields.priority = reader.small_integer("priority").value_or(0);
  if (const auto salt = reader.string("cache_salt")) fields.cache_salt = salt_hash(*salt);
  fields.stream = reader.flag("stream", false);
  fields.continuous_usage = stream_option(reader, "continuous_usage_stats");
  fields.include_usage = stream_option(reader, "include_usage") || fields.continuous_usage;
  stream_option(reader, "include_obfuscation");  // its type
  return fields;
}

std::vector<std::string> idle_fields(const FieldReader& reader, const GenerationFields& fields) {
  std::vector<std::string> idle;
  for (const IdleRule& rule : kIdleRules) {
    const auto view = find_field(rule.name, reader.body()) ? reader.find(rule.name) : std::nullopt;
    if (!view || !rule.idle(fields)) continue;
    const bool has_winner = !rule.wins.empty() && find_field(rule.wins, reader.body()) && reader.has(rule.wins);
    if (!rule.wins.empty() && !has_winner) continue;
    if (view->value().is_number()) {
      const double value = view->value().to_number<double>();
      if (value >= rule.neutral_low && value <= rule.neutral_high) continue;
    }
    idle.emplace_back(rule.name);
  }
  if (fields.stream && stream_option(reader, "include_obfuscation"))
    idle.emplace_back("stream_options.include_obfuscation");
  return idle;
}

uint64_t salt_hash(std::string_view salt) {
  const uint64_t hash = hash64(std::as_bytes(std::span(salt.data(), salt.size())), 0x5a17);
  return hash == 0 ? 1 : hash;
}

}  // namespace lancet

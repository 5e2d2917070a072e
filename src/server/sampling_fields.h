// The fields that say how to generate: the same for chat and completions.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/generation.h"
#include "server/fields.h"

namespace lancet {

/// What chat and completions have in common.
struct GenerationFields {
  std::string model;  // as sent; any name is served by the one model
  SamplingParams sampling;
  std::vector<std::string> dry_breakers;  // texts; tokens only with a tokenizer at hand
  bool has_seed = false;
  std::optional<int> max_tokens;
  int min_tokens = 0;
  std::vector<std::string> stop;
  std::vector<TokenId> stop_tokens;
  bool keep_stop = false;
  bool ignore_eos = false;
  RepetitionRule repetition;
  int n = 1;
  int priority = 0;
  uint64_t cache_salt = 0;  // 0: none was sent
  bool stream = false;
  bool include_usage = false;
  bool continuous_usage = false;
  bool echo = false;                 // completions
  bool parse_special = false;        // completions: the prompt may spell control tokens
  std::vector<std::string> ignored;  // names of fields that were not known, or had no effect
};

/// All but `ignored`. `vocabulary` bounds token ids.
GenerationFields read_generation_fields(const FieldReader&, int vocabulary);

/// Names of fields that were sent and understood but could not have an effect beside the others, in the order of a
/// small table: top_p at temperature 0, dry_base without dry_multiplier.
std::vector<std::string> idle_fields(const FieldReader&, const GenerationFields&);

/// A hash for GenerationRequest::cache_salt, never 0.
uint64_t salt_hash(std::string_view salt);

}  // namespace lancet
